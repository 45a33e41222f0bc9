"""How fast R, S and M run on one core of this machine, beside other runtimes on R.

What is timed differs, and is said in each row's `call`: a window runtime computes a whole receptive
field for one prediction, a stream runtime one sample, and one call of many samples pays for a
call's overhead once.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from myowave.compiler.reference import REFERENCES, reference_network
from myowave.engine import NativeEngine
from myowave.recording import RATE_HZ
from myowave.tflm import run_tflm_windows

TENSORFLOW_SCRIPT = Path(__file__).with_name("bench_tensorflow.py")
# Samples in one call of many, and calls of one.
SAMPLES = 20_000
WINDOWS = 40
# Many, for one of them to find the machine idle.
RUNS = 20

Row = dict[str, Any]


@dataclass(frozen=True)
class Speed:
    """The time one sample takes.

    Attributes
    ----------
    runtime, network, call : str
        What ran, which network, and what one call was.
    ns_per_sample : float
        Nanoseconds of processor time for one prediction, all threads, the fastest of several runs:
        what else the machine does only ever slows a run down.
    """

    runtime: str
    network: str
    call: str
    ns_per_sample: float

    def row(self) -> Row:
        """Return plain values, with the speed as a multiple of real time at 1 kHz."""
        return {**asdict(self), "times_real_time": 1e9 / RATE_HZ / self.ns_per_sample}


def measure_laptop() -> list[Row]:
    """Time the engine, tflite-micro and TensorFlow; return a row each, as `Speed.row` makes it."""
    speeds = [_engine(name) for name in REFERENCES]
    tflite = reference_network("R")
    speeds += [_engine_from_python(tflite), _tflite_micro(tflite), *_tensorflow()]
    return [speed.row() for speed in speeds]


def laptop_table(rows: Sequence[Row]) -> Table:
    """Return the table of what `measure_laptop` gave."""
    table = Table(box=None, pad_edge=False)
    for name in ("network", "this machine, one core", "one call"):
        table.add_column(name)
    for name in ("ns a sample", "times real time"):
        table.add_column(name, justify="right")
    for row in rows:
        times = row["times_real_time"]
        table.add_row(
            *(row[key] for key in ("network", "runtime", "call")),
            f"{row['ns_per_sample']:,.0f}",
            f"{times:,.0f}" if times >= 10 else f"{times:.2g}",
        )
    return table


def fastest(
    work: Callable[[], Any], runs: int, clock: Callable[[], float] = time.process_time
) -> float:
    """Return the seconds of the fastest of several runs, by default of processor time."""
    seconds = []
    for _ in range(runs):
        start = clock()
        work()
        seconds.append(clock() - start)
    return min(seconds)


def _noise(engine: NativeEngine, samples: int) -> NDArray[np.int8]:
    rng = np.random.default_rng(0)
    return rng.integers(-128, 128, (samples, engine.n_inputs), dtype=np.int8)


def _engine(name: str) -> Speed:
    engine = NativeEngine(reference_network(name))
    x = _noise(engine, SAMPLES)
    seconds = fastest(lambda: engine.run(x), RUNS) / len(x)
    return Speed("MyoWave engine", name, f"{SAMPLES:,} samples", seconds * 1e9)


def _engine_from_python(tflite: bytes) -> Speed:
    """Time what the window runtimes are timed for: one call from Python for one prediction."""
    engine = NativeEngine(tflite)
    x = _noise(engine, SAMPLES)

    def run() -> None:
        for sample in x:
            engine.step(sample)

    seconds = fastest(run, 5) / len(x)
    return Speed("MyoWave engine from Python", "R", "one sample", seconds * 1e9)


def _tflite_micro(tflite: bytes) -> Speed:
    """Time tflite-micro's Python runtime; its set-up, the same for any number of calls, is not."""
    engine = NativeEngine(tflite)
    field = engine.receptive_field
    x = _noise(engine, field + 2 * WINDOWS)
    ends = np.arange(field - 1, field - 1 + 2 * WINDOWS)
    # The set-up is in both times and not in their difference.
    once = fastest(lambda: run_tflm_windows(tflite, x, ends[:WINDOWS]), 3)
    twice = fastest(lambda: run_tflm_windows(tflite, x, ends), 3)
    seconds = (twice - once) / WINDOWS
    return Speed("tflite-micro from Python, int8", "R", "one window", seconds * 1e9)


def _tensorflow() -> list[Speed]:
    """Time TensorFlow in a process of its own: its threads and oneDNN are set before it starts."""
    environment = {
        **os.environ,
        "TF_ENABLE_ONEDNN_OPTS": "1",  # TensorFlow's default, which training turns off
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    done = subprocess.run(
        [sys.executable, TENSORFLOW_SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{TENSORFLOW_SCRIPT.name} failed:\n{done.stderr}")
    return [
        Speed("TensorFlow, float32", "R's shape", row["call"], row["ns_per_sample"])
        for row in json.loads(done.stdout.splitlines()[-1])
    ]
