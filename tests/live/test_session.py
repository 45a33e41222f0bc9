"""Sessions with real boards: followed through unplugging, recorded on request, never lied about."""

import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myowave.calibration import Calibration
from myowave.cli import main
from myowave.errors import LinkError, ModelError, RecordingError
from myowave.imu import from_counts
from myowave.link import Device, Identity
from myowave.live.history import History
from myowave.live.logger import Logger
from myowave.live.session import Listener, Session, Status
from myowave.log import LogWriter, read_log
from myowave.model_card import find_card, load_card
from myowave.paths import REPOSITORY
from myowave.recording import Recording, save
from myowave.virtual import VirtualBoard
from myowave.wire import Frame
from tests.firmware.bridge import Bridge
from tests.firmware.conftest import MakeBoard
from tests.firmware.models import IMU, expected, movement, write_model

LONG = movement(200_000)


def wait_for(what: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


class Heard(Listener):
    """Writes down what a session tells."""

    def __init__(self) -> None:
        self.identities: list[Identity] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.order: list[str] = []
        self.frames: list[Frame] = []

    def on_identity(self, identity: Identity, host_s: float) -> None:
        self.identities.append(identity)
        self.order.append("who")

    def on_frame(self, frame: Frame, host_s: float) -> None:
        self.frames.append(frame)
        self.order.append(frame.name)

    def on_event(self, event: str, host_s: float, details: dict[str, Any]) -> None:
        self.events.append((event, details))
        self.order.append(event)

    def has_counts(self) -> bool:
        newest = next(frame for frame in reversed(self.frames) if frame.name == "data")
        return len(newest["counts"]) > 0

    def samples(self) -> int:
        return sum(frame["count"] for frame in self.frames if frame.name == "data")


@contextmanager
def running(session: Session) -> Iterator[list[Status]]:
    """Run a session in a thread; yield all it says of itself, its end included."""
    stop = threading.Event()
    told: list[Status] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            session.run(stop, told.append)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    for failure in failures:
        raise failure


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """A model directory of another network."""
    return write_model(tmp_path_factory.mktemp("other") / "other", "S")


@pytest.fixture
def live(board) -> MakeBoard:
    """Make a board in real time with a long movement.

    In real time a busy computer may be too late for what a board sends, which then drops it. With a
    virtual clock time waits for the reader: where a test counts every sample.
    """

    def make(**options: Any) -> VirtualBoard:
        made: VirtualBoard = board(**{"counts": LONG, "virtual_clock": False, **options})
        return made

    return make


def test_listeners_and_history_get_every_sample(board, model, counts):
    heard, history = Heard(), History()
    with board() as virtual:
        session = Session(virtual.port, raw=True, model_dirs=[model])
        session.add(heard)
        session.add(history)
        assert session.status().state == "opening"
        with running(session) as told:
            wait_for(lambda: session.status().state == "ended")
            status = session.status()
    assert [name for name, _ in heard.events] == ["opened", "closed"]
    assert heard.order[:2] == ["opened", "who"]
    assert status.samples == heard.samples() == history.total == len(counts)
    assert status.card == load_card(model)
    assert status.note == "the IMU has no further samples: stopped"
    assert (status.lost_frames, status.crc_errors, status.malformed) == (0, 0, 0)
    latest = history.latest(600.0)
    assert np.array_equal(latest.tick, np.arange(len(counts)))
    assert np.array_equal(latest.counts, counts)
    assert status.identity is not None
    envelope = status.identity.envelope(expected(model, counts)).astype(np.float32)
    assert np.array_equal(latest.envelope, envelope)
    assert told[-1].state == "ended"


def test_a_recording_begun_in_the_middle_is_a_whole_log(live, model, tmp_path):
    path = tmp_path / "session.mwlog"
    with live(virtual_clock=True) as virtual:
        # Raw counts are not asked for: a recording has them all the same.
        session = Session(virtual.port, model_dirs=[model])
        heard = Heard()
        session.add(heard)
        with running(session):
            wait_for(lambda: session.status().samples > 700)
            assert not session.marker("before")
            assert not session.note("before")
            before = session.status().samples
            session.start_recording(path)
            assert path.stat().st_size > 0
            with pytest.raises(RecordingError, match=r"session\.mwlog is running; stop that one"):
                session.start_recording(tmp_path / "second")
            wait_for(lambda: session.status().samples > before + 500 and heard.has_counts())
            moment = time.time()
            assert session.marker("curl")
            assert session.marker("earlier", moment - 0.25)
            assert session.note("sensor slipped")
            status = session.status()
            assert status.recording is not None
            assert (status.recording.path, status.recording.markers) == (path, 2)
            assert 0 < status.recording.samples <= status.samples - before
            wait_for(lambda: session.status().samples > status.samples + 100)
            session.stop_recording()
            session.stop_recording()
            assert session.status().recording is None
            length = path.stat().st_size
            # The board is told to send no more raw counts than wished for.
            wait_for(lambda: not heard.has_counts())
            assert path.stat().st_size == length
    log = read_log(path)
    assert [event["event"] for _, event in log.events] == [
        *("opened", "model_card", "marker", "marker", "note", "closed")
    ]
    assert [label for _, label in log.markers] == ["curl", "earlier"]
    assert log.markers[0][0] == pytest.approx(moment, abs=0.1)
    assert log.markers[1][0] == moment - 0.25
    assert [text for _, text in log.notes] == ["sensor slipped"]
    assert log.card == json.loads((model / "model.json").read_text())
    # What was sent before it is not lost.
    assert (log.lost_frames, log.damaged_records, log.missing.sum()) == (0, 0, 0)
    assert log.tick[0] > 600
    assert np.array_equal(np.diff(log.tick), np.ones(log.n_samples - 1))
    assert np.array_equal(log.predictions, expected(model, LONG)[log.tick])
    assert np.array_equal(log.counts[log.has_counts], LONG[log.tick][log.has_counts])
    # All but what was on its way when the recording began.
    assert log.has_counts[-1]
    assert np.all(np.diff(log.has_counts.astype(int)) >= 0)
    assert log.identity is not None
    assert log.identity.model_sha256 == load_card(model).tflite_sha256


def test_check_takes_a_recording_begun_in_the_middle(tmp_path):
    folder = REPOSITORY / "models" / "sim_biceps"
    counts = movement(4000)
    recording, log, figures = (tmp_path / name for name in ("arm.parquet", "log", "check.json"))
    physical = from_counts(counts, IMU)
    nothing = np.zeros((len(counts), 0))
    save(Recording(physical[:, :3], physical[:, 3:], nothing, (), "", "", "arm"), recording)
    with VirtualBoard(counts, IMU, folder, "native") as virtual:
        session = Session(virtual.port)
        with running(session):
            wait_for(lambda: session.status().samples > 400)
            session.start_recording(log)
            wait_for(lambda: session.status().state == "ended")
    assert read_log(log).tick[0] > 300
    words = ["check", folder, recording, "--on", "native", "--log", log, "--json", figures]
    assert main([*map(str, words), "--report", str(tmp_path / "report.html")]) == 0
    parity = json.loads(figures.read_text())["parity"]["log"]
    assert parity["samples"] > 500
    assert parity["mismatches"] == 0


def test_unplugged_and_back_the_recording_goes_on(live, model, tmp_path):
    link, path = tmp_path / "port", tmp_path / "session.mwlog"
    first = live(link=link)
    first.start()
    session = Session(str(link))
    history = History()
    session.add(history)
    with running(session):
        wait_for(lambda: session.status().samples > 200)
        session.start_recording(path)
        wait_for(lambda: read_log(path).n_samples > 200)
        first.close()
        wait_for(lambda: session.status().state == "waiting")
        status = session.status()
        assert status.note == f"waiting for {link} to come back"
        assert status.rate_hz is None
        # What was sent is kept, and a mark can be set.
        assert history.total == status.samples
        session.marker("unplugged")
        wait_for(lambda: read_log(path).markers)
        with live(link=link):
            wait_for(lambda: session.status().samples > status.samples + 300)
            again = session.status()
            assert (again.state, again.resumes, again.note) == ("live", 1, "")
            assert (again.previous_sha256, again.lost_frames) == ("", 0)
            assert again.recording is not None
            session.stop_recording()
    log = read_log(path)
    assert [event["event"] for _, event in log.events if event["event"] != "model_card"] == [
        *("opened", "lost", "marker", "resumed", "closed")
    ]
    assert log.run.max() == 1
    assert log.tick[log.run == 1][0] == 0
    assert np.array_equal(log.predictions, expected(model, LONG)[log.tick])
    # The time it was away is a gap between the samples.
    times = history.latest(600.0).time_s
    assert 0.1 < np.diff(times).max() < 20.0


def test_another_model_that_comes_back_is_shown_and_ends_the_recording(
    live, model, other, tmp_path
):
    link, path = tmp_path / "port", tmp_path / "session.mwlog"
    sha, other_sha = (load_card(folder).tflite_sha256 for folder in (model, other))
    heard = Heard()
    session = Session(str(link), model_dirs=[model])
    session.add(heard)
    first = live(link=link)
    first.start()
    with running(session):
        wait_for(lambda: session.status().samples > 100)
        session.start_recording(path)
        first.close()
        wait_for(lambda: session.status().state == "waiting")
        before = read_log(path).n_samples
        with VirtualBoard(LONG, IMU, other, "native", link=link):
            wait_for(lambda: session.status().state == "live")
            status = session.status()
            assert status.identity is not None
            assert (status.identity.model_sha256, status.previous_sha256) == (other_sha, sha)
            assert status.card is None
            assert status.recording is None
            assert f"model {other_sha[:12]}" in status.note
            assert "session.mwlog has ended: a log is of one model" in status.note
            refused = path.read_bytes()
            with pytest.raises(RecordingError, match="log it into another file"):
                session.start_recording(path)
            assert path.read_bytes() == refused
            assert session.status().recording is None
            wait_for(lambda: session.status().samples > status.samples)
        wait_for(lambda: session.status().state == "waiting")
        with VirtualBoard(LONG, IMU, other, "native", link=link):
            wait_for(lambda: session.status().state == "live")
            assert session.status().previous_sha256 == ""
        wait_for(lambda: session.status().state == "waiting")
    log = read_log(path)
    assert log.n_samples == before
    assert log.identity is not None
    assert log.identity.model_sha256 == sha
    assert log.events[-1][1]["event"] == "closed"
    assert other_sha[:12] in log.events[-1][1]["reason"]
    # Every listener knew whose samples it got.
    assert [who.model_sha256 for who in heard.identities] == [sha, other_sha, other_sha]
    assert [name for name, _ in heard.events] == [
        *("opened", "lost", "resumed", "lost", "resumed", "lost", "closed")
    ]


def test_another_model_is_refused_where_one_was_asked_for(live, other, tmp_path):
    link = tmp_path / "port"
    first = live(link=link)
    first.start()
    session = Session(str(link), other_model="refuse")
    with pytest.raises(LinkError, match="came back, expected model"), running(session):
        wait_for(lambda: session.status().samples > 100)
        first.close()
        wait_for(lambda: session.status().state == "waiting")
        with VirtualBoard(LONG, IMU, other, "native", link=link) as virtual:
            wait_for(lambda: session.status().state == "ended")
            with Device.open(virtual.port) as device:
                assert not device.identify().running


@pytest.mark.parametrize("samples", [False, True])
def test_a_board_exchanged_behind_its_bridge_is_found_out(live, other, monkeypatch, samples):
    """The port stays; the other board says nothing of itself unasked."""
    monkeypatch.setattr("myowave.live.session.SILENCE_S", 0.6)
    bridge = Bridge()
    session = Session(bridge.port)
    heard = Heard()
    session.add(heard)
    first = live()
    first.start()
    bridge.connect(first.port)
    try:
        with running(session):
            wait_for(lambda: session.status().samples > 100)
            bridge.disconnect()
            first.close()
            wait_for(lambda: session.status().state == "silent")
            assert session.status().note.startswith("no samples for ")
            with VirtualBoard(LONG, IMU, other, "native") as second:
                if samples:
                    with Device.open(second.port) as device:
                        device.start()
                bridge.connect(second.port)
                sha256 = load_card(other).tflite_sha256
                wait_for(lambda: heard.identities[-1].model_sha256 == sha256)
                assert session.status().previous_sha256 == heard.identities[0].model_sha256
                wait_for(lambda: session.status().state == "live")
                bridge.disconnect()
    finally:
        bridge.close()
        first.close()


def test_a_board_that_has_ended_starts_again_on_demand_only(board, counts):
    with board() as virtual:
        session = Session(virtual.port)
        history = History()
        session.add(history)
        with running(session):
            wait_for(lambda: session.status().state == "ended")
            time.sleep(0.7)
            assert session.status().state == "ended"
            assert session.status().samples == len(counts)
            session.restart()
            wait_for(lambda: session.status().samples == 2 * len(counts))
            wait_for(lambda: session.status().state == "ended")
    assert history.total == 2 * len(counts)
    latest = history.latest(600.0)
    assert np.array_equal(latest.tick, np.tile(np.arange(len(counts)), 2))
    assert np.all(np.diff(latest.time_s) > 0)


def test_a_newer_identity_takes_the_place_of_the_first(live):
    """As after boot, where the first may be of a board that has not found its IMU yet."""
    heard = Heard()
    calibration = Calibration(IMU.name, "180x", (1, 2, 3))
    with live() as virtual:
        session = Session(virtual.port, calibration=calibration)
        session.add(heard)
        with running(session):
            wait_for(lambda: session.status().samples > 50)
            status = session.status()
    assert status.identity is not None
    assert status.identity.calibration == calibration
    assert [who.calibration for who in heard.identities] == [None, calibration]


def test_a_session_leaves_a_board_running_that_it_found_running(live):
    with live() as virtual:
        for was_running in (False, True):
            with Device.open(virtual.port) as device:
                if was_running:
                    device.start()
            session = Session(virtual.port, seconds=0.3)
            session.run(threading.Event())
            with Device.open(virtual.port) as device:
                assert device.identify().running == was_running


def test_commands_from_many_threads_lose_nothing(live, tmp_path):
    labels = [[f"{thread} {i}" for i in range(150)] for thread in range(3)]
    paths = [tmp_path / f"{i}.mwlog" for i in range(8)]
    heard = Heard()
    with live(virtual_clock=True) as virtual:
        session = Session(virtual.port)
        session.add(heard)
        with running(session):
            wait_for(lambda: session.status().samples > 0)

            def mark(own: list[str]) -> None:
                for label in own:
                    session.marker(label)
                    session.set_raw(on=label.endswith("1"))
                    time.sleep(0.002)

            threads = [threading.Thread(target=mark, args=(own,)) for own in labels]
            for thread in threads:
                thread.start()
            for path in paths:
                session.start_recording(path)
                time.sleep(0.05)
                session.stop_recording()
            for thread in threads:
                thread.join()
    told = [details["label"] for name, details in heard.events if name == "marker"]
    assert sorted(told) == sorted(label for own in labels for label in own)
    logs = [read_log(path) for path in paths]
    recorded = [label for log in logs for _, label in log.markers]
    # In the recordings in the same order as told, each at most once.
    assert recorded == [label for label in told if label in set(recorded)]
    assert len(set(recorded)) == len(recorded) > 10
    for log in logs:
        assert (log.lost_frames, log.damaged_records, log.missing.sum()) == (0, 0, 0)
        assert [log.events[0][1]["event"], log.events[-1][1]["event"]] == ["opened", "closed"]


def test_a_recording_may_go_on_with_a_log_and_refuses_what_is_none(live, tmp_path):
    path, text = tmp_path / "session.mwlog", tmp_path / "notes.txt"
    text.write_text("dear diary, this is no log of any kind")
    with live() as virtual:
        session = Session(virtual.port)
        with pytest.raises(RecordingError, match="no board at"):
            session.start_recording(path)
        assert not path.exists()
        with running(session):
            wait_for(lambda: session.status().samples > 0)
            for _ in range(2):
                session.start_recording(path)
                samples = session.status().samples
                wait_for(lambda: session.status().samples > samples + 100)  # noqa: B023
                session.stop_recording()
            for wrong, message in (
                (text, "exists and is no log"),
                (tmp_path, "cannot be written"),
                (tmp_path / "absent" / "log", r"cannot be written \(No such file"),
                (Path("/dev/full"), r"cannot be written \(No space left"),
            ):
                with pytest.raises(RecordingError, match=message) as refused:
                    session.start_recording(wrong)
                assert "\n" not in str(refused.value)
            assert session.status().recording is None
            assert session.status().state == "live"
    assert text.read_text().startswith("dear diary")
    log = read_log(path)
    assert [e["event"] for _, e in log.events if e["event"] != "model_card"] == [
        *("opened", "closed", "opened", "closed")
    ]
    assert (log.lost_frames, log.damaged_records) == (0, 0)


FULL_DISK = """
    import json, resource, sys, threading
    from myowave.live.logger import Logger
    from myowave.live.session import Session
    from myowave.errors import RecordingError

    url, path, limit, logger = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "logger"
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if logger:
        try:
            Logger(url, path, raw=True).run(threading.Event())
        except RecordingError as error:
            print(json.dumps({"error": str(error)}))
        raise SystemExit
    session, stop, found = Session(url), threading.Event(), {}

    def look(status):
        if status.recording is None and status.samples and not found:
            session.start_recording(path)
            found["begun"] = True
        elif status.recording is None and found and "note" not in found:
            found.update(note=status.note, samples=status.samples, state=status.state)
        elif "note" in found and status.samples > found["samples"] + 200:
            found.setdefault("later", status.state)
            stop.set()

    session.run(stop, look)
    print(json.dumps(found))
"""


@pytest.mark.parametrize("writer", ["session", "logger"])
def test_a_full_disk_ends_the_recording_in_a_sentence(live, model, tmp_path, writer):
    """The file may not grow beyond 40 KB; in a process of its own, since nothing else may."""
    path = tmp_path / "session.mwlog"
    limit = 40_000
    script = textwrap.dedent(FULL_DISK)
    with live(virtual_clock=True) as virtual:
        done = subprocess.run(
            [sys.executable, "-c", script, virtual.port, str(path), str(limit), writer],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    assert done.stderr == ""
    found = json.loads(done.stdout)
    sentence = f"{path}: cannot be written (File too large)"
    if writer == "session":
        assert sentence in found["note"]
        assert "\n" not in found["note"]
        assert (found["state"], found["later"]) == ("live", "live")
    else:
        assert sentence in found["error"]
    # Up to the last whole record all is there.
    assert path.stat().st_size == limit
    log = read_log(path)
    assert log.damaged_records <= 1
    assert log.n_samples > 500
    assert log.missing.sum() == 0
    assert np.array_equal(log.predictions, expected(model, LONG)[log.tick])


def test_a_loggers_markers_and_card_are_in_its_log(live, model, tmp_path):
    path = tmp_path / "session.mwlog"
    heard = Heard()
    with live() as virtual:
        logger = Logger(virtual.port, path, model_dirs=[model], listeners=[heard])
        stop = threading.Event()
        thread = threading.Thread(target=logger.run, args=(stop,))
        thread.start()
        wait_for(lambda: logger.progress.samples > 100)
        logger.marker("curl 1")
        stop.set()
        thread.join(20)
    log = read_log(path)
    assert [label for _, label in log.markers] == ["curl 1"]
    assert log.card == load_card(model).to_json()
    assert logger.card == load_card(model)
    assert heard.samples() == log.n_samples
    assert logger.clock is not None
    assert logger.clock.span_s == pytest.approx((log.n_samples - 1) / 1000.0, abs=1.1)


def test_a_card_is_found_by_its_digest(model, other, tmp_path, monkeypatch):
    sha, other_sha = (load_card(folder).tflite_sha256 for folder in (model, other))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MYOWAVE_MODEL", raising=False)
    assert find_card(sha) is None
    assert find_card(sha, [other]) is None
    assert find_card(sha, [other, model]) == load_card(model)
    monkeypatch.setenv("MYOWAVE_MODEL", str(other))
    assert find_card(other_sha) == load_card(other)
    monkeypatch.setenv("MYOWAVE_MODEL", str(tmp_path / "nothing"))
    assert find_card(other_sha) is None
    (tmp_path / "models" / "broken").mkdir(parents=True)
    (tmp_path / "models" / "broken" / "model.json").write_text("[")
    (tmp_path / "models" / "mine").symlink_to(model)
    assert find_card(sha) == load_card(model)
    demo = load_card(REPOSITORY / "models" / "sim_biceps")
    assert find_card(demo.tflite_sha256) == demo
    for wrong in (lambda: find_card(sha, [tmp_path]), lambda: Session("x", model_dirs=[tmp_path])):
        with pytest.raises(ModelError, match="not a model directory"):
            wrong()


def test_events_without_their_content_are_damaged_records(tmp_path):
    path = tmp_path / "log"
    with LogWriter(path) as writer:
        writer.event("marker", label="good")
        writer.event("marker", label=7)
        writer.event("note")
        writer.event("model_card", card=[1])
        writer.event("something new", detail=1)
    log = read_log(path)
    assert log.damaged_records == 3
    assert [event["event"] for _, event in log.events] == ["marker", "something new"]
    assert (log.notes, log.card) == ([], None)
