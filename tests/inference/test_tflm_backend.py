"""tflite-micro behind the inference interface: the whole firmware with the window model."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from myowave.compiler.graph import read_graph
from myowave.errors import ModelError
from myowave.firmware import model_tables
from myowave.link import Device
from myowave.model_card import load_model_dir
from myowave.paths import REPOSITORY
from myowave.pty_port import Pty
from myowave.tflm import run_tflm_windows
from myowave.tflm_tables import main, measured_arena, tflm_tables
from tests.firmware.models import movement, write_model

STAND_IN = Path(__file__).parent / "stand_in"
HOP = 100


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Model directory of the small reference network."""
    return write_model(tmp_path_factory.mktemp("model") / "small", "S")


@pytest.fixture(scope="module", params=["stand-in", "tflite-micro"])
def program(request, model, tmp_path_factory) -> Path:
    """`pio run -e native_tflm`, with tflite-micro itself where its sources are."""
    tree = STAND_IN
    if request.param == "tflite-micro":
        if "TFLM_DIR" not in os.environ:
            pytest.skip("no tflite-micro sources: TFLM_DIR is not set")
        tree = Path(os.environ["TFLM_DIR"])
    folder = tmp_path_factory.mktemp("native_tflm")
    result = build(folder, model, tree)
    assert result.returncode == 0, result.stdout + result.stderr
    image: Path = folder / "build" / "native_tflm" / "program.elf"
    return image


def build(folder: Path, model: Path, tree: Path | None) -> subprocess.CompletedProcess[str]:
    tables = folder / "model"
    tables.mkdir()
    for name, text in model_tables(model).items():
        (tables / name).write_text(text)
    (tables / "model.tflite").write_bytes((model / "model.tflite").read_bytes())
    setup = REPOSITORY / "tools" / "setup_platformio.py"
    subprocess.run([sys.executable, setup], check=True, stdout=subprocess.DEVNULL)
    environment = {
        **os.environ,
        "PLATFORMIO_CORE_DIR": str(REPOSITORY / "build" / "platformio"),
        "PLATFORMIO_BUILD_DIR": str(folder / "build"),
        "MYOWAVE_MODEL": str(tables),
        "TFLM_DIR": "" if tree is None else str(tree),
    }
    return subprocess.run(
        [sys.executable, "-m", "platformio", "run", "-d", REPOSITORY, "-e", "native_tflm"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def running(program: Path) -> Iterator[Device]:
    """Run a board whose IMU stays silent; it is only sent recorded counts."""
    pty = Pty()
    near, far = socket.socketpair()
    board = subprocess.Popen(
        [program, "--serial", str(pty.controller), "--imu", str(far.fileno())],
        pass_fds=(pty.controller, far.fileno()),
    )
    far.close()
    try:
        with Device.open(pty.port) as device:
            yield device
        assert board.poll() is None
    finally:
        board.terminate()
        board.wait(20)
        near.close()
        pty.close()


def test_every_hop_is_tflite_micros_output_on_the_window(program, model):
    card, tflite = load_model_dir(model)
    first = card.receptive_field - 1
    counts = movement(first + 5 * HOP + 30)
    ends = np.arange(first, len(counts), HOP)
    oracle = run_tflm_windows(tflite, card.input_scaling().apply(counts), ends)
    with running(program) as device:
        assert device.require_model(card.tflite_sha256).receptive_field == card.receptive_field
        predictions = device.replay(counts)
        again = device.replay(counts)
    assert np.array_equal(predictions[ends], oracle)
    assert len(np.unique(oracle)) > 1
    # In between the last one is held; before there is a window, the envelope is 0.
    held = np.repeat(oracle, HOP, axis=0)[: len(counts) - first]
    assert np.array_equal(predictions[first:], held)
    assert np.all(predictions[:first] == card.output_zero_point)
    assert np.array_equal(again, predictions)


def test_without_a_source_tree_the_build_says_what_is_missing(model, tmp_path):
    result = build(tmp_path, model, None)
    assert result.returncode != 0
    assert "error: TFLM_DIR: expected the path of a tflite-micro source tree" in result.stderr


def test_the_resolver_has_each_operator_of_the_file_once(model):
    tflite = (model / "model.tflite").read_bytes()
    header = tflm_tables(tflite)["tflm_tables.h"]
    kinds = {operator.kind for operator in read_graph(tflite).operators}
    added = [line for line in header.splitlines() if "resolver.Add" in line]
    assert len(added) == len(set(added)) == len(kinds)
    assert f"#define MW_TFLM_OPERATORS {len(kinds)}u" in header


def test_the_file_is_in_the_tables_byte_for_byte(model):
    tflite = (model / "model.tflite").read_bytes()
    source = tflm_tables(tflite)["tflm_tables.cc"]
    rows = source.split("{")[1].split("}")[0]
    assert bytes(int(value, 16) for value in rows.split(",") if value.strip()) == tflite


def test_the_arena_is_the_smallest_tflite_micro_takes(model):
    """Of the small network, whose planning wants more than what is used in the end."""
    tflite = (model / "model.tflite").read_bytes()
    measured = measured_arena(tflite)
    assert takes_the_model(tflite, measured)
    assert not takes_the_model(tflite, measured - 512)


def takes_the_model(tflite: bytes, arena: int) -> bool:
    """Say whether tflite-micro can; in a process of its own, since it may crash."""
    code = (
        "import sys; from tflite_micro.python.tflite_micro import runtime; "
        f"runtime.Interpreter.from_bytes(sys.stdin.buffer.read(), arena_size={arena})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], input=tflite, capture_output=True, check=False
    )
    return result.returncode == 0


def test_tables_are_written_once(model, tmp_path):
    arguments = [str(model), "-o", str(tmp_path)]
    assert main(arguments) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_folder_without_a_model_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path), "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_tflite_micro_does_not_take_is_refused():
    with pytest.raises(ModelError, match="does not take the model"):
        measured_arena(b"no model at all" * 100)
