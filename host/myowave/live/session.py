"""One session with a board: open it, start it, follow it through unplugging, record on request."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from myowave.calibration import Calibration
from myowave.link import Identity, Statistics
from myowave.model_card import ModelCard
from myowave.wire import Frame

State = Literal["opening", "live", "silent", "waiting", "ended"]


class Listener:
    """What a session tells those who listen; a child overrides what it wants to know.

    Calls never overlap. They come from the session's thread, or from the thread of a command such
    as `Session.marker`, and must return soon.
    """

    def on_identity(self, identity: Identity, host_s: float) -> None:
        """Take who the board is: at every connect, before its first frame, and at every change."""

    def on_frame(self, frame: Frame, host_s: float) -> None:
        """Take a frame of any kind and the Unix time at which it arrived."""

    def on_event(self, event: str, host_s: float, details: dict[str, Any]) -> None:
        """Take an event.

        `opened` and `resumed` (details: url), `lost` (reason), `marker` (label), `note` (text),
        `closed` (reason).
        """


@dataclass(frozen=True)
class RecordingStatus:
    """How the file that is being written stands.

    Attributes
    ----------
    path : Path
    seconds : float
        Since the recording was started.
    samples, markers : int
        Written since then.
    bytes : int
        Length of the file.
    """

    path: Path
    seconds: float
    samples: int
    markers: int
    bytes: int


@dataclass(frozen=True)
class Status:
    """How a session stands.

    Attributes
    ----------
    state : str
        "opening": the board has not answered yet. "live": samples come. "silent": none came for
        half a second. "waiting": the port is gone or answers nothing, and is tried again. "ended":
        the board has stopped sampling, or the session is over.
    note : str
        A sentence for a person: what happened last, or what is waited for; "" where there is
        nothing to say.
    identity : Identity or None
        The board's, the newest there is.
    card : ModelCard or None
        Of its model; None where no model directory holds it.
    previous_sha256 : str
        The model there was before, when the board has come back with another one; else "".
    samples, gaps, resumes : int
        Samples received; places at which the board missed some; times it came back.
    lost_frames, crc_errors, malformed : int
        Frames missing from the sequence numbers; damaged frames; runs of bytes that are no frame.
    rate_hz : float or None
        Samples received a second, over the last two; None when it is too early.
    statistics : Statistics or None
        The board's newest counters.
    seconds : float
        Since the session began.
    recording : RecordingStatus or None
        The file being written.
    url : str
        The board's port.
    """

    state: State
    note: str
    identity: Identity | None
    card: ModelCard | None
    previous_sha256: str
    samples: int
    lost_frames: int
    crc_errors: int
    malformed: int
    gaps: int
    resumes: int
    rate_hz: float | None
    statistics: Statistics | None
    seconds: float
    recording: RecordingStatus | None
    url: str


class Session:
    """A board followed until told to stop, whatever happens to its line.

    `run` blocks in the thread that calls it; everything else may be called from any thread.

    Parameters
    ----------
    url : str
        Port of the board.
    raw : bool
        Have the board send raw IMU counts too.
    seconds : float, optional
        End after this time.
    calibration : Calibration, optional
        What the board is to put right; without one it goes on with what it was told last.
    model_dirs : sequence of Path
        Model directories whose cards are looked at first.
    other_model : str
        What to do when the port comes back with another model: "accept" shows it and ends a
        recording that is running, as one log is of one model; "refuse" raises LinkError.
    """

    def __init__(
        self,
        url: str,
        *,
        raw: bool = False,
        seconds: float | None = None,
        calibration: Calibration | None = None,
        model_dirs: Sequence[Path] = (),
        other_model: Literal["accept", "refuse"] = "accept",
    ) -> None:
        self.url = url

    def add(self, listener: Listener) -> None:
        """Have `listener` told everything from now on, first of all who the board is."""

    def run(
        self,
        stop: threading.Event,
        on_status: Callable[[Status], None] = lambda status: None,
    ) -> Status:
        """Follow the board until `stop` is set or the time is over.

        Raises
        ------
        LinkError
            If the port cannot be opened at the beginning or no board answers there.
        """
        raise NotImplementedError

    def status(self) -> Status:
        """Return how the session stands; costs next to nothing."""
        raise NotImplementedError

    def restart(self) -> None:
        """Have a board that has stopped sampling start again, such as one that plays a recording.

        Its ticks count from 0 again. No effect while it samples.
        """

    def start_recording(self, path: str | Path) -> None:
        """Record into a log file from now on, with raw counts.

        A log of the same model is continued.

        Raises
        ------
        RecordingError
            If a recording is running, the board has not answered yet, or the file cannot be
            written, is no log or one of another model: it is left as it was.
        """

    def stop_recording(self) -> None:
        """End the recording and close its file; no effect where there is none."""

    def marker(self, label: str, host_s: float | None = None) -> None:
        """Mark a moment (Unix time; now unless named), in the recording and to all listeners."""

    def note(self, text: str) -> None:
        """Add a remark to the recording and tell all listeners."""

    def set_raw(self, on: bool) -> None:
        """Have raw IMU counts sent from now on, or not; a recording has them in any case."""
