"""Draw the instructions a sample of network R against the millisecond there is for them.

    python tools/bench_plot.py --out docs/engine.png

after `make bench`, from the figures in `build/bench.json`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from myowave.report.figures import COLORS
from myowave.report.page import FAINT, INK

REPOSITORY = Path(__file__).resolve().parents[1]
BUDGET = 64_000
BUDGET_LABEL = "one millisecond at 64 MHz: 64 k cycles"
FOOTNOTE = "* quoted, measured separately on the same core and network"
OURS, OTHERS, LIMIT = COLORS[0], "#6b7280", "#b4540a"
PIXELS_PER_INCH = 200
Row = dict[str, Any]
Mark = tuple[str, float, str]  # label, instructions a sample, colour


def draw(measured: Sequence[Row], quoted: Sequence[Row], out: Path, network: str = "R") -> None:
    """Draw the picture and write it; the suffix of `out` is the format.

    Parameters
    ----------
    measured, quoted : sequence of dict
        Rows as `bench_cores.core_row` and `bench_cores.quoted_rows` give them.
    out : Path
    network : str
        The rows of this network are drawn.

    Raises
    ------
    ValueError
        If no measured row is of that network.
    """
    marks = marks_of(measured, quoted, network)
    with mpl.rc_context({"font.size": 9.0, "text.color": INK, "svg.hashsalt": "myowave"}):
        figure = _figure(marks, f"Reference network {network}: instructions a sample")
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=PIXELS_PER_INCH)


def marks_of(measured: Sequence[Row], quoted: Sequence[Row], network: str) -> list[Mark]:
    """Return what is drawn of a network, the most instructions first; raises as `draw` does."""
    ours = [
        (f"MyoWave engine, {_core_name(row['core'])}", row["instructions_per_sample"], OURS)
        for row in measured
        if row["network"] == network
    ]
    if not ours:
        raise ValueError(f"no figures of network {network} to draw")
    others = [
        (_quoted_label(row), row["instructions_per_sample"], OTHERS)
        for row in quoted
        if row["network"] == network
    ]
    return sorted(others + ours, key=lambda mark: -mark[1])


def _figure(marks: Sequence[Mark], title: str) -> Figure:
    figure = Figure(figsize=(8.5, 1.2 + 0.36 * len(marks)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_xlim(1e3, 7e8)
    axes.set_ylim(len(marks) - 0.4, -1.1)
    axes.axvspan(1, BUDGET, color=OURS, alpha=0.08, linewidth=0)
    axes.axvline(BUDGET, color=LIMIT, linewidth=1.3, linestyle="--")
    axes.text(BUDGET * 1.12, -0.75, BUDGET_LABEL, color=LIMIT, va="center")
    for y, (_, value, color) in enumerate(marks):
        axes.plot(value, y, "o", color=color, markersize=7)
        # Away from the line of the budget.
        left = value < BUDGET
        axes.annotate(
            _short(value),
            (value, y),
            xytext=(-8 if left else 8, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center_baseline",
            color=color,
            fontweight="bold",
        )
    axes.set_yticks(range(len(marks)), [label for label, _, _ in marks])
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(title, loc="left", fontsize=10.0, fontweight="bold")
    axes.set_xlabel(FOOTNOTE, loc="right", color=OTHERS, fontsize=8.0)
    return figure


def _quoted_label(row: Row) -> str:
    runtime, *how = row["what"].split(", ")
    return f"{runtime}, {_core_name(row['core'])} *\n{', '.join(how)}"


def _core_name(core: str) -> str:
    """Return `Cortex-M0+` for `cortex-m0plus`."""
    return core.replace("cortex-m", "Cortex-M").replace("plus", "+")


def _short(value: float) -> str:
    """Return a count in thousands or millions: `23.8 k`, `340 k`."""
    unit, factor = ("M", 1e6) if value >= 1e6 else ("k", 1e3)
    return f"{round(value / factor, 1):g} {unit}"


def main() -> None:
    """Draw from the figures of the last `make bench`."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--json", type=Path, default=REPOSITORY / "build" / "bench.json")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        cores = json.loads(arguments.json.read_text(encoding="utf-8"))["cores"]
        draw(cores["measured"], cores["quoted"], arguments.out)
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{arguments.json}: no figures of cores in it ({error}): run 'make bench'")
    print(f"written: {arguments.out}")


if __name__ == "__main__":
    main()
