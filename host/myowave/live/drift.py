"""How a board's clock drifts against this computer's, over a log of any length."""

from typing import Any

from myowave.clock import ClockFit, fit_clock
from myowave.link import Identity
from myowave.live.session import Listener
from myowave.wire import Frame

# The quickest arrival of each second of the first two hours, of each two seconds of the next two,
# and so on: as much as a line needs that lies below all arrivals.
_MOST = 8192


class Drift(Listener):
    """Gathers when frames came, in bounded memory; `fit` draws the line over the longest run."""

    def __init__(self) -> None:
        self._rate_hz = 1000
        self._longest: list[tuple[int, float]] = []
        self._begin()

    def _begin(self) -> None:
        # Device time in µs of a frame's last sample, and when it came; one a block.
        self._arrivals: list[tuple[int, float]] = []
        self._block_us = 1_000_000

    def on_identity(self, identity: Identity, host_s: float) -> None:
        """Note the board's sampling rate."""
        self._rate_hz = identity.rate_hz

    def on_event(self, event: str, host_s: float, details: dict[str, Any]) -> None:
        """Begin anew with a board that comes back: it may be another one."""
        if event == "resumed":
            self._end_run()

    def on_frame(self, frame: Frame, host_s: float) -> None:
        """Take one arrival; device time that goes back is a new run."""
        if frame.name != "data" or frame["count"] == 0:
            return
        device_us = frame["time_us"] + (frame["count"] - 1) * 1_000_000 // self._rate_hz
        if self._arrivals and device_us < self._arrivals[-1][0]:
            self._end_run()
        self._arrivals.append((device_us, host_s))
        if len(self._arrivals) > 1:
            self._merge_newest()
        if len(self._arrivals) > _MOST:
            self._block_us *= 2
            arrivals, self._arrivals = self._arrivals, []
            for arrival in arrivals:
                self._arrivals.append(arrival)
                if len(self._arrivals) > 1:
                    self._merge_newest()

    def _merge_newest(self) -> None:
        """Keep the quicker one of the two newest arrivals if they are of one block."""
        before, newest = self._arrivals[-2:]
        if before[0] // self._block_us == newest[0] // self._block_us:
            self._arrivals[-2:] = [min(before, newest, key=_lateness)]

    def _end_run(self) -> None:
        self._longest = max(self._longest, self._arrivals, key=_span_us)
        self._begin()

    def fit(self) -> ClockFit | None:
        """Return the clock of the longest run; None before the first sample."""
        arrivals = max(self._longest, self._arrivals, key=_span_us)
        if not arrivals:
            return None
        device_us, host_s = zip(*arrivals, strict=True)
        return fit_clock(device_us, host_s)


def _lateness(arrival: tuple[int, float]) -> float:
    return arrival[1] - 1e-6 * arrival[0]


def _span_us(arrivals: list[tuple[int, float]]) -> int:
    return arrivals[-1][0] - arrivals[0][0] if arrivals else -1
