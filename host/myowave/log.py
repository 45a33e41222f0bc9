"""The file a board's session is logged to: append-only, crash-safe, and read back as arrays.

The file is `MYOWAVE-LOG-2\\n`, then records, each `COBS(kind u8, host time f64, body, crc32) 0x00`.
A record of kind 0 is one frame of the wire protocol as the board sent it (type, sequence, payload);
one of kind 1 is an event of the logger, as JSON. Records go to the operating system several times a
second, so a logger that is killed loses less than the last second, and a record cut in the middle
costs only itself.

Events, by the name in `event`: `opened` and `resumed` (`url`), `lost` and `closed` (`reason`),
`marker` (`label`), `note` (`text`), `model_card` (`card`, the content of `model.json`). Their host
time is that of the moment they are about. One log is of one model. `opened` with `midway` begins a
recording in the middle of a session: the identity frame that follows is one from before.
"""

import contextlib
import json
import math
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cobs import cobs
from numpy.typing import NDArray

from myowave.calibration import Calibration
from myowave.errors import RecordingError
from myowave.link import Identity, Statistics
from myowave.wire import DEFINITION, Frame, FrameError
from myowave.wire.codec import SEQUENCE_RANGE, decode_body

# The number is that of the wire protocol whose frames follow.
_MAGIC_STEM = b"MYOWAVE-LOG-"
MAGIC = _MAGIC_STEM + b"%d\n" % DEFINITION.limits["version"]
_KIND_FRAME = 0
_KIND_EVENT = 1
_HEAD = struct.Struct("<Bd")
_CRC = struct.Struct("<I")
# Longer than any record; what goes on for longer without a zero byte is no record.
_RECORD_MAX = 1 << 20


# ---- writing -------------------------------------------------------------------------------------


class LogWriter:
    """Appends records to one log file; a context manager.

    Attributes
    ----------
    path : Path
    identity : Identity or None
        Of the board whose log is continued; None for a new file.

    Raises
    ------
    RecordingError
        If the file exists and is no log, or cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.identity: Identity | None = None
        try:
            self._length = self.path.stat().st_size if self.path.exists() else 0
            if self._length > 0:
                with self.path.open("rb") as file:
                    _require_magic(
                        self.path,
                        file.read(len(MAGIC)),
                        "exists and is no log, expected a new file",
                    )
                    self.identity = _first_identity(file.read)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise self._unwritable(error) from error
        # The zero ends a record that a killed logger may have left unfinished.
        self._pending = [b"\0" if self._length > 0 else MAGIC]

    def __enter__(self) -> "LogWriter":
        """Return the writer."""
        return self

    def __exit__(self, *error: object) -> None:
        """Write what is pending and close the file."""
        self.close()

    @property
    def length(self) -> int:
        """Bytes in the file, those included that are still to be written."""
        return self._length + sum(map(len, self._pending))

    def frame(self, frame: Frame, host_s: float | None = None) -> None:
        """Add one frame, and the Unix time at which it came: now, unless named."""
        self._add(_KIND_FRAME, frame.raw, host_s)

    def event(self, name: str, host_s: float | None = None, **details: Any) -> None:
        """Add one event of the logger's own, and the Unix time of it: now, unless named."""
        self._add(_KIND_EVENT, json.dumps({"event": name, **details}).encode(), host_s)

    def _add(self, kind: int, body: bytes, host_s: float | None) -> None:
        record = _HEAD.pack(kind, time.time() if host_s is None else host_s) + body
        self._pending.append(cobs.encode(record + _CRC.pack(zlib.crc32(record))) + b"\0")

    def discard(self) -> None:
        """Forget all records since the last flush."""
        self._pending.clear()

    def flush(self) -> None:
        """Hand all records to the operating system, which keeps them whatever becomes of us.

        Raises
        ------
        RecordingError
            If the file takes no more; what was written before is kept, what was to be is not.
        """
        data = b"".join(self._pending)
        self._pending.clear()
        while data:
            try:
                written = os.write(self._file, data)
            except OSError as error:
                raise self._unwritable(error) from error
            self._length += written
            data = data[written:]

    def close(self) -> None:
        """Write what is pending, to the disk itself, and close the file; raise as `flush` does."""
        try:
            self.flush()
            with contextlib.suppress(OSError):
                os.fsync(self._file)
        finally:
            os.close(self._file)

    def _unwritable(self, error: OSError) -> RecordingError:
        return RecordingError(
            f"{self.path}: cannot be written ({error.strerror}), expected room for a log there"
        )


def describe_model(identity: Identity) -> str:
    """Return what all of one log has in common, in words: two that differ are of two logs."""
    muscles = ", ".join(identity.muscles)
    return f"model {identity.model_sha256[:12]} ({muscles}; {identity.rate_hz} Hz)"


# ---- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LogData:
    """What a log file holds, one row a sample (n samples, m muscles).

    Attributes
    ----------
    identity : Identity or None
        Of the board, as it said last; None when the file ends before.
    run : (n,) int64
        Counts the starts of the board: ticks count up within one run.
    tick : (n,) int64
        Ticks of the sample clock since the start; 1 ms each at 1 kHz.
    device_us : (n,) int64
        Device time of the tick.
    host_s : (n,) float64
        Unix time at which the sample's frame arrived.
    predictions : (n, m) int8
        The network's outputs.
    warm_up : (n,) bool
        Samples that look back over a start or gap.
    missing : (n,) int64
        Ticks missing just before the sample: lost on the line, by the board, or by the IMU.
    counts : (n, 6) int16
        Raw IMU counts, 0 where `has_counts` is False.
    has_counts : (n,) bool
        Where the board sent raw counts.
    corrected : (n, 6) int16
        The raw counts as the network got them, with the calibration the board had at the time.
    statistics : list of (host time, Statistics)
    events : list of (host time, dict)
        What the logger noted, in the order of the file: `event` is the name.
    markers, notes : list of (host time, str)
        Labels of the markers, and remarks, in the order of the file.
    card : dict or None
        The model's card, as `ModelCard.from_json` reads it; None when the logger did not have it.
    texts : list of (host time, str)
        What the board said.
    lost_frames : int
        Frames missing from the board's sequence numbers.
    damaged_records : int
        Records of the file that could not be read, such as one cut off at its end.
    """

    identity: Identity | None
    run: NDArray[np.int64]
    tick: NDArray[np.int64]
    device_us: NDArray[np.int64]
    host_s: NDArray[np.float64]
    predictions: NDArray[np.int8]
    warm_up: NDArray[np.bool_]
    missing: NDArray[np.int64]
    counts: NDArray[np.int16]
    has_counts: NDArray[np.bool_]
    corrected: NDArray[np.int16]
    statistics: list[tuple[float, Statistics]]
    events: list[tuple[float, dict[str, Any]]]
    markers: list[tuple[float, str]]
    notes: list[tuple[float, str]]
    card: dict[str, Any] | None
    texts: list[tuple[float, str]]
    lost_frames: int
    damaged_records: int

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.tick)

    @property
    def envelope(self) -> NDArray[np.float64]:
        """Predicted envelope, (n, m), as a fraction of the subject's reference."""
        if self.identity is None:
            raise RecordingError("log without an identity frame: the scale of outputs is unknown")
        return self.identity.envelope(self.predictions)


def read_log(path: str | Path) -> LogData:
    """Read a log file, also one whose logger was killed.

    Raises
    ------
    RecordingError
        If it is no log.
    """
    parts = _Parts()
    for record in read_records(path):
        parts.add(record)
    return parts.finish()


def _require_magic(path: Path, found: bytes, otherwise: str) -> None:
    """Raise RecordingError, which says `otherwise`, unless a file begins as a log does."""
    if found == MAGIC:
        return
    if found.startswith(_MAGIC_STEM):
        version = found[len(_MAGIC_STEM) :].strip().decode(errors="replace")
        raise RecordingError(
            f"{path}: a log of protocol version {version}, this program reads version "
            f"{DEFINITION.limits['version']}; read it with the MyoWave that wrote it"
        )
    raise RecordingError(f"{path}: {otherwise}")


@dataclass(frozen=True)
class Record:
    """One record of a log: a frame of the board, or an event of the logger.

    Attributes
    ----------
    host_s : float
        Unix time it was written with.
    frame : Frame or None
        What the board sent.
    event : dict or None
        What the logger noted; `event` is its name.
    """

    host_s: float
    frame: Frame | None = None
    event: dict[str, Any] | None = None


def read_records(path: str | Path) -> Iterator[Record | None]:
    """Yield the records of a log file in their order, None for one that is damaged.

    Raises
    ------
    RecordingError
        If it is no log.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            _require_magic(path, file.read(len(MAGIC)), "not a log, expected one of 'myowave log'")
            yield from _records(file.read)
    except OSError as error:
        raise RecordingError(f"{path}: cannot read it ({error.strerror})") from error


def _records(read: Callable[[int], bytes]) -> Iterator[Record | None]:
    for run in _runs(read):
        try:
            yield _decode_record(run)
        except FrameError:
            yield None


def _runs(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield what lies between zero bytes, and what is left at the end, cut to a record's length."""
    tail = b""
    while chunk := read(_RECORD_MAX):
        *runs, tail = (tail + chunk).split(b"\0")
        yield from filter(None, runs)
        tail = tail[:_RECORD_MAX]
    if tail:
        yield tail


def _decode_record(encoded: bytes) -> Record:
    """Return one record; raise FrameError if it is damaged, or its content makes no sense."""
    try:
        record = cobs.decode(encoded)
    except cobs.DecodeError as error:
        raise FrameError(f"not COBS: {error}") from error
    if len(record) < _HEAD.size + _CRC.size:
        raise FrameError("too short")
    record, crc = record[: -_CRC.size], _CRC.unpack(record[-_CRC.size :])[0]
    if zlib.crc32(record) != crc:
        raise FrameError("checksum")
    kind, host_s = _HEAD.unpack_from(record)
    body = record[_HEAD.size :]
    if not math.isfinite(host_s):
        raise FrameError(f"host time {host_s}")
    if kind == _KIND_FRAME:
        return Record(host_s, frame=decode_body(body))
    if kind != _KIND_EVENT:
        raise FrameError(f"unknown kind {kind}")
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FrameError("event: not JSON") from error
    if not isinstance(event, dict):
        raise FrameError("event: not an object")
    return Record(host_s, event=event)


def _first_identity(read: Callable[[int], bytes]) -> Identity | None:
    """Return who the board of a log is; it says so at the beginning of the file."""
    parts = _Parts()
    for record in _records(read):
        parts.add(record)
        if parts.identity is not None:
            break
    return parts.identity


class _Parts:
    """Gathers the records of a file."""

    def __init__(self) -> None:
        self.identity: Identity | None = None
        self.frames: list[tuple[float, int, Frame]] = []
        # From which data frame on the board put its counts right in which way.
        self.calibrations: list[tuple[int, Calibration | None]] = []
        self.statistics: list[tuple[float, Statistics]] = []
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.markers: list[tuple[float, str]] = []
        self.notes: list[tuple[float, str]] = []
        self.card: dict[str, Any] | None = None
        self.texts: list[tuple[float, str]] = []
        self.lost = 0
        self.damaged = 0
        self._run = -1
        self._next_tick = -1
        self._time_us = 0
        self._next_sequence: int | None = None
        self._from_before = False

    def add(self, record: Record | None) -> None:
        """Take one record; one that is damaged, or of a board there cannot be, is counted."""
        if record is None:
            self.damaged += 1
            return
        try:
            if record.event is not None:
                self._event(record.host_s, record.event)
            elif record.frame is not None:
                self._frame(record.host_s, record.frame)
        except FrameError:
            self.damaged += 1

    def _event(self, host_s: float, event: dict[str, Any]) -> None:
        match event:
            case {"event": "opened" | "resumed"}:
                self._next_sequence = None
                self._from_before = bool(event.get("midway"))
            case {"event": "marker", "label": str(label)}:
                self.markers.append((host_s, label))
            case {"event": "note", "text": str(text)}:
                self.notes.append((host_s, text))
            case {"event": "model_card", "card": dict(card)}:
                self.card = card
            case {"event": "marker" | "note" | "model_card" as name}:
                raise FrameError(f"event '{name}' without its content")
        self.events.append((host_s, event))

    def _frame(self, host_s: float, frame: Frame) -> None:
        if self._from_before and frame.name == "identity":
            # What came between it and the recording was not lost.
            self._from_before = False
        else:
            if self._next_sequence is not None:
                jump = (frame.sequence - self._next_sequence) % SEQUENCE_RANGE
                self.lost += jump if jump < SEQUENCE_RANGE // 2 else 0
            self._next_sequence = (frame.sequence + 1) % SEQUENCE_RANGE
        if frame.name == "identity":
            self.identity = Identity.from_frame(frame)
            self.calibrations.append((len(self.frames), self.identity.calibration))
        elif frame.name == "statistics":
            self.statistics.append((host_s, Statistics.from_frame(frame)))
        elif frame.name == "text":
            self.texts.append((host_s, frame["text"]))
        elif frame.name == "data" and frame["count"] > 0:
            # Ticks or device time that go back: the board was started anew.
            if frame["first_tick"] < self._next_tick or frame["time_us"] < self._time_us:
                self._next_tick = -1
            if self._next_tick < 0:
                self._run += 1
            self._next_tick = frame["first_tick"] + frame["count"]
            self._time_us = frame["time_us"]
            self.frames.append((host_s, self._run, frame))

    def finish(self) -> LogData:
        """Return all samples as arrays."""
        # A board that was exchanged for one with other outputs would not fit one array.
        if self.identity is not None:
            outputs = len(self.identity.muscles)
        else:
            outputs = self.frames[-1][2]["outputs"] if self.frames else 0
        chosen = [i for i, (*_, frame) in enumerate(self.frames) if frame["outputs"] == outputs]
        frames = [self.frames[i] for i in chosen]
        lengths = np.array([frame["count"] for _, _, frame in frames], dtype=np.int64)
        n = int(lengths.sum())
        first = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)[: len(lengths)]
        within = np.arange(n, dtype=np.int64) - np.repeat(first, lengths)

        def per_frame(values: list[Any], dtype: type) -> NDArray[Any]:
            return np.repeat(np.array(values, dtype=dtype), lengths)

        rate_hz = self.identity.rate_hz if self.identity is not None else 1000
        run = per_frame([run for _, run, _ in frames], np.int64)
        tick = per_frame([frame["first_tick"] for _, _, frame in frames], np.int64) + within
        previous = np.concatenate([[-1], tick[:-1]])[:n]
        same_run = np.concatenate([[False], run[1:] == run[:-1]])[:n]
        counts = np.zeros((n, 6), dtype=np.int16)
        has_counts = per_frame([len(frame["counts"]) > 0 for _, _, frame in frames], np.bool_)
        if has_counts.any():
            counts[has_counts] = np.vstack([f["counts"] for _, _, f in frames if len(f["counts"])])
        corrected = counts.copy()
        number = np.repeat(np.array(chosen, dtype=np.int64), lengths)
        ends = [*(begin for begin, _ in self.calibrations[1:]), len(self.frames)]
        for (begin, calibration), end in zip(self.calibrations, ends, strict=False):
            if calibration is not None:
                rows = (number >= begin) & (number < end)
                corrected[rows] = calibration.apply(counts[rows])
        # Before the first sample of a run only the board knows what is missing.
        gap = per_frame([frame["gap_ticks"] for _, _, frame in frames], np.int64)
        return LogData(
            identity=self.identity,
            run=run,
            tick=tick,
            device_us=per_frame([frame["time_us"] for _, _, frame in frames], np.int64)
            + within * (1_000_000 // rate_hz),
            host_s=per_frame([host_s for host_s, _, _ in frames], np.float64),
            predictions=np.vstack([frame["predictions"] for _, _, frame in frames])
            if frames
            else np.zeros((0, len(self.identity.muscles) if self.identity else 0), dtype=np.int8),
            warm_up=within < per_frame([frame["warm_up"] for _, _, frame in frames], np.int64),
            missing=np.where(same_run, tick - previous - 1, gap),
            counts=counts,
            has_counts=has_counts,
            corrected=corrected,
            statistics=self.statistics,
            events=self.events,
            markers=self.markers,
            notes=self.notes,
            card=self.card,
            texts=self.texts,
            lost_frames=self.lost,
            damaged_records=self.damaged,
        )
