"""What a board sent in the last minutes, ready to be drawn: bounded, and quick to look at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myowave.link import Identity
from myowave.live.session import Listener


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


class History(Listener):
    """The samples of the last `seconds`, one place for each tick: what was not received is a gap.

    Time is that of the board's sample clock, in seconds since the first sample, and goes on through
    reconnects: a board that comes back is placed by this computer's clock. Memory is allocated once
    for a number of muscles, about 50 MB for ten minutes of four. May be read from any thread.

    Parameters
    ----------
    seconds : float
        How far back it reaches.

    Attributes
    ----------
    muscles : tuple of str
        One name a column of the envelope; empty before the board has said who it is.
    total : int
        Samples ever taken.
    """

    def __init__(self, seconds: float = 600.0) -> None:
        self.muscles: tuple[str, ...] = ()
        self.total = 0

    def begin(self, identity: Identity) -> None:
        """Make room for a board's samples; what was kept of other muscles or rates is dropped."""

    @property
    def newest_s(self) -> float:
        """Time of the newest sample; 0 before the first."""
        raise NotImplementedError

    @property
    def oldest_s(self) -> float:
        """Time of the oldest sample that is kept; 0 before the first."""
        raise NotImplementedError

    def host_s(self, time_s: float) -> float:
        """Return the Unix time at which the sample at `time_s` was measured; NaN where unknown."""
        raise NotImplementedError

    def ticks(self, time_s: ArrayLike) -> NDArray[np.int64]:
        """Return the ticks of the samples at (n,) times, -1 where there is no sample."""
        raise NotImplementedError

    def view(self, begin_s: float, end_s: float, bins: int) -> View:
        """Return what lies between two times in at most `bins` bins and one at each end.

        A bin is a whole number of samples wide and begins at a multiple of its width, so a window
        of one length that moves on gives the same bins again: only the newest is not complete.
        Bins before the oldest or after the newest sample are left out.
        """
        raise NotImplementedError

    def latest(self, seconds: float) -> Samples:
        """Return the samples of the last `seconds`."""
        raise NotImplementedError
