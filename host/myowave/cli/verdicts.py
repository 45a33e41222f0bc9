"""The table of verdicts, as `fit` and `train` print it."""

from typing import TYPE_CHECKING

from rich.table import Table

from myowave.cli.output import console, print_table

if TYPE_CHECKING:
    from myowave.cycles import Range
    from myowave.fit import Fit, Verdict

_CORES = {"cortex-m0plus": "M0+", "xtensa-lx7": "LX7"}


def print_verdicts(fit: "Fit") -> None:
    """Print one line a board, then why a model does not fit; made for 80 columns."""
    table = Table(box=None, pad_edge=False)
    table.add_column("board", no_wrap=True)
    table.add_column("core", no_wrap=True)
    for title in ("flash KB", "RAM KB", "instr.", "est. us", "left"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("fits", no_wrap=True)
    for verdict in fit.verdicts:
        table.add_row(*_row(verdict))
    print_table(table)
    if any(verdict.fits and verdict.tables == "ram" for verdict in fit.verdicts):
        console.print(
            "* if the port puts weights and tables in RAM: read from flash they may take too long"
        )
    for verdict in fit.verdicts:
        if verdict.reasons:
            console.print(f"{verdict.board.name}: {'; '.join(verdict.reasons)}")


def _row(verdict: "Verdict") -> tuple[str, ...]:
    board = verdict.board
    core = _CORES.get(board.core, board.core.removeprefix("cortex-").upper())
    fits = {True: "yes", False: "no", None: "?"}[verdict.fits]
    if verdict.fits and verdict.tables == "ram":
        fits = "yes*"
    if not verdict.is_measured:
        return (board.name, core, *(("-",) * 5), fits)
    timed = verdict.time_us.high > 0
    time = _span(verdict.time_us, "-") if timed else "-"
    left = f"{max(verdict.margin, 0.0):.0%}" if timed else "-"
    return (
        *(board.name, core),
        f"{verdict.flash_bytes / 1024:.0f}/{board.flash_bytes / 1024:.0f}",
        f"{verdict.ram_bytes / 1024:.0f}/{board.ram_bytes / 1024:.0f}",
        *(f"{verdict.instructions:.0f}", time, left, fits),
    )


def _span(of: "Range", to: str = " to ") -> str:
    low, high = f"{of.low:.0f}", f"{of.high:.0f}"
    return low if low == high else f"{low}{to}{high}"


def print_method(fit: "Fit") -> None:
    """Print what the figures are and what they stand on."""
    from myowave.cycles import timing_of

    console.print(
        "\nflash, RAM: needed of usable: the firmware built for the core, its whole stack and an "
        "allowance for Arduino's framework included, the emulated IMU left out\n"
        "instr.: a sample, engine and application, counted by QEMU\n"
        "est. us: estimated time a sample, best to worst, compared with no silicon: the cycles of "
        "the executed instructions, at worst with every wait for flash, and what the board's port "
        "is assumed to take\n"
        "left: of the millisecond, at worst; the verdict stands on it"
    )
    for core in fit.cores:
        timing = timing_of(core)
        console.print(f"{core}: {timing.method}; {timing.error}")


def print_details(fit: "Fit") -> None:
    """Print what makes up the figures of each board."""
    for verdict in fit.verdicts:
        board = verdict.board
        figures = fit.cores.get(board.core)
        if figures is None:
            continue
        parts = figures.footprint
        console.print(f"\n{board.title}")
        console.print(
            f"  flash: model {parts.model_bytes}, engine {parts.engine_bytes}, application "
            f"{parts.app_bytes}, port and driver {parts.port_bytes} (the emulated board's stand "
            f"in), libraries and padding {parts.library_bytes}, framework "
            f"{board.framework_flash_bytes} bytes"
        )
        console.print(
            f"  RAM: state and buffers {parts.ram_bytes - parts.stack_bytes}, stack "
            f"{parts.stack_bytes}, framework {board.framework_ram_bytes} bytes"
        )
        engine, app = figures.engine.cycles(board.core), figures.app.cycles(board.core)
        console.print(
            f"  instructions a sample: engine {figures.instructions_per_sample:.0f}, application "
            f"{figures.app.instructions:.0f}"
        )
        console.print(
            f"  cycles without waits, estimated: engine {_span(engine)}, application {_span(app)}"
        )
        if board.flash is not None:
            waits = [work.waits(board) for work in (figures.engine, figures.app)]
            console.print(
                f"  waits for flash at worst: instructions {sum(w.code for w in waits):.0f}, "
                f"constants {sum(w.constants for w in waits):.0f} cycles"
            )
        if not board.is_emulated:
            console.print(f"  port: {board.port_us:.0f} us of each millisecond, assumed")
        for source in board.sources:
            console.print(f"  source: {source}")
