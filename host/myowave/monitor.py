"""A live view of what a board sends: numbers and bars, nothing more than was received."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from myowave.link import Identity, Statistics
from myowave.wire import Frame

# The bar is the peak of this time, so that a short contraction is seen at all.
PEAK_S = 0.1
RATE_S = 2.0
# Over a shorter time a rate says more about when the port was read than about the board.
FIRST_RATE_S = 0.5


@dataclass
class LiveView:
    """What the monitor shows; fed with frames from the time it is made.

    Attributes
    ----------
    identity : Identity
        Of the board.
    clock : callable
        Seconds from some fixed time on.
    """

    identity: Identity
    clock: Callable[[], float] = time.monotonic
    samples: int = 0
    lost_frames: int = 0
    gaps: int = 0
    warm_up: bool = True
    text: str = ""
    statistics: Statistics | None = None
    _recent: deque[NDArray[np.float64]] = field(default_factory=deque)
    _arrivals: deque[tuple[float, int]] = field(default_factory=deque)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        """Note the time."""
        self._began = self.clock()

    def take(self, frame: Frame) -> None:
        """Take one frame from the board."""
        if frame.name == "statistics":
            self.statistics = Statistics.from_frame(frame)
        elif frame.name == "text":
            self.text = frame["text"]
        elif frame.name == "data":
            self.samples += frame["count"]
            self.gaps += frame["gap_ticks"] > 0
            self.warm_up = frame["warm_up"] == frame["count"]
            self._arrivals.append((self.clock(), frame["count"]))
            self._recent.append(self.identity.envelope(frame["predictions"]))
            wanted = int(PEAK_S * self.identity.rate_hz)
            while sum(map(len, self._recent)) - len(self._recent[0]) >= wanted:
                self._recent.popleft()

    def rate_hz(self) -> float | None:
        """Return samples received a second, over the last seconds; None when it is too early."""
        now = self.clock()
        if now - self._began < FIRST_RATE_S:
            return None
        while self._arrivals and now - self._arrivals[0][0] > RATE_S:
            self._arrivals.popleft()
        return sum(count for _, count in self._arrivals) / min(RATE_S, now - self._began)

    def peaks(self) -> NDArray[np.float64]:
        """Return the highest envelope of the last tenth of a second, one a muscle."""
        if not self._recent:
            return np.zeros(len(self.identity.muscles))
        peaks: NDArray[np.float64] = np.vstack(self._recent).max(axis=0)
        return peaks

    def render(self) -> RenderableType:
        """Return the view for the terminal."""
        bars = Table.grid(padding=(0, 1))
        for muscle, peak in zip(self.identity.muscles, self.peaks(), strict=True):
            bars.add_row(
                muscle,
                ProgressBar(total=1.0, completed=float(np.clip(peak, 0.0, 1.0)), width=50),
                f"{100 * peak:5.1f} % of reference" + (" (warm-up)" if self.warm_up else ""),
            )
        rate_hz = self.rate_hz()
        line = (
            f"{self.identity.board}, model {self.identity.model_sha256[:12]}, IMU "
            f"{self.identity.imu}: {'-' if rate_hz is None else f'{rate_hz:.0f}'} samples/s, "
            f"{self.samples} received, "
            f"{self.lost_frames} frames lost, {self.gaps} gaps"
        )
        rows: list[RenderableType] = [Text(line), bars]
        if self.statistics is not None:
            counters = self.statistics
            rows.append(
                Text(
                    f"board: CPU load {counters.cpu_load_permille / 10:.1f} %, longest step "
                    f"{counters.longest_step_us} us, {counters.missed} missed, "
                    f"{counters.dropped} dropped, {counters.tx_dropped_batches} batches not sent"
                )
            )
            if timing := counters.timing():
                rows.append(Text(timing))
            if faults := counters.faults():
                rows.append(
                    Text("faults: " + ", ".join(f"{n} {name}" for name, n in faults.items()))
                )
        if failed := self.identity.failed_tests:
            rows.append(Text(f"self-test failed: {', '.join(failed)}"))
        if self.text:
            rows.append(Text(f"board says: {self.text}"))
        return Group(*rows)
