"""The streaming engine on an emulated Cortex-M: same sources, same integers, counted instructions.

A bare-metal image runs under QEMU; samples and predictions travel through semihosting files. With
`-icount shift=0` QEMU lets one nanosecond pass an instruction, so the board's timer counts them.
Instructions are not cycles: a real core takes more than one for some.
"""

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.compiler.derive import load_plan
from myowave.compiler.emit import content_hash, emit
from myowave.compiler.optimize import Optimize
from myowave.compiler.plan import Plan
from myowave.errors import ConfigError, ModelError, ToolError
from myowave.paths import build_dir, firmware_dir
from myowave.tflm import check_input
from myowave.tools import require_tool

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m55")
# As in firmware/platform/builder/main.py, so that what is measured is what is flashed.
CFLAGS = (
    *("-std=c11", "-O2", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-fno-common"),
    *("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-fstack-usage"),
)
LDFLAGS = ("-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections", "-Wl,--fatal-warnings")
BENCH_SAMPLES = 2048
# Slower than any emulation seen by far; ends a run that hangs.
SECONDS_MAX_BASE = 60.0
SECONDS_MAX_PER_MAC = 2e-7
PROGRESS_SECONDS = 0.2


@dataclass(frozen=True)
class Measurement:
    """What the engine costs on one core for one network.

    Attributes
    ----------
    core : str
    instructions_per_sample : float
        Mean over the measured samples: input scaling, engine, the loop around them.
    macs_per_sample : int
        Multiply-accumulates of the network's convolutions.
    ram_bytes : int
        `state_bytes` and the engine object.
    state_bytes : int
        Delay lines, scratch vectors and positions.
    stack_bytes : int
        Bound on the engine's own stack: the frames of all its functions added up.
    flash_bytes : int
        `code_bytes` and `model_bytes`.
    code_bytes, model_bytes : int
        The engine's code; weights, multipliers and tables.
    """

    core: str
    instructions_per_sample: float
    macs_per_sample: int
    ram_bytes: int
    state_bytes: int
    stack_bytes: int
    flash_bytes: int
    code_bytes: int
    model_bytes: int


def run_cortex(
    tflite: bytes,
    x: NDArray[np.int8],
    core: str = "cortex-m4",
    *,
    optimize: Optimize = True,
    block: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.int8]:
    """Stream int8 samples through the engine on an emulated core.

    Parameters
    ----------
    tflite : bytes
        The int8 window model.
    x : (n, channels) int8 array
    core : str
        One of `CORES`.
    optimize : bool or collection of str
        As for `compiler.load_plan`.
    block : int
        Samples the engine takes a pass: one by one, or as `mw_engine_step_block` does.
    progress : callable, optional
        Called with (samples done, n).

    Returns
    -------
    (n, outputs) int8 array

    Raises
    ------
    ModelError, UnsupportedModelError
        If the model cannot be read or streamed, or `x` does not fit it.
    ConfigError
        If the core is unknown.
    ToolError
        If the cross compiler or the emulator is missing or fails.
    """
    plan = load_plan(tflite, optimize=optimize)
    x = check_input(x, plan.n_inputs)
    image = _build(plan, core, None, counts=False, block=block)
    output, _ = _emulate(image, x.tobytes(), len(x), plan, progress)
    if progress is not None:
        progress(len(x), len(x))
    return output


def count_instructions(
    tflite: bytes,
    core: str,
    counts: NDArray[np.int16],
    *,
    card: Mapping[str, Any] | None = None,
    optimize: Optimize = True,
) -> float:
    """Return the instructions a sample: input scaling, engine, the loop around them.

    Parameters
    ----------
    tflite : bytes
        The int8 window model.
    core : str
        One of `CORES`.
    counts : (n, channels) int16 array
        Raw counts, scaled as the model card says, or without one by their upper bytes.
    card : mapping, optional
        The model card.
    optimize : bool or collection of str
        As for `compiler.load_plan`.

    Raises
    ------
    ModelError, UnsupportedModelError, ConfigError, ToolError
        As `run_cortex`.
    """
    plan = load_plan(tflite, optimize=optimize)
    if counts.dtype != np.int16 or counts.ndim != 2 or counts.shape[1] != plan.n_inputs:
        raise ModelError(
            f"counts are {counts.dtype} of shape {counts.shape}, expected int16 of shape "
            f"(n, {plan.n_inputs})"
        )
    image = _build(plan, core, card, counts=True)
    _, nanoseconds = _emulate(image, counts.astype("<i2").tobytes(), len(counts), plan)
    return nanoseconds / len(counts)


def measure(
    tflite: bytes,
    core: str,
    *,
    card: Mapping[str, Any] | None = None,
    samples: int = BENCH_SAMPLES,
    seed: int = 1,
) -> Measurement:
    """Count instructions, RAM and flash of the engine for a network on an emulated core.

    The samples are random int16 counts over the whole range; the instructions hardly depend on
    them. Raises as `run_cortex` does.
    """
    plan = load_plan(tflite)
    rng = np.random.default_rng(seed)
    counts = rng.integers(-(2**15), 2**15, (samples, plan.n_inputs)).astype(np.int16)
    instructions = count_instructions(tflite, core, counts, card=card)
    image = _build(plan, core, card, counts=True)
    folder = image.parent
    code = _section_bytes(folder / "mw_engine.o")
    model = _section_bytes(folder / "model_data.o")
    # Not the plan's: with Helium the scratch vectors take half.
    state = _symbol_bytes(image.elf, "state")
    engine_bytes = 5 * 4  # four pointers and a count, of 32 bits
    return Measurement(
        core=core,
        instructions_per_sample=instructions,
        macs_per_sample=plan.macs,
        ram_bytes=state + engine_bytes,
        state_bytes=state,
        stack_bytes=_stack_bytes(folder / "mw_engine.su"),
        flash_bytes=code + model,
        code_bytes=code,
        model_bytes=model,
    )


@dataclass(frozen=True)
class Runner:
    """The measuring runner of a network, for those who trace it.

    Attributes
    ----------
    elf : Path
        Takes a file of samples, up to 512 at once.
    machine : tuple of str
        QEMU's arguments for its board.
    flash : tuple of (int, int)
        First address of the flash and the one after its last.
    """

    elf: Path
    machine: tuple[str, ...]
    flash: tuple[int, int]


def counting_runner(plan: Plan, core: str, card: Mapping[str, Any] | None) -> Runner:
    """Return the runner `count_instructions` counts with; it takes raw counts. Raises as that."""
    return _runner(_build(plan, core, card, counts=True))


def block_runner(plan: Plan, core: str, block: int) -> Runner:
    """Return the runner of `run_cortex`, which takes int8 inputs. Raises as that does."""
    return _runner(_build(plan, core, None, counts=False, block=block))


def _runner(image: "_Image") -> Runner:
    qemu, memory = image.board["qemu"], image.board["memory"]
    origin = int(memory["flash_origin"], 0)
    return Runner(
        image.elf, ("-M", qemu["machine"], *qemu["args"]), (origin, origin + memory["flash_bytes"])
    )


@dataclass(frozen=True)
class _Image:
    """A linked runner and the board it is for."""

    elf: Path
    board: dict[str, Any]

    @property
    def parent(self) -> Path:
        return self.elf.parent


def _board(core: str) -> dict[str, Any]:
    """Return the emulated board of a core from the firmware's board table."""
    if core not in CORES:
        raise ConfigError(f"unknown core '{core}', expected one of {', '.join(CORES)}")
    path = firmware_dir() / "platform" / "boards" / f"{core.replace('-', '_')}.json"
    try:
        build = json.loads(path.read_text())["build"]
    except (OSError, ValueError, KeyError) as error:
        raise ToolError(f"{path}: not a board description ({error})") from error
    assert isinstance(build, dict)
    return build


def _build(
    plan: Plan, core: str, card: Mapping[str, Any] | None, *, counts: bool, block: int = 1
) -> _Image:
    """Return the runner for a plan, compiling it unless it is there."""
    board = _board(core)
    compiler = require_tool("arm-none-eabi-gcc", "gcc-arm-none-eabi")
    firmware = firmware_dir()
    port, runner = firmware / "ports" / "qemu_mps2", firmware / "ports" / "qemu_mps2_runner"
    shared = [firmware / "engine" / "mw_engine.c", port / "startup.c", runner / "semihost.c"]
    headers = sorted([*(firmware / "engine").glob("*.h"), *port.glob("*.h"), *runner.glob("*.h")])
    header, source = emit(plan, card)
    include = [f"-I{path}" for path in (firmware / "engine", port, runner)]
    flags = [*board["cpu_flags"], *CFLAGS, *(f"-D{define}" for define in board["defines"])]
    memory = [f"-Wl,--defsym=mw_{name}={value}" for name, value in board["memory"].items()]
    # What does not depend on the network is compiled once a core.
    objects = [_object([compiler, *flags, *include], path, headers) for path in shared]
    own = [*flags, f"-DMW_RUNNER_BLOCK={block}U", *(["-DMW_RUNNER_COUNTS"] if counts else [])]
    identity = content_hash(
        *(path.read_bytes() for path in [runner / "main.c", *headers, port / "link.ld"]),
        *(text.encode() for text in (header, source, compiler, *own, *LDFLAGS, *memory)),
        *(path.parent.name.encode() for path in objects),
    )
    folder = build_dir("cortex") / identity
    image = _Image(folder / "runner.elf", board)
    if image.elf.exists():
        return image
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        (work / "model_data.h").write_text(header)
        (work / "model_data.c").write_text(source)
        # Beside the image lie the objects it is made of, for those who measure them.
        for path in objects:
            shutil.copy(path, work)
            shutil.copy(path.with_suffix(".su"), work)
        for path in (runner / "main.c", work / "model_data.c"):
            _compile([compiler, *own, *include, f"-I{work}"], path, work)
        link = [compiler, *board["cpu_flags"], *LDFLAGS, *memory, "-T", str(port / "link.ld")]
        _call([*link, *sorted(path.name for path in work.glob("*.o")), "-o", "runner.elf"], work)
        _move_all(work, folder, last="runner.elf")
    return image


def _object(command: list[str], source: Path, headers: list[Path]) -> Path:
    """Return the object file of a source and its stack report beside it, compiled if need be."""
    identity = content_hash(
        *(path.read_bytes() for path in [source, *headers]), *(part.encode() for part in command)
    )
    folder = build_dir("cortex", "objects") / identity
    target = folder / f"{source.stem}.o"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            _compile(command, source, Path(name))
            _move_all(Path(name), folder, last=target.name)
    return target


def _compile(command: list[str], source: Path, folder: Path) -> None:
    _call([*command, "-c", str(source), "-o", f"{source.stem}.o"], folder)


def _move_all(source: Path, target: Path, *, last: str) -> None:
    """Move all files; `last` goes last, so that whoever sees it sees the rest."""
    target.mkdir(exist_ok=True)
    for path in sorted(source.iterdir(), key=lambda path: path.name == last):
        path.replace(target / path.name)


def _call(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        reason = next((line for line in lines if "error" in line), lines[0])
        raise ToolError(f"{Path(command[0]).name} failed: {reason}")
    return done.stdout


def _emulate(
    image: _Image,
    content: bytes,
    samples: int,
    plan: Plan,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.int8], float]:
    """Run the image; return (samples, outputs) int8 and the nanoseconds spent in the engine."""
    qemu = require_tool("qemu-system-arm", "qemu-system-arm")
    command = [
        *(qemu, "-M", image.board["qemu"]["machine"], *image.board["qemu"]["args"]),
        *("-serial", "none", "-semihosting-config", "enable=on,target=native"),
        *("-icount", "shift=0", "-kernel", str(image.elf)),
    ]
    limit = SECONDS_MAX_BASE + SECONDS_MAX_PER_MAC * samples * max(plan.macs, 1000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "input.bin").write_bytes(content)
        output_file, ticks_file = folder / "output.bin", folder / "ticks.bin"

        def report() -> None:
            # The growing file tells how far the emulator is.
            if progress is not None and output_file.exists():
                progress(output_file.stat().st_size // plan.n_outputs, samples)

        with (folder / "stderr.txt").open("w+") as messages:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=messages,
            )
            try:
                _wait(process, limit, report)
            finally:
                process.kill()
                process.wait()
            messages.seek(0)
            lines = messages.read().strip().splitlines() or ["no message"]
        if process.returncode != 0 or not ticks_file.exists():
            raise ToolError(f"qemu-system-arm ended with code {process.returncode}: {lines[-1]}")
        output = np.frombuffer(output_file.read_bytes(), np.int8)
        ticks = int.from_bytes(ticks_file.read_bytes(), "little")
    if output.size != samples * plan.n_outputs:
        raise ToolError(
            f"the emulator gave {output.size} bytes for {samples} samples of {plan.n_outputs} "
            "outputs"
        )
    defines = dict(define.split("=") for define in image.board["defines"] if "=" in define)
    hertz = int(defines["MW_TIMER_HZ"].rstrip("u"))
    return output.reshape(samples, plan.n_outputs).copy(), ticks * 1e9 / hertz


def _wait(process: subprocess.Popen[bytes], limit: float, report: Callable[[], None]) -> None:
    """Wait for the emulator, reporting now and then how far it is."""
    end = time.monotonic() + limit
    while True:
        try:
            process.wait(PROGRESS_SECONDS)
            return
        except subprocess.TimeoutExpired:
            if time.monotonic() > end:
                raise ToolError(f"the emulator did not finish within {limit:.0f} s") from None
            report()


def _section_bytes(path: Path) -> int:
    """Return the bytes of code and constants in an object file."""
    listing = _call(
        [require_tool("arm-none-eabi-size", "gcc-arm-none-eabi"), "-A", path.name], path.parent
    )
    rows = re.findall(r"^(\.text\S*|\.rodata\S*)\s+(\d+)", listing, re.MULTILINE)
    return sum(int(size) for _, size in rows)


def _symbol_bytes(path: Path, name: str) -> int:
    """Return the size of a variable in an image."""
    listing = _call(
        [require_tool("arm-none-eabi-nm", "gcc-arm-none-eabi"), "-S", path.name], path.parent
    )
    (size,) = re.findall(rf"^\S+ (\S+) \S {re.escape(name)}$", listing, re.MULTILINE)
    return int(size, 16)


def _stack_bytes(path: Path) -> int:
    """Return the sum of all functions' frames in a compiler's stack report.

    The report knows nothing of the registers that kernels in assembly save, 112 bytes at most; the
    sum, of functions that are never all active at once, is larger than any chain of calls by more.
    """
    return sum(int(line.split("\t")[1]) for line in path.read_text().splitlines())
