"""One session with a board: open it, start it, follow it through unplugging, record on request."""

import contextlib
import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from myowave.calibration import Calibration
from myowave.errors import LinkError, ModelError, RecordingError
from myowave.link import Device, Identity, Statistics
from myowave.live.recorder import Recorder
from myowave.live.status import RecordingStatus, State, Status
from myowave.log import describe_model
from myowave.model_card import ModelCard, find_card, load_card
from myowave.wire import DEFINITION, Frame, FrameError

__all__ = ["Listener", "RecordingStatus", "Session", "State", "Status"]

# The longest wait for bytes, so that a stop or a command is heeded soon.
POLL_S = 0.05
# After the first bytes: what arrives piece by piece is read at once, for a fraction of the
# processor's time, and far from filling the operating system's serial buffer (4 KB).
GATHER_S = 0.01
# A board that samples sends a frame every 20 ms.
SILENT_S = 0.5
# A board that has been silent for so long is asked whether it samples.
SILENCE_S = 3.0
RETRY_S = 0.25
STATUS_S = 0.1
RATE_S = 2.0
# Over a shorter time a rate says more about when the port was read than about the board.
FIRST_RATE_S = 0.5
# More than a ping and its answer take.
_ANSWER_US = 200_000
_IDLE = DEFINITION.mode["idle"]
# What opening a port says that is not there, or was there a moment ago.
_ABSENT = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EIO)


class Listener:
    """What a session tells those who listen; a child overrides what it wants to know.

    Calls never overlap. They come from the session's thread, or from the thread of a command such
    as `Session.marker`, and must return soon.
    """

    def on_identity(self, identity: Identity, host_s: float) -> None:
        """Take who the board is: at every connect, before its first frame, and at every change.

        That it samples or sends raw counts is no change.
        """

    def on_frame(self, frame: Frame, host_s: float) -> None:
        """Take a frame of any kind and the Unix time at which it arrived."""

    def on_event(self, event: str, host_s: float, details: dict[str, Any]) -> None:
        """Take an event.

        `opened` and `resumed` (details: url), `lost` (reason), `marker` (label), `note` (text),
        `closed` (reason).
        """


class Session:
    """A board followed until told to stop, whatever happens to its line.

    `run` blocks in the thread that calls it; everything else may be called from any thread.

    A board that has stopped sampling by itself, such as a virtual one at the end of its recording,
    is shown as "ended" and followed on: `restart` starts it again, nothing else does, since it
    would play the same movement anew and pass for a person's.

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
    recording : str or Path, optional
        A session that is there for this log: it records from the first frame to the last, with raw
        counts only if `raw`, ends when the board has stopped sampling, stops the board at its own
        end, and fails when the file does.

    Raises
    ------
    ModelError
        If one of `model_dirs` is no model directory.
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
        recording: str | Path | None = None,
    ) -> None:
        for folder in model_dirs:
            load_card(folder)
        self.url = url
        self._seconds = seconds
        self._calibration = calibration
        self._model_dirs = tuple(model_dirs)
        self._refuses = other_model == "refuse"
        self._log = None if recording is None else Path(recording)
        # Held while anything below changes and while listeners are called, never while waiting for
        # the board.
        self._lock = threading.RLock()
        self._listeners: list[Listener] = []
        self._recorder: Recorder | None = None
        # What the commands wish for and the session's thread tells the board.
        self._raw = raw
        self._restart = False
        # What the board was told last, and whether it is this session's to stop.
        self._board_raw = raw
        self._stops_board = self._log is not None
        # How things stand.
        self._began: float | None = None
        self._connected = False
        self._stopped = False
        self._doubtful = False  # whether the board still is the one that said who it is
        self._over = False
        self._note = ""
        self._identity: Identity | None = None
        self._identity_frame: tuple[Frame, float] | None = None
        self._card: ModelCard | None = None
        self._previous_sha256 = ""
        self._statistics: Statistics | None = None
        self._samples = self._gaps = self._resumes = 0
        self._device_us = 0
        self._since = 0.0
        self._newest = 0.0
        self._arrivals: deque[tuple[float, int]] = deque()
        # Counters of the line as it is, and of those before.
        self._device: Device | None = None
        self._lost_frames = self._crc_errors = self._malformed = 0

    # ---- for any thread ----------------------------------------------------------------------

    def add(self, listener: Listener) -> None:
        """Have `listener` told everything from now on, first of all who the board is."""
        with self._lock:
            self._listeners.append(listener)
            if self._identity is not None:
                listener.on_identity(self._identity, time.time())

    def status(self) -> Status:
        """Return how the session stands; costs next to nothing."""
        with self._lock:
            now = time.monotonic()
            decoder = None if self._device is None else self._device.decoder
            state = self._state(now)
            note = self._note
            if state == "silent":
                note = f"no samples for {now - self._newest:.0f} s"
            return Status(
                state=state,
                note=note,
                identity=self._identity,
                card=self._card,
                previous_sha256=self._previous_sha256,
                samples=self._samples,
                lost_frames=self._lost_frames + (decoder.lost if decoder else 0),
                crc_errors=self._crc_errors + (decoder.crc_errors if decoder else 0),
                malformed=self._malformed + (decoder.malformed if decoder else 0),
                gaps=self._gaps,
                resumes=self._resumes,
                rate_hz=self._rate_hz(now),
                statistics=self._statistics,
                seconds=0.0 if self._began is None else now - self._began,
                recording=None if self._recorder is None else self._recorder.status(),
                url=self.url,
            )

    def restart(self) -> None:
        """Have a board that has stopped sampling start again, such as one that plays a recording.

        Its ticks count from 0 again. No effect while it samples.
        """
        with self._lock:
            self._restart = self._stopped

    def start_recording(self, path: str | Path) -> None:
        """Record into a log file from now on, with raw counts.

        A log of the same model is continued.

        Raises
        ------
        RecordingError
            If a recording is running, the board has not answered yet, or the file cannot be
            written, is no log or one of another model: it is left as it was.
        """
        path = Path(path)
        with self._lock:
            if self._recorder is not None:
                raise RecordingError(
                    f"{path}: not recorded into, the recording {self._recorder.path} is running; "
                    "stop that one first"
                )
            if self._over or self._identity is None:
                raise RecordingError(f"{path}: not recorded into, no board at {self.url}")
            recorder = Recorder(path, self._identity, raw=True)
            recorder.begin(self.url, self._card, self._identity_frame)
            try:
                recorder.flush()
            except RecordingError:
                recorder.abandon()
                raise
            self._recorder = recorder

    def stop_recording(self) -> None:
        """End the recording and close its file; no effect where there is none.

        Raises
        ------
        RecordingError
            If the last of it could not be written.
        """
        with self._lock:
            recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.event("closed", reason="the recording was stopped")
            recorder.close()

    def marker(self, label: str, host_s: float | None = None) -> bool:
        """Mark a moment (Unix time; now unless named), in the recording and to all listeners.

        Returns
        -------
        bool
            Whether there is a recording that holds it.
        """
        return self._tell("marker", host_s, label=label)

    def note(self, text: str) -> bool:
        """Add a remark to the recording and tell all listeners; return as `marker` does."""
        return self._tell("note", text=text)

    def set_raw(self, on: bool) -> None:
        """Have raw IMU counts sent from now on, or not; a recording has them in any case."""
        with self._lock:
            self._raw = on

    # ---- the session's thread ----------------------------------------------------------------

    def run(
        self,
        stop: threading.Event,
        on_status: Callable[[Status], None] = lambda status: None,
    ) -> Status:
        """Follow the board until `stop` is set or the time is over.

        The board is started unless it samples already, and then is stopped again at the end. A port
        that goes away is waited for.

        Parameters
        ----------
        stop : threading.Event
        on_status : callable
            Called with the status several times a second, and at the end.

        Raises
        ------
        LinkError
            If the port cannot be opened at the beginning, no board answers there, or another model
            comes back that is to be refused.
        RecordingError
            If the log named at the beginning cannot be written.
        """
        try:
            device: Device | None = self._connect("opened")
            # Not before: seconds asked for are seconds of samples.
            self._began = time.monotonic()
            while device is not None and not self._finished(stop):
                try:
                    self._follow(device, stop, on_status)
                except _OtherModelError:
                    raise
                except LinkError as error:
                    self._on_lost(error)
                    device = self._wait_for_return(stop, on_status)
            if device is not None and self._stops_board:
                # The board sends what it has batched before it acknowledges.
                with contextlib.suppress(LinkError):
                    device.stop()
            self._tell("closed", reason=self._note)
        finally:
            self._end()
        status = self.status()
        on_status(status)
        return status

    def _connect(self, event: str) -> Device:
        """Open the port, ask who is there, tell everybody, and start the board."""
        device = Device.open(self.url)
        # Until the board has said who it is nobody knows what its frames mean.
        arrived: list[tuple[Frame, float]] = []
        device.listen(lambda frame: arrived.append((frame, time.time())))
        try:
            identity = _newest_identity(device, arrived)
            self._refuse_other(identity)
            if self._log is not None and event == "opened":
                self._recorder = Recorder(self._log, identity, raw=self._raw)
        except BaseException:
            self._retire(device)
            raise
        with self._lock:
            self._device = device
            self._connected = True
            self._note = ""
            self._previous_sha256 = ""
            self._since = self._newest = time.monotonic()
            self._arrivals.clear()
            self._device_us = 0
            self._identity_frame = None
            self._meet(identity)
            self._resumes += event == "resumed"
            if self._recorder is not None and event == "opened":
                self._recorder.begin(self.url, self._card)
                self._notify(event, time.time(), url=self.url)
            else:
                self._tell(event, url=self.url)
            for listener in self._listeners:
                listener.on_identity(identity, time.time())
            for frame, host_s in arrived:
                self._take(frame, host_s)
            device.listen(lambda frame: self._take(frame, time.time()))
        self._start(device, identity)
        return device

    def _start(self, device: Device, identity: Identity) -> None:
        """Have the board sample as this session wishes."""
        self._board_raw = self._wanted_raw()
        device.set_raw(self._board_raw)
        if self._calibration is not None:
            device.set_calibration(self._calibration)
        device.start()
        with self._lock:
            self._stops_board |= not identity.running
            self._newest = time.monotonic()
            self._stopped = False
            self._restart = False

    def _follow(
        self, device: Device, stop: threading.Event, on_status: Callable[[Status], None]
    ) -> None:
        """Take what the board sends while the port is there, until the session is to end."""
        heard = told = time.monotonic()
        while not self._finished(stop):
            frames = device.frames(POLL_S)
            now = time.monotonic()
            if frames:
                heard = now
            idle = any(frame.name == "statistics" and frame["mode"] == _IDLE for frame in frames)
            silent = now - heard > SILENCE_S and not self._stopped
            if (idle or silent) and not self._still_sampling(device, idle=idle):
                self._stopped = True
                self._note = self._note or "the board has stopped"
            self._carry_out(device)
            self._flush()
            if now - told >= STATUS_S:
                told = now
                on_status(self.status())
            stop.wait(GATHER_S)

    def _still_sampling(self, device: Device, *, idle: bool) -> bool:
        """Tell whether a board samples, after starting one that has been started anew itself.

        `idle` is whether it has said that it has stopped.
        """
        before = self._identity
        identity = device.identify()
        if identity.running:
            return True
        exchanged = before is not None and describe_model(before) != describe_model(identity)
        if exchanged or self._rebooted(device, idle=idle):
            self._start(device, identity)
            return True
        return False

    def _rebooted(self, device: Device, *, idle: bool) -> bool:
        """Tell a board's new start by its time: it has not gone on as this computer's."""
        silent_us = 1e6 * (time.monotonic() - self._newest)
        now_us = device.ping()
        if idle:
            # It has spoken just now. The time of a board with a virtual clock may stand still.
            return now_us < self._device_us
        # Since its new start less time has gone by than since its last sample.
        return now_us < silent_us + self._device_us - min(0.5 * self._device_us, _ANSWER_US)

    def _carry_out(self, device: Device) -> None:
        """Tell the board what the commands wish for."""
        if self._wanted_raw() != self._board_raw:
            self._board_raw = self._wanted_raw()
            device.set_raw(self._board_raw)
        if self._restart:
            self._note = ""
            self._start(device, device.identify())
        if self._doubtful:
            # Its identity frame goes the way of all frames.
            self._doubtful = False
            device.identify()

    def _wanted_raw(self) -> bool:
        with self._lock:
            return self._raw or (self._recorder is not None and self._recorder.raw)

    def _finished(self, stop: threading.Event) -> bool:
        assert self._began is not None
        over = self._seconds is not None and time.monotonic() - self._began >= self._seconds
        return stop.is_set() or over or (self._stopped and self._log is not None)

    def _on_lost(self, error: LinkError) -> None:
        with self._lock:
            assert self._device is not None
            self._retire(self._device)
            self._connected = False
            self._stopped = False
            self._note = f"waiting for {self.url} to come back"
            self._tell("lost", reason=str(error))
            self._flush()

    def _wait_for_return(
        self, stop: threading.Event, on_status: Callable[[Status], None]
    ) -> Device | None:
        """Try the port until the board is back; None when the session ends before."""
        while not self._finished(stop):
            # Markers may be set meanwhile.
            self._flush()
            on_status(self.status())
            stop.wait(RETRY_S)
            try:
                return self._connect("resumed")
            except _OtherModelError:
                raise
            except LinkError as error:
                if self._connected:
                    self._on_lost(error)
                # Not there yet, or there and not yet awake, or not as it should be.
                absent = getattr(error.__cause__, "errno", None) in _ABSENT
                self._note = f"waiting for {self.url} to come back" + (
                    "" if absent else f" ({error})"
                )
        return None

    def _retire(self, device: Device) -> None:
        """Close a line and keep its counters."""
        device.close()
        with self._lock:
            self._device = None
            self._lost_frames += device.decoder.lost
            self._crc_errors += device.decoder.crc_errors
            self._malformed += device.decoder.malformed

    def _flush(self) -> None:
        """Write down what has come; a file that takes no more ends the recording."""
        with self._lock:
            if self._recorder is None:
                return
            try:
                self._recorder.flush()
            except RecordingError as error:
                recorder, self._recorder = self._recorder, None
                recorder.abandon()
                if self._log is not None:
                    raise
                self._note = f"the recording has ended: {error}"

    def _end(self) -> None:
        with self._lock:
            self._over = True
            self._connected = False
            if self._device is not None:
                self._retire(self._device)
            self._flush()
            if self._recorder is not None:
                self._recorder.close()
                self._recorder = None

    # ---- what arrives ------------------------------------------------------------------------

    def _take(self, frame: Frame, host_s: float) -> None:
        """Take one frame: note what it says, write it down, tell the listeners."""
        with self._lock:
            if frame.name == "data":
                if self._identity and frame["outputs"] != len(self._identity.muscles):
                    # Another board than the one that said who it is.
                    self._malformed += 1
                    self._doubtful = True
                    return
                self._take_data(frame)
            elif frame.name == "identity":
                with contextlib.suppress(FrameError):
                    self._take_identity(Identity.from_frame(frame), host_s)
                    self._identity_frame = (frame, host_s)
            elif frame.name == "statistics":
                self._statistics = Statistics.from_frame(frame)
            elif frame.name == "text":
                self._note = frame["text"]
            if self._recorder is not None:
                self._recorder.frame(frame, host_s)
            for listener in self._listeners:
                listener.on_frame(frame, host_s)

    def _take_data(self, frame: Frame) -> None:
        self._newest = time.monotonic()
        self._arrivals.append((self._newest, frame["count"]))
        self._forget_arrivals(self._newest)
        self._samples += frame["count"]
        self._gaps += frame["gap_ticks"] > 0
        # Time that goes back is that of a board started anew, or of another one.
        self._doubtful |= frame["time_us"] < self._device_us
        self._device_us = frame["time_us"]
        if self._stopped:
            self._stopped = False
            self._note = ""

    def _take_identity(self, identity: Identity, host_s: float) -> None:
        """Take a newer identity, such as the one a board sends once it has found its IMU."""
        before = self._identity
        self._refuse_other(identity)
        self._meet(identity)
        if before and replace(identity, running=before.running, raw=before.raw) == before:
            return
        for listener in self._listeners:
            listener.on_identity(identity, host_s)

    def _refuse_other(self, identity: Identity) -> None:
        before = self._identity
        if self._refuses and before and describe_model(identity) != describe_model(before):
            raise _OtherModelError(
                f"{self.url}: a board with {describe_model(identity)} came back, expected "
                f"{describe_model(before)}"
            )

    def _meet(self, identity: Identity) -> None:
        """Note who the board is; another model than before ends a recording."""
        before, self._identity = self._identity, identity
        if before is None or before.model_sha256 != identity.model_sha256:
            # Directories that were there at the beginning may have gone.
            with contextlib.suppress(ModelError):
                self._card = None
                self._card = find_card(identity.model_sha256, self._model_dirs)
        if before is None or describe_model(before) == describe_model(identity):
            return
        self._previous_sha256 = before.model_sha256
        self._note = f"{describe_model(identity)} has come in place of {describe_model(before)}"
        self._flush()
        if self._recorder is not None:
            recorder, self._recorder = self._recorder, None
            self._note += f"; the recording {recorder.path} has ended: a log is of one model"
            recorder.event("closed", reason=self._note)
            with contextlib.suppress(RecordingError):
                recorder.close()

    def _tell(self, event: str, host_s: float | None = None, **details: Any) -> bool:
        """Write an event down and tell the listeners; return whether there is a recording."""
        host_s = time.time() if host_s is None else host_s
        with self._lock:
            if self._recorder is not None:
                self._recorder.event(event, host_s, **details)
            self._notify(event, host_s, **details)
            return self._recorder is not None

    def _notify(self, event: str, host_s: float, **details: Any) -> None:
        for listener in self._listeners:
            listener.on_event(event, host_s, details)

    # ---- how it stands -----------------------------------------------------------------------

    def _state(self, now: float) -> State:
        if self._over:
            return "ended"
        if self._identity is None:
            return "opening"
        if not self._connected:
            return "waiting"
        if self._stopped:
            return "ended"
        return "silent" if now - self._newest > SILENT_S else "live"

    def _rate_hz(self, now: float) -> float | None:
        if not self._connected or now - self._since < FIRST_RATE_S:
            return None
        self._forget_arrivals(now)
        if len(self._arrivals) < 2:
            return 0.0
        # From arrival to arrival: whether a batch more or less lies in the time is chance. What has
        # been due for long counts as not come.
        first, newest = self._arrivals[0], self._arrivals[-1]
        until = now if now - newest[0] > SILENT_S else newest[0]
        spread_s = max(until - first[0], GATHER_S)
        return (sum(count for _, count in self._arrivals) - first[1]) / spread_s

    def _forget_arrivals(self, now: float) -> None:
        while self._arrivals and now - self._arrivals[0][0] > RATE_S:
            self._arrivals.popleft()


def _newest_identity(device: Device, arrived: list[tuple[Frame, float]]) -> Identity:
    """Return who a board is, all `arrived` of it considered.

    The first identity frame may be the one of its boot, from before it had found its IMU. With the
    pong, the answer has come too.
    """
    newest = device.identify()
    device.ping()
    for frame, _ in arrived:
        if frame.name == "identity":
            with contextlib.suppress(FrameError):
                newest = Identity.from_frame(frame)
    return newest


class _OtherModelError(LinkError):
    """Another model than before is at the port."""
