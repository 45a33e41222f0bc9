"""How often `align` finds the offset of what belongs together, and accepts what does not.

    python tools/bench_align.py [--curls FOLDER] [--sessions N] [--json FILE]

Pairs that belong together are one movement as two systems would have it: another place on the
limb, another mounting, other noise, a clock that drifts, begun and ended at other times. Pairs that
do not are different simulated sessions, periodic movements of one period, sessions with taps, and,
where the real curls are at hand, every two different sets of them.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from myowave.align import LogTrack, Method, find_alignment
from myowave.cli.output import console, print_table, write_json
from myowave.engine import NativeEngine
from myowave.errors import RecordingError
from myowave.imu import imu_by_name, to_counts
from myowave.model_card import load_model_dir
from myowave.recording import RATE_HZ, Recording
from myowave.resample import sample_at
from myowave.simulate import simulate

REPOSITORY = Path(__file__).resolve().parents[1]
Array = NDArray[np.float64]


# ---- one movement, two systems -------------------------------------------------------------------


@dataclass(frozen=True)
class Other:
    """How another system saw a movement that a board has logged.

    Attributes
    ----------
    begin_s, end_s : float
        Part of the log during which it recorded.
    drift_ppm : float
        How much faster the board's clock runs.
    lever_m : float
        Between both sensors, in a direction drawn at random.
    noise : float
        Of its sensors, in units of 0.05 m/s² and 0.01 rad/s.
    seed : int
        Draws mounting, direction and noise.
    """

    begin_s: float
    end_s: float
    drift_ppm: float = 0.0
    lever_m: float = 0.05
    noise: float = 1.0
    seed: int = 0

    def log_s(self, recording_s: Array) -> Array:
        """Return the true log times of its times."""
        return self.begin_s + recording_s * (1.0 + 1e-6 * self.drift_ppm)

    def record(self, movement: Recording) -> Recording:
        """Return its recording of `movement`."""
        from scipy import signal

        rng = np.random.default_rng(self.seed)
        low_pass = signal.butter(2, 20.0, fs=RATE_HZ, output="sos")
        turning = np.gradient(signal.sosfiltfilt(low_pass, movement.gyro, axis=0), axis=0) * RATE_HZ
        lever = rng.normal(size=3)
        lever *= self.lever_m / np.linalg.norm(lever)
        # A rigid limb: tangential and centripetal acceleration of another point of it.
        acc = movement.acc + np.cross(turning, lever)
        acc += np.cross(movement.gyro, np.cross(movement.gyro, lever))
        mounting, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        n = int((self.end_s - self.begin_s) / (1.0 + 1e-6 * self.drift_ppm) * RATE_HZ)
        positions = self.log_s(np.arange(n) / RATE_HZ) * RATE_HZ
        imu = sample_at(np.hstack([acc @ mounting, movement.gyro @ mounting]), positions)
        return replace(
            movement,
            acc=imu[:, :3] + rng.normal(0.0, 0.05 * self.noise, (n, 3)),
            gyro=imu[:, 3:] + rng.normal(0.02, 0.01 * self.noise, (n, 3)),
            emg=sample_at(movement.emg, positions),
            name=f"{movement.name}, other system",
        )


def track_of(movement: Recording, envelope: Array | None = None) -> LogTrack:
    """Return what a log of `movement` would hold, with a predicted envelope or none."""
    m = len(movement.muscles)
    return LogTrack(
        imu=np.hstack([movement.acc, movement.gyro]),
        envelope=np.zeros((movement.n_samples, m)) if envelope is None else envelope,
        muscles=movement.muscles,
        filled=np.zeros(movement.n_samples, dtype=np.bool_),
    )


def periodic(seconds: float, period_s: float, phase: float, seed: int) -> Recording:
    """Return a movement whose repetitions are all alike, as to a metronome."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    angle = 2 * np.pi * (np.arange(n) / RATE_HZ / period_s + phase)
    bend = 0.8 * np.sin(angle) + 0.1 * np.sin(3 * angle)
    rate = 2.0 * np.sin(angle) + 0.7 * np.sin(2 * angle + 0.3) + 0.3 * np.sin(5 * angle)
    acc = 9.8 * np.column_stack([np.cos(bend), np.sin(bend), 0.06 * np.cos(7 * angle)])
    gyro = np.column_stack([rate, 0.5 * np.cos(angle), 0.2 * np.sin(3 * angle)])
    return Recording(
        acc=acc + rng.normal(0.0, 0.05, (n, 3)),
        gyro=gyro + rng.normal(0.0, 0.01, (n, 3)),
        emg=np.zeros((n, 0)),
        muscles=(),
        subject="",
        day="",
        name=f"periodic {seed}",
    )


def tapped(movement: Recording, taps_s: Iterable[float], seed: int = 0) -> Recording:
    """Return `movement` with sharp knocks of 20 m/s² that ring for some milliseconds."""
    rng = np.random.default_rng(seed)
    acc = movement.acc.copy()
    ring_s = np.arange(60) / RATE_HZ
    knock = np.exp(-ring_s / 0.008) * np.sin(2 * np.pi * 70.0 * ring_s)
    for tap_s in taps_s:
        first = round(tap_s * RATE_HZ)
        piece = acc[first : first + len(knock)]
        direction = rng.normal(size=3)
        strength = 30.0 * rng.uniform(0.7, 1.4) / np.linalg.norm(direction)
        piece += strength * knock[: len(piece), None] * direction
    return replace(movement, acc=acc)


def tap_times(rng: np.random.Generator, seconds: float, count: int = 3) -> Array:
    """Return taps as a person makes them at the begin and at the end of a session."""
    groups = []
    for first_s in (rng.uniform(7.0, 9.0), seconds - rng.uniform(8.0, 10.0)):
        apart = np.clip(rng.normal(0.4, 0.08, count - 1), 0.15, None)
        groups.append(first_s + np.concatenate([[0.0], np.cumsum(apart)]))
    return np.concatenate(groups)


# ---- rates ---------------------------------------------------------------------------------------


@dataclass
class Rates:
    """What became of some pairs.

    Attributes
    ----------
    pairs, accepted : int
        How many there were, how many got an offset.
    errors_ms : list of float
        Largest error over the overlap of each that was accepted, where the truth is known.
    within : int
        Errors not above the uncertainty stated.
    """

    pairs: int = 0
    accepted: int = 0
    errors_ms: list[float] = field(default_factory=list)
    within: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "pairs": self.pairs,
            "accepted": self.accepted,
            "error_ms_median": float(np.median(self.errors_ms)) if self.errors_ms else None,
            "error_ms_max": max(self.errors_ms, default=None),
            "within_uncertainty": self.within if self.errors_ms else None,
        }


def belonging(
    movements: Sequence[Recording],
    *,
    lever_m: float = 0.05,
    noise: float = 1.0,
    method: Method | None = None,
    envelopes: Sequence[Array] | None = None,
) -> Rates:
    """Return the rates over one other system's recording of each movement."""
    rates = Rates()
    for number, movement in enumerate(movements):
        rng = np.random.default_rng(number)
        other = Other(
            begin_s=rng.uniform(1.0, 6.0),
            end_s=movement.duration_s - rng.uniform(1.0, 4.0),
            drift_ppm=rng.uniform(-100.0, 100.0),
            lever_m=lever_m,
            noise=noise,
            seed=number,
        )
        recording = other.record(movement)
        track = track_of(movement, None if envelopes is None else envelopes[number])
        rates.pairs += 1
        try:
            found = find_alignment(track, recording, method)
        except RecordingError:
            continue
        rates.accepted += 1
        ends_s = np.array([0.0, recording.duration_s])
        error_ms = 1000.0 * float(np.abs(found.log_s(ends_s) - other.log_s(ends_s)).max())
        rates.errors_ms.append(error_ms)
        rates.within += error_ms <= found.uncertainty_ms
    return rates


def unrelated(pairs: Iterable[tuple[LogTrack, Recording]], method: Method | None = None) -> Rates:
    """Return how many pairs of different sessions are accepted all the same."""
    rates = Rates()
    for track, recording in pairs:
        rates.pairs += 1
        try:
            find_alignment(track, recording, method)
        except RecordingError:
            continue
        rates.accepted += 1
    return rates


def measure(sessions: int, curls: Sequence[Recording]) -> dict[str, Rates]:
    """Return the rates of every kind of pair."""
    rng = np.random.default_rng(0)
    simulated = [
        simulate(60.0, seed, subject=1 + seed % 3, trial=1 + seed % 2)
        for seed in range(101, 101 + sessions)
    ]
    envelopes = _predicted(simulated)
    tracks = [track_of(*both) for both in zip(simulated, envelopes, strict=True)]
    other_ways = list(permutations(range(sessions), 2))
    tapping = [tapped(one, tap_times(rng, 60.0), seed) for seed, one in enumerate(simulated)]
    metronomes = [
        periodic(60.0, period_s, rng.uniform(), seed)
        for seed, period_s in enumerate(rng.choice([1.0, 1.5, 2.0, 3.0], sessions))
    ]
    results = {
        "simulated, 5 cm apart": belonging(simulated),
        "simulated, 15 cm apart, noisy": belonging(simulated, lever_m=0.15, noise=10.0),
        "simulated, by taps": belonging(tapping, method="taps"),
        "simulated, by envelope": belonging(simulated, method="envelope", envelopes=envelopes),
        "different simulated": unrelated((tracks[i], simulated[j]) for i, j in other_ways),
        "different simulated, by envelope": unrelated(
            ((tracks[i], simulated[j]) for i, j in other_ways), "envelope"
        ),
        "different, tapped, by taps": unrelated(
            ((track_of(tapping[i]), tapping[j]) for i, j in other_ways), "taps"
        ),
        "to a metronome": unrelated(
            (track_of(metronomes[i]), metronomes[j]) for i, j in other_ways
        ),
    }
    if curls:
        curl_tracks = [track_of(one) for one in curls]
        different = list(permutations(range(len(curls)), 2))
        results |= {
            "curls, 5 cm apart": belonging(curls),
            "curls, 15 cm apart, noisy": belonging(curls, lever_m=0.15, noise=10.0),
            "different curls": unrelated((curl_tracks[i], curls[j]) for i, j in different),
        }
    return results


def _predicted(movements: Sequence[Recording]) -> list[Array]:
    """Return the envelopes the model of the demo predicts, which never saw these people."""
    card, tflite = load_model_dir(REPOSITORY / "models" / "sim_biceps")
    imu, scaling = imu_by_name(card.imu), card.input_scaling()
    inputs = [scaling.apply(to_counts(one.acc, one.gyro, imu)) for one in movements]
    return [NativeEngine(tflite).run(one).astype(np.float64) for one in inputs]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curls", type=Path, help="folder of the real curls")
    parser.add_argument("--sessions", type=int, default=16, help="simulated sessions (16)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    curls = []
    if options.curls is not None:
        from myowave.readers import read

        files = sorted(set(options.curls.glob("*_*_*.csv")))
        curls = [read(file) for file in files]
    results = measure(options.sessions, curls)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("pairs of", "", "accepted", "median error ms", "largest", "within uncertainty"):
        table.add_column(title, justify="left" if title == "pairs of" else "right")
    for name, rates in results.items():
        errors = rates.errors_ms
        table.add_row(
            name,
            str(rates.pairs),
            str(rates.accepted),
            f"{np.median(errors):.2f}" if errors else "-",
            f"{max(errors):.2f}" if errors else "-",
            f"{rates.within}" if errors else "-",
        )
    print_table(table)
    if options.json is not None:
        write_json(options.json, {name: rates.to_json() for name, rates in results.items()})
        console.print(f"figures: {options.json}", markup=False)


if __name__ == "__main__":
    main()
