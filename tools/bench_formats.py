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

from myowave.cli import main as command
from myowave.cli.output import print_table
from myowave.log import LogWriter
from myowave.wire import DEFINITION, decode_frame, encode_frame

FORMATS = (".csv", ".parquet", ".edf", ".bdf", ".mat", "BIDS")
SAMPLES_A_FRAME = 20
MUSCLES = 4
RATE_HZ = 1000
console = Console(highlight=False)


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    seconds: float
    peak_mb: float


def write_log(path: Path, minutes: float) -> None:
    """Write the log a board would have sent: a slow movement, raw counts, a marker a minute."""
    rng = np.random.default_rng(0)
    n = int(60 * RATE_HZ * minutes) // SAMPLES_A_FRAME * SAMPLES_A_FRAME
    time_s = np.arange(n) / RATE_HZ
    phases = 2 * np.pi * np.outer(time_s, (0.31, 0.53, 0.47, 0.71, 0.59, 0.37))
    counts = np.rint(6000 * np.sin(phases) + rng.normal(0.0, 12.0, (n, 6))).astype(np.int16)
    curve = 60 * np.sin(phases[:, :MUSCLES]) ** 4 - 60
    predictions = np.rint(curve + rng.normal(0.0, 1.0, curve.shape)).astype(np.int8)
    identity = {
        **{
            "protocol_version": DEFINITION.limits["version"],
            "outputs": MUSCLES,
            "firmware_major": 0,
            "firmware_minor": 1,
            "firmware_patch": 0,
        },
        **{"model_sha256": bytes(range(32)), "rate_hz": RATE_HZ, "receptive_field": 512},
        **{"output_scale": 0.0052, "output_zero_point": -100, "acc_lsb_m_s2": 9.80665 / 4096},
        **{"gyro_lsb_rad_s": 0.000532, "running": 1, "raw": 1, "imu": "icm-42688-p"},
        **{"board": "native", "muscles": ["biceps", "triceps", "flexors", "extensors"]},
        **{"imu_rate_millihertz": 1_000_000, "self_test_run": 0, "self_test_failed": 0},
        **{"reset_cause": 1, "calibrated": 0, "turn": 0},
        **{f"gyro_bias_{axis}": 0 for axis in "xyz"},
    }
    began_s = 1_790_000_000.0
    with LogWriter(path) as writer:
        writer.frame(decode_frame(encode_frame("identity", 0, **identity)[1:-1]), began_s)
        for number, first in enumerate(range(0, n, SAMPLES_A_FRAME)):
            rows = slice(first, first + SAMPLES_A_FRAME)
            frame = encode_frame(
                "data",
                number + 1,
                first_tick=first,
                time_us=1000 * first,
                gap_ticks=0,
                flags=2,
                warm_up=0,
                count=SAMPLES_A_FRAME,
                outputs=MUSCLES,
                predictions=predictions[rows],
                counts=counts[rows],
            )
            now_s = began_s + (first + SAMPLES_A_FRAME) / RATE_HZ + rng.exponential(0.001)
            writer.frame(decode_frame(frame[1:-1]), now_s)
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
    table.add_column(f"{minutes:g} min, {MUSCLES} muscles, raw counts")
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
