"""Does a model fit a board: flash, RAM and the millisecond, from the image built for its core.

Bytes are those of the real firmware, linked for the board's core on the emulated board that stands
in for it. Instructions are counted by QEMU. Time is an estimate (`myowave.cycles`): the verdict
stands on its pessimistic end, with what the board's flash and port take added.
"""

import re
import select
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.boards import BoardSpec, board_specs
from myowave.compiler import load_plan
from myowave.cortex import CORES, count_instructions, counting_runner
from myowave.cycles import (
    FlashWaits,
    Range,
    Trace,
    TraceParser,
    core_cycles,
    disassemble,
    flash_waits,
    timing_of,
    trace_qemu,
    trace_runner,
)
from myowave.errors import ModelError, ToolError
from myowave.firmware import Board, board_by_name, build_firmware
from myowave.imu import imu_by_name
from myowave.model_card import ModelCard, load_model_dir
from myowave.tools import require_tool
from myowave.wire import DEFINITION, Decoder, Encoder

RATE_HZ = 1000
PERIOD_US = 1e6 / RATE_HZ
NO_TIME = Range(0.0, 0.0)
COUNTED_SAMPLES = 256
TRACED_SAMPLES = 4
# Above this many multiply-accumulates one traced sample is enough, and takes seconds.
TRACED_MACS = 200_000
_FLASH_SECTIONS = (".vectors", ".text", ".rodata", ".ARM.exidx", ".data")
_RAM_SECTIONS = (".data", ".bss", ".stack")
# The application is traced over as many samples as a data frame holds, after a few to settle.
_TICKS = (5, 5 + DEFINITION.limits["batch_samples"])


@dataclass(frozen=True)
class Footprint:
    """Bytes of the firmware image of a core.

    Attributes
    ----------
    flash_bytes : int
        Everything stored in flash.
    model_bytes, engine_bytes, app_bytes, port_bytes, library_bytes : int
        Its parts: tables; the engine's code; the application's; that of the emulated board's port
        and IMU link, which stand in for a real port and driver; the compiler's and C library's, and
        what padding takes.
    ram_bytes : int
        State, buffers and the whole stack, without `fifo_bytes`.
    stack_bytes : int
        What the image sets aside for it.
    fifo_bytes : int
        The emulated IMU, which no real board has.
    """

    flash_bytes: int
    model_bytes: int
    engine_bytes: int
    app_bytes: int
    port_bytes: int
    library_bytes: int
    ram_bytes: int
    stack_bytes: int
    fifo_bytes: int


@dataclass(frozen=True)
class Work:
    """What a sample executes, and how it uses the flash.

    Attributes
    ----------
    trace : Trace
    samples : int
        How many the trace holds.
    flash : tuple of (int, int)
        First address of the flash and the one after its last.
    """

    trace: Trace
    samples: int
    flash: tuple[int, int]

    @property
    def instructions(self) -> float:
        """A sample, as traced."""
        return len(self.trace.steps) / self.samples

    def cycles(self, core: str) -> Range:
        """Return the cycles a sample, without waits."""
        return core_cycles(self.trace, core).scaled(1.0 / self.samples)

    def waits(self, board: BoardSpec) -> FlashWaits:
        """Return the cycles a sample waits for a board's flash, at worst."""
        if board.flash is None or board.runs_from_ram:
            return FlashWaits(0.0, 0.0)
        waits = flash_waits(self.trace, board.flash, *self.flash)
        return FlashWaits(waits.code / self.samples, waits.constants / self.samples)


@dataclass(frozen=True)
class CoreFigures:
    """What was measured for one core: counted, and traced for the estimate.

    Attributes
    ----------
    core : str
    footprint : Footprint
    instructions_per_sample : float
        Counted: input scaling and engine.
    engine, app : Work
    """

    core: str
    footprint: Footprint
    instructions_per_sample: float
    engine: Work
    app: Work


@dataclass(frozen=True)
class Verdict:
    """Whether a model fits a board.

    Attributes
    ----------
    board : BoardSpec
    fits : bool or None
        None when it was not measured.
    reasons : tuple of str
        Why it does not fit, or was not measured.
    tables : str
        Where weights and tables have to be for it, "flash" or "ram".
    flash_bytes, ram_bytes : int
        Needed, framework included.
    instructions : float
        A sample: engine counted, application traced.
    cycles : Range
        A sample, estimated: from without any wait for flash to with every wait.
    time_us : Range
        As `cycles`, and with the port's assumed time.
    margin : float
        Share of the millisecond left at the worst, for everything else.
    """

    board: BoardSpec
    fits: bool | None
    reasons: tuple[str, ...]
    tables: str = "flash"
    flash_bytes: int = 0
    ram_bytes: int = 0
    instructions: float = 0.0
    cycles: Range = NO_TIME
    time_us: Range = NO_TIME
    margin: float = 0.0

    @property
    def is_measured(self) -> bool:
        """Whether there are figures."""
        return self.flash_bytes > 0

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` holds of a board; null for what was not measured or judged."""
        measured, timed = self.is_measured, self.time_us.high > 0
        return {
            "fits": self.fits,
            "reasons": list(self.reasons),
            "core": self.board.core,
            "clock_hz": self.board.clock_hz or None,
            "environment": self.board.environment or None,
            "tables": self.tables if measured else None,
            "flash_bytes": self.flash_bytes if measured else None,
            "flash_limit_bytes": self.board.flash_bytes,
            "ram_bytes": self.ram_bytes if measured else None,
            "ram_limit_bytes": self.board.ram_bytes,
            "instructions_per_sample": self.instructions if measured else None,
            "estimated": {
                "cycles_per_sample": asdict(self.cycles),
                "time_us": asdict(self.time_us),
                "port_us_assumed": self.board.port_us,
                "margin": self.margin,
            }
            if timed
            else None,
            "sources": list(self.board.sources),
        }


def judge(board: BoardSpec, figures: CoreFigures) -> Verdict:
    """Return the verdict for one board from what was measured for its core.

    Weights and tables are taken to be in flash; where that is too slow they are tried in RAM.
    """
    verdict = _judge(board, figures, "flash")
    if verdict.fits or board.flash is None or verdict.time_us.high <= PERIOD_US:
        return verdict
    in_ram = _judge(board, figures, "ram")
    if in_ram.fits:
        return in_ram
    also = f"{in_ram.time_us.high:.0f} us at worst with weights and tables in RAM"
    return replace(verdict, reasons=(*verdict.reasons, also))


def _judge(board: BoardSpec, figures: CoreFigures, tables: str) -> Verdict:
    footprint = figures.footprint
    flash = footprint.flash_bytes + board.framework_flash_bytes
    ram = footprint.ram_bytes + board.framework_ram_bytes
    if board.is_emulated:
        ram += footprint.fifo_bytes
    if board.runs_from_ram:
        ram += flash
    elif tables == "ram":
        ram += footprint.model_bytes
    instructions = figures.instructions_per_sample + figures.app.instructions
    cycles = time_us = NO_TIME
    margin = 0.0
    if not board.is_emulated:
        cycles = _cycles(board, figures, tables)
        scale = 1e6 / board.clock_hz
        time_us = Range(cycles.low * scale + board.port_us, cycles.high * scale + board.port_us)
        margin = 1.0 - time_us.high / PERIOD_US
    reasons = []
    for what, needed, there in (
        ("flash", flash, board.flash_bytes),
        ("RAM", ram, board.ram_bytes),
    ):
        if needed > there:
            reasons.append(f"{what}: {needed / 1024:.1f} KB needed, {there / 1024:.1f} KB there")
    if margin < 0:
        reasons.append(f"time: {time_us.high:.0f} us at worst, {PERIOD_US:.0f} us there")
    return Verdict(
        *(board, not reasons, tuple(reasons), tables, flash, ram),
        *(instructions, cycles, time_us, margin),
    )


def _cycles(board: BoardSpec, figures: CoreFigures, tables: str) -> Range:
    """Return the cycles a sample on a board: the traced parts scaled to the exact count."""
    low = high = 0.0
    for work, exact in (
        (figures.engine, figures.instructions_per_sample / figures.engine.instructions),
        (figures.app, 1.0),
    ):
        cycles, waits = work.cycles(figures.core), work.waits(board)
        constants = waits.constants if tables == "flash" else 0.0
        low += exact * cycles.low
        high += exact * (cycles.high + waits.code + constants)
    return Range(low, high)


@dataclass(frozen=True)
class Fit:
    """The verdicts for a model, and what they stand on.

    Attributes
    ----------
    model : Path
    cores : dict of str to CoreFigures
    verdicts : tuple of Verdict
    """

    model: Path
    cores: Mapping[str, CoreFigures]
    verdicts: tuple[Verdict, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` holds."""
        return {
            "model": str(self.model),
            "rate_hz": RATE_HZ,
            "cores": {
                core: {
                    "stand_in": figures.core.replace("-", "_"),
                    "engine_instructions_per_sample": figures.instructions_per_sample,
                    "app_instructions_per_sample": figures.app.instructions,
                    "estimated_engine_cycles": asdict(figures.engine.cycles(core)),
                    "estimated_app_cycles": asdict(figures.app.cycles(core)),
                    "method": timing_of(core).method,
                    "error": timing_of(core).error,
                    **asdict(figures.footprint),
                }
                for core, figures in self.cores.items()
            },
            "boards": {verdict.board.name: verdict.to_json() for verdict in self.verdicts},
        }


def fit_model(
    model: Path,
    boards: Iterable[BoardSpec] | None = None,
    *,
    progress: Callable[[str], None] = lambda line: None,
) -> Fit:
    """Judge a model for boards; each core is built and measured once.

    Parameters
    ----------
    model : Path
        Model directory.
    boards : iterable of BoardSpec, optional
        All of the table by default.
    progress : callable
        Told what is being done.

    Raises
    ------
    ModelError, UnsupportedModelError
        If the model directory is not usable, or the engine cannot stream the network.
    ToolError
        If the cross compiler, PlatformIO or the emulator is missing, or fails other than by an
        image that is too large for the emulated board.
    """
    card, tflite = load_model_dir(model)
    chosen = tuple(board_specs().values() if boards is None else boards)
    try:
        load_plan(tflite)
    except ModelError as error:
        raise type(error)(f"{model}: {error}") from error
    cores: dict[str, CoreFigures] = {}
    unmeasured: dict[str, str] = {}
    too_large: set[str] = set()
    for core in dict.fromkeys(board.core for board in chosen):
        if core not in CORES:
            unmeasured[core] = f"not measured: there is no compiler and emulator for {core} here"
            continue
        progress(f"measuring on {core}")
        try:
            cores[core] = measure_core(model, card, tflite, core)
        except _TooLargeError as error:
            unmeasured[core] = str(error)
            too_large.add(core)
    verdicts = tuple(
        judge(board, cores[board.core])
        if board.core in cores
        # An emulated board is its own stand-in; another one may have more.
        else Verdict(
            board,
            False if board.is_emulated and board.core in too_large else None,
            (unmeasured[board.core],),
        )
        for board in chosen
    )
    return Fit(model, cores, verdicts)


class _TooLargeError(ToolError):
    """The image exceeds the memory of the emulated board."""


def measure_core(model: Path, card: ModelCard, tflite: bytes, core: str) -> CoreFigures:
    """Build a model's firmware for a core, count and trace it. Raises as `fit_model` does."""
    plan = load_plan(tflite)
    board = board_by_name(core)
    try:
        image = build_firmware(board, model)
    except ToolError as error:
        if "overflowed" in str(error) or "will not fit" in str(error):
            raise _TooLargeError(
                f"not measured: the image exceeds the memory of the emulated {board.name}"
            ) from error
        raise
    rng = np.random.default_rng(1)
    counts = rng.integers(-(2**15), 2**15, (COUNTED_SAMPLES, plan.n_inputs)).astype(np.int16)
    counted = min(COUNTED_SAMPLES, max(8, 20_000_000 // max(plan.macs, 1)))
    runner = counting_runner(plan, core, card.to_json())
    samples = TRACED_SAMPLES if plan.macs < TRACED_MACS else 1
    traced = trace_runner(
        runner.elf, core, runner.machine, counts[:samples].astype("<i2").tobytes()
    )
    app = _trace_app(board, image, core, card, counts)
    return CoreFigures(
        core,
        _footprint(image),
        count_instructions(tflite, core, counts[:counted], card=card.to_json()),
        Work(traced, samples, runner.flash),
        Work(app, _TICKS[1] - _TICKS[0], runner.flash),
    )


# ---- the image -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Symbol:
    name: str
    address: int
    size: int
    code: bool
    part: str


def _symbols(image: Path) -> list[_Symbol]:
    """Return the symbols of an image with the part of the firmware each is of."""
    output = _run("arm-none-eabi-nm", "-S", "-l", str(image))
    found = []
    for line in output.splitlines():
        match = re.match(r"([0-9a-f]+) ([0-9a-f]+) (\w) (\S+)(?:\t(.*):\d+)?$", line)
        if match is None:
            continue
        address, size, letter, name, source = match.groups()
        part = next(
            (
                part
                for folder, part in (
                    ("/firmware/engine/", "engine"),
                    ("/firmware/app/", "app"),
                    ("/firmware/ports/", "port"),
                    ("/firmware/drivers/", "port"),
                    ("/model_data.", "model"),
                )
                if folder in (source or "")
            ),
            "library",
        )
        code = letter in "tTwW"
        found.append(_Symbol(name, int(address, 16) & ~1, int(size, 16), code, part))
    return found


def _footprint(image: Path) -> Footprint:
    rows = re.findall(r"^(\.\S+)\s+(\d+)", _run("arm-none-eabi-size", "-A", "-d", str(image)), re.M)
    sections = {name: int(size) for name, size in rows}
    flash = sum(sections.get(name, 0) for name in _FLASH_SECTIONS)
    ram = sum(sections.get(name, 0) for name in _RAM_SECTIONS)
    parts = dict.fromkeys(("model", "engine", "app", "port"), 0)
    fifo = 0
    seen = set()
    for symbol in _symbols(image):
        if symbol.name == "imu" and symbol.part == "port":
            fifo = symbol.size
        in_flash = symbol.address < 0x20000000 or symbol.code
        if in_flash and symbol.part in parts and symbol.address not in seen:
            seen.add(symbol.address)
            parts[symbol.part] += symbol.size
    return Footprint(
        flash_bytes=flash,
        model_bytes=parts["model"],
        engine_bytes=parts["engine"],
        app_bytes=parts["app"],
        port_bytes=parts["port"],
        library_bytes=flash - sum(parts.values()),
        ram_bytes=ram - fifo,
        stack_bytes=sections[".stack"],
        fifo_bytes=fifo,
    )


def _run(*command: str) -> str:
    tool = require_tool(command[0], "binutils-arm-none-eabi")
    done = subprocess.run([tool, *command[1:]], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolError(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


# ---- the application -----------------------------------------------------------------------------


def _trace_app(
    board: Board, image: Path, core: str, card: ModelCard, counts: NDArray[np.int16]
) -> Trace:
    """Return what the application executes over a few data frames of live sampling.

    Queue, pipeline, batches, wire format and transmitter, from the interrupt that hands over a
    sample on; without the engine, and without the port and IMU link, which a real board has others
    of. It differs by a few per mille between runs, with when the emulator hands over bytes. Raw
    counts are on, which makes the larger frames. Virtual time counts instructions, so the
    slowness of logging makes nothing late.
    """
    symbols = [item for item in _symbols(image) if item.code and item.size > 0]
    tick = next(item.address for item in symbols if item.name == "mw_app_on_tick")
    ranges = {
        f"{item.address:#x}+{item.size:#x}" for item in symbols if item.part in ("app", "library")
    }
    qemu = require_tool("qemu-system-arm", "qemu-system-arm")
    serial, serial_far = socket.socketpair()
    line, line_far = socket.socketpair()
    with serial, serial_far, line, line_far, tempfile.TemporaryDirectory() as name:
        session = _Session(serial, line, card, counts)
        trace = trace_qemu(
            [
                *(qemu, *board.qemu, "-kernel", str(image), "-icount", "shift=0"),
                *("-chardev", f"socket,id=line,fd={serial_far.fileno()}", "-serial"),
                *("chardev:line", "-chardev", f"socket,id=imu,fd={line_far.fileno()}"),
                *("-serial", "chardev:imu", "-dfilter", ",".join(sorted(ranges))),
            ],
            Path(name),
            TraceParser(disassemble(image, core), [tick]),
            keep=(serial_far.fileno(), line_far.fileno()),
            finished=session.idle,
        )
    address = trace.column(lambda item: item.address)
    ticks = np.flatnonzero(address == tick)
    if len(ticks) <= _TICKS[1]:
        raise ToolError(
            f"{board.name}: the emulated board took {len(ticks)} samples, {_TICKS[1] + 1} expected"
        )
    part = slice(int(ticks[_TICKS[0]]), int(ticks[_TICKS[1]]))
    return Trace(trace.instructions, trace.steps[part], trace.reads[part], tick)


class _Session:
    """The host and the IMU of the traced board: all samples there are, a start, the end."""

    def __init__(
        self,
        serial: socket.socket,
        line: socket.socket,
        card: ModelCard,
        counts: NDArray[np.int16],
    ) -> None:
        self._serial, self._line = serial, line
        self._credits = 0
        self._started = False
        self._decoder, self._answers = Decoder(), Decoder()
        imu = imu_by_name(card.imu)
        encoder = Encoder()
        send = [
            encoder.encode(
                "imu_describe",
                acc_lsb_m_s2=imu.acc_lsb_m_s2,
                gyro_lsb_rad_s=imu.gyro_lsb_rad_s,
                imu=imu.name,
            )
        ]
        total = _TICKS[1] + 1
        size = DEFINITION.limits["imu_batch"]
        for first in range(0, total, size):
            rows = counts[first : min(first + size, total)]
            send.append(
                encoder.encode("imu_samples", play=0, first=first, count=len(rows), counts=rows)
            )
        send.append(encoder.encode("imu_end", play=0, total=total))
        line.sendall(b"".join(send))

    def idle(self) -> bool:
        """Go on while nothing is traced; return whether the board has stopped."""
        for frame in self._decoder.feed(_drain(self._line)):
            self._credits += frame.name == "imu_credit"
        answers = self._answers.feed(_drain(self._serial))
        if not self._started and self._credits >= 2:  # at boot, and to the description
            encoder = Encoder()
            self._serial.sendall(encoder.encode("set_raw", on=1) + encoder.encode("start"))
            self._started = True
            return False
        # It says that the samples are at an end, or that it does not start.
        return self._started and any(
            frame.name == "text" or (frame.name == "acknowledge" and frame["status"] != 0)
            for frame in answers
        )


def _drain(line: socket.socket) -> bytes:
    data = b""
    while select.select([line], [], [], 0)[0]:
        piece = line.recv(65536)
        if not piece:
            break
        data += piece
    return data
