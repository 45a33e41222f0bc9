"""What the arm is asked to do: curls, holds, reaches and rests as minimum-jerk moves."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from myowave.simulate.subject import Subject

JOINTS = ("shoulder", "elbow", "pronation")


class Move(NamedTuple):
    """One minimum-jerk move of one joint to `target_rad`, over before its next move starts."""

    start_s: float
    duration_s: float
    target_rad: float


class Course(NamedTuple):
    """Angle, rate and acceleration of one joint, each (n,), in rad and seconds."""

    angle: NDArray[np.float64]
    rate: NDArray[np.float64]
    acceleration: NDArray[np.float64]


class Bout(NamedTuple):
    """A stretch of the trial: "rest", "curls", "hold" or "reach"."""

    kind: str
    start_s: float
    end_s: float


@dataclass
class Programme:
    """Moves of each joint, the load in the hand and the bouts they make up.

    Attributes
    ----------
    start : dict of str to float
        Angle of each joint before its first move, rad.
    moves : dict of str to list of Move
        In order of time.
    loads : list of (float, float)
        From when on (s) which load (kg) is held.
    bouts : list of Bout
        Without gaps.
    """

    start: dict[str, float]
    moves: dict[str, list[Move]] = field(default_factory=lambda: {joint: [] for joint in JOINTS})
    loads: list[tuple[float, float]] = field(default_factory=list)
    bouts: list[Bout] = field(default_factory=list)

    def course(self, joint: str, time_s: NDArray[np.float64]) -> Course:
        """Return the wanted course of `joint` at the times `time_s` (n,)."""
        return minimum_jerk(time_s, self.start[joint], self.moves[joint])

    def load_kg(self, time_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the load in the hand at the times `time_s` (n,)."""
        starts, loads = np.array(self.loads).T
        held: NDArray[np.float64] = loads[np.searchsorted(starts[1:], time_s, side="right")]
        return held


def minimum_jerk(time_s: NDArray[np.float64], start_rad: float, moves: Iterable[Move]) -> Course:
    """Return the course through `moves`, at rest between them (Flash & Hogan 1985)."""
    angle = np.full_like(time_s, start_rad)
    rate = np.zeros_like(time_s)
    acceleration = np.zeros_like(time_s)
    position = start_rad
    for move in moves:
        first, last = np.searchsorted(time_s, [move.start_s, move.start_s + move.duration_s])
        s = (time_s[first:last] - move.start_s) / move.duration_s
        step = move.target_rad - position
        angle[first:last] = position + step * s**3 * (10.0 - 15.0 * s + 6.0 * s**2)
        rate[first:last] = step / move.duration_s * s**2 * (30.0 - 60.0 * s + 30.0 * s**2)
        acceleration[first:last] = step / move.duration_s**2 * s * (60.0 - 180.0 * s + 120.0 * s**2)
        angle[last:] = position = move.target_rad
    return Course(angle, rate, acceleration)


def draw_programme(rng: np.random.Generator, subject: Subject, seconds: float) -> Programme:
    """Return a programme of at least `seconds`: rest, curls, then bouts of every kind."""
    writer = _Writer(rng, subject)
    kinds: dict[str, Callable[[], None]] = {
        "curls": writer.curls,
        "hold": writer.hold,
        "reach": writer.reach,
    }
    waiting = ["curls", "hold", "reach", "curls"]
    writer.rest(rng.uniform(1.0, 2.0))
    while writer.now < seconds:
        kind = waiting.pop(0)
        start = writer.now
        kinds[kind]()
        writer.programme.bouts.append(Bout(kind, start, writer.now))
        writer.rest(rng.uniform(1.0, 3.0))
        if not waiting:
            waiting = [str(kind) for kind in rng.permutation(["curls", "hold", "reach"])]
    return writer.programme


class _Writer:
    """Writes one bout after the other; `now` is where the next one starts."""

    def __init__(self, rng: np.random.Generator, subject: Subject) -> None:
        self.rng = rng
        self.subject = subject
        self.now = 0.0
        # The forearm hangs nearly straight down when the elbow is bent by as much as the upper arm
        # points backwards, so that the muscles have little to do at rest.
        self.hang = {
            "shoulder": subject.hang_rad,
            "elbow": -subject.hang_rad + math.radians(rng.uniform(0.5, 2.0)),
            "pronation": math.radians(rng.uniform(20.0, 50.0)),
        }
        self.load_kg = max(0.5, subject.load_kg + float(rng.choice([-1.0, 0.0, 0.0, 1.0])))
        # A heavier dumbbell is lifted more slowly.
        effort = self.load_kg / max(subject.load_kg, 0.5)
        self.period_s = subject.curl_period_s * (0.7 + 0.3 * effort) * rng.uniform(0.9, 1.1)
        self.programme = Programme(start=dict(self.hang), loads=[(0.0, self.load_kg)])

    def rest(self, seconds: float) -> None:
        self.programme.bouts.append(Bout("rest", self.now, self.now + seconds))
        self.now += seconds

    def curls(self) -> None:
        self._take(self.load_kg)
        rng = self.rng
        swing = math.radians(rng.uniform(2.0, 7.0))
        self._grip()
        period = self.period_s * rng.uniform(0.75, 1.25)
        for repetition in range(int(rng.integers(4, 9))):
            # Repetitions slow down towards the end of a set.
            length = period * (1.0 + 0.02 * repetition) * rng.normal(1.0, 0.05)
            up = length * rng.uniform(0.38, 0.48)
            pause = rng.uniform(0.02, 0.25)
            down = length - up
            top = self.subject.curl_top_rad + math.radians(rng.normal(0.0, 4.0))
            bottom = self.hang["elbow"] + math.radians(rng.uniform(2.0, 14.0))
            self._move("elbow", 0.0, up, top)
            self._move("shoulder", 0.1 * up, 0.9 * up, self.hang["shoulder"] + swing)
            self._move("elbow", up + pause, down, bottom)
            self._move("shoulder", up + pause, down, self.hang["shoulder"])
            self.now += up + pause + down + rng.uniform(0.02, 0.4)
        self._hang(0.6)

    def hold(self) -> None:
        self._take(self.load_kg)
        rng = self.rng
        self._grip()
        up, held, down = rng.uniform(0.8, 1.5), rng.uniform(2.0, 5.0), rng.uniform(0.8, 1.6)
        self._move("elbow", 0.0, up, math.radians(rng.uniform(40.0, 110.0)))
        self._move("elbow", up + held, down, self.hang["elbow"])
        self.now += up + held + down
        self._hang(0.5)

    def reach(self) -> None:
        rng = self.rng
        self._take(rng.choice([0.0, 0.5, 1.0]))
        self._move("pronation", 0.0, 0.6, math.radians(rng.uniform(40.0, 80.0)))
        for _ in range(int(rng.integers(2, 4))):
            out, held, back = rng.uniform(0.7, 1.3), rng.uniform(0.2, 1.0), rng.uniform(0.8, 1.4)
            self._move("shoulder", 0.0, out, math.radians(rng.uniform(30.0, 70.0)))
            self._move("elbow", 0.0, 0.5 * out, math.radians(rng.uniform(60.0, 85.0)))
            self._move("elbow", 0.5 * out, 0.6 * out, math.radians(rng.uniform(20.0, 50.0)))
            self._move("shoulder", 1.1 * out + held, back, self.hang["shoulder"])
            self._move("elbow", 1.1 * out + held, back, self.hang["elbow"])
            self.now += 1.1 * out + held + back + rng.uniform(0.1, 0.6)
        self._hang(0.5)

    def _grip(self) -> None:
        """Turn the forearm anywhere between palm up and thumb up, as curls are done in turn."""
        self._move("pronation", 0.0, 0.5, math.radians(self.rng.uniform(-5.0, 80.0)))

    def _take(self, load_kg: float) -> None:
        """Put `load_kg` into the hand, in the middle of the rest before."""
        rest = self.programme.bouts[-1]
        if load_kg != self.programme.loads[-1][1]:
            self.programme.loads.append((0.5 * (rest.start_s + rest.end_s), float(load_kg)))

    def _move(self, joint: str, after_s: float, duration_s: float, target_rad: float) -> None:
        move = Move(self.now + after_s, duration_s, target_rad)
        self.programme.moves[joint].append(move)

    def _hang(self, duration_s: float) -> None:
        for joint, angle in self.hang.items():
            self._move(joint, 0.0, duration_s, angle)
        self.now += duration_s
