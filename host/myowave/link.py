"""Talk to a board: open its serial line, send commands, take frames, replay recordings.

Nothing here needs more than pyserial, numpy and the wire codec, so a logger stays light.
"""

import contextlib
import errno
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any

import numpy as np
import serial
from numpy.typing import NDArray

from myowave.calibration import Calibration
from myowave.errors import LinkError
from myowave.wire import DEFINITION, Decoder, Encoder, Frame, FrameError

# A USB serial device ignores the rate; on a UART with a probe it is what the boards are set to.
BAUD = 1_000_000
# QEMU looks for someone on its pty once a second, so an answer may take that long.
ANSWER_TIMEOUT_S = 3.0
# How often a question is asked in that time: it or its answer may be damaged on the line, and there
# is no command that does harm when it comes twice.
ATTEMPTS = 2
# The board samples for a second, or gives up after two.
GYRO_BIAS_TIMEOUT_S = ANSWER_TIMEOUT_S + 2.0
_RESET_CAUSE_NAME = {value: name for name, value in DEFINITION.reset_cause.items()}
_STATUS_NAME = {value: name for name, value in DEFINITION.status.items()}


@dataclass(frozen=True)
class Identity:
    """Who a board is.

    Attributes
    ----------
    firmware : str
        Version, such as "0.1.0".
    model_sha256 : str
        Hexadecimal digest of the `.tflite` built in.
    rate_hz, receptive_field : int
        Samples a second; samples the network looks back over.
    output_scale, output_zero_point : float, int
        envelope = (prediction - output_zero_point) * output_scale.
    acc_lsb_m_s2, gyro_lsb_rad_s : float
        Value of one raw count.
    running, raw : bool
        Whether the board samples now; whether its data frames hold raw counts.
    imu, board : str
        Part number; PlatformIO board.
    muscles : tuple of str
        One name an output.
    imu_rate_hz : float
        Outputs a second of the IMU, of which 1000 are read; 0 without an IMU.
    self_test : dict of str to bool
        Whether each part of the self-test passed, of those the board can test.
    reset_cause : str
        Why the board started: power_on, pin, software, watchdog, fault or unknown.
    calibration : Calibration or None
        What the board puts right in raw counts before the network; None when nobody has told it.
    """

    firmware: str
    model_sha256: str
    rate_hz: int
    receptive_field: int
    output_scale: float
    output_zero_point: int
    acc_lsb_m_s2: float
    gyro_lsb_rad_s: float
    running: bool
    raw: bool
    imu: str
    board: str
    muscles: tuple[str, ...]
    imu_rate_hz: float
    self_test: dict[str, bool]
    reset_cause: str
    calibration: Calibration | None

    @classmethod
    def from_frame(cls, frame: Frame) -> "Identity":
        """Read an identity frame; raise FrameError for values no board has."""
        if frame["rate_hz"] == 0 or frame["receptive_field"] == 0:
            raise FrameError(
                f"identity: {frame['rate_hz']} samples a second, receptive field "
                f"{frame['receptive_field']}, expected both over 0"
            )
        if frame["outputs"] != len(frame["muscles"]):
            raise FrameError(
                f"identity: muscles named: {len(frame['muscles'])}, expected {frame['outputs']}"
            )
        scales = ("output_scale", "acc_lsb_m_s2", "gyro_lsb_rad_s")
        if not all(math.isfinite(frame[name]) for name in scales):
            raise FrameError("identity: a scale is no number")
        return cls(
            firmware=".".join(
                str(frame[f"firmware_{part}"]) for part in ("major", "minor", "patch")
            ),
            model_sha256=frame["model_sha256"].hex(),
            rate_hz=frame["rate_hz"],
            receptive_field=frame["receptive_field"],
            output_scale=frame["output_scale"],
            output_zero_point=frame["output_zero_point"],
            acc_lsb_m_s2=frame["acc_lsb_m_s2"],
            gyro_lsb_rad_s=frame["gyro_lsb_rad_s"],
            running=bool(frame["running"]),
            raw=bool(frame["raw"]),
            imu=frame["imu"],
            board=frame["board"],
            muscles=tuple(frame["muscles"]),
            imu_rate_hz=frame["imu_rate_millihertz"] / 1000.0,
            self_test={
                name: not frame["self_test_failed"] & bit
                for name, bit in DEFINITION.self_test.items()
                if frame["self_test_run"] & bit
            },
            reset_cause=_RESET_CAUSE_NAME.get(frame["reset_cause"], "unknown"),
            calibration=Calibration.from_frame(frame) if frame["calibrated"] else None,
        )

    @property
    def failed_tests(self) -> tuple[str, ...]:
        """Parts of the self-test that failed."""
        return tuple(name for name, passed in self.self_test.items() if not passed)

    def envelope(self, predictions: NDArray[np.int8]) -> NDArray[np.float64]:
        """Convert int8 predictions to the envelope, as a fraction of the reference."""
        return (predictions.astype(np.float64) - self.output_zero_point) * self.output_scale


@dataclass(frozen=True)
class Statistics:
    """The counters of a statistics frame; what each means is in `wire.toml`."""

    time_us: int
    mode: int
    processed: int
    missed: int
    dropped: int
    overruns: int
    gaps: int
    tx_frames: int
    tx_dropped_batches: int
    tx_dropped_frames: int
    rx_frames: int
    rx_crc_errors: int
    rx_malformed: int
    rx_overflow: int
    longest_step_us: int
    cpu_load_permille: int
    queue_high_water: int
    bus_nacks: int
    bus_arbitration_lost: int
    bus_stuck: int
    bus_timeouts: int
    bus_recoveries: int
    longest_recovery_us: int
    imu_lost_configurations: int
    imu_configurations: int
    imu_frozen: int
    clock_silent: int
    imu_repeated: int
    imu_skipped: int
    jitter_max_us: int
    jitter_mean_ns: int

    def faults(self) -> dict[str, int]:
        """Return the counters of faults of bus, IMU and clock that are not 0, for a person."""
        names = {
            "NACKs": self.bus_nacks,
            "arbitrations lost": self.bus_arbitration_lost,
            "stuck buses": self.bus_stuck,
            "bus timeouts": self.bus_timeouts,
            "bus recoveries": self.bus_recoveries,
            "lost IMU configurations": self.imu_lost_configurations,
            "IMU configurations": self.imu_configurations,
            "frozen outputs": self.imu_frozen,
            "silent clocks": self.clock_silent,
        }
        return {name: count for name, count in names.items() if count}

    def timing(self) -> str:
        """Return what the board found out about its sample clock, "" when there is nothing."""
        if not (self.jitter_max_us or self.imu_repeated or self.imu_skipped):
            return ""
        return (
            f"sample clock: jitter {self.jitter_mean_ns / 1000:.1f} us in the mean, "
            f"{self.jitter_max_us} us at most; IMU: {self.imu_repeated} outputs repeated, "
            f"{self.imu_skipped} not read"
        )

    @classmethod
    def from_frame(cls, frame: Frame) -> "Statistics":
        """Read a statistics frame."""
        return cls(**{field.name: int(frame[field.name]) for field in fields(cls)})


@dataclass(frozen=True)
class GyroBias:
    """A gyroscope's bias as a board has measured it, in raw counts.

    Attributes
    ----------
    counts : tuple of three int
        x, y, z.
    gyro_range, acc_range : int
        Largest difference between two samples of one axis meanwhile.
    """

    counts: tuple[int, int, int]
    gyro_range: int
    acc_range: int


def open_port(url: str) -> serial.Serial:
    """Open a serial port.

    Parameters
    ----------
    url : str
        A device path or anything `serial.serial_for_url` opens, such as "socket://host:port".

    Raises
    ------
    LinkError
        If it cannot be opened, or another program has it open.
    """
    try:
        # Exclusive: two readers would each get half the bytes.
        port: serial.Serial = serial.serial_for_url(url, baudrate=BAUD, timeout=0.0, exclusive=True)
    except (serial.SerialException, OSError, ValueError) as error:
        # The lock that another MyoWave holds, or the exclusive mode of a terminal program.
        if getattr(error, "errno", None) in (errno.EAGAIN, errno.EBUSY):
            raise LinkError(
                f"{url}: cannot open it, another program has the port open; end that one first"
            ) from error
        reason = getattr(error, "strerror", None) or error
        remedy = "'myowave doctor' lists the ports there are"
        if getattr(error, "errno", None) in (errno.EACCES, errno.EPERM):
            reason = "no permission"
            remedy = "install the rules 'myowave doctor --udev-rules' prints"
        raise LinkError(f"{url}: cannot open it as a serial port ({reason}); {remedy}") from error
    return port


class Device:
    """One board on an open serial line.

    Use `Device.open(url)` as a context manager. Data, statistics and text frames that arrive while
    an answer is awaited are kept for `frames()`.
    """

    def __init__(self, port: serial.Serial, url: str) -> None:
        self.url = url
        self.decoder = Decoder()
        self._encoder = Encoder()
        self._port = port
        self._waiting: list[Frame] = []
        self._received_bytes = 0
        self._received_frames = 0
        self._listener: Callable[[Frame], None] | None = None

    @classmethod
    def open(cls, url: str) -> "Device":
        """Open `url`; raise LinkError when it cannot be opened."""
        return cls(open_port(str(url)), str(url))

    def __enter__(self) -> "Device":
        """Return the device."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the line."""
        self.close()

    def close(self) -> None:
        """Close the line; the board goes on with what it does."""
        self._port.close()

    # ---- frames ------------------------------------------------------------------------------

    def send(self, name: str, **values: Any) -> int:
        """Send one command frame and return its sequence number."""
        sequence = self._encoder.sequence
        try:
            self._port.write(self._encoder.encode(name, **values))
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from error
        return sequence

    def frames(self, timeout_s: float = 0.0) -> list[Frame]:
        """Return the frames that have arrived, after waiting up to `timeout_s` for the first.

        Raises
        ------
        LinkError
            If the line is gone.
        """
        frames, self._waiting = self._waiting, []
        deadline = time.monotonic() + timeout_s
        left = timeout_s
        # What a read takes may be a part of a frame.
        while not frames:
            frames = self._receive(left)
            left = deadline - time.monotonic()
            if left <= 0:
                break
        return frames

    def listen(self, listener: Callable[[Frame], None]) -> None:
        """Have `listener` called with every frame from now on, answers to commands included."""
        self._listener = listener

    def _receive(self, timeout_s: float) -> list[Frame]:
        try:
            if self._port.timeout != timeout_s:  # setting it costs as much as a read
                self._port.timeout = timeout_s
            # One byte to wait for, then all there is: a read of a fixed size would wait for it.
            data = self._port.read(1)
            waiting = self._port.in_waiting
            if waiting:
                data += self._port.read(waiting)
        except (serial.SerialException, OSError, TypeError) as error:
            # pyserial raises TypeError when the port is closed under it.
            raise self._lost(error) from error
        frames = self.decoder.feed(data)
        self._received_bytes += len(data)
        self._received_frames += len(frames)
        if self._listener is not None:
            for frame in frames:
                self._listener(frame)
        return frames

    def _heard(self) -> str:
        """Return what was received in place of an answer, and what to do about it."""
        if self._received_frames:
            damaged = self.decoder.crc_errors + self.decoder.malformed
            return (
                f"of {damaged + self._received_frames} frames {damaged} were damaged; check the "
                "cable, start the board anew"
            )
        if self._received_bytes:
            return (
                f"{self._received_bytes} bytes came that are no MyoWave frames, so something else "
                "is there; 'myowave doctor' tells what answers on each port"
            )
        return (
            "nothing came at all; expected a MyoWave board there, 'myowave flash' puts the "
            "firmware on one"
        )

    def _lost(self, error: BaseException) -> LinkError:
        return LinkError(f"{self.url}: the line is gone ({error})")

    def _await(
        self, what: str, wanted: Callable[[Frame], bool], timeout_s: float = ANSWER_TIMEOUT_S
    ) -> Frame:
        deadline = time.monotonic() + timeout_s
        found: Frame | None = None
        while found is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise _NoAnswerError(
                    f"{self.url}: no {what} within {timeout_s:g} s; {self._heard()}"
                )
            for frame in self._receive(left):
                if found is None and wanted(frame):
                    found = frame
                else:
                    self._waiting.append(frame)
        return found

    def _ask(self, what: str, send: Callable[[], object], wanted: Callable[[Frame], bool]) -> Frame:
        """Send a question, again when no answer comes, and return the answer."""
        for _ in range(ATTEMPTS - 1):
            send()
            with contextlib.suppress(_NoAnswerError):
                return self._await(what, wanted, ANSWER_TIMEOUT_S / ATTEMPTS)
        send()
        return self._await(what, wanted, ANSWER_TIMEOUT_S / ATTEMPTS)

    def _command(self, name: str, **values: Any) -> None:
        """Send a command and wait for its acknowledgement; raise LinkError when it is refused."""
        number = DEFINITION.frames[name].type
        sent: list[int] = []

        def is_answer(frame: Frame) -> bool:
            return (
                frame.name == "acknowledge"
                and frame["command"] == number
                and frame["command_sequence"] in sent
            )

        answer = self._ask(
            f"answer to '{name}'", lambda: sent.append(self.send(name, **values)), is_answer
        )
        status = answer["status"]
        if status != DEFINITION.status["ok"]:
            reason = _STATUS_NAME.get(status, f"status {status}").replace("_", " ")
            raise LinkError(
                f"{self.url}: the board refused '{name}': {reason}{_HINT.get(status, '')}"
            )

    # ---- commands ----------------------------------------------------------------------------

    def identify(self) -> Identity:
        """Ask who the board is.

        Raises
        ------
        LinkError
            If nothing that speaks this protocol version answers.
        """
        try:
            return Identity.from_frame(
                self._ask(
                    "identity",
                    lambda: self.send("identify"),
                    lambda frame: frame.name == "identity",
                )
            )
        except FrameError as error:
            raise LinkError(f"{self.url}: {error}; flash the board again") from error
        except LinkError as error:
            if self.decoder.foreign_version is None:
                raise
            raise LinkError(
                f"{self.url}: the board speaks protocol version {self.decoder.foreign_version}, "
                f"expected {DEFINITION.limits['version']}; flash it again with 'myowave flash'"
            ) from error

    def require_model(self, sha256: str) -> Identity:
        """Return the identity; raise LinkError when the board runs another model than `sha256`."""
        identity = self.identify()
        if identity.model_sha256 != sha256:
            raise LinkError(
                f"{self.url}: the board runs model {identity.model_sha256[:12]}, expected "
                f"{sha256[:12]}; flash it with 'myowave flash --model'"
            )
        return identity

    def start(self) -> None:
        """Start the sample clock; no effect while it runs."""
        self._command("start")

    def stop(self) -> None:
        """Stop the sample clock, or end a replay."""
        self._command("stop")

    def set_raw(self, on: bool) -> None:
        """Have raw counts in data frames, or not."""
        self._command("set_raw", on=int(on))

    def measure_gyro_bias(self) -> GyroBias:
        """Have the board measure its gyroscope's bias, which takes a second at rest.

        Raises
        ------
        LinkError
            If the board samples, was moved meanwhile, or its IMU does not give enough samples.
        """
        self._command("measure_gyro_bias")
        # It may have come together with the acknowledgement.
        early = [frame for frame in self._waiting if frame.name == "gyro_bias"]
        self._waiting = [frame for frame in self._waiting if frame.name != "gyro_bias"]
        frame = (
            early[-1]
            if early
            else self._await(
                "gyroscope bias", lambda frame: frame.name == "gyro_bias", GYRO_BIAS_TIMEOUT_S
            )
        )
        if frame["status"] == DEFINITION.status["moving"]:
            raise LinkError(
                f"{self.url}: the board moved while its gyroscope's bias was measured (range "
                f"{frame['gyro_range']} counts, accelerometer {frame['acc_range']}); lay it down "
                "and try again"
            )
        if frame["status"] != DEFINITION.status["ok"]:
            raise LinkError(
                f"{self.url}: the IMU gave {frame['samples']} samples in two seconds, expected 1000"
            )
        return GyroBias(
            (frame["x"], frame["y"], frame["z"]), frame["gyro_range"], frame["acc_range"]
        )

    def record_counts(self, seconds: float) -> NDArray[np.int16]:
        """Sample for `seconds` and return the (n, 6) raw counts; gaps are closed up.

        Raises
        ------
        LinkError
            If the board samples already, cannot start, or sends nothing.
        """
        if self.identify().running:
            raise LinkError(f"{self.url}: the board samples already; stop that first")
        self.set_raw(True)
        self.start()
        counts = []
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            counts += [frame["counts"] for frame in self.frames(left) if frame.name == "data"]
        self.stop()
        self.set_raw(False)
        if not counts:
            raise LinkError(f"{self.url}: no samples within {seconds:g} s")
        return np.vstack(counts)

    def set_calibration(self, calibration: Calibration) -> Identity:
        """Have the board put its raw counts right, from the next start until it boots anew.

        Returns
        -------
        Identity
            The board's, which now names the calibration; a log holds it from there on.

        Raises
        ------
        LinkError
            If the board samples, or the calibration is of another IMU.
        """
        identity = self.identify()
        if identity.imu != calibration.imu:
            raise LinkError(
                f"{self.url}: the board has IMU '{identity.imu}', the calibration is of "
                f"'{calibration.imu}'; make one with 'myowave calibrate'"
            )
        if identity.calibration == calibration:
            return identity
        self._command("set_calibration", **calibration.to_fields())
        return self.identify()

    def reset_counters(self) -> None:
        """Set the board's counters to zero."""
        self._command("reset_counters")

    def ping(self, token: int = 0) -> int:
        """Return the device time in microseconds."""
        pong = self._ask(
            "pong",
            lambda: self.send("ping", token=token),
            lambda frame: frame.name == "pong" and frame["token"] == token,
        )
        return int(pong["time_us"])

    def statistics(self) -> Statistics:
        """Ask for the board's counters."""
        return Statistics.from_frame(
            self._ask(
                "statistics",
                lambda: self.send("get_statistics"),
                lambda frame: frame.name == "statistics",
            )
        )

    # ---- replay ------------------------------------------------------------------------------

    def replay(
        self,
        counts: NDArray[np.int16],
        progress: Callable[[int, int], None] | None = None,
        attempts: int = 3,
    ) -> NDArray[np.int8]:
        """Have the board answer recorded raw counts at its own speed.

        Parameters
        ----------
        counts : (n, 6) int16 array
            Raw counts of the board's IMU at 1 kHz.
        progress : callable, optional
            Called with (samples answered, n).
        attempts : int
            How often to begin anew when the line loses a frame.

        Returns
        -------
        (n, outputs) int8 array
            Predictions; the first receptive field - 1 rows are warm-up.

        Raises
        ------
        LinkError
            If the board samples live, goes silent, or the line loses frames every time.
        """
        counts = np.ascontiguousarray(counts, dtype=np.int16)
        if counts.ndim != 2 or counts.shape[1] != 6:
            raise LinkError(f"replay of an array of shape {counts.shape}, expected (n, 6)")
        outputs = len(self.identify().muscles)
        for attempt in range(attempts):
            self._command("replay")
            try:
                predictions = self._replay_once(counts, outputs, progress)
                self._command("stop")
                return predictions
            except _ReplayDamagedError as damage:
                if attempt + 1 == attempts:
                    raise LinkError(
                        f"{self.url}: replay failed {attempts} times, last at sample {damage.at} "
                        f"of {len(counts)}: the line loses frames"
                    ) from None
        raise LinkError(f"replay with {attempts} attempts, expected at least 1")

    def _replay_once(
        self,
        counts: NDArray[np.int16],
        outputs: int,
        progress: Callable[[int, int], None] | None,
    ) -> NDArray[np.int8]:
        batch, window = DEFINITION.limits["replay_batch"], DEFINITION.limits["replay_window"]
        predictions = np.zeros((len(counts), outputs), dtype=np.int8)
        sent = answered = 0
        silent_since = time.monotonic()
        while answered < len(counts):
            while sent < len(counts) and sent + batch - answered <= window:
                part = counts[sent : sent + batch]
                self.send("replay_samples", first=sent, count=len(part), counts=part)
                sent += len(part)
            frames = self._receive(ANSWER_TIMEOUT_S)
            for frame in frames:
                if frame.name == "replay_result" and frame["first"] == answered:
                    count = frame["count"]
                    predictions[answered : answered + count] = frame["predictions"]
                    answered += count
                    silent_since = time.monotonic()
                elif frame.name in ("replay_result", "acknowledge"):
                    raise _ReplayDamagedError(answered)
            if time.monotonic() - silent_since > ANSWER_TIMEOUT_S:
                raise _ReplayDamagedError(answered)
            if progress is not None and frames:
                progress(answered, len(counts))
        return predictions


class _NoAnswerError(LinkError):
    """A question was not answered in time."""


class _ReplayDamagedError(Exception):
    """A replay frame or its answer was lost at sample `at`."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


_HINT = {
    DEFINITION.status["busy"]: " (it samples or replays; stop that first)",
    DEFINITION.status["no_sensor"]: " (no IMU answers, or not the part the model was trained for)",
}
