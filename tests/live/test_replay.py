"""A log played as if it were the board: what is logged from it is what the log holds."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from myowave.calibration import Calibration
from myowave.cli import main
from myowave.errors import ConfigError, LinkError, RecordingError
from myowave.link import Device
from myowave.live.activation import Activation
from myowave.live.history import History
from myowave.live.logger import Logger
from myowave.live.session import Session
from myowave.log import LogData, LogWriter, read_log
from myowave.model_card import load_card
from myowave.paths import REPOSITORY
from myowave.replay import TX_RING_SIZE, ReplayedBoard
from myowave.virtual import VirtualBoard
from myowave.wire import DEFINITION, Frame, decode_frame, encode_frame
from tests.firmware.models import IMU, movement

MYOWAVE = Path(sys.executable).with_name("myowave")
DEMO_MODEL = REPOSITORY / "models" / "sim_biceps"
AS_FAST_AS_READ = float("inf")


def log_of(url: str, path: Path, **options) -> LogData:
    Logger(url, path, **options).run(threading.Event())
    return read_log(path)


def replayed(log: Path, path: Path, *, raw: bool = True, speed: float = AS_FAST_AS_READ) -> LogData:
    with ReplayedBoard(log, speed=speed) as board:
        return log_of(board.port, path, raw=raw)


def assert_same_samples(one: LogData, other: LogData) -> None:
    columns = ("run", "tick", "device_us", "predictions", "warm_up", "missing")
    for column in (*columns, "counts", "has_counts", "corrected"):
        assert np.array_equal(getattr(one, column), getattr(other, column)), column
    assert other.lost_frames == other.damaged_records == 0


@pytest.fixture(scope="module")
def session_log(model, tmp_path_factory) -> Path:
    """Two runs with raw counts and gaps, then one without; the board calibrated for the second."""
    path: Path = tmp_path_factory.mktemp("session") / "session.mwlog"
    calibration = Calibration(IMU.name, "180x", (5, -7, 9))
    gaps = [(5, 9), (700, 705)]
    with VirtualBoard(
        movement(1507), IMU, model, "native", virtual_clock=True, missing=gaps
    ) as board:
        log_of(board.port, path, raw=True)
        log_of(board.port, path, raw=True, calibration=calibration)
        log_of(board.port, path)
    return path


def test_a_replay_logs_the_same_samples(session_log, tmp_path):
    was = read_log(session_log)
    assert was.run.max() == 2
    assert was.missing.sum() == 3 * 9
    assert not np.array_equal(was.counts, was.corrected)
    now = replayed(session_log, tmp_path / "again")
    assert_same_samples(was, now)
    assert [text for _, text in now.texts] == [text for _, text in was.texts]
    assert [s.processed for _, s in now.statistics] == [s.processed for _, s in was.statistics]
    # And once more, from the replay's own log.
    assert_same_samples(was, replayed(tmp_path / "again", tmp_path / "third"))


def test_the_monitor_shows_a_replay_as_it_does_a_board(session_log, tmp_path, capsys):
    was = read_log(session_log)
    record = tmp_path / "again"
    with ReplayedBoard(session_log, speed=AS_FAST_AS_READ) as board:
        assert main(["monitor", board.port, "--plain", "--record", str(record)]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[-1])
    last = dict(word.split("=", 1) for word in words)
    assert (last["state"], int(last["samples"]), last["lost"]) == ("ended", was.n_samples, "0")
    assert_same_samples(was, read_log(record))


def test_counts_come_only_when_asked_for(session_log, tmp_path):
    was = read_log(session_log)
    now = replayed(session_log, tmp_path / "again", raw=False)
    assert not now.has_counts.any()
    assert np.array_equal(now.predictions, was.predictions)
    assert np.array_equal(now.device_us, was.device_us)
    assert np.array_equal(now.missing, was.missing)


def test_a_replay_takes_the_time_of_the_boards_clock(session_log, tmp_path):
    """It cannot be over sooner than the device clock says; how much later the machine decides.

    On a busy machine the reader may be too slow for it: batches are dropped, and counted.
    """
    was = read_log(session_log)
    began = time.monotonic()
    now = replayed(session_log, tmp_path / "again", speed=5.0)
    took = time.monotonic() - began
    dropped = now.statistics[-1][1].tx_dropped_batches
    assert was.n_samples - 20 * dropped <= now.n_samples <= was.n_samples
    rows = np.searchsorted(was.device_us, now.device_us)
    for column in ("run", "tick", "device_us", "predictions", "counts"):
        assert np.array_equal(getattr(was, column)[rows], getattr(now, column)), column
    runs_us = [np.ptp(was.device_us[was.run == run]) for run in range(3)]
    assert took > sum(runs_us) / 1e6 / 5.0
    assert np.all(np.diff(now.host_s) >= 0)


def test_check_passes_on_the_log_of_a_replay(tmp_path):
    """The whole path: a recording, a board, its log, the replay, its log, the check."""
    from myowave.imu import imu_by_name, to_counts
    from myowave.recording import load

    recording, figures = tmp_path / "rec.parquet", tmp_path / "check.json"
    assert main(["simulate", "-o", str(recording), "--seconds", "5", "--seed", "3"]) == 0
    card = load_card(DEMO_MODEL)
    played, imu = load(recording), imu_by_name(card.imu)
    counts = to_counts(played.acc, played.gyro, imu)
    log, again = tmp_path / "log", tmp_path / "again"
    with VirtualBoard(counts, imu, DEMO_MODEL, "native", virtual_clock=True) as board:
        log_of(board.port, log, raw=True)
    replayed(log, again)
    words = [DEMO_MODEL, recording, "--on", "native", "--log", again, "--json", figures]
    assert main(["check", *map(str, words), "--report", str(tmp_path / "report.html")]) == 0
    parity = json.loads(figures.read_text())["parity"]["log"]
    assert (parity["samples"], parity["mismatches"]) == (len(counts) - card.receptive_field + 1, 0)


def test_commands_are_answered_as_a_board_does(session_log, model):
    card = load_card(model)
    with ReplayedBoard(session_log) as board, Device.open(board.port) as device:
        identity = device.require_model(card.tflite_sha256)
        assert (identity.running, identity.raw, identity.calibration) == (False, False, None)
        device.set_raw(True)
        assert device.identify().raw
        assert device.ping(7) <= device.ping(8)
        device.start()
        device.start()
        assert device.identify().running
        with pytest.raises(LinkError, match=r"refused 'measure_gyro_bias': busy"):
            device.measure_gyro_bias()
        device.stop()
        assert not device.identify().running
        data = [frame for frame in device.frames() if frame.name == "data"]
        assert data == [] or data[0]["first_tick"] == 0
        with pytest.raises(LinkError, match=r"refused 'measure_gyro_bias': no sensor"):
            device.measure_gyro_bias()
        with pytest.raises(LinkError, match=r"refused 'set_calibration': no sensor"):
            device.set_calibration(Calibration(IMU.name, "180z", (1, 2, 3)))
        with pytest.raises(LinkError, match=r"refused 'replay': unknown command"):
            device.replay(movement(64))
        before = device.statistics()
        assert (before.mode, before.rx_crc_errors) == (0, 0)
        device._port.write(b"\0\x09garbage!\0\0\x01\x01\0")
        after = device.statistics()
        assert (after.rx_crc_errors + after.rx_malformed, after.tx_dropped_frames) == (2, 0)
        device.reset_counters()
        assert device.statistics().rx_malformed == 0


def data_until_end(device: Device) -> list[Frame]:
    frames: list[Frame] = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        frames += device.frames(0.1)
        if frames and frames[-1].name == "text" and not device.identify().running:
            return [frame for frame in frames if frame.name == "data"]
    pytest.fail("the log did not end within 20 s")


def test_a_second_start_plays_from_the_beginning(session_log):
    with ReplayedBoard(session_log, speed=4.0) as board, Device.open(board.port) as device:
        device.start()
        while not any(frame.name == "data" for frame in device.frames(1.0)):
            pass
        device.stop()
        device.frames()
        device.start()
        first = data_until_end(device)
        device.start()
        second = data_until_end(device)
        assert board.ended.is_set()
    assert first[0]["first_tick"] == 0
    assert [frame.raw[3:] for frame in first] == [frame.raw[3:] for frame in second]


def test_a_loop_begins_again(session_log):
    samples = read_log(session_log).n_samples
    with ReplayedBoard(session_log, speed=AS_FAST_AS_READ, loop=True) as board:
        with Device.open(board.port) as device:
            device.start()
            got = 0
            while got < 2 * samples:
                got += sum(f["count"] for f in device.frames(1.0) if f.name == "data")
            assert device.identify().running
        assert not board.ended.is_set()


def test_a_reader_that_is_too_slow_loses_whole_frames_that_are_counted(model, tmp_path):
    """The kernel's buffer and the ring of a UART are all there is between a board and a reader."""
    log = tmp_path / "log"
    with VirtualBoard(movement(6000), IMU, model, "native", virtual_clock=True) as virtual:
        was = log_of(virtual.port, log, raw=True)
    with ReplayedBoard(log, speed=20.0) as board, Device.open(board.port) as device:
        device.set_raw(True)
        device.start()
        assert board.ended.wait(20)
        device.ping(9)  # its answer comes after all that waits
        frames = device.frames()
        statistics = device.statistics()
        assert device.decoder.crc_errors == device.decoder.malformed == device.decoder.lost == 0
    data = [frame for frame in frames if frame.name == "data"]
    assert 0 < len(data) < 300
    assert statistics.tx_dropped_batches == 300 - len(data)
    assert TX_RING_SIZE == 2048  # as firmware/app/transmitter.h
    for frame in data:
        rows = np.searchsorted(was.tick, frame["first_tick"]) + np.arange(frame["count"])
        assert np.array_equal(frame["predictions"], was.predictions[rows])
        assert np.array_equal(frame["counts"], was.counts[rows])


def test_with_nobody_there_it_plays_on(session_log, tmp_path):
    was = read_log(session_log)
    with ReplayedBoard(session_log) as board:
        with Device.open(board.port) as device:
            device.start()
        time.sleep(0.3)
        with Device.open(board.port) as device:
            assert device.identify().running
            frames = device.frames()
            while not (data := [frame for frame in frames if frame.name == "data"]):
                frames += device.frames(1.0)
        assert data[0]["time_us"] - was.device_us[0] > 200_000


def test_markers_are_told(session_log, tmp_path):
    log = tmp_path / "marked"
    log.write_bytes(session_log.read_bytes())
    with LogWriter(log) as writer:
        writer.event("marker", label="grip [µ] " + 100 * "äöü")
        writer.event("marker")
        writer.event("marker", label="half a letter \ud83d")
    texts = [text for _, text in replayed(log, tmp_path / "again").texts]
    (told,) = (text for text in texts if text.startswith("marker: grip [µ] äöüäöü"))
    # As long as a text frame can be, cut between two letters.
    assert 254 <= len(told.encode()) <= 255
    assert set(told[17:]) == set("äöü")
    assert {"marker: ", "marker: half a letter ?"} <= set(texts)


def test_what_a_board_says_is_printed_as_it_is(session_log, tmp_path, capsys):
    """Brackets in a text of the board are no markup of the terminal's."""
    log = tmp_path / "hostile"
    log.write_bytes(session_log.read_bytes())
    text = encode_frame("text", 0, level=0, text="[/red] at [bold")
    with LogWriter(log) as writer:
        writer.frame(decode_frame(text[1:-1]))
    with ReplayedBoard(log, speed=AS_FAST_AS_READ) as board:
        assert main(["log", board.port, "-o", str(tmp_path / "again")]) == 0
    assert "[/red] at [bold" in capsys.readouterr().out


def test_frames_no_board_sends_upset_nobody(session_log, tmp_path):
    """Values at their extremes, their checksum right: read, played, shown and logged alike."""
    rng = np.random.default_rng(5)
    log = tmp_path / "hostile"
    head = session_log.read_bytes()
    log.write_bytes(head[: head.index(b"muscle 0") + 60])
    names = [field.name for field in DEFINITION.frames["statistics"].fields]
    u32 = [0, 1, 19, 1000, (1 << 31) - 1, (1 << 32) - 1]
    u64 = [0, 1, 20_000, (1 << 32) - 1, 1 << 62]
    with LogWriter(log) as writer:
        for number in range(300):
            count = int(rng.choice([1, 20, 127]))
            fields = {
                "first_tick": int(rng.choice(u32)),
                "time_us": int(rng.choice(u64)),
                "gap_ticks": int(rng.choice(u32)),
                "flags": int(rng.choice([0, 1, 4, 255 - 2])),
                "warm_up": int(rng.choice([0, 1, 255])),
                "count": count,
                "outputs": 1,
                "predictions": rng.integers(-128, 128, (count, 1)),
                "counts": [],
            }
            writer.frame(decode_frame(encode_frame("data", number, **fields)[1:-1]))
            statistics = {**dict.fromkeys(names, 255), "time_us": fields["time_us"]}
            writer.frame(decode_frame(encode_frame("statistics", number, **statistics)[1:-1]))
    was = read_log(log)
    assert was.n_samples > 300
    history, activation = History(seconds=60.0), Activation()
    session = Session("", recording=tmp_path / "again")
    with ReplayedBoard(log, speed=AS_FAST_AS_READ) as board:
        session.url = board.port
        session.add(history)
        session.run(threading.Event())
    now = read_log(tmp_path / "again")
    for column in ("run", "tick", "device_us", "predictions", "warm_up", "missing"):
        assert np.array_equal(getattr(was, column), getattr(now, column)), column
    view = history.view(history.newest_s - 10.0, history.newest_s, 100)
    assert view.low.shape == (len(view.time_s), 1)
    assert not np.isnan(view.low).all()
    newest = history.latest(10.0)
    assert len(newest.tick) > 0
    activation.update(newest.envelope, history.newest_s)


def test_a_damaged_log_plays_what_is_left(session_log, tmp_path):
    content = session_log.read_bytes()
    log = tmp_path / "damaged"
    log.write_bytes(content[:4000] + content[4010 : len(content) // 2 + 5])
    was = read_log(log)
    assert was.damaged_records > 0
    now = replayed(log, tmp_path / "again")
    for column in ("tick", "device_us", "predictions", "counts", "missing"):
        assert np.array_equal(getattr(was, column), getattr(now, column)), column
    # Its end has been cut off: the board says so itself.
    assert now.texts[-1][1] == "the log has no further samples: stopped"
    assert now.statistics[-1][1].mode == 0


def test_logs_with_nothing_to_play_are_refused_in_one_line(session_log, tmp_path, capsys):
    empty, foreign, cut, none = (tmp_path / name for name in ("empty", "foreign", "cut", "none"))
    empty.write_bytes(b"")
    foreign.write_text("subject,day\n")
    cut.write_bytes(session_log.read_bytes()[:60])
    head = session_log.read_bytes()
    none.write_bytes(head[: head.index(b"muscle 0") + 60])
    for log, message in (
        (empty, "not a log, expected one of 'myowave log'"),
        (foreign, "not a log, expected one of 'myowave log'"),
        (cut, "no identity of a board in it"),
        (none, "no samples in it"),
        (tmp_path / "nowhere", "cannot read it"),
    ):
        with pytest.raises(RecordingError, match=message):
            ReplayedBoard(log)
        assert main(["replay", str(log), "--link", str(tmp_path / "port")]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert message in line
    assert not (tmp_path / "port").is_symlink()
    for speed in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="expected a number over 0"):
            ReplayedBoard(session_log, speed=speed)


def test_a_taken_link_is_refused(session_log, tmp_path):
    taken = tmp_path / "file"
    taken.write_text("mine")
    with pytest.raises(LinkError, match="expected a free path"):
        ReplayedBoard(session_log, taken).start()
    assert taken.read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_removes_the_link(session_log, tmp_path, number):
    link = tmp_path / "port"
    process = subprocess.Popen(
        [MYOWAVE, "replay", session_log, "--link", link, "--speed", "inf"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert "4494 samples play at" in process.stdout.readline()
    assert link.is_symlink()
    log_of(str(link), tmp_path / "again")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert "the log has been played to its end\nswitched off" in out
    assert not link.is_symlink()
