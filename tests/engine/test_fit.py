"""The fit verdict: measured on the real image, wrong on no side that can be checked."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myowave.boards import BoardSpec, board_spec, board_specs
from myowave.cli import main
from myowave.compiler import load_plan
from myowave.compiler.reference import NetworkBuilder
from myowave.cortex import CORES
from myowave.cycles import disassemble
from myowave.errors import ConfigError, ToolError
from myowave.firmware import board_by_name, build_firmware
from myowave.fit import CoreFigures, Fit, Verdict, fit_model, judge
from myowave.paths import firmware_dir
from tests.firmware.models import write_model, write_network

needs_tools = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None,
    reason="needs qemu-system-arm and arm-none-eabi-gcc on PATH",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model directory of the reference network R."""
    return write_model(tmp_path_factory.mktemp("fit") / "R")


@pytest.fixture(scope="module")
def fit(model: Path) -> Fit:
    """R on every board that has a Cortex-M4."""
    return fit_model(model, [spec for spec in board_specs().values() if spec.core == "cortex-m4"])


@pytest.fixture(scope="module")
def figures(fit: Fit) -> CoreFigures:
    """What was measured on the Cortex-M4."""
    return fit.cores["cortex-m4"]


def verdict_of(fit: Fit, board: str) -> Verdict:
    return next(verdict for verdict in fit.verdicts if verdict.board.name == board)


# ---- the table -----------------------------------------------------------------------------------


def test_every_board_says_where_its_figures_are_from() -> None:
    for spec in board_specs().values():
        assert spec.sources, spec.name
        assert spec.flash_bytes > 0
        assert spec.ram_bytes > 0
        assert spec.is_emulated or spec.port_us > 0
    environments = [spec.environment for spec in board_specs().values() if spec.environment]
    assert len(environments) == len(set(environments))


def test_the_table_holds_every_board_that_can_be_built() -> None:
    """Memories of those that are emulated are as the linker has them."""
    for path in (firmware_dir() / "platform" / "boards").glob("*.json"):
        build = json.loads(path.read_text())["build"]
        if build["toolchain"] == "":
            continue  # runs on this computer, which has room
        spec = board_spec(path.stem)
        assert spec.environment == path.stem
        assert spec.core in CORES
        if spec.is_emulated:
            assert spec.flash_bytes == build["memory"]["flash_bytes"]
            assert spec.ram_bytes == build["memory"]["ram_bytes"]


def test_unknown_board() -> None:
    with pytest.raises(ConfigError, match="unknown board 'uno', expected one of nrf52840_dk"):
        board_spec("uno")
    assert board_spec("nrf52840-dk") is board_spec("nrf52840_dk")


# ---- what is measured ----------------------------------------------------------------------------


@needs_tools
def test_bytes_are_those_of_the_image(model: Path, figures: CoreFigures) -> None:
    parts = figures.footprint
    board = board_by_name("cortex_m4")
    image = build_firmware(board, model).read_bytes()
    assert parts.flash_bytes < len(image)
    of = (
        parts.model_bytes,
        parts.engine_bytes,
        parts.app_bytes,
        parts.port_bytes,
        parts.library_bytes,
    )
    assert sum(of) == parts.flash_bytes
    assert all(part > 500 for part in of)
    plan = load_plan((model / "model.tflite").read_bytes())
    assert parts.model_bytes > plan.macs  # a byte a weight at least
    assert parts.ram_bytes > plan.state_bytes + parts.stack_bytes
    # 1024 samples of six counts, and which of them are there.
    assert parts.fifo_bytes >= 1024 * (6 * 2 + 1)


@needs_tools
def test_the_trace_is_what_was_counted(figures: CoreFigures) -> None:
    assert figures.engine.instructions == pytest.approx(figures.instructions_per_sample, rel=0.01)
    cycles = figures.engine.cycles("cortex-m4")
    assert figures.instructions_per_sample < cycles.low <= cycles.high
    # The application is far smaller than the network, and not nothing.
    assert 200 < figures.app.instructions < figures.instructions_per_sample / 4


@needs_tools
@pytest.mark.parametrize("core", CORES)
def test_every_instruction_of_an_image_has_a_cost(model: Path, core: str) -> None:
    code = disassemble(build_firmware(board_by_name(core), model), core)
    assert len(code) > 2000
    unknown = {hex(item.address) for item in code.values() if item.kind == "unknown"}
    assert not unknown


@needs_tools
def test_constants_read_from_flash_are_at_least_the_weights(
    model: Path, figures: CoreFigures
) -> None:
    """Every weight is read once a sample, at most four at a time."""
    plan = load_plan((model / "model.tflite").read_bytes())
    timing = board_spec("nrf52840_dk").flash
    assert timing is not None
    waits = figures.engine.waits(board_spec("nrf52840_dk"))
    assert waits.constants / timing.data_cycles >= plan.macs / 4


# ---- the verdict ---------------------------------------------------------------------------------


@needs_tools
def test_r_fits_the_nrf52840(fit: Fit) -> None:
    verdict = verdict_of(fit, "nrf52840_dk")
    assert verdict.fits
    assert verdict.reasons == ()
    assert 0 < verdict.margin < 1
    assert verdict.time_us.low < verdict.time_us.high < 1000
    assert verdict.margin == pytest.approx(1 - verdict.time_us.high / 1000)


@needs_tools
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ram_bytes": 16 * 1024}, r"RAM: \d+\.\d KB needed, 16\.0 KB there"),
        ({"flash_bytes": 32 * 1024}, r"flash: \d+\.\d KB needed, 32\.0 KB there"),
        ({"clock_hz": 16_000_000}, r"time: \d+ us at worst, 1000 us there"),
        ({"port_us": 990.0}, r"time: \d+ us at worst, 1000 us there"),
        ({"framework_ram_bytes": 250 * 1024}, "RAM: "),
    ],
)
def test_a_lesser_board_is_too_small(
    figures: CoreFigures, change: dict[str, float], reason: str
) -> None:
    board: BoardSpec = replace(board_spec("nrf52840_dk"), **change)  # type: ignore[arg-type]
    verdict = judge(board, figures)
    assert verdict.fits is False
    assert any(re.match(reason, line) for line in verdict.reasons)


@needs_tools
def test_tables_move_to_ram_only_where_flash_is_too_slow(figures: CoreFigures) -> None:
    board = board_spec("nrf52840_dk")
    assert board.flash is not None
    fast = judge(replace(board, flash=replace(board.flash, data_cycles=0.0)), figures)
    slow = judge(replace(board, flash=replace(board.flash, data_cycles=20.0)), figures)
    assert (fast.fits, fast.tables) == (True, "flash")
    assert (slow.fits, slow.tables) == (True, "ram")
    assert slow.ram_bytes == fast.ram_bytes + figures.footprint.model_bytes
    assert slow.time_us == fast.time_us
    tight = replace(
        board, flash=replace(board.flash, data_cycles=20.0), ram_bytes=fast.ram_bytes + 1024
    )
    verdict = judge(tight, figures)
    assert (verdict.fits, verdict.tables) == (False, "flash")


@needs_tools
def test_a_board_that_runs_from_ram_needs_all_of_it_there(figures: CoreFigures) -> None:
    board = replace(board_spec("teensy41"), core="cortex-m4", framework_ram_bytes=0)
    verdict = judge(board, figures)
    assert verdict.ram_bytes == figures.footprint.ram_bytes + verdict.flash_bytes


# ---- the command ---------------------------------------------------------------------------------


@needs_tools
def test_a_network_too_large_for_a_board(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "M", "M")
    target = tmp_path / "fit.json"
    assert main(["fit", str(model), "--board", "bluepill", "--json", str(target)]) == 1
    printed = capsys.readouterr().out
    assert "bluepill: flash: " in printed
    assert all(len(line) <= 80 for line in printed.splitlines()[:2]), "the table"
    figures = json.loads(target.read_text())
    assert figures["rate_hz"] == 1000
    core = figures["cores"]["cortex-m3"]
    assert core["engine_instructions_per_sample"] > 10_000
    assert core["method"]
    assert core["error"]
    board = figures["boards"]["bluepill"]
    assert board["fits"] is False
    assert board["ram_bytes"] > board["ram_limit_bytes"] == 20480
    estimated = board["estimated"]
    assert estimated["time_us"]["high"] > estimated["time_us"]["low"] > 1000
    assert estimated["margin"] < 0
    assert board["instructions_per_sample"] > core["engine_instructions_per_sample"]


@needs_tools
def test_a_network_that_fits(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(model), "--board", "nrf52840_dk"]) == 0
    assert "estimated" in capsys.readouterr().out


def test_a_board_nothing_here_compiles_for_is_not_guessed(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(model), "--board", "esp32s3"]) == 2
    assert "esp32s3: not measured" in capsys.readouterr().err


def test_missing_tools_are_named(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from myowave.cli.commands.train import _print_fit

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("myowave.firmware.build_dir", lambda *parts: tmp_path)
    assert main(["fit", str(model), "--board", "nrf52840_dk"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "arm-none-eabi-gcc not found" in captured.err
    with pytest.raises(ToolError, match="install gcc-arm-none-eabi"):
        fit_model(model)
    _print_fit(model)
    printed = capsys.readouterr().out
    assert printed.startswith("fit not judged: arm-none-eabi-gcc not found")


@needs_tools
def test_flash_refuses_what_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights that exceed the 512 KB of the emulated Cortex-M55."""
    rng = np.random.default_rng(0)
    net = NetworkBuilder(4, 6, 1 / 127, 0)
    x = net.input
    for width in (512, 512, 512, 512, 1):
        weights = rng.integers(-127, 128, (width, 1, net.channels(x))).astype(np.int8)
        scales = np.full(width, 1e-3, dtype=np.float32)
        bias = np.zeros(width, dtype=np.int32)
        x = net.conv(x, weights, bias, filter_scales=scales, scale=1 / 127, zero_point=0)
    model = write_network(tmp_path / "wide", net.build([net.newest(x, 1)]), "wide")
    argv = ["flash", "cortex_m55", "--model", str(model)]
    assert main(argv) == 1
    printed = capsys.readouterr().out
    assert "does not fit cortex_m55, nothing was flashed" in " ".join(printed.split())
    assert "exceeds the memory of the emulated cortex_m55" in " ".join(printed.split())
    assert main([*argv, "--force"]) == 2
    assert "overflowed by" in capsys.readouterr().err
