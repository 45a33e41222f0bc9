"""What `make bench` makes of its figures: rows, tables and the picture. No time is asserted."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

import bench_cores
import bench_laptop
import bench_plot
from myowave.compiler import load_plan
from myowave.compiler.optimize import REWRITINGS
from myowave.compiler.plan import Conv
from myowave.compiler.reference import REFERENCES, reference_network
from myowave.cortex import CORES, Measurement
from tests.conftest import REPOSITORY

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def measurement(core: str, instructions: float) -> Measurement:
    return Measurement(
        core=core,
        instructions_per_sample=instructions,
        macs_per_sample=14192,
        ram_bytes=8956,
        state_bytes=8940,
        stack_bytes=400,
        flash_bytes=44996,
        code_bytes=3176,
        model_bytes=41820,
    )


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    figures = [measurement(core, 20_000.0 + 10_000 * i) for i, core in enumerate(CORES)]
    return [bench_cores.core_row("R", each) for each in figures]


def printed(table: Table) -> list[str]:
    text = StringIO()
    Console(file=text, width=200).print(table)
    return text.getvalue().splitlines()


def test_row_holds_what_was_measured() -> None:
    row = bench_cores.core_row("R", measurement("cortex-m4", 28_384.0))
    assert row["network"] == "R"
    assert row["instructions_per_mac"] == pytest.approx(2.0)
    assert row["flash_bytes"] == row["code_bytes"] + row["model_bytes"]
    assert json.loads(json.dumps(row)) == row


def test_quoted_figures_say_that_they_are(rows: list[dict[str, Any]]) -> None:
    quoted = bench_cores.quoted_rows()
    assert [row["instructions_per_sample"] for row in quoted] == [131.4e6, 74.9e6, 340e3]
    assert {row["source"] for row in quoted} == {
        "quoted, measured separately, same core and network"
    }
    lines = printed(bench_cores.cores_table(rows, quoted))
    others = [line for line in lines if line.startswith("tflite-micro")]
    assert len(others) == len(quoted)
    assert all(" * " in line for line in others)
    assert lines[-1].startswith("* quoted, measured separately")


def test_table_has_a_line_for_every_core(rows: list[dict[str, Any]]) -> None:
    lines = printed(bench_cores.cores_table(rows))
    for core, row in zip(CORES, rows, strict=True):
        (line,) = (line for line in lines if f" {core} " in line)
        cells = line.replace(",", "").split()
        assert cells[-5:] == [
            f"{row['instructions_per_sample']:.0f}",
            f"{row['instructions_per_mac']:.2f}",
            "8940",
            "3176",
            "41820",
        ]


def test_speed_is_a_multiple_of_1_khz() -> None:
    row = bench_laptop.Speed("engine", "R", "one sample", 2000.0).row()
    assert row["times_real_time"] == pytest.approx(500.0)
    slow = bench_laptop.Speed("other", "R", "one window", 9.8e6).row()
    lines = printed(bench_laptop.laptop_table([row, slow]))
    assert lines[-2].split()[-2:] == ["2,000", "500"]
    assert lines[-1].split()[-2:] == ["9,800,000", "0.1"]


def test_picture_shows_every_core_and_every_quoted_figure(rows: list[dict[str, Any]]) -> None:
    marks = bench_plot.marks_of(rows, bench_cores.quoted_rows(), "R")
    values = [value for _, value, _ in marks]
    assert values == sorted(values, reverse=True)
    assert len(marks) == len(CORES) + len(bench_cores.QUOTED)
    for label, _, color in marks:
        assert ("*" in label) == (color == bench_plot.OTHERS)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_picture_is_written_from_the_json(
    suffix: str, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    source, out = tmp_path / "bench.json", tmp_path / "new" / f"engine.{suffix}"
    figures = {"cores": {"measured": rows, "quoted": bench_cores.quoted_rows()}}
    source.write_text(json.dumps(figures))
    assert plot("--json", source, "--out", out).returncode == 0
    content = out.read_bytes()
    assert content.startswith(PNG_SIGNATURE if suffix == "png" else b"<?xml")


@pytest.mark.parametrize("content", ["{}", "no json", None])
def test_no_picture_without_figures(content: str | None, tmp_path: Path) -> None:
    source, out = tmp_path / "bench.json", tmp_path / "engine.png"
    if content is not None:
        source.write_text(content)
    done = plot("--json", source, "--out", out)
    assert done.returncode == 2
    assert "run 'make bench'" in done.stderr
    assert not out.exists()


def test_unknown_section_is_refused() -> None:
    done = run("bench.py", "nonsense")
    assert done.returncode == 2
    assert "unknown section 'nonsense', expected one of cores, rewritings" in done.stderr


def test_tensorflow_is_timed_on_the_shape_of_the_reference_network() -> None:
    """The same multiply-accumulates; one window and a long call predict the same."""
    import bench_tensorflow

    shape, predictions = REFERENCES["S"], 3
    plan = load_plan(reference_network("S"), optimize=False)
    window = bench_tensorflow.float_network(shape, 1)
    long = bench_tensorflow.float_network(shape, predictions)
    assert window.input_shape == (1, plan.receptive_field, 1, plan.n_inputs)
    biases = sum(len(step.bias) for step in plan.steps if isinstance(step, Conv))
    assert window.count_params() == plan.macs + biases
    long.set_weights(window.get_weights())
    x = np.random.default_rng(0).standard_normal(long.input_shape).astype(np.float32)
    each = [window(x[:, i : i + plan.receptive_field]).numpy()[0, 0] for i in range(predictions)]
    np.testing.assert_allclose(long(x).numpy()[0], each, atol=1e-5)


def plot(*words: object) -> subprocess.CompletedProcess[str]:
    return run("bench_plot.py", *words)


def run(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "tools" / script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_rewriting_has_a_line_and_none_makes_it_worse() -> None:
    rows = bench_cores.measure_rewritings(["cortex-m4"], samples=64)
    assert [row["rewritings"][-1:] for row in rows] == [[], *([name] for name in REWRITINGS)]
    counts = [row["instructions_per_sample"]["cortex-m4"] for row in rows]
    assert counts == sorted(counts, reverse=True)
    assert rows[-1]["state_bytes"] < rows[-2]["state_bytes"] < rows[0]["state_bytes"]
    table = bench_cores.rewritings_table(rows)
    assert table.row_count == len(REWRITINGS) + 1


def test_a_block_waits_less_for_weights_where_the_flash_has_a_cache() -> None:
    """RP2040: R's tables do not fit the cache, those of one convolution do."""
    one, several = bench_cores.measure_blocks(["rp2040"])
    assert (one["block"], several["block"]) == (1, 8)
    assert several["waits_per_sample"] < one["waits_per_sample"] / 4
    assert several["cycles_per_sample"] <= one["cycles_per_sample"]
    assert bench_cores.blocks_table([one, several]).row_count == 2
