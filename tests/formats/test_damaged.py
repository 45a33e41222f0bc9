"""Files cut off, changed or made up: one line, whatever the format, and no wrong sample from one
that says of itself it is whole."""

import json
import re
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

from myowave.errors import RecordingError
from myowave.formats import matlab, parquet, write
from myowave.formats.sources import load_table, table_of_recording
from myowave.readers import ReadOptions, read
from myowave.recording import Recording
from tests.recordings.files import memory_of_refusal

from .xdf_files import two_clocks

SUFFIXES = (".csv", ".parquet", ".edf", ".bdf", ".mat", ".xdf")
OPTIONS = ReadOptions(imu_only=True, allow_missing_gyro=True)


@pytest.fixture(scope="module")
def whole(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One valid file of each format."""
    folder = tmp_path_factory.mktemp("whole")
    short = Recording(
        acc=recording.acc[:1300],
        gyro=recording.gyro[:1300],
        emg=recording.emg[:1300],
        muscles=recording.muscles,
        subject=recording.subject,
        day=recording.day,
        name=recording.name,
    )
    files = {}
    for suffix in SUFFIXES[:-1]:
        write(table_of_recording(short), folder / f"a{suffix}")
        files[suffix] = (folder / f"a{suffix}").read_bytes()
    files[".xdf"] = two_clocks(seconds=1.5, emg_hz=1000.0).write(folder / "a.xdf").read_bytes()
    for suffix, content in files.items():
        (folder / "b").write_bytes(content)
        assert read(folder / "b", OPTIONS).n_samples > 1000, suffix
    return files


def outcome(path: Path, options: ReadOptions = OPTIONS) -> Recording | None:
    """Return what is read; None for a refusal, which must be one line that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            recording = read(path, options)
    except RecordingError as error:
        message = str(error)
        assert str(path) in message
        assert "\n" not in message
        assert len(message) < 2000
        return None
    assert np.isfinite(recording.emg).all()
    return recording


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_cut_anywhere(whole: dict[str, bytes], tmp_path: Path, suffix: str) -> None:
    content = whole[suffix]
    path = tmp_path / "cut"
    ends = np.unique(np.r_[:300:7, np.linspace(0, len(content) - 1, 60).astype(int)])
    for end in ends.tolist():
        path.write_bytes(content[:end])
        # XDF has no end: what is cut between two chunks is a shorter file.
        assert outcome(path) is None or suffix == ".xdf", end


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bytes_changed_anywhere(whole: dict[str, bytes], tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(11)
    path = tmp_path / "changed"
    refused = 0
    # pyxdf takes its time.
    for number in range(30 if suffix == ".xdf" else 80):
        content = bytearray(whole[suffix])
        # Headers are short: half of the damage goes there.
        end = len(content) if number % 2 else min(len(content), 3000)
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(end)] = rng.integers(256)
        path.write_bytes(content)
        refused += outcome(path) is None
    assert refused > 5


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pieces_lost_or_repeated(whole: dict[str, bytes], tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(12)
    path = tmp_path / "pieces"
    for number in range(60):
        content = bytearray(whole[suffix])
        at = int(rng.integers(len(content)))
        size = int(rng.integers(1, 400))
        if number % 2:
            del content[at : at + size]
        else:
            content[at:at] = content[at : at + size]
        path.write_bytes(content)
        outcome(path)


@pytest.mark.parametrize(
    "content",
    [
        b"PAR1PAR1",
        b"0       " + b" " * 248,
        b"0       " + b"9" * 248,
        b"\xffBIOSEMI" + b"1" * 248,
        b"0       " + b" " * 160 + b"01.01.2600.00.0099999999" + b" " * 44 + b"9" * 16 + b"9999",
        b"MATLAB 5.0 MAT-file myowave" + b"\0" * 101,
        b"XDF:",
        b"XDF:" + b"\x08" + b"\xff" * 20,
        b"XDF:" + b"\x04\xff\xff\xff\xff\x02\x00" + b"\1\0\0\0<info>",
        b"XDF:" + b"\x00" * 100,
        b"# MyoWave CSV 1\n# facts: " + b"[" * 100_000 + b"\n",
    ],
)  # fmt: skip
def test_made_up_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    assert outcome(path) is None


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".xdf"])
def test_memory_stays_bounded(whole: dict[str, bytes], tmp_path: Path, suffix: str) -> None:
    """2 GB after a valid start, refused without reading them; measured in a process of its own."""
    path = tmp_path / "big"
    path.write_bytes(whole[suffix])
    with path.open("r+b") as file:
        file.truncate(2 * 1024**3)
    grown_kib, message = memory_of_refusal(path)
    assert str(path) in message
    assert grown_kib < 200 * 1024, f"grew by {grown_kib} KiB"


@pytest.mark.parametrize(("suffix", "module"), [(".parquet", parquet), (".mat", matlab)])
def test_more_values_than_a_recording_may_have(
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    module: ModuleType,
) -> None:
    """Compressed files promise much in few bytes: what they say of themselves comes first."""
    monkeypatch.setattr(module, "MAX_VALUES", 1000)
    path = tmp_path / "a"
    path.write_bytes(whole[suffix])
    with pytest.raises(RecordingError, match="the most one recording may have"):
        read(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"annotations": [[10**400, 0, "a"]]},
        {"annotations": [[float("inf"), 0, "a"]]},
        {"annotations": [[1, 0]]},
        {"start": "0001-01-01T00:00:00+23:00"},
    ],
)
def test_a_header_with_numbers_that_are_no_times(
    log: Path, tmp_path: Path, changed: dict[str, object]
) -> None:
    path = tmp_path / "a.parquet"
    write(load_table(log), path)
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[b"myowave.export"]) | changed
    text = json.dumps(header).replace("Infinity", "1e999")
    pq.write_table(table.replace_schema_metadata({"myowave.export": text}), path)
    with pytest.raises(RecordingError, match=rf"^{re.escape(str(path))}: damaged export"):
        read(path, imu_only=True)


def test_an_edited_export_says_so(log: Path, tmp_path: Path) -> None:
    """Rows deleted from a CSV by hand are no recording of the same length any more."""
    path = tmp_path / "a.csv"
    write(load_table(log), path)
    lines = path.read_text().splitlines(keepends=True)
    samples = next(index for index, line in enumerate(lines) if line.startswith("# samples"))
    lines[samples] = "# samples: 2990\n"
    del lines[1000:1010]
    path.write_text("".join(lines))
    with pytest.raises(RecordingError, match=r"expected steps of 0\.001 s; are rows missing"):
        read(path, imu_only=True)


def test_a_record_of_digits_takes_no_hours(tmp_path: Path) -> None:
    """A pattern that tries every way to split them would."""
    edfio = pytest.importorskip("edfio")
    signal = edfio.EdfSignal(np.sin(np.arange(2000.0)), 1000, label="EMG a")
    path = tmp_path / "a.edf"
    edfio.Edf([signal], annotations=[edfio.EdfAnnotation(0.5, None, "x" * 60_000)]).write(path)
    path.write_bytes(path.read_bytes().replace(b"x", b"1").replace(b"\x14" + b"1" * 60_000, b"1"))
    assert outcome(path) is None
