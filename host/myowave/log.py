"""Log what a board sends to an append-only file, and read such files back.

The file is `MYOWAVE-LOG-2\\n`, then records, each `COBS(kind u8, host time f64, body, crc32) 0x00`.
A record of kind 0 is one frame of the wire protocol as the board sent it (type, sequence, payload);
one of kind 1 is an event of the logger, as JSON. Records go to the operating system several times a
second, so a logger that is killed loses less than the last second, and a record cut in the middle
costs only itself.
"""

import contextlib
import json
import math
import os
import struct
import threading
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
from myowave.errors import LinkError, RecordingError
from myowave.link import Device, Identity, Statistics
from myowave.wire import DEFINITION, Frame, FrameError
from myowave.wire.codec import SEQUENCE_RANGE, decode_body

# The number is that of the wire protocol whose frames follow.
_MAGIC_STEM = b"MYOWAVE-LOG-"
MAGIC = _MAGIC_STEM + b"%d\n" % DEFINITION.limits["version"]
# How often the port is emptied and the file written: 20 times a second costs little and stays far
# from filling the operating system's serial buffer (4 KB).
POLL_S = 0.05
# A board that samples sends a frame every 20 ms.
SILENCE_S = 3.0
RETRY_S = 0.25
_IDLE = DEFINITION.mode["idle"]
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
    identity : Identity or None
        Of the board whose log is continued; None for a new file.

    Raises
    ------
    RecordingError
        If the file exists and is no log.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.identity: Identity | None = None
        if path.exists() and path.stat().st_size > 0:
            with path.open("rb") as file:
                _require_magic(
                    path, file.read(len(MAGIC)), "exists and is no log, expected a new file"
                )
                self.identity = _first_identity(file.read)
            # Ends a record that a killed logger may have left unfinished.
            self._pending = [b"\0"]
        else:
            self._pending = [MAGIC]
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __enter__(self) -> "LogWriter":
        """Return the writer."""
        return self

    def __exit__(self, *error: object) -> None:
        """Write what is pending and close the file."""
        self.close()

    def frame(self, frame: Frame) -> None:
        """Add one frame with the time of now."""
        self._add(_KIND_FRAME, frame.raw)

    def event(self, name: str, **details: Any) -> None:
        """Add one event of the logger's own."""
        self._add(_KIND_EVENT, json.dumps({"event": name, **details}).encode())

    def _add(self, kind: int, body: bytes) -> None:
        record = _HEAD.pack(kind, time.time()) + body
        self._pending.append(cobs.encode(record + _CRC.pack(zlib.crc32(record))) + b"\0")

    def discard(self) -> None:
        """Forget all records since the last flush."""
        self._pending.clear()

    def flush(self) -> None:
        """Hand all records to the operating system, which keeps them whatever becomes of us."""
        data = b"".join(self._pending)
        self._pending.clear()
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Write what is pending, to the disk itself, and close the file."""
        self.flush()
        with contextlib.suppress(OSError):
            os.fsync(self._file)
        os.close(self._file)


@dataclass
class LogProgress:
    """How a running log stands.

    Attributes
    ----------
    samples : int
        Samples received.
    lost_frames : int
        Frames missing from the board's sequence numbers.
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
    raw : bool
        Have the board send raw IMU counts too.
    seconds : float, optional
        End after this time.
    calibration : Calibration, optional
        What the board is to put right; without one it goes on with what it was told last.
    """

    def __init__(
        self,
        url: str,
        path: str | Path,
        *,
        raw: bool = False,
        seconds: float | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.url = url
        self.path = Path(path)
        self.raw = raw
        self.seconds = seconds
        self.calibration = calibration
        self.progress = LogProgress()
        self.identity: Identity | None = None
        self._lost_before = 0
        self._device_us = 0

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
            If the file is not a log, or one of another model: it is left as it was.
        """
        device = Device.open(self.url)
        with LogWriter(self.path) as writer:
            try:
                self._begin(device, writer, "opened")
                started = time.monotonic()
                while not self._finished(stop, started):
                    try:
                        self._log(device, writer, stop, started, on_progress)
                    except LinkError as error:
                        device.close()
                        self._lost_before += device.decoder.lost
                        self.progress.connected = False
                        self.progress.note = f"waiting for {self.url} to come back"
                        writer.event("lost", reason=str(error))
                        writer.flush()
                        back = self._wait_for_return(writer, stop, started, on_progress)
                        if back is None:
                            break
                        device = back
                if self.progress.connected:
                    # The board sends what it has batched before it acknowledges.
                    with contextlib.suppress(LinkError):
                        device.stop()
                        self.progress.lost_frames = self._lost_before + device.decoder.lost
                writer.event("closed", reason=self.progress.note)
            finally:
                device.close()
        on_progress(self.progress)
        return self.progress

    def _begin(self, device: Device, writer: LogWriter, event: str) -> None:
        writer.event(event, url=self.url)
        device.listen(lambda frame: self._take(frame, writer))
        identity = device.identify()
        if self.identity is not None and _model(identity) != _model(self.identity):
            raise _OtherBoardError(
                f"{self.url}: a board with {_model(identity)} came back, expected "
                f"{_model(self.identity)}"
            )
        if writer.identity is not None and _model(writer.identity) != _model(identity):
            writer.discard()
            raise RecordingError(
                f"{self.path}: a log of {_model(writer.identity)}, the board at {self.url} runs "
                f"{_model(identity)}; log it into another file"
            )
        self.identity = identity
        writer.flush()
        self._start(device)
        self.progress.connected = True
        self.progress.note = ""

    def _start(self, device: Device) -> None:
        device.set_raw(self.raw)
        if self.calibration is not None:
            self.identity = device.set_calibration(self.calibration)
        device.start()

    def _take(self, frame: Frame, writer: LogWriter) -> None:
        writer.frame(frame)
        if frame.name == "data":
            self.progress.samples += frame["count"]
            self._device_us = frame["time_us"]
        elif frame.name == "statistics":
            self.progress.statistics = Statistics.from_frame(frame)
        elif frame.name == "text":
            self.progress.note = frame["text"]

    def _finished(self, stop: threading.Event, started: float) -> bool:
        self.progress.seconds = time.monotonic() - started
        over = self.seconds is not None and self.progress.seconds >= self.seconds
        return stop.is_set() or over or not self.progress.connected

    def _log(
        self,
        device: Device,
        writer: LogWriter,
        stop: threading.Event,
        started: float,
        on_progress: Callable[[LogProgress], None],
    ) -> None:
        """Log while the port is there; return when the log is to end."""
        heard = time.monotonic()
        while not self._finished(stop, started):
            frames = device.frames()
            if frames:
                heard = time.monotonic()
            stopped = any(frame.name == "statistics" and frame["mode"] == _IDLE for frame in frames)
            silent = time.monotonic() - heard > SILENCE_S
            if (stopped or silent) and not self._still_sampling(device):
                self.progress.note = self.progress.note or "the board has stopped"
                stop.set()
            self.progress.lost_frames = self._lost_before + device.decoder.lost
            writer.flush()
            on_progress(self.progress)
            stop.wait(POLL_S)

    def _still_sampling(self, device: Device) -> bool:
        """Tell whether a silent board samples, after starting it again if it has rebooted."""
        identity = device.identify()
        if not identity.running and device.ping() < self._device_us:
            self._start(device)
            return True
        return identity.running

    def _wait_for_return(
        self,
        writer: LogWriter,
        stop: threading.Event,
        started: float,
        on_progress: Callable[[LogProgress], None],
    ) -> Device | None:
        while not stop.is_set():
            self.progress.seconds = time.monotonic() - started
            if self.seconds is not None and self.progress.seconds >= self.seconds:
                break
            on_progress(self.progress)
            stop.wait(RETRY_S)
            device: Device | None = None
            try:
                device = Device.open(self.url)
                self._begin(device, writer, "resumed")
                return device
            except _OtherBoardError:
                raise
            except LinkError:
                # Not there yet, or there and not yet awake.
                if device is not None:
                    device.close()
        return None


def _model(identity: Identity) -> str:
    """Return what all of one log has in common, in words."""
    muscles = ", ".join(identity.muscles)
    return f"model {identity.model_sha256[:12]} ({muscles}; {identity.rate_hz} Hz)"


class _OtherBoardError(LinkError):
    """Another board than before is at the port."""


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
        What the logger noted: `event` is opened, lost, resumed or closed.
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
        self.texts: list[tuple[float, str]] = []
        self.lost = 0
        self.damaged = 0
        self._run = -1
        self._next_tick = -1
        self._time_us = 0
        self._next_sequence: int | None = None

    def add(self, record: Record | None) -> None:
        """Take one record; one that is damaged, or of a board there cannot be, is counted."""
        if record is None:
            self.damaged += 1
        elif record.event is not None:
            self._event(record.host_s, record.event)
        elif record.frame is not None:
            try:
                self._frame(record.host_s, record.frame)
            except FrameError:
                self.damaged += 1

    def _event(self, host_s: float, event: dict[str, Any]) -> None:
        self.events.append((host_s, event))
        if event.get("event") in ("opened", "resumed"):
            self._next_sequence = None

    def _frame(self, host_s: float, frame: Frame) -> None:
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
            texts=self.texts,
            lost_frames=self.lost,
            damaged_records=self.damaged,
        )
