"""Device time against host time: which moment of the laptop's clock a sample was measured at.

A frame arrives after it was sent, never before: samples wait to be batched, the line and the
operating system's buffers for the host, the host for its other work. Delays have a floor and a long
tail, so a least-squares line would follow the tail. The line wanted lies below all arrivals, as
near to them in sum as can be (Moon, Skelly & Towsley, Estimation and removal of clock skew from
network delay measurements, INFOCOM 1999). It carries an edge of their lower convex hull: the one
above the mean of the device times (Zhang, Liu & Xia, Clock synchronization algorithms for network
measurements, INFOCOM 2002).

What no such line can know is the shortest delay itself: host times are late by that much, the same
everywhere. Use the device time of a frame's last sample: its first one has waited for the others.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from myowave.log import LogData

STEP_S = 0.05
"""A floor that moves by more, and stays there, is a step of the host's clock: ntpd steps from
128 ms on and slews what is less, systemd-timesyncd and chrony step later still."""

_BLOCK_S = 1.0
# A busy host delays all it gets by seconds, not for half a minute.
_STEP_WINDOW = 30
_STEP_EVIDENCE = 10
# No crystal is off by more; resonators and RC oscillators are.
_CRYSTAL_PPM = 1000.0
_SETTLED_PPM = 50.0
_PARTS = 10
# So that 95 % of simulated clocks lie within the uncertainty, whatever their delays (test_clock).
_COVERAGE = 4.0
# Unix times in a float64 have steps of 0.24 µs.
_RESOLUTION_S = 1e-6


@dataclass(frozen=True)
class ClockStep:
    """A jump of the host's clock.

    Attributes
    ----------
    device_us : int
        Device time from which on the host's clock reads otherwise.
    size_s : float
        By how much it was put forward (> 0) or back.
    """

    device_us: int
    size_s: float


@dataclass(frozen=True)
class ClockFit:
    """The line `host = offset_s + device / (1 + drift)` below all arrivals of one run.

    Attributes
    ----------
    offset_s : float
        Host time (Unix, s) at device time 0.
    drift_ppm : float
        How much faster the device's clock runs than the host's, in millionths; 0 where the data
        cannot tell a crystal's drift from none.
    uncertainty_ppm : float
        The drift lies within this of `drift_ppm` in 19 of 20 cases; infinite for a single moment.
    residual_s : float
        Median delay of an arrival beyond the shortest one, which stays unknown.
    span_s : float
        Device time between the first and the last arrival the line was fitted to.
    n : int
        Arrivals it was fitted to.
    steps : tuple of ClockStep
        Where the host's clock jumped. The line then is that of the longest stretch between two
        jumps, and host times are what the clock of that stretch would read.
    """

    offset_s: float
    drift_ppm: float
    uncertainty_ppm: float
    residual_s: float
    span_s: float
    n: int
    steps: tuple[ClockStep, ...] = ()

    @overload
    def host_s(self, device_us: float) -> float: ...
    @overload
    def host_s(self, device_us: NDArray[Any]) -> NDArray[np.float64]: ...
    def host_s(self, device_us: float | NDArray[Any]) -> float | NDArray[np.float64]:
        """Return the host time (Unix, s) of device times in µs."""
        return self.offset_s + device_us * (1e-6 / (1.0 + 1e-6 * self.drift_ppm))

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON-able values; None where the drift is not known."""
        known = self.uncertainty_ppm <= _CRYSTAL_PPM
        return {
            "offset_s": self.offset_s,
            "drift_ppm": self.drift_ppm if known else None,
            "uncertainty_ppm": (
                self.uncertainty_ppm if math.isfinite(self.uncertainty_ppm) else None
            ),
            "residual_ms": 1000.0 * self.residual_s,
            "span_s": self.span_s,
            "arrivals": self.n,
            "host_clock_steps": [
                {"device_s": 1e-6 * step.device_us, "size_s": step.size_s} for step in self.steps
            ],
        }

    def __str__(self) -> str:
        """Describe the drift in a few words."""
        if self.uncertainty_ppm > _CRYSTAL_PPM:
            text = f"drift not known after {self.span_s:.0f} s"
        elif abs(self.drift_ppm) > 1e5:
            text = f"board's clock {1 + 1e-6 * self.drift_ppm:.2f} times as fast: a virtual one?"
        else:
            way = "fast" if self.drift_ppm >= 0 else "slow"
            text = (
                f"board {abs(self.drift_ppm):.1f} ppm {way} (+-{self.uncertainty_ppm:.1f}) over "
                f"{self.span_s:.0f} s, frames typically {1000 * self.residual_s:.1f} ms late"
            )
        for step in self.steps:
            text += f"; this computer's clock was set {step.size_s:+.3f} s"
        return text


def fit_clock(device_us: ArrayLike, host_s: ArrayLike) -> ClockFit:
    """Fit device time to the arrivals of one run of one board.

    Parameters
    ----------
    device_us : (n,) array
        Device time of each arrival in µs, rising. Where several share one arrival, as the samples
        of a frame do, the last one counts.
    host_s : (n,) array
        Host time (Unix, s) of the arrivals.

    Raises
    ------
    ValueError
        If there is no arrival, or the lengths differ.
    """
    device = np.asarray(device_us).astype(np.int64)
    host = np.asarray(host_s, dtype=np.float64)
    if device.ndim != 1 or device.shape != host.shape or len(device) == 0:
        raise ValueError(
            f"arrivals: {device.shape} device and {host.shape} host times, expected as many of both"
        )
    is_last = np.append(host[1:] != host[:-1], True)
    device, host = device[is_last], host[is_last]
    # Differences first: an absolute time has no digits left for nanoseconds.
    seconds = 1e-6 * (device - device[0])
    since = host - host[0]

    cuts = _steps(seconds, since)
    bounds = [0, *cuts, len(seconds)]
    longest = max(
        range(len(bounds) - 1), key=lambda i: seconds[bounds[i + 1] - 1] - seconds[bounds[i]]
    )
    part = slice(bounds[longest], bounds[longest + 1])
    slope, level, uncertainty = _line(seconds[part], since[part])
    above = since - (level + slope * seconds)
    floors = [float(above[a:b].min()) for a, b in pairwise(bounds)]
    return ClockFit(
        offset_s=float(host[0] + level - slope * 1e-6 * device[0]),
        drift_ppm=1e6 * (1.0 / slope - 1.0),
        uncertainty_ppm=uncertainty,
        residual_s=float(np.median(above[part])),
        span_s=float(seconds[part][-1] - seconds[part][0]),
        n=len(seconds[part]),
        steps=tuple(
            ClockStep(int(device[cut]), floors[i + 1] - floors[i]) for i, cut in enumerate(cuts)
        ),
    )


def fit_log(log: "LogData") -> dict[int, ClockFit]:
    """Return the clock of each run of a log: a board that was started anew counts from 0 again."""
    return {
        int(run): fit_clock(log.device_us[log.run == run], log.host_s[log.run == run])
        for run in np.unique(log.run)
    }


class LiveClock:
    """The same line while a board sends: follows slow drift in bounded memory, for days.

    Times given out for device times up to the newest arrival never run backwards from one call to
    the next: what is learned moves the line by at most half a second a second. Reading from another
    thread than the one that adds is safe.

    Attributes
    ----------
    steps : int
        How often the host's clock has jumped.
    """

    # Ten minutes: long enough for 1 ppm, short enough to follow a board that warms up.
    _BLOCKS = 600

    def __init__(self) -> None:
        self.steps = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything: the board was started anew."""
        # The arrival with the least delay of each second: (device s, host s).
        self._blocks: list[tuple[float, float]] = []
        self._latest_us = -1
        self._origin = (0, 0.0)
        self._served: _Served | None = None
        self._slope = 1.0
        self._uncertainty_ppm = math.inf

    def add(self, device_us: int, host_s: float) -> None:
        """Take one arrival: the device time of a frame's last sample, and when it came.

        Device time that goes back is a new run.
        """
        if device_us < self._latest_us:
            self.reset()
        if self._served is None:
            self._origin = (device_us, host_s)
            self._blocks = [(0.0, 0.0)]
            self._latest_us = device_us
            self._served = _Served(device_us, host_s, 1.0)
            return
        previous_us, self._latest_us = self._latest_us, device_us
        seconds = 1e-6 * (device_us - self._origin[0])
        since = host_s - self._origin[1]
        first, best = self._blocks[-1][0], self._blocks[-1]
        lower = since - best[1] < self._slope * (seconds - best[0])
        if math.floor(seconds / _BLOCK_S) != math.floor(first / _BLOCK_S):
            self._blocks.append((seconds, since))
        elif lower:
            self._blocks[-1] = (seconds, since)
        else:
            return
        del self._blocks[: -self._BLOCKS]
        self._refit(previous_us)

    def _refit(self, previous_us: int) -> None:
        """Fit the line to the blocks; it goes on from what it said at `previous_us`."""
        seconds, since = (np.array(column) for column in zip(*self._blocks, strict=True))
        above = since - self._slope * seconds
        begin = self._after_step(above)
        if begin:
            del self._blocks[:begin]
            seconds, since, above = seconds[begin:], since[begin:], above[begin:]
        slope, level, uncertainty = _line(seconds, since)
        # What was known before a jump is better than what little came after it.
        if uncertainty <= max(min(self._uncertainty_ppm, _CRYSTAL_PPM), _SETTLED_PPM):
            self._slope, self._uncertainty_ppm = slope, uncertainty
        else:
            level = float(np.min(since - self._slope * seconds))
        origin_us, origin_s = self._origin
        assert self._served is not None
        self._served = _Served(
            origin_us,
            origin_s + level,
            self._slope,
            previous_us,
            self._served.at(previous_us)
            - (origin_s + level + self._slope * 1e-6 * (previous_us - origin_us)),
        )

    def _after_step(self, above: NDArray[np.float64]) -> int:
        """Return from which block on the host's clock has read as it does now."""
        if len(above) < 2:
            return 0
        newest = len(above) - 1
        # Earlier than ever possible: put back, or all before was late.
        if above[newest] < above[:newest].min() - STEP_S:
            self.steps += newest >= _STEP_EVIDENCE
            return newest
        if len(above) <= _STEP_WINDOW + _STEP_EVIDENCE:
            return 0
        if above[-_STEP_WINDOW:].min() > above[:-_STEP_WINDOW].min() + STEP_S:
            self.steps += 1
            return len(above) - _STEP_WINDOW
        return 0

    def host_s(self, device_us: int) -> float:
        """Return the host time (Unix, s) of a device time in µs; NaN before the first arrival."""
        served = self._served
        return math.nan if served is None else served.at(device_us)

    @property
    def drift_ppm(self) -> float | None:
        """How much faster the device's clock runs; None until known to a crystal's tolerance."""
        if self._uncertainty_ppm > 0.1 * _CRYSTAL_PPM:
            return None
        return 1e6 * (1.0 / self._slope - 1.0)

    @property
    def uncertainty_ppm(self) -> float:
        """The drift lies within this in 19 of 20 cases; infinite while nothing is known."""
        return self._uncertainty_ppm


@dataclass(frozen=True)
class _Served:
    """A line, and how the change from the line before fades around `changed_us`."""

    origin_us: int
    origin_s: float
    slope: float
    changed_us: int = 0
    change_s: float = 0.0

    def at(self, device_us: int) -> float:
        """Return the host time of a device time."""
        line_s = self.origin_s + self.slope * 1e-6 * (device_us - self.origin_us)
        # Fades at half a second a second at most, so that time goes forward all the while.
        fade_s = max(1.0, 2.0 * abs(self.change_s))
        left = 1.0 - 1e-6 * abs(device_us - self.changed_us) / fade_s
        return line_s + self.change_s * max(0.0, left)


def _line(seconds: NDArray[np.float64], since: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return slope and level of the line below, and the drift's uncertainty in ppm."""
    span = float(seconds[-1] - seconds[0])
    slope = _slope_below(seconds, since)
    level = float(np.min(since - slope * seconds))
    uncertainty = _uncertainty_ppm(seconds, since - (level + slope * seconds), span)
    if slope <= 0.0 or uncertainty > _CRYSTAL_PPM:
        # Worse than what is known of any crystal beforehand.
        slope = 1.0
        level = float(np.min(since - seconds))
    return slope, level, uncertainty


def _slope_below(seconds: NDArray[np.float64], since: NDArray[np.float64]) -> float:
    """Return the slope of the lower hull's edge above the mean of `seconds`; 1 for one moment."""
    mean = seconds.mean()
    left, right = int(np.argmin(seconds)), int(np.argmax(seconds))
    if seconds[left] >= seconds[right]:
        return 1.0
    while True:
        # The point farthest below the chord is a corner of the hull between both ends.
        slope = (since[right] - since[left]) / (seconds[right] - seconds[left])
        below = (since - since[left]) - slope * (seconds - seconds[left])
        lowest = int(np.argmin(below))
        if below[lowest] >= -1e-12 * (1.0 + abs(since[lowest])) or lowest in (left, right):
            return float(slope)
        if seconds[lowest] <= mean:
            left = lowest
        else:
            right = lowest


def _uncertainty_ppm(
    seconds: NDArray[np.float64], above: NDArray[np.float64], span: float
) -> float:
    """Return how far the drift may be off, from how near to the line each part of the time came.

    Delays that seldom come near their floor, and drift that changed, both keep parts away from it.
    """
    if span <= 0.0:
        return math.inf
    part = np.minimum((seconds - seconds[0]) * (_PARTS / span), _PARTS - 1).astype(int)
    floors = np.full(_PARTS, np.nan)
    np.fmin.at(floors, part, above)
    seen = floors[~np.isnan(floors)]
    # The line touches two parts, which then say nothing of what is usual.
    usual = math.sqrt(float(np.sum(seen**2)) / max(1, len(seen) - 2)) if len(seen) > 2 else STEP_S
    return 1e6 * _COVERAGE * (usual + _RESOLUTION_S) / span


def _steps(seconds: NDArray[np.float64], since: NDArray[np.float64]) -> list[int]:
    """Return the arrivals at which the host's clock has jumped."""
    above = since - seconds
    # Blocks of a second, only those with arrivals.
    starts = np.flatnonzero(np.diff(np.floor(seconds / _BLOCK_S), prepend=-1.0))
    floors = np.minimum.reduceat(above, starts)
    times = seconds[starts]
    if len(floors) > _STEP_EVIDENCE:
        lag = _STEP_EVIDENCE
        rates = (floors[lag:] - floors[:-lag]) / (times[lag:] - times[:-lag])
        floors = np.minimum.reduceat(above - np.median(rates) * seconds, starts)
    found = set(_level_shifts(floors))
    cuts = []
    for block in sorted(found):
        first, last = starts[block - 1], starts[block + 1] if block + 1 < len(starts) else None
        cuts.append(_sharpest(above, int(first), len(above) if last is None else int(last)))
    return cuts


def _sharpest(above: NDArray[np.float64], first: int, last: int) -> int:
    """Return where between two blocks the floor changes: the cut with the largest difference."""
    window = above[first:last]
    before = np.minimum.accumulate(window)[:-1]
    after = np.minimum.accumulate(window[::-1])[::-1][1:]
    return first + 1 + int(np.argmax(np.abs(after - before)))


def _level_shifts(floors: NDArray[np.float64], begin: int = 0) -> list[int]:
    """Return the blocks at which the floor moves by more than STEP_S and stays there."""
    n = len(floors)
    if n < 2 * _STEP_EVIDENCE:
        return []
    shifts = np.zeros(n)
    for k in range(_STEP_EVIDENCE, n - _STEP_EVIDENCE + 1):
        before = floors[max(0, k - _STEP_WINDOW) : k].min()
        shifts[k] = floors[k : k + _STEP_WINDOW].min() - before
    best = int(np.argmax(np.abs(shifts)))
    if abs(shifts[best]) <= STEP_S:
        return []
    # A rise shows from the step on, a fall until the step.
    if shifts[best] < 0:
        best += int(np.argmax(shifts[best:] > 0.5 * shifts[best])) - 1 if best + 1 < n else 0
    return [
        *_level_shifts(floors[:best], begin),
        begin + best,
        *_level_shifts(floors[best:], begin + best),
    ]
