"""How a board's clock drifts against this computer's, over a log of any length."""

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from myowave.clock import ClockFit, fit_clock
from myowave.link import Identity
from myowave.live.session import Listener
from myowave.wire import Frame

# The quickest arrival of each second of the first two hours, of each two seconds of the next two,
# and so on: as much as a line needs that lies below all arrivals.
_BLOCKS = 8192
# Those of the last minute and more tell how late frames usually are.
_RECENT = 4096


class Drift(Listener):
    """Gathers when frames came, in bounded memory; `fit` draws the line over the longest run."""

    def __init__(self) -> None:
        self._rate_hz = 1000
        self._longest = _Arrivals()
        self._run = _Arrivals()

    def on_identity(self, identity: Identity, host_s: float) -> None:
        """Note the board's sampling rate."""
        self._rate_hz = identity.rate_hz

    def on_event(self, event: str, host_s: float, details: dict[str, Any]) -> None:
        """Begin anew with a board that comes back: it may be another one."""
        if event == "resumed":
            self._begin_run()

    def on_frame(self, frame: Frame, host_s: float) -> None:
        """Take one arrival; device time that goes back is a new run."""
        if frame.name == "data" and frame["count"] > 0:
            # The last sample of a frame has waited least.
            device_us = frame["time_us"] + (frame["count"] - 1) * 1_000_000 // self._rate_hz
            if device_us < self._run.newest_us:
                self._begin_run()
            self._run.add(device_us, host_s)

    def _begin_run(self) -> None:
        self._longest = max(self._longest, self._run, key=_Arrivals.span_us)
        self._run = _Arrivals()

    def fit(self) -> ClockFit | None:
        """Return the clock of the longest run; None before the first sample."""
        return max(self._longest, self._run, key=_Arrivals.span_us).fit()


class _Arrivals:
    """Device times in µs and host times of one run, thinned out to the quickest of each block."""

    def __init__(self) -> None:
        self.newest_us = -1
        self._n = 0
        self._quickest: list[tuple[int, float]] = []
        self._block_us = 1_000_000
        self._recent: deque[tuple[int, float]] = deque(maxlen=_RECENT)

    def span_us(self) -> int:
        """Return how long the run is, -1 where it is empty."""
        return self.newest_us - self._quickest[0][0] if self._quickest else -1

    def add(self, device_us: int, host_s: float) -> None:
        """Take one arrival."""
        self.newest_us = device_us
        self._n += 1
        self._recent.append((device_us, host_s))
        self._keep((device_us, host_s))
        if len(self._quickest) > _BLOCKS:
            self._block_us *= 2
            arrivals, self._quickest = self._quickest, []
            for arrival in arrivals:
                self._keep(arrival)

    def _keep(self, arrival: tuple[int, float]) -> None:
        """Keep an arrival, or the quicker one of it and the one before if they share a block."""
        if self._quickest and self._block(self._quickest[-1]) == self._block(arrival):
            arrival = min(self._quickest.pop(), arrival, key=_lateness)
        self._quickest.append(arrival)

    def _block(self, arrival: tuple[int, float]) -> int:
        return arrival[0] // self._block_us

    def fit(self) -> ClockFit | None:
        """Return the line below all arrivals; how late they usually are is that of the newest."""
        if not self._quickest:
            return None
        line = fit_clock(*(np.array(column) for column in zip(*self._quickest, strict=True)))
        device_us, host_s = (np.array(column) for column in zip(*self._recent, strict=True))
        return replace(
            line, residual_s=float(np.median(host_s - line.host_s(device_us))), n=self._n
        )


def _lateness(arrival: tuple[int, float]) -> float:
    return arrival[1] - 1e-6 * arrival[0]
