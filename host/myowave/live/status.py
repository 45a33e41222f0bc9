"""How a session and its recording stand: what a monitor shows beside the curves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from myowave.link import Identity, Statistics
from myowave.model_card import ModelCard

State = Literal["opening", "live", "silent", "waiting", "ended"]


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
        Since the board was first started; 0 before.
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
