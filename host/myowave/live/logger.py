"""Log one board to one file until told to stop: a session that is there for its recording."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from myowave.calibration import Calibration
from myowave.clock import ClockFit
from myowave.link import Identity, Statistics
from myowave.live.drift import Drift
from myowave.live.session import Listener, Session, Status
from myowave.model_card import ModelCard


@dataclass
class LogProgress:
    """How a running log stands.

    Attributes
    ----------
    samples : int
        Samples received.
    lost_frames : int
        Frames missing from the board's sequence numbers.
    crc_errors, malformed : int
        Damaged frames received: with a wrong checksum, and runs of bytes that are no frame.
    seconds : float
        Since the board was started.
    connected : bool
        Whether the port is there.
    note : str
        Last thing that happened, for a person; why the log ended, at its end.
    statistics : Statistics or None
        The board's newest counters.
    """

    samples: int = 0
    lost_frames: int = 0
    crc_errors: int = 0
    malformed: int = 0
    seconds: float = 0.0
    connected: bool = True
    note: str = ""
    statistics: Statistics | None = None


class Logger:
    """Logs one board to one file until told to stop.

    Parameters
    ----------
    url : str
        Port of the board.
    path : Path
        Log file; one that exists is continued if it is of the same model.
    raw, seconds, calibration, model_dirs
        As of `Session`; the card found goes into the log.
    listeners : sequence of Listener
        Who else is told what comes.

    Attributes
    ----------
    progress : LogProgress
    identity : Identity or None
        Of the board, once it has answered.
    card : ModelCard or None
        Of its model; None where no model directory holds it.
    clock : ClockFit or None
        The board's clock against this computer's, over the longest run; None before the first
        sample.

    Raises
    ------
    ModelError
        If one of `model_dirs` is no model directory.
    """

    def __init__(
        self,
        url: str,
        path: str | Path,
        *,
        raw: bool = False,
        seconds: float | None = None,
        calibration: Calibration | None = None,
        model_dirs: Sequence[Path] = (),
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.url = url
        self.path = Path(path)
        self.progress = LogProgress()
        self._drift = Drift()
        self._session = Session(
            url,
            raw=raw,
            seconds=seconds,
            calibration=calibration,
            model_dirs=model_dirs,
            other_model="refuse",
            recording=path,
        )
        for listener in (self._drift, *listeners):
            self._session.add(listener)

    @property
    def identity(self) -> Identity | None:
        """Of the board, once it has answered."""
        return self._session.status().identity

    @property
    def card(self) -> ModelCard | None:
        """Of its model; None where no model directory holds it."""
        return self._session.status().card

    @property
    def clock(self) -> ClockFit | None:
        """The board's clock against this computer's; None before the first sample."""
        return self._drift.fit()

    def marker(self, label: str) -> bool:
        """Mark this moment, from any thread; return whether there is a log yet that holds it."""
        return self._session.marker(label)

    def run(
        self,
        stop: threading.Event,
        on_progress: Callable[[LogProgress], None] = lambda progress: None,
    ) -> LogProgress:
        """Log until `stop` is set, the time is over, or the board has no more to send.

        A port that goes away is waited for; its return is a `resumed` event in the file.

        Raises
        ------
        LinkError
            If the port cannot be opened at the beginning or another model comes back.
        RecordingError
            If the file is not a log, one of another model (it is left as it was), or cannot be
            written.
        """

        def note(status: Status) -> None:
            self.progress = LogProgress(
                samples=status.samples,
                lost_frames=status.lost_frames,
                crc_errors=status.crc_errors,
                malformed=status.malformed,
                seconds=status.seconds,
                connected=status.state != "waiting",
                note=status.note,
                statistics=status.statistics,
            )
            on_progress(self.progress)

        self._session.run(stop, note)
        return self.progress
