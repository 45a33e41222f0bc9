"""How long import and check take, and whether a live board loses anything."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench_laptop import fastest
from myowave.check import load_recordings, replay
from myowave.imu import imu_by_name, to_counts
from myowave.model_card import load_model_dir
from myowave.readers import read
from myowave.simulate import simulate
from myowave.virtual import VirtualBoard

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "build" / "bench"
MODEL_DIR = REPOSITORY / "models" / "sim_biceps"
MYOWAVE = Path(sys.executable).with_name("myowave")
LIVE_S = 60
Figures = dict[str, Any]


def trigno_import() -> Figures:
    """Time the import of a 40 s Trigno Discover file."""
    path = FOLDER / "trigno_40s.csv"
    _write_trigno(path, seconds=40.0)
    read(path)
    return {
        "file_mb": path.stat().st_size / 1e6,
        "import_s": fastest(lambda: read(path), 3, time.perf_counter),
    }


def check_speed(curls: Path | None) -> Figures:
    """Time `check` on native, from the command line.

    Parameters
    ----------
    curls : Path, optional
        Folder of the real curls, of which the files with verdict `ok` are taken. Without one,
        recordings are simulated.
    """
    sources = _simulated_recordings() if curls is None else _usable_curls(curls)
    figures: Figures = {"what": "simulated" if curls is None else "curls, verdict ok"}
    json_file = FOLDER / "check.json"

    def run() -> None:
        _call(
            *("check", MODEL_DIR, *sources, "--muscle", "biceps", "--on", "native"),
            *("--json", json_file, "--report", FOLDER / "check.html"),
        )

    figures["check_s"] = fastest(run, 1, time.perf_counter)
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


def _simulated_recordings() -> list[Path]:
    folder = FOLDER / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    _call("simulate", "-o", folder, "--seconds", "40", "--subjects", "5", "--trials", "5")
    return [folder]


def _usable_curls(curls: Path) -> list[Path]:
    with (curls / "quality.csv").open(newline="", encoding="utf-8") as file:
        return [curls / row["file"] for row in csv.DictReader(file) if row["quality"] == "ok"]


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
