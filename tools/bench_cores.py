"""What the engine costs every emulated core, and what others were found to cost there."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from myowave.boards import board_spec
from myowave.compiler import load_plan
from myowave.compiler.optimize import REWRITINGS
from myowave.compiler.reference import REFERENCES, reference_network
from myowave.cortex import CORES, Measurement, block_runner, count_instructions, measure
from myowave.cycles import core_cycles, flash_waits, trace_runner

Row = dict[str, Any]


@dataclass(frozen=True)
class Quoted:
    """A figure this benchmark does not measure.

    Attributes
    ----------
    what : str
        What ran, and how.
    instructions_per_sample : float
    arena_kb : float
        RAM of the runtime's arena, as it was quoted.
    network, core : str
        The same as those of the rows it stands beside.
    source : str
    """

    what: str
    instructions_per_sample: float
    arena_kb: float
    network: str = "R"
    core: str = "cortex-m4"
    source: str = "quoted, measured separately, same core and network"


# tflite-micro on an emulated Cortex-M4F under QEMU `-icount shift=0`, as the engine is counted.
QUOTED = (
    Quoted("tflite-micro, whole window, reference kernels", 131.4e6, 50.5),
    Quoted("tflite-micro, whole window, CMSIS-NN", 74.9e6, 50.6),
    Quoted("tflite-micro, streaming through resource variables, CMSIS-NN", 340e3, 36.1),
)


def measure_cores(
    names: Sequence[str] = tuple(REFERENCES),
    cores: Sequence[str] = CORES,
    progress: Callable[[str], None] = print,
) -> list[Row]:
    """Measure reference networks on cores; return a row each, as `core_row` makes it."""
    rows = []
    for name in names:
        tflite = reference_network(name)
        for core in cores:
            progress(f"  {name} on {core}")
            rows.append(core_row(name, measure(tflite, core)))
    return rows


def core_row(network: str, figures: Measurement) -> Row:
    """Return the figures of one network on one core as plain values."""
    per_mac = figures.instructions_per_sample / max(figures.macs_per_sample, 1)
    return {"network": network, **asdict(figures), "instructions_per_mac": per_mac}


def measure_rewritings(cores: Sequence[str] = CORES, *, samples: int = 512) -> list[Row]:
    """Measure R with no rewriting of the plan, then with one more in each row."""
    tflite = reference_network("R")
    rng = np.random.default_rng(1)
    counts = rng.integers(-(2**15), 2**15, (samples, 6)).astype(np.int16)
    rows = []
    for number in range(len(REWRITINGS) + 1):
        names = list(REWRITINGS)[:number]
        rows.append(
            {
                "rewritings": names,
                "state_bytes": load_plan(tflite, optimize=names).state_bytes,
                "instructions_per_sample": {
                    core: count_instructions(tflite, core, counts, optimize=names) for core in cores
                },
            }
        )
    return rows


def rewritings_table(rows: Sequence[Row]) -> Table:
    """Return a line for each rewriting, on top of those before it."""
    table = Table(box=None, pad_edge=False, title="R, rewriting by rewriting", title_justify="left")
    table.add_column("with")
    for core in rows[0]["instructions_per_sample"]:
        table.add_column(core, justify="right")
    table.add_column("state", justify="right")
    for row in rows:
        table.add_row(
            f"+ {row['rewritings'][-1]}" if row["rewritings"] else "none",
            *(f"{count:,.0f}" for count in row["instructions_per_sample"].values()),
            f"{row['state_bytes']:,}",
        )
    return table


def measure_blocks(
    boards: Sequence[str] = ("rp2040", "nrf52840_dk"), blocks: Sequence[int] = (1, 8)
) -> list[Row]:
    """Estimate what R waits for weights in flash, one sample a call and several, a row each."""
    plan = load_plan(reference_network("R"))
    samples = max(blocks)
    rng = np.random.default_rng(1)
    inputs = rng.integers(-128, 128, (samples, plan.n_inputs)).astype(np.int8).tobytes()
    rows = []
    for name in boards:
        board = board_spec(name)
        assert board.flash is not None
        for block in blocks:
            runner = block_runner(plan, board.core, block)
            begin = "mw_engine_step" if block == 1 else "mw_engine_step_block"
            trace = trace_runner(runner.elf, board.core, runner.machine, inputs, begin=begin)
            waits = flash_waits(trace, board.flash, *runner.flash)
            rows.append(
                {
                    "board": name,
                    "block": block,
                    "cycles_per_sample": core_cycles(trace, board.core).high / samples,
                    "waits_per_sample": (waits.code + waits.constants) / samples,
                }
            )
    return rows


def blocks_table(rows: Sequence[Row]) -> Table:
    """Return a line for each board and block."""
    table = Table(box=None, pad_edge=False, title="R from flash, estimated", title_justify="left")
    table.add_column("board")
    for title in ("samples a call", "cycles a sample", "waits for flash at worst"):
        table.add_column(title, justify="right")
    for row in rows:
        figures = (f"{row[key]:,.0f}" for key in ("cycles_per_sample", "waits_per_sample"))
        table.add_row(row["board"], str(row["block"]), *figures)
    return table


def quoted_rows() -> list[Row]:
    """Return the fixed reference as plain values."""
    return [asdict(quoted) for quoted in QUOTED]


def cores_table(rows: Sequence[Row], quoted: Sequence[Row] = ()) -> Table:
    """Return one table of measured rows and, below them, quoted ones."""
    table = Table(box=None, pad_edge=False)
    for name in ("runtime", "network", "core"):
        table.add_column(name)
    for name in ("instructions", "a MAC", "state", "code", "weights and tables"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            "MyoWave engine",
            row["network"],
            row["core"],
            f"{row['instructions_per_sample']:,.0f}",
            f"{row['instructions_per_mac']:.2f}",
            *(f"{row[key]:,}" for key in ("state_bytes", "code_bytes", "model_bytes")),
        )
    for row in quoted:
        table.add_row(
            f"{row['what']} *",
            row["network"],
            row["core"],
            f"{row['instructions_per_sample']:,.0f}",
            "",
            f"{row['arena_kb']:.1f} KB",
        )
    if quoted:
        table.caption = f"* {quoted[0]['source']}; the state is the runtime's arena"
        table.caption_justify = "left"
    return table
