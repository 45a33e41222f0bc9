"""Measure every figure of speed and size the README quotes: a table, and `build/bench.json`.

Instruction counts and sizes are exact and the same on every machine; times are of this one.
Sections whose recordings are not here are left out, and say so.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench_link import measure as measure_loggers
from myowave.backends import EMULATED_CORES
from myowave.check import load_recordings, replay
from myowave.cli.output import print_table
from myowave.compiler.reference import reference_network
from myowave.cortex import measure
from myowave.engine import NativeEngine
from myowave.imu import imu_by_name, to_counts
from myowave.model_card import load_model_dir
from myowave.readers import read
from myowave.recording import RATE_HZ
from myowave.simulate import simulate
from myowave.tflm import run_tflm_windows
from myowave.virtual import VirtualBoard

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "build" / "bench"
MODEL_DIR = REPOSITORY / "models" / "sim_biceps"
MYOWAVE = Path(sys.executable).with_name("myowave")
LIVE_S = 60
console = Console(highlight=False)
Figures = dict[str, Any]


def emulated_cores() -> Figures:
    """Count instructions a sample and bytes of the engine on every emulated core."""
    figures: Figures = {}
    tflite = reference_network("R")
    card, model = load_model_dir(MODEL_DIR)
    for core in EMULATED_CORES:
        figures[f"R on {core}"] = asdict(measure(tflite, core))
    figures["sim_biceps on cortex-m4"] = asdict(measure(model, "cortex-m4", card=card.to_json()))
    return figures


def native_engine() -> Figures:
    """Time the native engine on R, beside tflite-micro's runtime on R's window."""
    tflite = reference_network("R")
    engine = NativeEngine(tflite)
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (20 * RATE_HZ, 6), dtype=np.int8)
    engine.run(x[:1000])
    native_s = min(_timed(lambda: engine.run(x)) for _ in range(3)) / len(x)
    ends = np.arange(511, 531)
    run_tflm_windows(tflite, x, ends[:1])
    window_s = _timed(lambda: run_tflm_windows(tflite, x, ends)) / len(ends)
    return {
        "native_us_per_sample": native_s * 1e6,
        "native_times_real_time": 1.0 / (native_s * RATE_HZ),
        "tflite_micro_us_per_window": window_s * 1e6,
        "tflite_micro_times_real_time": 1.0 / (window_s * RATE_HZ),
    }


def trigno_import() -> Figures:
    """Time the import of a 40 s Trigno Discover file."""
    path = FOLDER / "trigno_40s.csv"
    _write_trigno(path, seconds=40.0)
    read(path)
    return {
        "file_mb": path.stat().st_size / 1e6,
        "import_s": min(_timed(lambda: read(path)) for _ in range(3)),
    }


def check_speed(curls: Path | None) -> Figures:
    """Time `check` on native: on the `ok` files of the curls where they are, else simulated."""
    if curls is None:
        console.print("check: real recordings not here, simulated ones in their place")
        folder = FOLDER / "recordings"
        folder.mkdir(parents=True, exist_ok=True)
        _call("simulate", "-o", folder, "--seconds", "40", "--subjects", "5", "--trials", "5")
        sources = [folder]
    else:
        import csv

        with (curls / "quality.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["quality"] == "ok"]
        sources = [curls / row["file"] for row in rows]
    figures: Figures = {"what": "simulated" if curls is None else "curls, verdict ok"}
    json_file = FOLDER / "check.json"

    def run() -> None:
        _call(
            *("check", MODEL_DIR, *sources, "--muscle", "biceps", "--on", "native"),
            *("--json", json_file, "--report", FOLDER / "check.html"),
        )

    figures["check_s"] = _timed(run)
    card, tflite = load_model_dir(MODEL_DIR)
    recordings = load_recordings(sources, card, muscles=["biceps"])
    figures["files"] = len(recordings)
    figures["recorded_s"] = sum(recording.duration_s for recording in recordings)
    figures["mismatches"] = json.loads(json_file.read_text())["parity"]["native"]["mismatches"]
    replay(card, tflite, recordings[:1], ["native"]).require_parity()
    return figures


def live_board() -> Figures:
    """Run a virtual wearable for 60 s in real time and count what was lost."""
    card, _ = load_model_dir(MODEL_DIR)
    imu = imu_by_name(card.imu)
    recording = simulate(LIVE_S + 5.0, 3)
    counts = to_counts(recording.acc, recording.gyro, imu)
    log = FOLDER / "live.mwlog"
    log.unlink(missing_ok=True)
    with VirtualBoard(counts, imu, MODEL_DIR, "cortex_m4") as board:
        _call("log", board.port, "-o", log, "--seconds", LIVE_S, "--json", FOLDER / "live.json")
    result = json.loads((FOLDER / "live.json").read_text())
    counters = result["statistics"]
    return {
        "seconds": LIVE_S,
        **{name: counters[name] for name in ("processed", "missed", "dropped", "overruns")},
        "lost_frames": result["lost_frames"],
    }


def _write_trigno(path: Path, seconds: float) -> None:
    imu_hz, emg_hz = 10000 / 27, 58000 / 27
    n_imu, n_emg = int(seconds * imu_hz), int(seconds * emg_hz)
    rng = np.random.default_rng(0)
    t = np.arange(n_imu) / imu_hz
    imu = [np.sin(2 * np.pi * (1 + 0.1 * k) * t) * (1 if k < 3 else 90) for k in range(6)]
    emg = 0.3 * rng.standard_normal(n_emg)
    blanks = ", ".join([" "] * 6)
    lines = [
        "Application:, Trigno Discover (1.6.5)",
        "Date/Time:, 01/02/2025 10:00:00",
        f"Collection Length (seconds):, {n_emg / emg_hz:.4f}",
        "wrist (1), , , , , , biceps (2)",
        "sensor mode: 609, , , , , , sensor mode: 40",
        "ACC X (G), ACC Y (G), ACC Z (G), GYRO X (deg/s), GYRO Y (deg/s), GYRO Z (deg/s), "
        "EMG 1 (mV)",
        ", ".join([f"{imu_hz:.4f} Hz"] * 6 + [f"{emg_hz:.4f} Hz"]),
    ]
    lines += [
        ", ".join([f"{channel[row]:.7f}" for channel in imu] + [f"{emg[row]:.7f}"])
        for row in range(n_imu)
    ]
    lines += [f"{blanks}, {value:.7f}" for value in emg[n_imu:]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _call(*words: object) -> None:
    subprocess.run([str(MYOWAVE), *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def _timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> int:
    """Measure everything, or the sections named."""
    curls = Path(os.environ.get("MYOWAVE_SHARED", REPOSITORY.parent / "shared")) / "data" / "curls"
    sections: dict[str, Callable[[], Figures]] = {
        "cores": emulated_cores,
        "native": native_engine,
        "import": trigno_import,
        "check": lambda: check_speed(curls if (curls / "quality.csv").is_file() else None),
        "live": live_board,
        "log": lambda: measure_loggers(boards=4, seconds=30.0, model=MODEL_DIR),
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(sections)}; all when none")
    wanted = parser.parse_args().sections or list(sections)
    if unknown := sorted(set(wanted) - set(sections)):
        parser.error(f"unknown section '{unknown[0]}', expected one of {', '.join(sections)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in wanted:
        console.print(f"measuring: {name}")
        results[name] = sections[name]()
    (REPOSITORY / "build" / "bench.json").write_text(json.dumps(results, indent=2) + "\n")
    if "cores" in results:
        table = Table(box=None, pad_edge=False)
        columns = ("instructions_per_sample", "macs_per_sample", "ram_bytes", "flash_bytes")
        table.add_column("emulated, exact")
        for column in columns:
            table.add_column(column.replace("_", " "), justify="right")
        for name, figures in results["cores"].items():
            table.add_row(name, *(f"{figures[column]:.0f}" for column in columns))
        print_table(table)
    for name in wanted:
        if name != "cores":
            for key, value in results[name].items():
                text = f"{value:.4g}" if isinstance(value, float) else str(value)
                console.print(f"{name}: {key.replace('_', ' ')} {text}")
    console.print("written: build/bench.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
