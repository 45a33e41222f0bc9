"""`myowave monitor` as a user and a script type it; the page and the terminal have their own."""

import contextlib
import os
import pty
import shlex
import signal
import struct
import subprocess
import sys
import threading
import tty
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cobs import cobs
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from myowave.cli import main
from myowave.link import Device
from myowave.live.history import History
from myowave.live.plain import Lines
from myowave.live.session import Session
from myowave.live.settings import MonitorSettings
from myowave.log import read_log
from myowave.model_card import load_card
from myowave.wire import DEFINITION
from tests.firmware.models import expected, movement

MYOWAVE = Path(sys.executable).with_name("myowave")
KEYS = [
    *("time", "state", "rate_hz", "samples", "lost", "crc_errors", "gaps", "overruns"),
    *("cpu_percent", "longest_step_us", "muscle@0.mean", "muscle@0.peak", "muscle@0.active"),
    *("recording", "recording_s"),
]


def values(line: str) -> dict[str, str]:
    """Take a line of --plain apart as its documentation says."""
    pairs = [word.split("=", 1) for word in shlex.split(line)]
    return {key.replace(" ", "@"): value for key, value in pairs}


def error_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that a mistake is answered with."""
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("myowave: error: ")
    assert error.count("\n") == 1, error
    return error


# ---- one line a second ---------------------------------------------------------------------------


def test_plain_lines_are_for_scripts(board, tmp_path, capsys):
    path = tmp_path / "a session.mwlog"
    with board(virtual_clock=False, loop=True) as virtual:
        words = ["monitor", virtual.port, "--plain", "--seconds", "2.5", "--record", str(path)]
        assert main(words) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = [values(line) for line in captured.out.splitlines()]
    assert [tuple(line) for line in lines] == [tuple(KEYS)] * len(lines)
    assert len(lines) >= 2
    samples = [int(line["samples"]) for line in lines]
    assert samples == sorted(samples)
    assert {line["lost"] for line in lines} == {"0"}
    assert {line["recording"] for line in lines[:-1]} == {str(path)}
    assert lines[-1]["state"] == "ended"
    log = read_log(path)
    assert log.tick[0] == 0, "the recording has the first sample"
    assert log.has_counts.all()
    assert log.n_samples == samples[-1]
    assert [event["event"] for _, event in log.events][-1] == "closed"


def test_a_line_is_about_the_samples_since_the_one_before(board, model):
    counts = movement(2000, seed=4)
    stop = threading.Event()
    with board(counts=counts) as virtual:
        session, history = Session(virtual.port), History()
        session.add(history)
        session.run(stop, lambda status: stop.set() if status.state == "ended" else None)
        lines = Lines(history, MonitorSettings())
        line, empty = (values(lines.next(session.status())) for _ in range(2))
    envelope = 100.0 * load_card(model).envelope_of(expected(model, counts))[-1000:, 0]
    assert float(line["muscle@0.mean"]) == pytest.approx(envelope.mean(), abs=0.1)
    assert float(line["muscle@0.peak"]) == pytest.approx(envelope.max(), abs=0.1)
    decisive = envelope[(envelope >= 20.0) | (envelope < 15.0)]
    assert line["muscle@0.active"] == str(int(decisive[-1] >= 20.0))
    assert (empty["muscle@0.mean"], empty["muscle@0.peak"]) == ("-", "-")
    assert empty["recording"] == "-"


def started(port: str, *words: str) -> subprocess.Popen[str]:
    """Start the command and wait for its first line."""
    return subprocess.Popen(
        [MYOWAVE, "monitor", port, "--plain", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_plain_ends_cleanly_when_told(board, number):
    with board(virtual_clock=False, loop=True) as virtual:
        monitor = started(virtual.port)
        assert monitor.stdout is not None
        first = monitor.stdout.readline()
        monitor.send_signal(number)
        rest, err = monitor.communicate(timeout=20)
        with Device.open(virtual.port) as device:
            assert not device.identify().running, "it has stopped what it has started"
    assert (monitor.returncode, err) == (0, "")
    for line in (first + rest).splitlines(keepends=True):
        assert line.endswith("\n")
        assert list(values(line)) == KEYS


def test_plain_ends_when_nobody_reads_it_any_more(board):
    with board(virtual_clock=False, loop=True) as virtual:
        monitor = started(virtual.port)
        assert monitor.stdout is not None
        assert monitor.stderr is not None
        assert monitor.stdout.readline()
        monitor.stdout.close()
        assert monitor.wait(20) == 0
        assert monitor.stderr.read() == ""
        monitor.stderr.close()


# ---- a port that cannot be used ------------------------------------------------------------------


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A serial port, the test at its other end: that end, and the port's name."""
    controller, port = pty.openpty()
    tty.setraw(port)
    name = os.ttyname(port)
    os.close(port)
    yield controller, name
    os.close(controller)


def monitor_error(port: str | Path) -> str:
    """Return what the command says of a port that it is started with in a process of its own."""
    done = subprocess.run(
        [MYOWAVE, "monitor", port, "--plain"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_an_absent_port(tmp_path, capsys):
    error = error_of(["monitor", str(tmp_path / "port"), "--plain"], capsys)
    assert "No such file or directory" in error
    assert "'myowave doctor' lists the ports there are" in error


def test_a_file_that_is_no_port(tmp_path, capsys):
    (tmp_path / "file").write_text("words")
    error = error_of(["monitor", str(tmp_path / "file"), "--plain"], capsys)
    assert "cannot open it as a serial port" in error


def test_a_busy_port_names_the_program(board):
    with (
        board() as virtual,
        Path(virtual.port).open("rb", buffering=0) as port,
        subprocess.Popen(["sleep", "60"], stdin=port) as other,
    ):
        port.close()
        try:
            error = monitor_error(virtual.port)
        finally:
            other.kill()
    assert f"in use by sleep (process {other.pid}); end that one first" in error


def test_a_forbidden_port(terminal, tmp_path):
    """Run as nobody where the tests are run as root, who may open everything."""
    _, port = terminal
    Path(port).chmod(0o000)
    # Once before, for all that it imports: nobody may not read this checkout.
    program = (
        "import contextlib, io, os, sys; from myowave.cli import main\n"
        "with contextlib.redirect_stderr(io.StringIO()): main(['monitor', '/nowhere', '--plain'])\n"
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "monitor", port, "--plain"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "no permission" in done.stderr
    assert "'myowave doctor --udev-rules'" in done.stderr


def test_a_silent_port(terminal):
    _, port = terminal
    error = monitor_error(port)
    assert "nothing came at all" in error
    assert "'myowave flash'" in error


OTHER_VERSION = struct.pack("<BHB", DEFINITION.frames["identity"].type, 0, 3) + bytes(60)


@pytest.mark.parametrize(
    ("data", "said", "remedy"),
    [
        (bytes(range(256)) * 4, "are no MyoWave frames", "'myowave doctor' tells"),
        (
            b"\0"
            + cobs.encode(OTHER_VERSION + struct.pack("<I", zlib.crc32(OTHER_VERSION)))
            + b"\0",
            "speaks protocol version 3, expected 2",
            "flash it again with 'myowave flash'",
        ),
    ],
    ids=["garbage", "other version"],
)
def test_a_port_that_speaks_something_else(terminal, data, said, remedy):
    controller, port = terminal
    os.set_blocking(controller, False)
    stop = threading.Event()

    def speak() -> None:
        while not stop.wait(0.05):
            # Full when nobody listens.
            with contextlib.suppress(BlockingIOError):
                os.write(controller, data)

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        error = monitor_error(port)
    finally:
        stop.set()
        thread.join()
    assert said in error
    assert remedy in error


# ---- no port given -------------------------------------------------------------------------------


def plugged_in(monkeypatch: pytest.MonkeyPatch, *devices: str) -> None:
    """Have the operating system list these ports, as those of a known USB board."""
    found = []
    for device in devices:
        info = ListPortInfo(device)
        info.vid, info.pid = 0x2886, 0x8045
        found.append(info)
    monkeypatch.setattr(list_ports, "comports", lambda: found)


def test_without_a_port_the_only_board_is_taken(board, terminal, monkeypatch, capsys):
    _, silent = terminal
    with board(virtual_clock=False, loop=True) as virtual:
        plugged_in(monkeypatch, silent, virtual.port)
        assert main(["monitor", "--plain", "--seconds", "1.2"]) == 0
    captured = capsys.readouterr()
    assert f"{silent} (2886:8045), Seeed XIAO nRF52840 Sense, Arduino: no MyoWave" in captured.err
    assert f"{virtual.port} (2886:8045), Seeed XIAO nRF52840 Sense, Arduino: native" in captured.err
    assert captured.err.splitlines()[-1] == f"myowave monitor {virtual.port}"
    assert [list(values(line)) for line in captured.out.splitlines()] == [KEYS] * 2


def test_without_a_port_several_boards_are_listed(board, monkeypatch, capsys):
    with board() as one, board() as other:
        plugged_in(monkeypatch, one.port, other.port)
        assert main(["monitor"]) == 2
    *listed, error = capsys.readouterr().err.splitlines()
    assert len(listed) == 2
    assert f"2 boards answer, at {one.port}, {other.port}: name the port of one" in error


def test_without_a_port_or_a_board_it_says_what_to_do(terminal, monkeypatch, capsys):
    _, silent = terminal
    for devices in ([], [silent]):
        plugged_in(monkeypatch, *devices)
        assert main(["monitor"]) == 2
        *listed, error = capsys.readouterr().err.splitlines()
        assert len(listed) == len(devices)
        assert f"no board answers at any of {len(devices)} serial ports" in error
        assert "name the PATH given to 'virtual --link'" in error


# ---- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tui", "--plain"], "expected one of them"),
        (["--plain", "--window", "1"], "window of 1 s, expected 2 to 60"),
        (["--plain", "--threshold", "10", "--hysteresis", "12"], "0 < off <= on <= 1"),
        (["--theme", "blue"], "expected one of auto, light, dark"),
        (["--plain", "--emg", "rec.parquet"], "only the page shows recorded sEMG"),
        (["--plain", "--model", "/nowhere"], "/nowhere: not a model directory"),
        (["--plain", "--calibration", "/nowhere.json"], "/nowhere.json"),
        (["--http-port", "70000"], "--http-port"),
    ],
)
def test_a_wrong_option_is_told_before_the_port_is_opened(words, said, tmp_path, capsys):
    assert said in error_of(["monitor", str(tmp_path / "port"), *words], capsys)


def test_others_need_a_token(board, capsys, monkeypatch):
    monkeypatch.delenv("MYOWAVE_MONITOR_TOKEN", raising=False)
    with board(virtual_clock=False, loop=True) as virtual:
        words = ["monitor", virtual.port, "--address", "0.0.0.0", "--no-browser"]
        assert "expected a token" in error_of(words, capsys)


def test_a_recording_that_cannot_be_made_is_told(board, tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    with board(virtual_clock=False, loop=True) as virtual:
        words = ["monitor", virtual.port, "--plain", "--record", str(tmp_path / "notes.txt")]
        assert "exists and is no log" in error_of(words, capsys)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_lines_need_neither_the_page_nor_the_terminal():
    code = (
        "import sys; from myowave.cli import main; assert main(sys.argv[1:]) == 2; "
        "print([name for name in ('bokeh', 'textual', 'pylsl', 'scipy', 'pyarrow') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "monitor", "/nowhere/port", "--plain"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
