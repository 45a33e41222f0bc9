"""Instructions of the nRF52840's interrupts and main loop, counted on an emulated Cortex-M4.

    python tools/budget.py [--json FILE]

Application, driver, engine with the reference network R, and the port's own sources; the registers
are memory (firmware/ports/nrf52840_budget). The instructions are counted. The times are computed
for 64 MHz from an assumed number of cycles an instruction, with entry and exit of an interrupt, and
say how much room there is, not what a measurement on a board would give.
"""

import argparse
import json
import struct
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from myowave.cortex import CFLAGS, LDFLAGS
from myowave.errors import MyowaveError
from myowave.firmware import model_tables
from myowave.imu import IMUS
from myowave.paths import firmware_dir
from myowave.reference_model import write_model

CPU_HZ = 64e6
# The upper end of what `myowave fit` estimates for R, whose loops load many words an instruction.
# Waits for constants read from flash, up to half as much again, come on top.
CYCLES_PER_INSTRUCTION = 1.8
INTERRUPT_CYCLES = 24  # entry 12 and exit 12, floating point registers stacked lazily
BATCH = 20
# Typical at 3 V, by the DC/DC converter and the crystal: nRF52840 PS v1.7, key features (52 uA a
# MHz, running from flash) and 5.2.1.9 (ITIMER2: asleep with a timer at 1 MHz); LSM6DS3TR-C data
# sheet, table 4 (both sensors, high performance).
RUNNING_MA = 0.052 * 64
ASLEEP_MA = 0.646
IMU_MA = 0.90
QEMU = ("qemu-system-arm", "-M", "mps2-an386", "-display", "none", "-monitor", "none")
TIMEOUT_S = 120


@dataclass(frozen=True)
class Row:
    """One path through the firmware.

    Attributes
    ----------
    what : str
    instructions : float
        Counted, a mean over many runs.
    microseconds : float
        Computed.
    """

    what: str
    instructions: float
    microseconds: float


def count() -> dict[str, float]:
    """Return the counted instructions of each path of `firmware/ports/nrf52840_budget`.

    Raises
    ------
    MyowaveError
        If the model cannot be compiled.
    CalledProcessError, TimeoutExpired
        If compiler or emulator fail.
    """
    firmware = firmware_dir()
    port, budget = firmware / "ports" / "nrf52840", firmware / "ports" / "nrf52840_budget"
    qemu, runner = firmware / "ports" / "qemu_mps2", firmware / "ports" / "qemu_mps2_runner"
    boards = firmware / "platform" / "boards"
    board = json.loads((boards / "nrf52840_dk.json").read_text())["build"]
    emulated = json.loads((boards / "cortex_m4.json").read_text())["build"]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        model = write_model(work / "card", "R", IMUS["lsm6ds3tr-c"])
        for file, text in model_tables(model).items():
            (work / file).write_text(text)
        folders = [firmware / folder for folder in ("app", "drivers", "engine")]
        gcc = ["arm-none-eabi-gcc", *board["cpu_flags"]]
        include = [f"-I{folder}" for folder in (*folders, port, runner, work)]
        ours = [*gcc, *CFLAGS, *include, '-DMW_BOARD_NAME="budget"', "-c"]
        ours += [f"-D{define}" for define in board["defines"]]
        ours += ["-include", str(budget / "memory_registers.h")]
        sources = [path for folder in folders for path in sorted(folder.glob("*.c"))]
        sources += [port / f"{part}.c" for part in ("clock", "i2c", "serial", "fault")]
        commands = [[*ours, path] for path in (*sources, budget / "main.c")]
        # An emulated board without interrupts would sleep for ever.
        commands.append([*ours, "-Dmw_port_sleep=mw_nrf52840_sleep", port / "system.c"])
        commands.append([*gcc, *CFLAGS, *include, "-c", work / "model_data.c"])
        theirs = [*gcc, *CFLAGS, *(f"-D{define}" for define in emulated["defines"]), "-c"]
        commands += [[*theirs, qemu / "startup.c"], [*theirs, runner / "semihost.c"]]
        for number, command in enumerate(commands):
            _run([*command, "-o", f"{number}.o"], work)
        memory = {**emulated["memory"], "ram_begin": "0x20000000", "ram_end": "0x20400000"}
        link = [*gcc, *LDFLAGS, *(f"-Wl,--defsym=mw_{key}={memory[key]}" for key in memory)]
        _run([*link, "-T", qemu / "link.ld", *sorted(work.glob("*.o")), "-o", "budget.elf"], work)
        semihosting = ("-serial", "none", "-semihosting-config", "enable=on,target=native")
        _run([*QEMU, *semihosting, "-icount", "shift=0", "-kernel", "budget.elf"], work)
        results = (work / "results.bin").read_bytes()
    found = {}
    for path, tenths in struct.iter_unpack("<32sI", results):
        found[path.rstrip(b"\0").decode()] = tenths / 10
    nothing = found.pop("nothing")
    return {path: value - nothing for path, value in found.items()}


def _run(command: list[str | Path], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)


def budget(counted: dict[str, float]) -> list[Row]:
    """Return what matters of the counted paths, with computed times."""

    def row(what: str, instructions: float, interrupts: int = 0) -> Row:
        cycles = instructions * CYCLES_PER_INSTRUCTION + interrupts * INTERRUPT_CYCLES
        return Row(what, instructions, cycles / CPU_HZ * 1e6)

    interrupts = ("tick", "burst end", "receive a buffer", "go on sending")
    longest = max(interrupts, key=lambda name: counted[name])
    masked = max(("begin to send", "go on sending", "receive a buffer"), key=lambda n: counted[n])
    way = counted["tick"] + counted["burst end"] + counted["sample and frame"]
    frame = counted["sample and frame"] - counted["sample"]
    each_ms = counted["tick"] + counted["burst end"] + counted["sample"] + counted["idle round"]
    each_ms += (frame + counted["go on sending"]) / BATCH
    return [
        row("sample clock: stamp, start the burst", counted["tick"], 1),
        row("burst end: decode, hand over", counted["burst end"], 1),
        row(f"longest interrupt ({longest})", counted[longest], 1),
        row("all interrupts off, at most (read the time)", counted["read time"]),
        row(f"application's interrupts off, at most ({masked})", counted[masked]),
        row("main loop: a sample through the network R", counted["sample"]),
        row("main loop: the sample that fills a frame", counted["sample and frame"]),
        row("from tick to first byte out, the bus's 345 us left out", way, 2),
        row("everything, a millisecond of sampling", each_ms, 3),
    ]


def current_ma(load: float) -> float:
    """Return the computed mean current while sampling, from the share of time the core runs.

    UART, I2C transfers, pull-ups, lights and the board's own regulator are left out.
    """
    return load * RUNNING_MA + (1 - load) * ASLEEP_MA + IMU_MA


def main() -> int:
    """Count, compute, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    try:
        rows = budget(count())
    except (MyowaveError, OSError, subprocess.SubprocessError) as error:
        print(f"budget: error: {error}", file=sys.stderr)
        return 2
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("instructions", justify="right")
    table.add_column("us *", justify="right")
    for row in rows:
        table.add_row(row.what, f"{row.instructions:,.0f}", f"{row.microseconds:,.1f}")
    table.caption = (
        f"* computed for 64 MHz: {CYCLES_PER_INSTRUCTION} cycles an instruction assumed, "
        f"{INTERRUPT_CYCLES} for an interrupt's entry and exit"
    )
    table.caption_justify = "left"
    Console().print(table)
    load = rows[-1].microseconds / 1000
    print(
        f"computed: core runs {load:.0%} of the time, {current_ma(load):.1f} mA at 3 V with an "
        "LSM6DS3TR-C; UART, I2C, lights and regulator left out"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
