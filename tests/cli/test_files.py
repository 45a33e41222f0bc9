"""Outputs are written whole or not at all, by any number of processes at once."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from myowave.cli.output import write_json
from myowave.errors import ConfigError
from myowave.files import require_writable, write_atomically, written_whole
from myowave.readers import write_csv
from myowave.recording import Recording, save
from myowave.report import Report

RECORDING = Recording(
    acc=np.ones((20, 3)),
    gyro=np.ones((20, 3)),
    emg=np.ones((20, 1)),
    muscles=("biceps",),
    subject="S1",
    day="",
    name="one",
)

WRITERS: dict[str, Callable[[Path], None]] = {
    "json": lambda path: write_json(path, {"a": 1}),
    "report": lambda path: Report("title").write(path),
    "csv": lambda path: write_csv(RECORDING, path),
    "recording": lambda path: save(RECORDING, path),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    with pytest.raises(ConfigError, match="taken: is a folder"):
        WRITERS[kind](folder)

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ConfigError, match=r"x: cannot be written \(No space left on device\)"):
        WRITERS[kind](tmp_path / "x")
    assert list(tmp_path.iterdir()) == [folder]
    assert not list(folder.iterdir())


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_in_the_way_of_a_folder(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/x: cannot be written \("):
        WRITERS[kind](tmp_path / "file" / "x")
    with pytest.raises(ConfigError, match=r"file/x: cannot be written \(Not a directory\)"):
        require_writable(tmp_path / "file" / "x")


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    with written_whole(path) as first, written_whole(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    write_atomically(path, "third ü")
    assert path.read_text(encoding="utf-8") == "third ü"
    assert list(path.parent.iterdir()) == [path]


def test_looking_whether_a_file_can_be_written_makes_nothing(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "x.json")
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        require_writable(pipe)
        write_json(pipe, {"a": 1})
        assert os.read(reader, 100) == b'{\n  "a": 1\n}\n'
    finally:
        os.close(reader)
    assert pipe.is_fifo()
