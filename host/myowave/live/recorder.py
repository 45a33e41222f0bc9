"""Write a session, or a part of it, to a log file."""

import time
from pathlib import Path
from typing import Any

from myowave.errors import RecordingError
from myowave.link import Identity
from myowave.live.status import RecordingStatus
from myowave.log import LogWriter, describe_model
from myowave.model_card import ModelCard
from myowave.wire import Frame


class Recorder:
    """One recording: a log file that is open, and what has been written to it.

    Nothing is written before the first `flush`.

    Parameters
    ----------
    path : Path
        New, or a log of the same model, which is continued.
    identity : Identity
        Of the board.
    raw : bool
        Whether the recording is to hold raw counts.

    Raises
    ------
    RecordingError
        If the file cannot be written, is no log or one of another model: it is left as it was.
    """

    def __init__(self, path: Path, identity: Identity, *, raw: bool) -> None:
        self.path = path
        self.raw = raw
        self._writer = LogWriter(path)
        self._began = time.monotonic()
        self._samples = 0
        self._markers = 0
        logged = self._writer.identity
        if logged is not None and describe_model(logged) != describe_model(identity):
            self.abandon()
            raise RecordingError(
                f"{path}: a log of {describe_model(logged)}, the board runs "
                f"{describe_model(identity)}; log it into another file"
            )

    def begin(
        self, url: str, card: ModelCard | None, identity_frame: tuple[Frame, float] | None = None
    ) -> None:
        """Write what a log begins with.

        Parameters
        ----------
        url : str
            Port of the board.
        card : ModelCard or None
            Of its model.
        identity_frame : (Frame, float), optional
            In the middle of a session: the newest identity frame and when it came. At the beginning
            of one it follows by itself.
        """
        if identity_frame is None:
            self.event("opened", url=url)
        else:
            self.event("opened", url=url, midway=True)
            self.frame(*identity_frame)
        if card is not None:
            self.event("model_card", card=card.to_json())

    def frame(self, frame: Frame, host_s: float) -> None:
        """Write a frame that arrived at a Unix time."""
        self._writer.frame(frame, host_s)
        if frame.name == "data":
            self._samples += frame["count"]

    def event(self, name: str, host_s: float | None = None, **details: Any) -> None:
        """Write an event."""
        self._writer.event(name, host_s, **details)
        self._markers += name == "marker"

    def flush(self) -> None:
        """Hand everything to the operating system; raise RecordingError if the file is full."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is pending and close the file; raise RecordingError if that fails."""
        self._writer.close()

    def abandon(self) -> None:
        """Close the file without writing what is pending."""
        self._writer.discard()
        self._writer.close()

    def status(self) -> RecordingStatus:
        """Return how the recording stands."""
        return RecordingStatus(
            path=self.path,
            seconds=time.monotonic() - self._began,
            samples=self._samples,
            markers=self._markers,
            bytes=self._writer.length,
        )
