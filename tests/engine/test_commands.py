"""The commands `compile`, `run` and `bench`, as a user calls them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from myowave.cli import main
from myowave.compiler.reference import reference_network

needs_emulator = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None,
    reason="needs qemu-system-arm and arm-none-eabi-gcc on PATH",
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "s.tflite"
    path.write_bytes(reference_network("S"))
    return path


def error_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(argv) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("myowave: error: ")
    return error


def test_compile(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, figures = tmp_path / "out", tmp_path / "plan.json"
    assert main(["compile", str(model), "-o", str(out), "--json", str(figures)]) == 0
    assert {path.name for path in out.iterdir()} == {"model_data.h", "model_data.c", "plan.json"}
    plan = json.loads((out / "plan.json").read_text())
    assert json.loads(figures.read_text()) == plan
    assert (
        sum(s["macs"] for s in plan["steps"] if s["step"].startswith("conv"))
        == (plan["macs_per_sample"])
    )
    assert "receptive field 256" in capsys.readouterr().out


@pytest.mark.parametrize(
    "backend",
    ["native", "tflm", pytest.param("cortex-m4", marks=needs_emulator)],
)
def test_run(backend: str, model: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(-128, 128, (400, 6)).astype(np.int8)
    np.save(tmp_path / "x.npy", x)
    target = tmp_path / "deep" / "y.npy"
    argv = ["run", str(model), "-i", str(tmp_path / "x.npy"), "-o", str(target), "--on", backend]
    assert main(argv) == 0
    y = np.load(target)
    assert y.dtype == np.int8
    assert y.shape == (400, 1)


def test_run_refuses_in_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, y = tmp_path / "x.npy", tmp_path / "bad.npy", str(tmp_path / "y.npy")
    np.save(good, np.zeros((4, 6), np.int8))
    refused: list[tuple[np.ndarray, str]] = [
        (np.zeros((4, 6)), "float64, expected int8"),
        (np.zeros((4, 5), np.int8), r"shape (4, 5), expected (n, 6)"),
        (np.zeros((0, 6), np.int8), r"shape (0, 6)"),
        (np.zeros(6, np.int8), r"shape (6,)"),
        (np.array({}, dtype=object), "not an .npy file of plain numbers"),
    ]
    for array, message in refused:
        np.save(bad, array)
        error = error_of(["run", str(model), "-i", str(bad), "-o", y], capsys)
        assert message in error
        assert str(bad) in error
    bad.write_bytes(b"junk")
    assert "not an .npy" in error_of(["run", str(model), "-i", str(bad), "-o", y], capsys)
    bad.write_bytes(good.read_bytes()[:-3])
    assert "not an .npy" in error_of(["run", str(model), "-i", str(bad), "-o", y], capsys)
    assert "absent.npy" in error_of(["run", str(model), "-i", "absent.npy", "-o", y], capsys)
    argv = ["run", str(model), "-i", str(good), "-o", y, "--on", "tpu"]
    assert "unknown backend 'tpu', expected one of tflm, native" in error_of(argv, capsys)
    assert str(good) in error_of(["run", str(good), "-i", str(good), "-o", y], capsys)
    assert not Path(y).exists()


def test_model_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = str(tmp_path / "none.tflite")
    assert "none.tflite" in error_of(["compile", absent, "-o", str(tmp_path / "o")], capsys)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert str(empty) in error_of(["compile", str(empty), "-o", str(tmp_path / "o")], capsys)


@needs_emulator
def test_bench(tmp_path: Path) -> None:
    target = tmp_path / "bench.json"
    argv = ["bench", "--reference", "S", "--core", "cortex-m3", "--json", str(target)]
    assert main(argv) == 0
    figures = json.loads(target.read_text())
    assert figures["core"] == "cortex-m3"
    for key in ("instructions_per_sample", "macs_per_sample", "ram_bytes", "flash_bytes"):
        assert figures[key] > 0


def test_bench_on_this_machine(tmp_path: Path) -> None:
    target = tmp_path / "bench.json"
    argv = ["bench", "--reference", "S", "--core", "native", "--json", str(target)]
    assert main(argv) == 0
    figures = json.loads(target.read_text())
    assert figures["times_real_time"] > 0
    assert figures["ns_per_sample"] * figures["times_real_time"] == pytest.approx(1e6)


def test_bench_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--reference R, S or M" in error_of(["bench"], capsys)
    assert "unknown reference network 'X'" in error_of(["bench", "--reference", "X"], capsys)
    assert "unknown core 'z80'" in error_of(["bench", "--reference", "S", "--core", "z80"], capsys)
