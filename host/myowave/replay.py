"""Play a log as if it were a board: a serial port that answers, and sends what was logged.

There is no network and no IMU behind it: predictions, counts, gaps, warm-up, statistics and texts
are the log's, at the times of the board's own clock. What is new are the sequence numbers, and
what a reader that is too slow has cost.
"""

import errno
import math
import os
import select
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from myowave.errors import ConfigError, MyowaveError, RecordingError, ToolError
from myowave.link import Identity
from myowave.log import read_records
from myowave.pty_port import Pty, put_link, refuse_taken, remove_link
from myowave.wire import DEFINITION, Decoder, Frame, FrameError, encode_frame
from myowave.wire.codec import SEQUENCE_RANGE

# The ring behind a board's UART, and what data frames leave of it to answers: transmitter.h.
TX_RING_SIZE = 2048
TX_RESERVE = 512
# Between two runs of a log. How long the board really rested is no part of what it measured.
PAUSE_US = 100_000
# Time to look again at a port nobody has open, and at a request to end.
IDLE_S = 0.02
_TURN = 64  # frames sent before commands are looked for
_RAW = DEFINITION.data_flags["raw"]
_STATUS = DEFINITION.status
_MODE = DEFINITION.mode
_TEXT_BYTES = 255
_U32_MAX = (1 << 32) - 1


@dataclass(frozen=True)
class Survey:
    """What a log has to play.

    Attributes
    ----------
    identity : dict
        Fields of the identity frame in force at the first sample.
    data_frames, samples : int
        How many there are.
    damaged : int
        Records that cannot be read; they are left out.
    """

    identity: dict[str, Any]
    data_frames: int
    samples: int
    damaged: int


def survey_log(path: Path) -> Survey:
    """Look through a log to be played.

    Raises
    ------
    RecordingError
        If it is no log, or holds no identity of a board or no samples.
    """
    identity: dict[str, Any] | None = None
    data_frames = samples = damaged = 0
    for record in read_records(path):
        if record is None:
            damaged += 1
        elif record.frame is not None and record.frame.name == "identity":
            # Of several before the first sample the last: calibrations are told before a start.
            if _is_board(record.frame) and (identity is None or not data_frames):
                identity = record.frame.fields
        elif _has_samples(record.frame):
            data_frames += 1
            samples += record.frame["count"]
    found = f" ({damaged} damaged records)" if damaged else ""
    if identity is None:
        raise RecordingError(
            f"{path}: no identity of a board in it{found}, expected a log of 'myowave log'"
        )
    if samples == 0:
        raise RecordingError(f"{path}: no samples in it{found}, there is nothing to play")
    return Survey(identity, data_frames, samples, damaged)


def _has_samples(frame: Frame | None) -> TypeGuard[Frame]:
    return frame is not None and frame.name == "data" and frame["count"] > 0


def _is_board(frame: Frame) -> bool:
    try:
        Identity.from_frame(frame)
    except FrameError:
        return False
    return True


@dataclass(frozen=True)
class _Item:
    """One frame to send, and when: device time since the start of the play."""

    at_us: int
    name: str
    fields: dict[str, Any]


def _items(path: Path, period_us: int) -> Iterator[_Item]:
    """Yield what a log holds that a board sends unasked, in its order."""
    at_us = 0
    shift_us: int | None = None  # from the board's clock to the play's
    next_tick = time_us = 0
    for record in read_records(path):
        if record is None:
            continue
        if record.event is not None:
            if record.event.get("event") == "marker":
                text = f"marker: {record.event.get('label', '')}"
                yield _Item(at_us, "text", {"level": DEFINITION.level["info"], "text": _cut(text)})
            continue
        frame = record.frame
        assert frame is not None
        if _has_samples(frame):
            # Ticks or time that go back: the board was started anew, as `read_log` sees it.
            if shift_us is None or frame["first_tick"] < next_tick or frame["time_us"] < time_us:
                pause = 0 if shift_us is None else PAUSE_US
                shift_us = at_us + pause - frame["time_us"]
            next_tick = frame["first_tick"] + frame["count"]
            time_us = frame["time_us"]
            # A board sends a batch when it has its last sample.
            at_us = max(at_us, time_us + (frame["count"] - 1) * period_us + shift_us)
            yield _Item(at_us, "data", frame.fields)
        elif frame.name in ("statistics", "text") or (
            # Those before the first sample are answers to who asked then.
            frame.name == "identity" and shift_us is not None and _is_board(frame)
        ):
            yield _Item(at_us, frame.name, frame.fields)


def _cut(text: str) -> str:
    # JSON may hold half a letter, which is no UTF-8.
    return text.encode(errors="replace")[:_TEXT_BYTES].decode(errors="ignore")


class ReplayedBoard:
    """A log at a serial port, as if it were the board; a context manager.

    Parameters
    ----------
    log : Path
        Log file; it is read while it is played, never held whole.
    link : Path, optional
        Where to put a symbolic link to the serial port.
    speed : float
        How much faster than the board's clock; `inf`: as fast as the port is read, and then
        nothing is dropped.
    loop : bool
        Begin again at the end: a new run, as if the board had been started anew.

    Attributes
    ----------
    port : str
        The serial port: `link` or the pty itself.
    survey : Survey
        What there is to play.
    ended : threading.Event
        Set when the log has been played to its end.

    Raises
    ------
    RecordingError
        If the log is none, or has nothing to play.
    ConfigError
        If the speed is not over 0.
    """

    def __init__(
        self, log: Path, link: Path | None = None, *, speed: float = 1.0, loop: bool = False
    ) -> None:
        if not speed > 0:
            raise ConfigError(f"speed {speed:g}, expected a number over 0, or inf")
        self.survey = survey_log(log)
        self.port = ""
        self.ended = threading.Event()
        self._log = log
        self._link = link
        self._speed = speed
        self._loop = loop
        self._pty: Pty | None = None
        self._closing = threading.Event()
        self._failure: MyowaveError | None = None
        self._thread = threading.Thread(target=self._run, name="replayed board", daemon=True)

    def __enter__(self) -> "ReplayedBoard":
        """Put up the port and answer at it."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Take the port away."""
        self.close()

    def start(self) -> None:
        """Put up the port.

        Raises
        ------
        LinkError
            If `link` is taken or cannot be made.
        """
        if self._link is not None:
            refuse_taken(self._link)
        self._pty = Pty()
        self.port = self._pty.port
        self._pty.release()
        os.set_blocking(self._pty.controller, False)
        if self._link is not None:
            try:
                put_link(self._link, self.port)
            except MyowaveError:
                self.close()
                raise
            self.port = str(self._link)
        self._thread.start()

    def close(self) -> None:
        """Take the port away and remove the link, if it is still the one to this port."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._pty is not None:
            if self._link is not None:
                remove_link(self._link, self._pty.port)
            self._pty.close()
            self._pty = None

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait up to `timeout_s` while the board runs; raise what has ended it, if it has ended."""
        self._thread.join(timeout_s)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        assert self._pty is not None
        player = _Player(self._log, self.survey, self._speed, self._loop, self.ended)
        try:
            while not self._closing.is_set():
                _serve(self._pty.controller, player)
        except MyowaveError as error:
            self._failure = error
        except OSError as error:
            self._failure = ToolError(f"{self._log}: the port has failed ({error.strerror})")


def _serve(controller: int, player: "_Player") -> None:
    """Take commands, send what is due, and wait for the next of either."""
    wait_s = player.play()
    events = select.POLLIN | (select.POLLOUT if player.pending else 0)
    poller = select.poll()
    poller.register(controller, events)
    found = poller.poll(1000 * wait_s)
    state = found[0][1] if found else 0
    if state & (select.POLLHUP | select.POLLERR):
        # A UART sends into the void when nothing is connected; and this poll has not waited.
        player.connected = False
        player.pending.clear()
        time.sleep(wait_s)
        return
    player.connected = True
    try:
        if state & select.POLLIN:
            player.receive(os.read(controller, 4096))
        if player.pending:
            del player.pending[: os.write(controller, player.pending)]
    except OSError as error:
        # Full, or hung up since it was asked; the next turn sees which.
        if error.errno not in (errno.EAGAIN, errno.EIO):
            raise


class _Player:
    """The board: its commands, its clock, and the ring behind its UART.

    Attributes
    ----------
    pending : bytearray
        Bytes the line has not taken yet, at most TX_RING_SIZE.
    connected : bool
        Whether anyone has the port open.
    """

    def __init__(
        self, log: Path, survey: Survey, speed: float, loop: bool, ended: threading.Event
    ) -> None:
        self.pending = bytearray()
        self.connected = False
        self._log = log
        self._survey = survey
        self._speed = speed
        self._loop = loop
        self._ended = ended
        self._decoder = Decoder()
        self._sequence = 0
        self._identity = survey.identity
        self._raw = False
        self._items: Iterator[_Item] | None = None
        self._next: _Item | None = None
        self._data_left = 0
        self._started_s = 0.0
        self._clock_us = 0  # device time at `_clock_s`
        self._clock_s = time.monotonic()
        self._statistics = dict.fromkeys(_statistics_names(), 0)
        self._said_idle = False
        self._reset_counters()

    # ---- the play ----------------------------------------------------------------------------

    @property
    def _running(self) -> bool:
        return self._items is not None and (self._loop or self._data_left > 0)

    def _start(self) -> None:
        if self._items is not None:
            return
        self._begin(time.monotonic())
        self._take_identity(self._survey.identity)

    def _begin(self, started_s: float) -> None:
        self._items = _items(self._log, 1_000_000 // self._survey.identity["rate_hz"])
        self._next = next(self._items, None)
        if self._next is None:
            raise RecordingError(f"{self._log}: has become empty while it was played")
        self._data_left = self._survey.data_frames
        self._started_s = started_s
        self._said_idle = False

    def _stop(self) -> None:
        if self._items is not None:
            self._items = self._next = None
            self._send("statistics", self._answer())

    def play(self) -> float:
        """Send what is due; return the seconds until there is more to do."""
        for _ in range(_TURN):
            if self._items is None:
                return IDLE_S
            if self._next is None:
                self._end()
                continue
            if math.isinf(self._speed):
                # As fast as it is read: nothing is due before there is a place for it.
                if not self.connected or len(self.pending) > TX_RESERVE:
                    return IDLE_S
            else:
                due_s = self._started_s + self._next.at_us / 1e6 / self._speed
                wait_s = due_s - time.monotonic()
                if wait_s > 0:
                    return min(wait_s, IDLE_S)
            item, self._next = self._next, next(self._items, None)
            self._send_item(item)
        return 0.0

    def _end(self) -> None:
        if self._loop:
            self._begin(time.monotonic() + PAUSE_US / 1e6)
            self._take_identity(self._survey.identity)
            return
        self._items = None
        if not self._said_idle:
            self._send("statistics", self._answer())
            self._say("the log has no further samples: stopped")
        self._ended.set()

    def _send_item(self, item: _Item) -> None:
        if item.name == "identity":
            self._take_identity(item.fields)
        elif item.name == "statistics":
            self._statistics = item.fields
            self._said_idle = item.fields["mode"] == _MODE["idle"]
            self._send("statistics", self._with_drops(item.fields))
        elif item.name == "data":
            self._data_left -= 1
            self._said_idle = False
            self._clock_us = item.fields["time_us"]
            self._clock_s = time.monotonic()
            self._send_data(item.fields)
        else:
            self._send(item.name, item.fields)

    def _send_data(self, fields: dict[str, Any]) -> None:
        if not self._raw:
            fields = {**fields, "flags": fields["flags"] & ~_RAW, "counts": []}
        if not self._put("data", fields, TX_RESERVE):
            self._dropped_batches += 1

    def _take_identity(self, fields: dict[str, Any]) -> None:
        """Be the board of this identity frame; tell it when something about it has changed."""
        changed = self._now(fields) != self._now(self._identity)
        self._identity = fields
        if changed:
            self._send("identity", self._now(fields))

    def _now(self, identity: dict[str, Any]) -> dict[str, Any]:
        return {**identity, "running": int(self._running), "raw": int(self._raw)}

    def _device_us(self) -> int:
        speed = 1.0 if math.isinf(self._speed) else self._speed
        return self._clock_us + int(1e6 * speed * (time.monotonic() - self._clock_s))

    # ---- counters ----------------------------------------------------------------------------

    def _reset_counters(self) -> None:
        self._statistics = dict.fromkeys(self._statistics, 0)
        self._dropped_batches = self._dropped_frames = self._sent = self._received = 0
        self._decoder.crc_errors = self._decoder.malformed = 0

    def _with_drops(self, recorded: dict[str, Any]) -> dict[str, Any]:
        """Return recorded counters and what was dropped since, on the way to this reader."""
        batches = recorded["tx_dropped_batches"] + self._dropped_batches
        frames = recorded["tx_dropped_frames"] + self._dropped_frames
        return {
            **recorded,
            "tx_dropped_batches": min(batches, _U32_MAX),
            "tx_dropped_frames": min(frames, _U32_MAX),
        }

    def _answer(self) -> dict[str, Any]:
        """Return the statistics of now: the log's newest, and those of this line."""
        return {
            **self._with_drops(self._statistics),
            "time_us": self._device_us(),
            "mode": _MODE["sampling" if self._running else "idle"],
            "tx_frames": self._sent,
            "rx_frames": self._received,
            "rx_crc_errors": self._decoder.crc_errors,
            "rx_malformed": self._decoder.malformed,
            "rx_overflow": 0,
        }

    # ---- the line ----------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes from the host and obey."""
        for frame in self._decoder.feed(data):
            self._received += 1
            self._obey(frame)

    def _obey(self, frame: Frame) -> None:
        match frame.name:
            case "identify":
                self._send("identity", self._now(self._identity))
                return
            case "ping":
                self._send("pong", {"token": frame["token"], "time_us": self._device_us()})
                return
            case "get_statistics":
                self._send("statistics", self._answer())
                return
            case "start":
                self._start()
                status = "ok"
            case "stop":
                self._stop()
                status = "ok"
            case "set_raw":
                status = "ok" if frame["on"] <= 1 else "bad_argument"
                if status == "ok":
                    self._raw = frame["on"] == 1
            case "reset_counters":
                self._reset_counters()
                status = "ok"
            case "set_calibration" | "measure_gyro_bias":
                status = "busy" if self._running else "no_sensor"
            case _:
                status = "unknown_command"
        number = DEFINITION.frames[frame.name].type
        answer = {"command": number, "command_sequence": frame.sequence, "status": _STATUS[status]}
        self._send("acknowledge", answer)

    def _say(self, text: str) -> None:
        self._send("text", {"level": DEFINITION.level["info"], "text": text})

    def _send(self, name: str, fields: dict[str, Any]) -> None:
        if not self._put(name, fields, 0):
            self._dropped_frames += 1

    def _put(self, name: str, fields: dict[str, Any], reserve: int) -> bool:
        """Put a frame into the ring, whole or not at all; only then is its number used up."""
        encoded = encode_frame(name, self._sequence, **fields)
        if len(self.pending) + len(encoded) + reserve > TX_RING_SIZE:
            return False
        self.pending += encoded
        self._sequence = (self._sequence + 1) % SEQUENCE_RANGE
        self._sent += 1
        return True


def _statistics_names() -> tuple[str, ...]:
    return tuple(field.name for field in DEFINITION.frames["statistics"].fields)
