"""What a board sent in the last minutes, ready to be drawn: bounded, and quick to look at."""

import math
import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myowave.clock import LiveClock
from myowave.link import Identity
from myowave.live.session import Listener
from myowave.wire import Frame

# Bins of this many samples are kept beside the samples: a minute at 1 kHz is drawn from 3750 of
# them in place of 60,000 samples.
_COARSE = 16
_CHANNELS = 6
# 80 MB: ten minutes of 27 muscles at 1 kHz. Of a board that claims more, or a rate no IMU has, less
# is kept.
_MOST_VALUES = 20_000_000


@dataclass(frozen=True)
class View:
    """Lowest and highest values of k bins of equal width, of m muscles.

    Attributes
    ----------
    time_s : (k,) float64
        Middle of each bin, in seconds since the first sample.
    low, high : (k, m) float32
        Envelope, as a fraction of the reference; NaN where there is no sample.
    raw_low, raw_high : (k, 6) float32
        Raw IMU counts; NaN where there are none.
    """

    time_s: NDArray[np.float64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    raw_low: NDArray[np.float32]
    raw_high: NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """n samples of m muscles, oldest first; only those that were received.

    Attributes
    ----------
    time_s : (n,) float64
        Seconds since the first sample ever taken.
    tick : (n,) int64
        Of the board's sample clock; counts from 0 again when the board was started anew.
    envelope : (n, m) float32
        As a fraction of the reference.
    counts : (n, 6) float32
        Raw IMU counts, NaN where the board sent none.
    warm_up : (n,) bool
        Samples that look back over a start or gap.
    """

    time_s: NDArray[np.float64]
    tick: NDArray[np.int64]
    envelope: NDArray[np.float32]
    counts: NDArray[np.float32]
    warm_up: NDArray[np.bool_]


class _Run:
    """Samples between two starts of the board: its ticks, its clock, and where they are kept."""

    def __init__(self, place: int, tick: int, time_us: int, rate_hz: int) -> None:
        # The place a tick has among all places is first_place + tick - first_tick.
        self.first_place = place
        self.first_tick = tick
        self.next_tick = tick
        self.time_us = time_us
        self._first_us = time_us
        self._rate_hz = rate_hz
        self._clock = LiveClock()

    def goes_on_with(self, frame: Frame) -> bool:
        """Whether a data frame is of this run: ticks and device time never go back in one."""
        return bool(frame["first_tick"] >= self.next_tick and frame["time_us"] >= self.time_us)

    def take(self, frame: Frame, host_s: float) -> int:
        """Return the place of a data frame's first sample."""
        self.next_tick = frame["first_tick"] + frame["count"]
        self.time_us = frame["time_us"]
        place: int = self.first_place + frame["first_tick"] - self.first_tick
        self._clock.add(self._device_us(place + frame["count"] - 1), host_s)
        return place

    def host_s(self, place: float) -> float:
        """Return the Unix time at which the sample at a place was measured."""
        return self._clock.host_s(self._device_us(place))

    def _device_us(self, place: float) -> int:
        return self._first_us + round((place - self.first_place) * 1_000_000 / self._rate_hz)


class History(Listener):
    """The samples of the last `seconds`, one place for each tick: what was not received is a gap.

    Time is that of the board's sample clock, in seconds since the first sample, and goes on through
    reconnects: a board that was started anew is placed by this computer's clock. Memory is
    allocated once for a number of muscles, 35 MB for ten minutes of four at 1 kHz. May be read from
    any thread.

    Parameters
    ----------
    seconds : float
        How far back it reaches; less for dozens of muscles.

    Attributes
    ----------
    muscles : tuple of str
        One name a column of the envelope; empty before the board has said who it is.
    total : int
        Samples ever taken.
    """

    def __init__(self, seconds: float = 600.0) -> None:
        self.seconds = seconds
        self.muscles: tuple[str, ...] = ()
        self.total = 0
        self._lock = threading.Lock()
        self._identity: Identity | None = None
        self._other = True  # another model than that of the newest samples
        self._rate_hz = 1000
        self._newest = -1
        self._runs: deque[_Run] = deque()
        self._allocate()

    # ---- filling -----------------------------------------------------------------------------

    def begin(self, identity: Identity) -> None:
        """Make room for a board's samples.

        What was kept of other muscles is dropped, but time goes on; it begins anew at another rate.
        """
        with self._lock:
            before, self._identity = self._identity, identity
            self._other |= before is None or before.model_sha256 != identity.model_sha256
            if identity.rate_hz != self._rate_hz:
                self._rate_hz = identity.rate_hz
                self._newest = -1
                self._runs.clear()
                self._allocate()
            if identity.muscles != self.muscles:
                self.muscles = identity.muscles
                self._allocate()

    def _allocate(self) -> None:
        # A place is the number of a sample, counted from the first one with all that are missing;
        # it is kept in row place % rows. One coarse bin more, as the newest is not complete.
        columns = len(self.muscles) + _CHANNELS
        rows = min(self.seconds * self._rate_hz, _MOST_VALUES / columns)
        self._coarse_rows = math.ceil(rows / _COARSE) + 1
        self._rows = self._coarse_rows * _COARSE
        self._values = np.full((self._rows, columns), np.nan, dtype=np.float32)
        self._tick = np.full(self._rows, -1, dtype=np.int64)
        self._warm_up = np.zeros(self._rows, dtype=np.bool_)
        self._low = np.full((self._coarse_rows, columns), np.nan, dtype=np.float32)
        self._high = np.full((self._coarse_rows, columns), np.nan, dtype=np.float32)

    def on_identity(self, identity: Identity, host_s: float) -> None:
        """Begin, or go on."""
        del host_s
        self.begin(identity)

    def on_frame(self, frame: Frame, host_s: float) -> None:
        """Take the samples of a data frame."""
        if (
            frame.name != "data"
            or frame["count"] == 0
            or self._identity is None
            or frame["outputs"] != len(self.muscles)
        ):
            return
        with self._lock:
            if self._other or not self._runs or not self._runs[-1].goes_on_with(frame):
                self._begin_run(frame, host_s)
                self._other = False
            place = self._runs[-1].take(frame, host_s)
            self._store(place, frame, self._identity)
            self.total += frame["count"]

    def _begin_run(self, frame: Frame, host_s: float) -> None:
        """Place a board that was started anew by how long ago the last sample was."""
        place = 0
        if self._runs:
            begun_s = host_s - (frame["count"] - 1) / self._rate_hz
            since_s = begun_s - self._runs[-1].host_s(self._newest)
            # This computer's clock may have been set back.
            place = self._newest + max(1, round(since_s * self._rate_hz))
        self._runs.append(_Run(place, frame["first_tick"], frame["time_us"], self._rate_hz))
        # Of runs that are no longer kept nobody asks the time.
        while len(self._runs) > 1 and self._runs[1].first_place <= self._oldest():
            self._runs.popleft()

    def _store(self, place: int, frame: Frame, identity: Identity) -> None:
        muscles = len(self.muscles)
        end = place + frame["count"]
        self._clear_until(end)
        rows = np.arange(place, end) % self._rows
        self._values[rows, :muscles] = identity.envelope(frame["predictions"])
        if len(frame["counts"]):
            self._values[rows, muscles:] = frame["counts"]
        self._tick[rows] = np.arange(frame["first_tick"], frame["first_tick"] + frame["count"])
        self._warm_up[rows] = np.arange(frame["count"]) < frame["warm_up"]
        self._newest = end - 1
        coarse = np.arange(place // _COARSE, (end - 1) // _COARSE + 1) % self._coarse_rows
        bins = self._values.reshape(self._coarse_rows, _COARSE, -1)[coarse]
        self._low[coarse] = np.fmin.reduce(bins, axis=1)
        self._high[coarse] = np.fmax.reduce(bins, axis=1)

    def _clear_until(self, end: int) -> None:
        """Empty the coarse bins that places up to `end` begin, and those skipped by a gap."""
        first = self._newest // _COARSE + 1 if self._newest >= 0 else 0
        last = (end - 1) // _COARSE
        coarse = np.arange(max(first, last - self._coarse_rows + 1), last + 1) % self._coarse_rows
        self._values.reshape(self._coarse_rows, _COARSE, -1)[coarse] = np.nan
        self._tick.reshape(self._coarse_rows, _COARSE)[coarse] = -1
        self._warm_up.reshape(self._coarse_rows, _COARSE)[coarse] = False
        self._low[coarse] = np.nan
        self._high[coarse] = np.nan

    # ---- looking -----------------------------------------------------------------------------

    def _oldest(self) -> int:
        """Return the oldest place that is kept, which may be a gap."""
        return max(0, (self._newest // _COARSE - self._coarse_rows + 1) * _COARSE)

    @property
    def newest_s(self) -> float:
        """Time of the newest sample; 0 before the first."""
        return max(0, self._newest) / self._rate_hz

    @property
    def oldest_s(self) -> float:
        """How far back is kept; 0 until the first samples make room for new ones."""
        return self._oldest() / self._rate_hz

    def host_s(self, time_s: float) -> float:
        """Return the Unix time at which the sample at `time_s` was measured; NaN where unknown.

        In a gap the clock of the run before goes on.
        """
        with self._lock:
            place = time_s * self._rate_hz
            for run in reversed(self._runs):
                if run.first_place <= place:
                    return run.host_s(place)
        return math.nan

    def ticks(self, time_s: ArrayLike) -> NDArray[np.int64]:
        """Return the ticks of the samples at (n,) times, -1 where there is no sample."""
        with self._lock:
            places = np.floor(np.asarray(time_s) * self._rate_hz + 0.5).astype(np.int64)
            kept = (places >= self._oldest()) & (places <= self._newest)
            return np.where(kept, self._tick[places % self._rows], -1)

    def view(self, begin_s: float, end_s: float, bins: int) -> View:
        """Return what lies between two times in at most `bins` bins and one more at each end.

        A bin is a whole number of samples wide and begins at a multiple of its width, so a window
        of one length that moves on gives the same bins again: only the newest is not complete.
        Bins before the oldest or after the newest sample are left out.

        Parameters
        ----------
        begin_s, end_s : float
            Seconds since the first sample.
        bins : int
            1 up.

        Raises
        ------
        ValueError
            If the times are not finite, end before they begin, or there are no bins.
        """
        if not (math.isfinite(begin_s) and math.isfinite(end_s) and begin_s <= end_s and bins > 0):
            raise ValueError(f"view of {begin_s} to {end_s} s in {bins} bins")
        with self._lock:
            # Rounded, since a length that is a difference of two times has no last digits.
            width = max(1, math.ceil(round((end_s - begin_s) * self._rate_hz / bins, 6)))
            if width >= _COARSE:
                width = math.ceil(width / _COARSE) * _COARSE
                lows, highs, step = self._low, self._high, _COARSE
            else:
                lows, highs, step = self._values, self._values, 1
            first = max(math.floor(begin_s * self._rate_hz / width), -(-self._oldest() // width))
            last = min(math.floor(end_s * self._rate_hz / width), self._newest // width)
            numbers = np.arange(first, last + 1)
            low = high = self._bins(lows, numbers, width // step, step)
            if highs is not lows:
                high = self._bins(highs, numbers, width // step, step)
            muscles = len(self.muscles)
            low, high = np.fmin.reduce(low, axis=1), np.fmax.reduce(high, axis=1)
            return View(
                time_s=(numbers * width + 0.5 * (width - 1)) / self._rate_hz,
                low=low[:, :muscles],
                high=high[:, :muscles],
                raw_low=low[:, muscles:],
                raw_high=high[:, muscles:],
            )

    def _bins(
        self, source: NDArray[np.float32], numbers: NDArray[np.int64], size: int, step: int
    ) -> NDArray[np.float32]:
        """Return (bins, size, columns) rows of a ring, NaN after the newest."""
        out = np.empty((len(numbers) * size, source.shape[1]), dtype=np.float32)
        if len(numbers):
            begin = int(numbers[0]) * size
            end = min(begin + len(out), self._newest // step + 1)
            at = begin % len(source)
            before_wrap = min(end - begin, len(source) - at)
            out[:before_wrap] = source[at : at + before_wrap]
            out[before_wrap : end - begin] = source[: end - begin - before_wrap]
            out[end - begin :] = np.nan
        return out.reshape(len(numbers), size, source.shape[1])

    def latest(self, seconds: float) -> Samples:
        """Return the samples of the last `seconds` before the newest one, it included."""
        return self.since(-math.inf, seconds)

    def since(self, time_s: float, seconds: float = math.inf) -> Samples:
        """Return the samples after `time_s`, of the last `seconds` before the newest one.

        A reader that names the time of the last sample it got gets each one once. A time after the
        newest sample is from before time began anew: then there is no such bound.
        """
        with self._lock:
            first = self._newest + 1 - round(min(seconds * self._rate_hz, self._rows))
            if -math.inf < time_s < math.inf:
                seen = math.floor(time_s * self._rate_hz + 0.5)
                first = max(first, seen + 1 if seen <= self._newest else 0)
            places = np.arange(max(first, self._oldest()), self._newest + 1)
            places = places[self._tick[places % self._rows] >= 0]
            rows = places % self._rows
            muscles = len(self.muscles)
            return Samples(
                time_s=places / self._rate_hz,
                tick=self._tick[rows],
                envelope=self._values[rows, :muscles],
                counts=self._values[rows, muscles:],
                warm_up=self._warm_up[rows],
            )
