"""Flash, RAM and a bound on the stack of every board's image, in one table.

    python tools/sizes.py [--model DIR | --reference R] [--json FILE] [BOARD...]

The stack's bound is of the deepest calls that are possible: the compiler says what each function
takes and calls (-fcallgraph-info=su), a call through a pointer counts as one of whatever nobody
calls by name, and on top of the main program comes one interrupt of every priority. Recursion has
no bound and is an error.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.table import Table

from myowave.compiler.reference import REFERENCES
from myowave.errors import MyowaveError
from myowave.firmware import board_by_name, boards, default_model, model_tables, run_platformio
from myowave.paths import build_dir
from myowave.reference_model import write_model

FLASH = (".vectors", ".text", ".rodata", ".ARM.exidx", ".data")
RAM = (".data", ".bss", ".noinit")
# Handlers that can interrupt those of the next line, by port.
PRIORITIES: Mapping[str, Sequence[Sequence[str]]] = {
    "nrf52840": (
        ("mw_timer_interrupt", "mw_data_ready_interrupt"),
        ("mw_i2c_interrupt", "mw_serial_interrupt"),
    ),
    "qemu_mps2": (
        (
            "mw_serial_interrupt",
            "mw_imu_interrupt",
            "mw_sample_clock_interrupt",
            "mw_time_interrupt",
        ),
    ),
}
# What the core pushes, floating point registers and alignment included (DDI 0403E, B1.5.6).
EXCEPTION_BYTES = 108
# Of a function without a report: those of newlib nano and libgcc push at most six registers. The
# engine's assembly pushes 48 bytes, which the compiler does not see.
LIBRARY_BYTES = 24
ASSEMBLY_BYTES = 48
_INDIRECT = "__indirect_call"


@dataclass(frozen=True)
class Sizes:
    """What one board's image takes, in bytes.

    Attributes
    ----------
    board : str
    flash, ram : int
        `ram` with the reserved stack.
    stack : int
        Reserved.
    stack_bound : int
        The most that can be used.
    deepest : tuple of str
        The calls that do, the main program's.
    """

    board: str
    flash: int
    ram: int
    stack: int
    stack_bound: int
    deepest: tuple[str, ...]


class CallGraph:
    """Functions of an image, their stack frames and calls.

    Parameters
    ----------
    reports : sequence of str
        Contents of the compiler's `.ci` files.
    linked : set of str
        Names of the functions in the image; others are left out.
    """

    def __init__(self, reports: Sequence[str], linked: set[str]) -> None:
        self.frames: dict[str, int] = {}
        self.calls: dict[str, set[str]] = {}
        edges: list[tuple[str, str]] = []
        for report in reports:
            for title, size in re.findall(
                r'^node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \(\w[^)]*\)"', report, re.M
            ):
                if title.rpartition(":")[2] in linked:
                    self.frames[title] = int(size)
                    self.calls[title] = set()
            edges += re.findall(
                r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', report, re.M
            )
        for source, target in edges:
            if source in self.calls:
                self.calls[source].add(target)
        called = {target for _, target in edges}
        entries = {name for group in PRIORITIES.values() for level in group for name in level}
        self.pointed_at = self.frames.keys() - called - entries - {"mw_reset", "main"}
        self._depth = cache(self._deepest)

    def deepest(self, function: str) -> tuple[int, tuple[str, ...]]:
        """Return the most stack a function takes, and the calls that take it.

        Raises
        ------
        RecursionError
            If it can come to itself again.
        """
        return self._depth(function, frozenset())

    def _deepest(self, function: str, above: frozenset[str]) -> tuple[int, tuple[str, ...]]:
        if function in above:
            raise RecursionError(f"{function} can call itself")
        if function == _INDIRECT:
            # Not those above: which of all a pointer holds is not known here.
            targets = self.pointed_at - above
            return max((self._depth(target, above) for target in targets), default=(0, ()))
        own = self.frames.get(function, LIBRARY_BYTES)
        deepest: tuple[int, tuple[str, ...]] = (0, ())
        for target in self.calls.get(function, ()):
            deepest = max(deepest, self._depth(target, above | {function}))
        return own + deepest[0], (function.rpartition(":")[2], *deepest[1])


def measure(board: str, tables: Mapping[str, str]) -> Sizes:
    """Build a board's image with a model's C tables and measure it.

    Raises
    ------
    ToolError
        If the build fails.
    RecursionError
        If a function can come to itself again.
    """
    work = build_dir("sizes") / "pio"
    run_platformio(board, tables, work)
    folder = work / board
    image = folder / "program.elf"
    listing = _output("arm-none-eabi-size", "-A", "-d", image)
    sections = {name: int(size) for name, size in re.findall(r"^(\.\S+)\s+(\d+)", listing, re.M)}
    symbols = _output("arm-none-eabi-nm", image)
    linked = set(re.findall(r"^\S+ [tTwW] (\S+)$", symbols, re.M))
    graph = CallGraph([path.read_text() for path in sorted(folder.rglob("*.ci"))], linked)
    bound, calls = graph.deepest("mw_reset")
    for level in PRIORITIES[board_by_name(board).port]:
        bound += EXCEPTION_BYTES + max(
            graph.deepest(handler)[0] for handler in level if handler in graph.frames
        )
    return Sizes(
        board=board,
        flash=sum(sections.get(name, 0) for name in FLASH),
        ram=sum(sections.get(name, 0) for name in (*RAM, ".stack")),
        stack=sections[".stack"],
        stack_bound=bound + ASSEMBLY_BYTES,
        deepest=calls,
    )


def _output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def table(rows: Sequence[Sizes]) -> Table:
    """Return the sizes as a table for people."""
    result = Table(box=None, pad_edge=False)
    result.add_column("board")
    for name in ("flash", "RAM", "of it stack", "stack used at most"):
        result.add_column(name, justify="right")
    for row in rows:
        result.add_row(
            row.board, *(f"{size:,}" for size in (row.flash, row.ram, row.stack, row.stack_bound))
        )
    return result


def main() -> int:
    """Measure the boards named, or all of this repository's own; print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("board", nargs="*", help="default: every board for a Cortex-M")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", type=Path, default=default_model(), help="model directory")
    what.add_argument(
        "--reference", choices=tuple(REFERENCES), help="a network with random weights"
    )
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    names = arguments.board or [
        name for name, board in boards().items() if board.port in PRIORITIES
    ]
    try:
        with tempfile.TemporaryDirectory() as folder:
            model = arguments.model
            if arguments.reference:
                model = write_model(Path(folder) / "model", arguments.reference)
            tables = model_tables(model)
        rows = []
        for name in names:
            rows.append(measure(board_by_name(name).name, tables))
            print(f"  {name}", file=sys.stderr)
    except MyowaveError as error:
        print(f"sizes: error: {error}", file=sys.stderr)
        return 2
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    Console().print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
