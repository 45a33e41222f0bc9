"""One line a second of what a board sends, for scripts.

Each line holds `key=value` words between blanks, always the same keys in the same order; `-` is a
value that is not known. A value or muscle name with blanks is quoted as a shell would
(`shlex.split` takes a line apart). Keys:

    time            Unix time, s
    state           opening, live, silent (no samples for 0.5 s), waiting (unplugged), ended
    rate_hz         samples received a second, over the last two
    samples         received since the beginning
    lost            frames missing from the board's sequence numbers
    crc_errors      damaged frames
    gaps            places at which the board itself missed samples
    overruns        ticks the board served too late, since it booted
    cpu_percent     of the board, over its last second
    longest_step_us of the board, for one sample, since it booted
    M.mean, M.peak  of each muscle M: envelope since the line before, in % of the reference
    M.active        of each muscle M: 1 while it is taken to work, else 0
    recording       file being written
    recording_s     for how long
"""

import math
import os
import shlex
import sys
import threading
import time
from typing import TextIO

from myowave.live.activation import Activation
from myowave.live.history import History
from myowave.live.session import Session, Status
from myowave.live.settings import MonitorSettings

PERIOD_S = 1.0


def run_plain(
    session: Session,
    history: History,
    stop: threading.Event,
    settings: MonitorSettings,
    output: TextIO | None = None,
) -> None:
    """Print lines until `stop` is set, the session has ended, or nobody reads them any more.

    Parameters
    ----------
    session, history
        What is followed; run by others.
    stop : threading.Event
        Ends the lines; set when the reader is gone.
    settings : MonitorSettings
        The thresholds of activation.
    output : text file, optional
        Where to; standard output when not given.
    """
    output = output or sys.stdout
    lines = Lines(history, settings)
    due = time.monotonic() + PERIOD_S
    try:
        over = False
        while not over:
            # The last line comes at the end, whenever that is: it has all there was.
            over = stop.wait(max(0.0, due - time.monotonic()))
            due += PERIOD_S
            status = session.status()
            over |= status.state == "ended"
            print(lines.next(status), file=output, flush=True)
    except BrokenPipeError:
        # Such as `| head`. What is left in the buffer goes nowhere, in place of failing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
        stop.set()


class Lines:
    """Puts the lines together; each is about the samples since the one before."""

    def __init__(self, history: History, settings: MonitorSettings) -> None:
        self._history = history
        self._activation = Activation(settings.threshold_on, settings.threshold_off)
        self._seen_s = -math.inf  # newest sample that a line was about

    def next(self, status: Status) -> str:
        """Return the line of now, without its end."""
        counters, recording = status.statistics, status.recording
        words: dict[str, object] = {
            "time": f"{time.time():.3f}",
            "state": status.state,
            "rate_hz": None if status.rate_hz is None else f"{status.rate_hz:.0f}",
            "samples": status.samples,
            "lost": status.lost_frames,
            "crc_errors": status.crc_errors,
            "gaps": status.gaps,
            "overruns": counters and counters.overruns,
            "cpu_percent": counters and f"{counters.cpu_load_permille / 10:.1f}",
            "longest_step_us": counters and counters.longest_step_us,
            **self._muscles(),
            "recording": recording and recording.path,
            "recording_s": recording and f"{recording.seconds:.0f}",
        }
        return " ".join(
            f"{shlex.quote(key)}={'-' if value is None else shlex.quote(str(value))}"
            for key, value in words.items()
        )

    def _muscles(self) -> dict[str, object]:
        first = math.isinf(self._seen_s)
        samples = self._history.since(self._seen_s, PERIOD_S if first else math.inf)
        if len(samples.time_s):
            self._seen_s = float(samples.time_s[-1])
        known = ~samples.warm_up
        envelope = samples.envelope[known]
        activity = self._activation.update(envelope, samples.time_s[known])
        words: dict[str, object] = {}
        for muscle, values, active in zip(
            self._history.muscles, 100.0 * envelope.T, activity.active, strict=False
        ):
            words[f"{muscle}.mean"] = f"{values.mean():.1f}" if len(values) else None
            words[f"{muscle}.peak"] = f"{values.max():.1f}" if len(values) else None
            words[f"{muscle}.active"] = int(active)
        return words
