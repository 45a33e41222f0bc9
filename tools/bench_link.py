"""Measure what logging costs: several boards at 1 kHz at once, one `myowave log` each.

    python tools/bench_link.py --boards 4 --seconds 30 --json link.json

The boards are `native` ones on their real-time clock, with raw counts on, so that nothing but the
loggers' own processor time is counted (their start-up included).
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from myowave.cli.output import write_json
from myowave.firmware import default_model
from myowave.imu import imu_by_name
from myowave.log import read_log
from myowave.model_card import load_card
from myowave.virtual import VirtualBoard

MYOWAVE = Path(sys.executable).with_name("myowave")


def measure(boards: int, seconds: float, model: Path) -> dict[str, Any]:
    """Log `boards` boards for `seconds` at once; return figures."""
    imu = imu_by_name(load_card(model).imu)
    rng = np.random.default_rng(1)
    counts = rng.integers(-4000, 4000, (10_000, 6)).astype(np.int16)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        virtual = [
            stack.enter_context(VirtualBoard(counts, imu, model, "native", loop=True))
            for _ in range(boards)
        ]
        logs = [Path(folder, f"{index}.mwlog") for index in range(boards)]
        loggers = [
            subprocess.Popen(
                [MYOWAVE, "log", board.port, "-o", log, "--seconds", str(seconds), "--raw"],
                stdout=subprocess.DEVNULL,
            )
            for board, log in zip(virtual, logs, strict=True)
        ]
        cpu_s = 0.0
        for logger in loggers:
            _, status, usage = os.wait4(logger.pid, 0)
            if status != 0:
                raise SystemExit(f"a logger ended with status {os.waitstatus_to_exitcode(status)}")
            cpu_s += usage.ru_utime + usage.ru_stime
        read = [read_log(log) for log in logs]
        return {
            "boards": boards,
            "seconds": seconds,
            "samples": sum(log.n_samples for log in read),
            "lost_frames": sum(log.lost_frames for log in read),
            "missing_samples": sum(int(log.missing.sum()) for log in read),
            "cpu_percent_of_one_core": 100 * cpu_s / seconds,
            "bytes_per_second_and_board": sum(log.stat().st_size for log in logs)
            / (boards * seconds),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boards", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = measure(arguments.boards, arguments.seconds, arguments.model)
    for name, value in figures.items():
        print(f"{name:28} {value:.1f}" if isinstance(value, float) else f"{name:28} {value}")
    if arguments.json is not None:
        write_json(arguments.json, figures)


if __name__ == "__main__":
    main()
