"""Logging: what is received is kept, whatever happens to the logger, the line or the board."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myowave.calibration import Calibration
from myowave.compiler import compile_tflite
from myowave.errors import LinkError, RecordingError
from myowave.link import Device
from myowave.live.logger import Logger
from myowave.log import LogData, LogWriter, read_log
from myowave.model_card import load_card, write_card
from myowave.virtual import VirtualBoard
from myowave.wire import decode_frame, encode_frame
from tests.firmware.bridge import Bridge
from tests.firmware.models import IMU, expected, movement, write_model

MYOWAVE = Path(sys.executable).with_name("myowave")


def log_until_stopped(url: str, path: str | Path, **options) -> Logger:
    logger = Logger(url, path, **options)
    logger.run(threading.Event())
    return logger


def check_against(log: LogData, model: Path, counts: np.ndarray) -> None:
    """Whatever part of one uninterrupted run is in the log, it is right."""
    assert log.has_counts.all()
    assert np.array_equal(log.counts, counts[log.tick])
    assert log.predictions.shape == (log.n_samples, 1) or log.identity is None
    if log.n_samples == 0:
        return
    assert np.array_equal(log.predictions, expected(model, counts)[log.tick])


def test_a_log_holds_all_the_board_sent(board, model, counts, tmp_path):
    path = tmp_path / "session.mwlog"
    began = time.time()
    with board() as virtual:
        logger = log_until_stopped(virtual.port, path, raw=True)
    log = read_log(path)
    assert logger.progress.samples == log.n_samples == len(counts)
    assert np.array_equal(log.tick, np.arange(len(counts)))
    check_against(log, model, counts)
    assert log.warm_up.sum() == 511
    assert not log.warm_up[511:].any()
    assert not log.missing.any()
    assert np.array_equal(np.diff(log.device_us), np.full(len(counts) - 1, 1000))
    assert np.all((log.host_s >= began) & (log.host_s <= time.time()))
    assert log.identity is not None
    assert log.identity.muscles == ("muscle 0",)
    assert np.array_equal(log.envelope, log.identity.envelope(log.predictions))
    assert [event["event"] for _, event in log.events] == ["opened", "closed"]
    assert log.texts[0][1] == "the IMU has no further samples: stopped"
    assert log.statistics[-1][1].processed == len(counts)
    assert (log.lost_frames, log.damaged_records) == (0, 0)


def test_seconds_end_the_log_and_stop_the_board(board, tmp_path):
    with board(virtual_clock=False) as virtual:
        logger = log_until_stopped(virtual.port, tmp_path / "log", seconds=0.5)
        with Device.open(virtual.port) as device:
            assert not device.identify().running
            assert device.statistics().processed == logger.progress.samples
    # The batch that was not yet full when the time was over is in it.
    assert read_log(tmp_path / "log").n_samples == logger.progress.samples


def test_gaps_of_the_board_are_in_the_log(board, tmp_path):
    with board(missing=[(5, 9), (1000, 1010)]) as virtual:
        log_until_stopped(virtual.port, tmp_path / "log")
    log = read_log(tmp_path / "log")
    gaps = {int(log.tick[i]): int(log.missing[i]) for i in np.flatnonzero(log.missing)}
    assert gaps == {9: 4, 1010: 10}
    assert not log.has_counts.any()


@pytest.fixture(scope="module")
def finished_log(model, tmp_path_factory) -> bytes:
    """A short log's bytes."""
    from myowave.virtual import VirtualBoard
    from tests.firmware.models import IMU

    path = tmp_path_factory.mktemp("log") / "log"
    with VirtualBoard(movement(400), IMU, model, "native", virtual_clock=True) as virtual:
        log_until_stopped(virtual.port, path, raw=True)
    content: bytes = path.read_bytes()
    return content


def test_cut_anywhere_a_log_still_opens(finished_log, model, tmp_path):
    path = tmp_path / "cut"
    counts = movement(400)
    whole = 400
    for n in range(len(finished_log), 14, -37):
        path.write_bytes(finished_log[:n])
        log = read_log(path)
        check_against(log, model, counts)
        assert log.damaged_records <= 1
        assert np.array_equal(log.tick, np.arange(log.n_samples))
        assert log.n_samples <= whole
        whole = log.n_samples
    path.write_bytes(finished_log[:14])
    assert read_log(path).n_samples == 0
    assert read_log(path).identity is None


def test_a_damaged_byte_costs_at_most_two_records(finished_log, model, tmp_path):
    path = tmp_path / "damaged"
    counts = movement(400)
    rng = np.random.default_rng(3)
    for _ in range(100):
        spoiled = bytearray(finished_log)
        spoiled[rng.integers(14, len(spoiled))] ^= 1 << rng.integers(8)
        path.write_bytes(spoiled)
        log = read_log(path)
        check_against(log, model, counts)
        assert log.damaged_records <= 2
        assert 400 - log.n_samples <= 40
        assert log.missing.sum() == (log.tick[-1] + 1 - log.n_samples) - log.tick[0]


def test_lost_frames_are_counted_from_sequence_numbers(tmp_path):
    def data(sequence: int, tick: int):
        payload = {
            **{"first_tick": tick, "time_us": 1000 * tick, "gap_ticks": 0, "flags": 0},
            **{"warm_up": 0, "count": 2, "outputs": 1, "predictions": [[1], [2]], "counts": []},
        }
        return decode_frame(encode_frame("data", sequence, **payload)[1:-1])

    path = tmp_path / "log"
    with LogWriter(path) as writer:
        writer.event("opened")
        for sequence, tick in ((65534, 0), (65535, 2), (1, 6), (4, 12)):
            writer.frame(data(sequence, tick))
        # A board that was started anew: nothing is lost between two runs.
        for sequence, tick in ((0, 0), (1, 2)):
            writer.frame(data(sequence, tick))
    log = read_log(path)
    assert log.lost_frames == 1 + 2
    assert log.run.tolist() == [0] * 8 + [1] * 4
    assert log.missing.tolist() == [0, 0, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0]


def start_cli(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [MYOWAVE, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_samples(path: Path, n: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists() and path.stat().st_size > 0 and read_log(path).n_samples >= n:
            return
        time.sleep(0.05)
    pytest.fail(f"{n} samples did not arrive within 30 s")


def test_a_killed_logger_loses_less_than_a_second_and_is_continued(board, model, tmp_path):
    counts = movement(30000)
    path = tmp_path / "log"
    with board(counts=counts, virtual_clock=False) as virtual:
        for _ in range(2):
            had = read_log(path).n_samples if path.exists() else 0
            logger = start_cli("log", virtual.port, "-o", path, "--raw")
            wait_for_samples(path, had + 300)
            killed = time.time()
            logger.kill()
            logger.communicate()
            log = read_log(path)
            assert killed - log.host_s[-1] < 1.0
            assert log.damaged_records == 0
        with Device.open(virtual.port) as device:
            device.stop()
    log = read_log(path)
    check_against(log, model, counts)
    assert [event["event"] for _, event in log.events] == ["opened", "opened"]
    # One run of the board, with a hole where nobody listened.
    assert log.run.max() == 0
    assert log.missing.sum() == log.tick[-1] + 1 - log.n_samples
    assert log.missing.sum() > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_cleanly(board, tmp_path, number):
    path, figures = tmp_path / "log", tmp_path / "log.json"
    with board(counts=movement(30000), virtual_clock=False) as virtual:
        logger = start_cli("log", virtual.port, "-o", path, "--json", figures)
        wait_for_samples(path, 100)
        logger.send_signal(number)
        out, err = logger.communicate(timeout=20)
        with Device.open(virtual.port) as device:
            assert not device.identify().running
    assert (logger.returncode, err) == (0, "")
    log = read_log(path)
    assert f"{log.n_samples} samples" in out
    assert json.loads(figures.read_text())["samples"] == log.n_samples
    assert log.events[-1][1]["event"] == "closed"
    assert log.statistics[-1][1].processed == log.n_samples


def test_unplugging_and_plugging_in_again_goes_on(board, model, tmp_path):
    counts = movement(30000)
    link, path = tmp_path / "port", tmp_path / "log"
    logger = Logger(str(link), path, raw=True)
    stop = threading.Event()
    first = board(counts=counts, virtual_clock=False, link=link)
    first.start()
    thread = threading.Thread(target=logger.run, args=(stop,))
    thread.start()
    wait_for_samples(path, 200)
    first.close()
    deadline = time.monotonic() + 10
    while logger.progress.connected and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not logger.progress.connected
    before = read_log(path).n_samples
    with board(counts=counts, virtual_clock=False, link=link):
        wait_for_samples(path, before + 200)
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
    log = read_log(path)
    assert [event["event"] for _, event in log.events] == ["opened", "lost", "resumed", "closed"]
    # Two runs, each from its own tick 0: the second board started anew.
    assert log.run.max() == 1
    assert log.tick[log.run == 1][0] == 0
    check_against(log, model, counts)


def test_unplugged_for_good_the_log_ends_with_its_time(board, tmp_path):
    link, path = tmp_path / "port", tmp_path / "log"
    logger = Logger(str(link), path, seconds=1.5)
    virtual = board(counts=movement(30000), virtual_clock=False, link=link)
    virtual.start()
    thread = threading.Thread(target=logger.run, args=(threading.Event(),))
    thread.start()
    wait_for_samples(path, 100)
    virtual.close()
    thread.join(20)
    assert not thread.is_alive()
    assert [e["event"] for _, e in read_log(path).events] == ["opened", "lost", "closed"]


def test_a_rebooted_board_is_started_again(board, model, tmp_path, monkeypatch):
    """A board that lost power but not its USB bridge: the port stays, the board is silent.

    It has forgotten its calibration, which it is told again.
    """
    monkeypatch.setattr("myowave.live.session.SILENCE_S", 0.3)
    path = tmp_path / "log"
    counts = movement(30000)
    bridge = Bridge()
    calibration = Calibration(IMU.name, "180x", (500, -700, 900))
    logger = Logger(bridge.port, path, raw=True, calibration=calibration)
    stop = threading.Event()
    thread = threading.Thread(target=logger.run, args=(stop,))
    try:
        with board(counts=counts, virtual_clock=False) as virtual:
            bridge.connect(virtual.port)
            thread.start()
            wait_for_samples(path, 2500)
            bridge.disconnect()
        before = read_log(path).n_samples
        with board(counts=counts, virtual_clock=False) as virtual:
            bridge.connect(virtual.port)
            wait_for_samples(path, before + 200)
            stop.set()
            thread.join(20)
    finally:
        stop.set()
        bridge.close()
    log = read_log(path)
    assert [event["event"] for _, event in log.events] == ["opened", "closed"]
    assert log.run.max() == 1
    assert log.tick[log.run == 1][0] == 0
    assert np.array_equal(log.counts, counts[log.tick])
    assert np.array_equal(log.corrected, calibration.apply(log.counts))
    assert np.array_equal(log.predictions, expected(model, calibration.apply(counts))[log.tick])


def test_a_log_of_an_older_protocol_is_refused_with_a_reason(tmp_path):
    path = tmp_path / "old.mwlog"
    path.write_bytes(b"MYOWAVE-LOG-1\n\x00")
    for refused in (read_log, LogWriter):
        with pytest.raises(
            RecordingError, match="protocol version 1, this program reads version 2"
        ):
            refused(path)
    assert path.stat().st_size == 15


def test_files_that_are_no_log_are_refused(tmp_path, board):
    path = tmp_path / "notes.txt"
    path.write_text("dear diary, this is not a log")
    with pytest.raises(RecordingError, match="not a log"):
        read_log(path)
    with pytest.raises(RecordingError, match=r"notes\.txt: exists and is no log"):
        LogWriter(path)
    assert path.read_text().startswith("dear diary")
    with pytest.raises(RecordingError, match="cannot read it"):
        read_log(tmp_path / "nothing")


def test_a_log_of_another_model_is_not_continued(board, model, counts, tmp_path):
    path = tmp_path / "session.mwlog"
    with board(counts=counts[:600]) as virtual:
        log_until_stopped(virtual.port, path)
        log_until_stopped(virtual.port, str(path))
    before = path.read_bytes()
    assert read_log(str(path)).n_samples == 1200
    card = load_card(model)
    renamed = shutil.copytree(model, tmp_path / "renamed")
    write_card(renamed, replace(card, muscles=("triceps",)))
    compile_tflite((renamed / "model.tflite").read_bytes(), renamed, load_card(renamed).to_json())
    for other in (write_model(tmp_path / "other", "S"), renamed):
        with VirtualBoard(counts, IMU, other, "native", virtual_clock=True) as virtual:
            with pytest.raises(RecordingError) as refused:
                log_until_stopped(virtual.port, path)
            with Device.open(virtual.port) as device:
                assert not device.identify().running
        message = str(refused.value)
        assert f"a log of model {card.tflite_sha256[:12]} (muscle 0; 1000 Hz)" in message
        assert f"runs model {load_card(other).tflite_sha256[:12]} (" in message
        assert "another file" in message
        assert path.read_bytes() == before


def test_a_port_that_is_not_there_is_an_error_at_the_beginning(tmp_path):
    with pytest.raises(LinkError, match="cannot open"):
        log_until_stopped(str(tmp_path / "port"), tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_logging_needs_the_base_only():
    heavy = ("tensorflow", "tflite_micro", "scipy", "pyarrow", "matplotlib", "platformio")
    script = (
        "import sys, myowave.log, myowave.link, myowave.live.plain; from myowave.cli.app import "
        f"build_app; build_app(); print([m for m in {heavy} if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def at_a_terminal(command: list[object]) -> tuple[subprocess.Popen[bytes], int]:
    """Start a program whose terminal is a pty; return it and the end a person has."""
    person, terminal = os.openpty()
    take_terminal = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    program = subprocess.Popen(
        [
            *(sys.executable, "-c", take_terminal + "os.execvp(sys.argv[1], sys.argv[1:])"),
            *(str(word) for word in command),
        ],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    return program, person


def seen_until_the_end(program: subprocess.Popen[bytes], person: int) -> str:
    """Return what a terminal shows until the program has ended."""
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that nobody has the terminal open any more
        while part := os.read(person, 4096):
            shown += part
    os.close(person)
    assert program.wait(30) == 0
    return shown.decode(errors="replace")


def test_a_line_typed_is_a_marker(board, model, tmp_path):
    path = tmp_path / "log"
    with board(counts=movement(30000), virtual_clock=False) as virtual:
        words = ["log", virtual.port, "-o", path, "--model", model]
        program, person = at_a_terminal([MYOWAVE, *words])
        wait_for_samples(path, 100)
        began = time.time()
        for label in ("Bizepscurl ü", ""):
            os.write(person, f"{label}\n".encode())
        deadline = time.monotonic() + 20
        while len(read_log(path).markers) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        program.send_signal(signal.SIGINT)
        shown = seen_until_the_end(program, person)
    markers = read_log(path).markers
    assert [label for _, label in markers] == ["Bizepscurl ü", "marker"]
    assert all(0.0 <= moment - began < 20.0 for moment, _ in markers)
    assert "marked: Bizepscurl ü" in shown
    assert "model card" not in shown


def test_in_the_background_of_a_shell_it_logs_on(board, tmp_path):
    """Reading from the terminal there would have the system stop it."""
    path = tmp_path / "log"
    with board(counts=movement(30000), virtual_clock=False) as virtual:
        script = f"set -m; '{MYOWAVE}' log {virtual.port} -o {path} --seconds 2 & wait"
        program, person = at_a_terminal(["bash", "-c", script])
        os.write(person, b"not for the logger\n")
        shown = seen_until_the_end(program, person)
    log = read_log(path)
    assert "0 frames lost" in shown
    assert log.events[-1][1]["event"] == "closed"
    assert log.markers == []


def test_the_end_tells_the_clock_and_a_card_that_was_not_found(board, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    figures = tmp_path / "log.json"
    with board(counts=movement(4000), virtual_clock=False) as virtual:
        logger = start_cli("log", virtual.port, "-o", "log", "--json", figures)
        out, err = logger.communicate(timeout=30)
    assert (logger.returncode, err) == (0, "")
    identity = read_log(tmp_path / "log").identity
    assert identity is not None
    assert (
        f"model card: none found for model {identity.model_sha256[:12]}, so it is not in the log"
        in out
    )
    assert "clock: " in out
    clock = json.loads(figures.read_text())["clock"]
    assert 100 < clock["arrivals"] <= 201
    assert 2.0 < clock["span_s"] < 4.1
