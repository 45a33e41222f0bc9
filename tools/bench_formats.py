"""Measure what exporting a long log takes in each format, and importing it again.

    python tools/bench_formats.py            # 30 minutes, 4 muscles, raw counts
    python tools/bench_formats.py --minutes 5

Each format is written and read in a process of its own, whose peak of memory is that of the whole
command, the libraries included. The log holds a movement with the noise of a sensor: what
compresses worse in practice would take longer here too.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table as RichTable

from made_up_log import BATCH, RATE_HZ, data_frames, identity_frame
from myowave.cli import main as command
from myowave.cli.output import print_table
from myowave.log import LogWriter

FORMATS = (".csv", ".parquet", ".edf", ".bdf", ".mat", "BIDS")
MUSCLES = ("biceps", "triceps", "flexors", "extensors")
console = Console(highlight=False)


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    seconds: float
    peak_mb: float


def write_log(path: Path, minutes: float) -> None:
    """Write the log a board would have sent: a slow movement, raw counts, a marker a minute."""
    rng = np.random.default_rng(0)
    n = int(60 * RATE_HZ * minutes) // BATCH * BATCH
    time_s = np.arange(n) / RATE_HZ
    phases = 2 * np.pi * np.outer(time_s, (0.31, 0.53, 0.47, 0.71, 0.59, 0.37))
    counts = np.rint(6000 * np.sin(phases) + rng.normal(0.0, 12.0, (n, 6))).astype(np.int16)
    curve = 60 * np.sin(phases[:, : len(MUSCLES)]) ** 4 - 60
    predictions = np.rint(curve + rng.normal(0.0, 1.0, curve.shape)).astype(np.int8)
    began_s = 1_790_000_000.0
    with LogWriter(path) as writer:
        writer.frame(identity_frame(MUSCLES), began_s)
        for frame in data_frames(predictions, counts):
            first = frame["first_tick"]
            now_s = began_s + (first + BATCH) / RATE_HZ + rng.exponential(0.001)
            writer.frame(frame, now_s)
            if first % (60 * RATE_HZ) == 0:
                writer.event("marker", now_s, label=f"minute {first // 60 // RATE_HZ}")
                writer.flush()


def measure(*arguments: object) -> Cost:
    """Run one command of `myowave` in a process of its own."""
    run = subprocess.run(
        [sys.executable, __file__, "--child", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        raise SystemExit(f"{arguments}: {run.stderr}")
    return Cost(**json.loads(run.stdout.splitlines()[-1]))


def child(arguments: list[str]) -> int:
    """Run one command and print what it took."""
    began = time.perf_counter()
    code = command(arguments)
    seconds = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb}))
    return code


def main() -> int:
    """Measure every format and print a table."""
    if sys.argv[1:2] == ["--child"]:
        return child(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes = parser.parse_args().minutes
    table = RichTable(box=None, pad_edge=False)
    table.add_column(f"{minutes:g} min, {len(MUSCLES)} muscles, raw counts")
    for title in ("MB", "export s", "export MB RAM", "import s", "import MB RAM"):
        table.add_column(title, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "session.mwlog"
        write_log(log, minutes)
        table.add_row("log", f"{log.stat().st_size / 1e6:.0f}", "", "", "", "")
        for name in FORMATS:
            target = Path(folder) / ("study" if name == "BIDS" else f"session{name}")
            how = ("--bids", target) if name == "BIDS" else ("-o", target)
            out = measure("export", log, *how)
            back = Path(folder) / ("back" if name == "BIDS" else "back.parquet")
            into = measure("import", target, "--imu-only", "--keep-orientation", "-o", back)
            size = sum(p.stat().st_size for p in (target, *target.rglob("*")) if p.is_file())
            table.add_row(
                name,
                f"{size / 1e6:.0f}",
                *(f"{value:.1f}" for value in (out.seconds,)),
                f"{out.peak_mb:.0f}",
                f"{into.seconds:.1f}",
                f"{into.peak_mb:.0f}",
            )
    print_table(table)
    return 0


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


if __name__ == "__main__":
    raise SystemExit(main())
