"""Tell when a muscle works: a threshold with hysteresis, and the peak held for a while."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myowave.errors import ConfigError

# A peak that has been held falls by a full reference in this time, as meters for sound do.
FALL_S = 1.0


class Activity(NamedTuple):
    """How each of m muscles stands.

    Attributes
    ----------
    active : (m,) bool
        Whether the muscle works.
    level : (m,) float64
        Newest envelope, as a fraction of the reference; NaN before the first.
    peak : (m,) float64
        Highest envelope of late, never below `level`; NaN before the first.
    """

    active: NDArray[np.bool_]
    level: NDArray[np.float64]
    peak: NDArray[np.float64]


class Activation:
    """Follows the envelopes of a few muscles.

    A muscle becomes active when its envelope reaches `on` and stays so until it falls below `off`:
    an envelope that trembles about one threshold does not make it flicker. The peak is held for
    `peak_hold_s`, then falls to the envelope.

    Parameters
    ----------
    on, off : float
        Thresholds, as fractions of the reference.
    peak_hold_s : float
        Seconds.

    Raises
    ------
    ConfigError
        Unless 0 < off <= on and peak_hold_s >= 0.
    """

    def __init__(self, on: float = 0.20, off: float = 0.15, peak_hold_s: float = 1.5) -> None:
        if not 0.0 < off <= on < np.inf:
            raise ConfigError(
                f"activation on at {on:g}, off at {off:g}: expected 0 < off <= on, as fractions of "
                "the reference"
            )
        if not 0.0 <= peak_hold_s < np.inf:
            raise ConfigError(f"peak hold of {peak_hold_s:g} s, expected 0 up")
        self._on = on
        self._off = off
        self._hold_s = peak_hold_s
        self._reset(0)

    def _reset(self, muscles: int) -> None:
        self._active = np.zeros(muscles, dtype=np.bool_)
        self._level = np.full(muscles, np.nan)
        # The peak, and when it was reached.
        self._peak = np.full(muscles, np.nan)
        self._peak_s = np.zeros(muscles)
        self._now_s = -np.inf

    def update(self, envelope: NDArray[np.floating], time_s: ArrayLike) -> Activity:
        """Take the samples since the last call.

        Parameters
        ----------
        envelope : (k, m) array
            Fractions of the reference, oldest first; k may be 0. NaN is a sample there is not: it
            changes nothing. Another number of muscles than before begins anew.
        time_s : (k,) array or float
            When the samples were measured, rising from call to call; one time stands for all.
            Time that goes back begins anew.

        Returns
        -------
        Activity
            Arrays of its own, which later calls do not change.
        """
        values: NDArray[np.float64] = np.asarray(envelope, dtype=np.float64)
        times = np.broadcast_to(np.asarray(time_s, dtype=np.float64), len(values))
        if values.shape[1] != len(self._active) or (len(times) and times[0] < self._now_s):
            self._reset(values.shape[1])
        if values.size:
            self._now_s = float(times[-1])
            self._follow(values, times)
        return Activity(self._active.copy(), self._level.copy(), self._fallen(self._now_s))

    def _follow(self, envelope: NDArray[np.float64], times: NDArray[np.float64]) -> None:
        there = ~np.isnan(envelope)
        columns = np.arange(envelope.shape[1])
        # What the last sample beyond a threshold says holds; between both nothing changes.
        decisive = (envelope >= self._on) | (envelope < self._off)
        last = _last(decisive)
        self._active = np.where(last >= 0, envelope[last, columns] >= self._on, self._active)
        last = _last(there)
        self._level = np.where(last >= 0, envelope[last, columns], self._level)

        known = np.where(there, envelope, -np.inf)
        highest = np.argmax(known, axis=0)
        reached, reached_s = known[highest, columns], times[highest]
        overtakes = ~(reached < self._fallen(reached_s)) & np.isfinite(reached)
        self._peak = np.where(overtakes, reached, self._peak)
        self._peak_s = np.where(overtakes, reached_s, self._peak_s)
        # A peak that has fallen to the envelope follows it from there on.
        fallen = self._fallen(self._now_s)
        follows = fallen <= self._level
        self._peak = np.where(follows, self._level, self._peak)
        self._peak_s = np.where(follows, self._now_s, self._peak_s)

    def _fallen(self, now_s: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return what is left of the held peaks at a time."""
        over_s = np.maximum(0.0, now_s - self._peak_s - self._hold_s)
        return self._peak - over_s / FALL_S


def _last(flags: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the last true row of each column of (k, m) flags, -1 where there is none."""
    rows = len(flags) - 1 - np.argmax(flags[::-1], axis=0)
    return np.where(flags.any(axis=0), rows, -1)
