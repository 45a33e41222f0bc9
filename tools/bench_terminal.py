"""What the monitor costs in a terminal: processor time, memory, and bytes to the terminal.

    python tools/bench_terminal.py [--seconds N] [--size COLUMNSxROWS ...] [--json FILE]

The command runs as a user runs it, in a terminal that takes what it draws and shows nothing, on a
log of four muscles that work all the time, played as if by a board. The bytes are what an ssh
connection has to carry.
"""

import argparse
import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from rich.table import Table

from made_up_log import RATE_HZ, data_frames, identity_frame
from myowave.cli.output import console, print_table, write_json
from myowave.log import LogWriter
from myowave.replay import ReplayedBoard

MUSCLES = 4
LOG_S = 30
# Python's start, the first window filled.
SETTLE_S = 12.0


@dataclass(frozen=True)
class Cost:
    """What one form of the monitor takes.

    Attributes
    ----------
    view : str
        Options and size of the terminal.
    cpu_percent : float
        Of one core, the session with the board included.
    memory_mb : float
        Resident, at the end.
    kilobytes_per_s : float
        Written to the terminal.
    """

    view: str
    cpu_percent: float
    memory_mb: float
    kilobytes_per_s: float


def measure(port: str, option: str, columns: int, rows: int, seconds: float) -> Cost:
    """Run `myowave monitor` in a terminal of a size and measure it once it has settled."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    command = [str(Path(sys.executable).with_name("myowave")), "monitor", port, option]
    process = subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        start_new_session=True,
    )
    os.close(terminal)
    drawn = 0

    def read() -> None:
        nonlocal drawn
        while True:
            try:
                drawn += len(os.read(controller, 65536))
            except OSError:
                return  # the terminal's last user is gone

    reader = threading.Thread(target=read)
    reader.start()
    try:
        time.sleep(SETTLE_S)
        measured = psutil.Process(process.pid)
        before, drawn_before, began = measured.cpu_times(), drawn, time.monotonic()
        time.sleep(seconds)
        after, drawn_after, took = measured.cpu_times(), drawn, time.monotonic() - began
        memory = measured.memory_info().rss
    finally:
        process.terminate()
        process.wait(20)
        reader.join()
        os.close(controller)
    used = after.user + after.system - before.user - before.system
    view = f"{option} {columns}x{rows}"
    return Cost(view, 100 * used / took, memory / 1e6, (drawn_after - drawn_before) / took / 1e3)


def write_lively_log(path: Path) -> None:
    """Write a log of muscles that contract and relax at rates of their own."""
    identity = identity_frame([f"muscle {i}" for i in range(MUSCLES)])
    time_s = np.arange(LOG_S * RATE_HZ)[:, None] / RATE_HZ
    envelope = np.sin(np.pi * time_s * [0.2, 0.3, 0.45, 0.7]) ** 2
    steps = envelope / identity["output_scale"] + identity["output_zero_point"]
    predictions = np.clip(np.rint(steps), -128, 127).astype(np.int8)
    with LogWriter(path) as writer:
        writer.frame(identity)
        for frame in data_frames(predictions):
            writer.frame(frame)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--size", nargs="+", default=["80x24", "200x60"], metavar="COLUMNSxROWS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "lively.mwlog"
        write_lively_log(log)
        for size in arguments.size:
            columns, rows = map(int, size.split("x"))
            for option in ("--tui", "--plain"):
                with ReplayedBoard(log, Path(folder) / "port", loop=True) as board:
                    costs.append(measure(board.port, option, columns, rows, arguments.seconds))
    table = Table(box=None, pad_edge=False)
    for title in ("monitor", "CPU, % of a core", "memory, MB", "to the terminal, kB/s"):
        table.add_column(title, justify="left" if title == "monitor" else "right")
    for cost in costs:
        table.add_row(
            cost.view,
            f"{cost.cpu_percent:.0f}",
            f"{cost.memory_mb:.0f}",
            f"{cost.kilobytes_per_s:.1f}",
        )
    print_table(table)
    console.print(f"{MUSCLES} muscles at 1 kHz, measured over {arguments.seconds:g} s each")
    if arguments.json is not None:
        views = [asdict(cost) for cost in costs]
        write_json(arguments.json, {"seconds": arguments.seconds, "views": views})


if __name__ == "__main__":
    main()
