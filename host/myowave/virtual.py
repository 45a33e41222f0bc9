"""A virtual wearable: an emulated board fed from a recording, its serial port on this computer.

The board's firmware is the real one. Its IMU is the far end of a second UART: here. The board's
sample clock is the only clock; it says how far it is (`imu_credit`), and recorded raw counts are
sent ahead of it by up to a second, so no sample depends on this process being on time.

The board `simulated` is another one: the real drivers set up and read a register model of the IMU
on a simulated I2C bus, and the model gets the whole recording as a file.
"""

import contextlib
import ctypes
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ConfigError, LinkError, ToolError
from myowave.firmware import Board, board_by_name, build_firmware
from myowave.imu import Imu, imu_by_name, to_counts
from myowave.live.recorded_emg import recording_beside
from myowave.pty_port import Pty, put_link, refuse_taken, remove_link
from myowave.wire import DEFINITION, Decoder, Encoder

BOOT_TIMEOUT_S = 20.0
SEND_TIMEOUT_S = 5.0
SIMULATED = "simulated"
_BATCH = DEFINITION.limits["imu_batch"]
# A batch in flight while the board takes its first sample must still find its place free.
_AHEAD = DEFINITION.limits["imu_window"] - _BATCH


class VirtualBoard:
    """An emulated board and its IMU; a context manager.

    Parameters
    ----------
    counts : (n, 6) int16 array
        What the IMU measures from every `start` on, at 1 kHz.
    imu : Imu
        The part whose counts these are; the model must be for it.
    model : Path
        Model directory to build in.
    board : str
        A board that runs on this computer, such as "cortex_m4" or "native".
    link : Path, optional
        Where to put a symbolic link to the serial port.
    loop : bool
        Begin again at the end in place of stopping; the jump is not a gap.
    virtual_clock : bool
        Boards `native` and `simulated`: time passes as fast as the serial port is read.
    sanitize : bool
        Boards `native` and `simulated`: with address and undefined behaviour sanitizers.
    missing : sequence of (begin, end)
        Ticks at which the IMU has no sample, to see what a gap does; not on board `simulated`.
    recording : Path, optional
        The file the counts are from: with `link`, a link to it stands beside that of the port, for
        the monitor to find (`live.recorded_emg.recording_beside`).

    Attributes
    ----------
    port : str
        The serial port: `link` or the pty itself.
    ended : threading.Event
        Set when the board has taken the last sample.
    """

    def __init__(
        self,
        counts: NDArray[np.int16],
        imu: Imu,
        model: Path,
        board: str = "cortex_m4",
        link: Path | None = None,
        *,
        loop: bool = False,
        virtual_clock: bool = False,
        sanitize: bool = False,
        missing: Sequence[tuple[int, int]] = (),
        recording: Path | None = None,
    ) -> None:
        self._board = board_by_name(board)
        if not self._board.is_virtual:
            raise ConfigError(f"board '{board}' is not emulated: flash it with 'myowave flash'")
        if (virtual_clock or sanitize) and self._board.qemu:
            raise ConfigError(f"board '{board}': virtual clock and sanitizers need 'native'")
        if missing and self._board.port == SIMULATED:
            raise ConfigError(f"board '{board}': its IMU has a sample at every tick")
        if counts.ndim != 2 or counts.shape[1] != 6 or len(counts) == 0:
            raise ConfigError(f"counts of shape {counts.shape}, expected (n, 6) with n over 0")
        self._counts = np.ascontiguousarray(counts, dtype=np.int16)
        self._imu = imu
        self._link = link
        self._recording = None if recording is None else recording.resolve()
        self._loop = loop
        self._virtual_clock = virtual_clock
        self._image = build_firmware(self._board, Path(model), sanitize=sanitize)
        self.port = ""
        self._pty = ""  # what the link points to
        self.ended = threading.Event()
        self._missing = tuple(missing)
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="virtual board", daemon=True)

    def __enter__(self) -> "VirtualBoard":
        """Boot the board; return once it answers its IMU and its port is there."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Switch the board off."""
        self.close()

    def start(self) -> None:
        """Boot the board.

        Raises
        ------
        ToolError
            If the emulator is missing or the firmware does not come up.
        LinkError
            If `link` is taken, also by the port of another board, or cannot be made.
        """
        if self._link is not None:
            refuse_taken(self._link)
        self._thread.start()
        self._ready.wait(BOOT_TIMEOUT_S)
        if not self._ready.is_set() or self._failure is not None:
            failure = self._failure
            self.close()
            raise failure or ToolError(
                f"{self._board.name}: the firmware did not come up within {BOOT_TIMEOUT_S:g} s"
            )
        if self._link is not None:
            try:
                put_link(self._link, self.port)
                self._pty = self.port
                if self._recording is not None:
                    _put_recording_link(recording_beside(self._link), self._recording)
            except LinkError:
                self.close()
                raise
            except OSError as error:
                self.close()
                raise LinkError(
                    f"{self._link}: cannot put a link there ({error.strerror})"
                ) from error
            self.port = str(self._link)

    def close(self) -> None:
        """Switch the board off and remove its links, if they are still the ones to this board."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._link is not None and self._pty:
            remove_link(self._link, self._pty)
            if self._recording is not None:
                remove_link(recording_beside(self._link), str(self._recording))
            self._pty = ""

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait up to `timeout_s` while the board runs; raise ToolError when it has died."""
        self._thread.join(timeout_s)
        if self._failure is not None:
            raise self._failure

    # ---- the board's thread ------------------------------------------------------------------
    # It starts the process, so that the kernel ends the board with this thread, also after kill -9.

    def _run(self) -> None:
        try:
            if self._board.port == SIMULATED:
                self._run_simulated()
            else:
                self._run_fed()
        except (ToolError, LinkError) as error:
            self._failure = error
        except OSError as error:
            self._failure = ToolError(f"{self._board.name}: {error}")
        finally:
            if self._process is not None:
                self._process.terminate()
                try:
                    self._process.wait(5)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
            self._ready.set()

    def _run_fed(self) -> None:
        """Run a board whose samples come over a link from here."""
        near, far = socket.socketpair()
        with near, far:
            near.settimeout(SEND_TIMEOUT_S)
            self._process, self.port = _launch(
                self._board, self._image, far.fileno(), self._virtual_clock
            )
            far.close()
            _Feed(self, near, self._process).run()

    def _run_simulated(self) -> None:
        """Run a board with a simulated IMU; it says when it is ready and when all is played."""
        with tempfile.NamedTemporaryFile(prefix="myowave-") as movement:
            movement.write(self._counts.astype("<i2").tobytes())
            movement.flush()
            options = ["--counts", movement.name, "--imu", self._imu.name]
            if self._loop:
                options.append("--loop")
            self._process, self.port = _launch_process(
                self._image, options, (), self._virtual_clock
            )
            said = {"ready\n": self._ready, "played\n": self.ended}
            output = self._process.stdout
            assert output is not None
            while not self._closing.is_set():
                readable, _, _ = select.select([output], [], [], 0.05)
                if readable:
                    line = output.readline()
                    if line not in said:
                        raise self._died(line)
                    said[line].set()

    def _died(self, said: str = "") -> ToolError:
        """Return the error of a board that has stopped, with what it said."""
        process = self._process
        assert process is not None
        process.wait(5)
        output = said + (process.stdout.read() if process.stdout else "")
        reason = output.strip().replace("\n", "; ") or "no output"
        return ToolError(
            f"{self._board.name}: the board stopped with status {process.returncode}: "
            f"{reason[-500:]}"
        )


def _put_recording_link(link: Path, recording: Path) -> None:
    """Make `link` point to `recording`; a link makes way, for its port was free."""
    if link.exists() and not link.is_symlink():
        raise LinkError(f"{link}: exists, expected a free path for the link to the recording")
    link.unlink(missing_ok=True)
    link.symlink_to(recording)


class _Feed:
    """Sends samples as far ahead as the board allows, until the board is to be switched off."""

    def __init__(
        self, board: VirtualBoard, line: socket.socket, process: subprocess.Popen[str]
    ) -> None:
        self.board = board
        self.line = line
        self.process = process
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.play = 0  # how often the board has rewound the recording
        self.next = 0  # tick the board takes next
        self.sent = 0  # tick after the last one sent
        self.described = False
        self.end_sent = False

    def run(self) -> None:
        """Serve the IMU link."""
        closing = self.board._closing
        while not closing.is_set():
            readable, _, _ = select.select([self.line], [], [], 0.05)
            if readable:
                try:
                    data = self.line.recv(4096)
                except ConnectionError:
                    data = b""
                if not data:
                    break
                for frame in self.decoder.feed(data):
                    if frame.name == "imu_credit":
                        self._on_credit(frame["play"], frame["next"])
            if self.process.poll() is not None:
                break
        if not closing.is_set():
            raise self.board._died()

    def _on_credit(self, play: int, tick: int) -> None:
        if play != self.play:
            # The sample clock was stopped: its next start takes the recording from the beginning.
            self.play = play
            self.sent = 0
            self.end_sent = False
        self.next = tick
        if not self.described:
            self.described = True
            imu = self.board._imu
            self._send(
                "imu_describe",
                acc_lsb_m_s2=imu.acc_lsb_m_s2,
                gyro_lsb_rad_s=imu.gyro_lsb_rad_s,
                imu=imu.name,
            )
        else:
            # The credit that answers the description: the board knows its IMU.
            self.board._ready.set()
        self._send_samples()
        if self.end_sent and tick >= len(self.board._counts):
            self.board.ended.set()

    def _send_samples(self) -> None:
        counts = self.board._counts
        while self.sent + _BATCH <= self.next + _AHEAD and not self.end_sent:
            if not self.board._loop and self.sent >= len(counts):
                self._send("imu_end", play=self.play, total=len(counts))
                self.end_sent = True
                return
            begin = self.sent % len(counts)
            part = counts[begin : begin + _BATCH]
            for first, stop in self._there(self.sent, self.sent + len(part)):
                rows = part[first - self.sent : stop - self.sent]
                self._send("imu_samples", play=self.play, first=first, count=len(rows), counts=rows)
            self.sent += len(part)

    def _there(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Return the parts of ticks begin to end at which the IMU has samples."""
        there = [(begin, end)]
        for first, stop in self.board._missing:
            cut = [((a, min(b, first)), (max(a, stop), b)) for a, b in there]
            there = [(a, b) for pair in cut for a, b in pair if a < b]
        return there

    def _send(self, name: str, **values: object) -> None:
        with contextlib.suppress(ConnectionError):
            self.line.sendall(self.encoder.encode(name, **values))


def _launch(
    board: Board, image: Path, imu_fd: int, virtual_clock: bool
) -> tuple[subprocess.Popen[str], str]:
    """Start the board's process; return it and the path of its serial port."""
    if board.qemu:
        return _launch_qemu(board, image, imu_fd)
    return _launch_process(image, ["--imu", str(imu_fd)], (imu_fd,), virtual_clock)


def _launch_process(
    image: Path, options: list[str], keep: tuple[int, ...], virtual_clock: bool
) -> tuple[subprocess.Popen[str], str]:
    """Start a board that is a process, its serial line a pty."""
    with Pty() as pty:
        command = [str(image), "--serial", str(pty.controller), *options]
        if virtual_clock:
            command.append("--virtual-clock")
        return _start(command, (pty.controller, *keep)), pty.port


def _launch_qemu(board: Board, image: Path, imu_fd: int) -> tuple[subprocess.Popen[str], str]:
    emulator = "qemu-system-arm"
    if shutil.which(emulator) is None:
        raise ToolError(f"{emulator} not found, needed for board {board.name}: install it")
    command = [
        emulator,
        *board.qemu,
        *("-kernel", str(image)),
        # Behind a multiplexer QEMU buffers 32 bytes before the UART, and the board takes them in
        # one interrupt; without, each byte costs two thread switches. 256: no escape character.
        *("-echr", "256"),
        *("-chardev", "pty,id=line,mux=on", "-serial", "chardev:line"),
        *("-chardev", f"socket,id=imu,fd={imu_fd},mux=on", "-serial", "chardev:imu"),
    ]
    process = _start(command, (imu_fd,))
    assert process.stdout is not None
    said = ""
    deadline = time.monotonic() + BOOT_TIMEOUT_S
    while time.monotonic() < deadline:
        readable, _, _ = select.select([process.stdout], [], [], 0.1)
        if readable:
            line = process.stdout.readline()
            said += line
            if "redirected to" in line:
                return process, line.split("redirected to")[1].split()[0]
            if not line:
                break
    process.kill()
    process.wait()
    raise ToolError(f"{emulator} did not start board {board.name}: {said.strip() or 'no output'}")


def _start(command: list[str], keep: tuple[int, ...]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=keep,
        # Ctrl-C in the terminal is for us, not for the emulator.
        start_new_session=True,
        # One system call, safe after a fork also when there are threads.
        preexec_fn=_die_with_parent,  # noqa: PLW1509
    )


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    # Linux only; elsewhere a killed `virtual` leaves its emulator behind.
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def virtual_board(
    recording: Path,
    model: Path,
    board: str = "cortex_m4",
    link: Path | None = None,
    *,
    loop: bool = False,
) -> VirtualBoard:
    """Return a virtual board that plays a recording file; see `VirtualBoard`.

    Raises
    ------
    RecordingError, ModelError
        If the recording or the model directory is not usable.
    ConfigError
        If the board is unknown or not emulated.
    """
    from myowave.model_card import load_card
    from myowave.recording import load

    imu = imu_by_name(load_card(model).imu)
    played = load(recording)
    counts = to_counts(played.acc, played.gyro, imu)
    return VirtualBoard(counts, imu, model, board, link, loop=loop, recording=recording)
