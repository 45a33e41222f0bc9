"""The whole firmware as a board that runs here: samples in, frames out, commands obeyed."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myowave.errors import ConfigError, LinkError, ModelError
from myowave.firmware import boards
from myowave.imu import IMUS
from myowave.link import Device, open_port
from myowave.model_card import load_card
from myowave.pty_port import Pty
from myowave.virtual import VirtualBoard
from myowave.wire import DEFINITION, Frame, encode_frame
from tests.firmware.models import IMU, expected, movement

RF = 512
EMULATED = ["native", "cortex_m4"]


def stream(device: Device, seconds: float = 60.0) -> list[Frame]:
    """Start the board and return its data frames until it says that its IMU has ended."""
    device.start()
    frames = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for frame in device.frames(0.2):
            if frame.name == "data":
                frames.append(frame)
            elif frame.name == "text":
                return frames
    pytest.fail(f"the board did not stop within {seconds} s")


def data_frames(device: Device) -> list[Frame]:
    """Return the data frames so far, at least one."""
    found: list[Frame] = []
    while not found:
        found = [frame for frame in device.frames(timeout_s=60.0) if frame.name == "data"]
    return found


def joined(frames: list[Frame], field: str) -> np.ndarray:
    return np.vstack([frame[field] for frame in frames])


def ticks(frames: list[Frame]) -> np.ndarray:
    return np.concatenate([f["first_tick"] + np.arange(f["count"]) for f in frames])


@pytest.mark.parametrize("name", EMULATED)
def test_live_predictions_are_the_native_engines(board, model, counts, name):
    with board(name) as virtual, Device.open(virtual.port) as device:
        device.set_raw(True)
        frames = stream(device)
        statistics = device.statistics()
        lost = device.decoder.lost
    assert lost == 0
    assert np.array_equal(ticks(frames), np.arange(len(counts)))
    assert np.array_equal(joined(frames, "counts"), counts)
    assert np.array_equal(joined(frames, "predictions"), expected(model, counts))
    assert sum(frame["warm_up"] for frame in frames) == RF - 1
    # Ideal times: each tick is one period after the last, however late it was served.
    assert {frame["time_us"] - 1000 * frame["first_tick"] for frame in frames} == {
        frames[0]["time_us"]
    }
    assert statistics.processed == len(counts)
    assert (statistics.missed, statistics.dropped, statistics.tx_dropped_batches) == (0, 0, 0)


@pytest.mark.parametrize("name", ["cortex_m0plus", "cortex_m3", "cortex_m7", "cortex_m55"])
def test_other_cores_run_the_same_application(board, model, counts, name):
    short = counts[:800]
    with board(name, counts=short) as virtual, Device.open(virtual.port) as device:
        assert device.identify().board == name
        assert np.array_equal(device.replay(short), expected(model, short))
        frames = stream(device)
    assert np.array_equal(joined(frames, "predictions"), expected(model, short))


@pytest.mark.parametrize("name", EMULATED)
def test_replay(board, model, counts, name):
    seen = []
    with board(name) as virtual, Device.open(virtual.port) as device:
        for part in (counts[:1000], counts[1000:1001], counts[:1000]):
            got = device.replay(part, progress=lambda done, n: seen.append((done, n)))
            assert np.array_equal(got, expected(model, part))
        # A replay leaves nothing behind: live sampling starts fresh.
        frames = stream(device)
    assert seen[0][0] > 0
    assert seen[-1] == (1000, 1000)
    assert np.array_equal(joined(frames, "predictions"), expected(model, counts))


def test_identity_says_what_the_card_says(board, model):
    card = load_card(model)
    with board() as virtual, Device.open(virtual.port) as device:
        identity = device.require_model(card.tflite_sha256)
        with pytest.raises(LinkError, match="expected 000000000000"):
            device.require_model("0" * 64)
    assert (identity.muscles, identity.imu) == (card.muscles, card.imu)
    assert (identity.rate_hz, identity.receptive_field) == (1000, card.receptive_field)
    assert identity.output_scale == np.float32(card.output_scale)
    assert identity.output_zero_point == card.output_zero_point
    assert identity.acc_lsb_m_s2 == np.float32(IMU.acc_lsb_m_s2)
    assert not identity.running


def test_a_gap_is_marked_and_the_network_starts_anew(board, model, counts):
    missing = [(0, 3), (700, 705), (1500, 1501), (1501, 1502)]
    with board(missing=missing) as virtual, Device.open(virtual.port) as device:
        frames = stream(device)
        statistics = device.statistics()
    there = np.setdiff1d(np.arange(len(counts)), [0, 1, 2, *range(700, 705), 1500, 1501])
    assert np.array_equal(ticks(frames), there)
    gaps = [(f["first_tick"], f["gap_ticks"]) for f in frames if f["gap_ticks"]]
    assert gaps == [(3, 3), (705, 5), (1502, 2)]
    assert all(
        bool(f["flags"] & DEFINITION.data_flags["gap"]) == (f["gap_ticks"] > 0) for f in frames
    )
    fresh = [expected(model, counts[a:b]) for a, b in ((3, 700), (705, 1500), (1502, 3000))]
    assert np.array_equal(joined(frames, "predictions"), np.vstack(fresh))
    assert sum(f["warm_up"] for f in frames) == 3 * (RF - 1)
    assert (statistics.missed, statistics.gaps) == (10, 3)
    assert statistics.processed == len(there)


def test_loop_plays_on(board, model, counts):
    short = counts[:1010]
    with board(counts=short, loop=True) as virtual, Device.open(virtual.port) as device:
        device.start()
        frames: list[Frame] = []
        while sum(f["count"] for f in frames) < 2500:
            frames += [f for f in device.frames(0.2) if f.name == "data"]
        device.stop()
    # However far the virtual clock has run by then.
    played = short[np.arange(sum(f["count"] for f in frames)) % len(short)]
    assert np.array_equal(joined(frames, "predictions"), expected(model, played))
    assert not any(f["gap_ticks"] for f in frames)


def test_start_and_stop(board, counts):
    with board(virtual_clock=False) as virtual, Device.open(virtual.port) as device:
        device.start()
        device.start()  # no effect
        with pytest.raises(LinkError, match="refused 'replay': busy"):
            device.replay(counts)
        assert device.identify().running
        played = data_frames(device)
        device.stop()
        device.stop()
        played += [f for f in device.frames() if f.name == "data"]
        before = sum(f["count"] for f in played)
        assert device.statistics().processed == before
        assert not device.identify().running
        # The next start begins at tick 0 with the first sample of the recording.
        device.set_raw(True)
        device.start()
        frames = data_frames(device)
        device.stop()
        frames += [f for f in device.frames() if f.name == "data"]
    assert frames[0]["first_tick"] == 0
    after = joined(frames, "counts")
    assert np.array_equal(after, counts[: len(after)])


@pytest.mark.parametrize("name", EMULATED)
def test_every_start_plays_the_recording_from_its_beginning(board, model, counts, name):
    """Stopped at once, in the middle, with samples on their way, and at the end."""
    short = counts[:1500]
    with board(name, counts=short) as virtual, Device.open(virtual.port) as device:
        device.set_raw(True)
        for wanted in (0, 1, 700, 1400):
            device.start()
            frames: list[Frame] = []
            while sum(f["count"] for f in frames) < wanted:
                frames += [f for f in device.frames(0.2) if f.name == "data"]
            device.stop()
            frames += [f for f in device.frames() if f.name == "data"]
            n = sum(f["count"] for f in frames)
            assert np.array_equal(ticks(frames) if frames else [], np.arange(n))
            assert n == 0 or np.array_equal(joined(frames, "counts"), short[:n])
        for _ in range(2):
            frames = stream(device)
            assert np.array_equal(ticks(frames), np.arange(len(short)))
            assert np.array_equal(joined(frames, "counts"), short)
            assert np.array_equal(joined(frames, "predictions"), expected(model, short))
        assert device.statistics().missed == 0


def test_raw_is_off_until_asked_for(board):
    with board() as virtual, Device.open(virtual.port) as device:
        frames = stream(device)
    assert all(frame["counts"].shape == (0, 6) for frame in frames)


def test_commands_a_board_does_not_take_are_answered(board):
    with board() as virtual, Device.open(virtual.port) as device:
        with pytest.raises(LinkError, match="unknown command"):
            device._command("identity", **_some_identity())
        with pytest.raises(LinkError, match="bad argument"):
            device._command("set_raw", on=2)
        with pytest.raises(LinkError, match="busy"):
            device._command("replay_samples", first=0, count=1, counts=np.zeros((1, 6)))
        device._command("replay")
        with pytest.raises(LinkError, match="out of order"):
            device._command("replay_samples", first=5, count=1, counts=np.zeros((1, 6)))
        with pytest.raises(LinkError, match="bad argument"):
            device._command("replay_samples", first=0, count=33, counts=np.zeros((33, 6)))
        with pytest.raises(LinkError, match="refused 'start': busy"):
            device.start()
        device.stop()
        assert device.statistics().rx_frames > 0
        device.reset_counters()
        assert device.statistics().rx_frames == 1
        assert device.ping(5) <= device.ping(6)


def _some_identity() -> dict[str, Any]:
    fields = DEFINITION.frames["identity"].fields
    other: dict[str, Any] = {"bytes": bytes(32), "string": "", "strings": []}
    return {field.name: other.get(field.type, 1) for field in fields}


def test_an_imu_the_model_is_not_for_is_refused(model, counts):
    with (
        VirtualBoard(counts, IMUS["mpu-6050"], model, "native") as virtual,
        Device.open(virtual.port) as device,
    ):
        assert device.identify().imu == "mpu-6050"
        with pytest.raises(LinkError, match="no sensor"):
            device.start()


def test_backlog_drops_whole_batches_and_counts_them(board, model):
    counts = movement(4000)
    with (
        board(virtual_clock=False, counts=counts) as virtual,
        Device.open(virtual.port) as device,
    ):
        device.set_raw(True)
        # Answers nobody reads fill every buffer up to the board's own.
        for _ in range(1500):
            device.send("identify")
            time.sleep(0.0001)
        device.send("start")
        time.sleep(1.0)
        frames: list[Frame] = []
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not any(f.name == "text" for f in frames):
            frames += device.frames(0.2)
        statistics = device.statistics()
        damaged = device.decoder.crc_errors + device.decoder.malformed
        lost = device.decoder.lost
    data = [frame for frame in frames if frame.name == "data"]
    assert statistics.tx_dropped_batches > 0
    # What was sent is whole, the line itself lost nothing, and all else is accounted for.
    assert (damaged, lost) == (0, 0)
    received = sum(frame["count"] for frame in data)
    assert received < len(counts)
    assert len(counts) - received <= 20 * statistics.tx_dropped_batches
    assert statistics.processed + statistics.missed == len(counts)
    # The network never noticed.
    if statistics.gaps == 0:
        at = ticks(data)
        assert np.array_equal(joined(data, "predictions"), expected(model, counts)[at])


class NoisyPort:
    """A serial port that now and then flips a bit, loses a byte, or invents some."""

    def __init__(self, url: str, seed: int, rate: float) -> None:
        self._port = open_port(url)
        self._rng = np.random.default_rng(seed)
        self._rate = rate

    def __getattr__(self, name):
        return getattr(self._port, name)

    def __setattr__(self, name, value):
        if name == "timeout":
            self._port.timeout = value
        else:
            super().__setattr__(name, value)

    def _spoil(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            if self._rng.random() < self._rate:
                kind = self._rng.integers(3)
                if kind == 0:
                    out.append(byte ^ (1 << self._rng.integers(8)))
                elif kind == 1:
                    out += self._rng.bytes(int(self._rng.integers(1, 9))) + bytes([byte])
            else:
                out.append(byte)
        return bytes(out)

    def read(self, n: int) -> bytes:
        return self._spoil(self._port.read(n))

    def write(self, data: bytes) -> int:
        self._port.write(self._spoil(data))
        return len(data)


@pytest.mark.parametrize("seed", range(4))
def test_a_noisy_line_loses_frames_but_never_lies(board, model, counts, seed):
    with board() as virtual:
        device = Device(NoisyPort(virtual.port, seed, 3e-4), virtual.port)  # type: ignore[arg-type]
        frames: list[Frame] = []
        device.listen(frames.append)
        for _ in range(20):
            device.send("set_raw", on=1)
            device.send("start")
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline and not any(f.name == "text" for f in frames):
            device.frames(0.1)
        device.close()
    data = [frame for frame in frames if frame.name == "data" and len(frame["counts"])]
    assert len(data) > 10
    assert device.decoder.lost > 0
    at = ticks(data)
    assert np.array_equal(joined(data, "counts"), counts[at])
    assert np.array_equal(joined(data, "predictions"), expected(model, counts)[at])


def test_replay_over_a_noisy_line_is_right_or_an_error(board, model, counts):
    results = []
    for seed in range(3):
        with board() as virtual:
            noisy = NoisyPort(virtual.port, seed, 2e-5)
            device = Device(noisy, virtual.port)  # type: ignore[arg-type]
            try:
                results.append(device.replay(counts[:2000], attempts=8))
            except LinkError:
                continue
            finally:
                device.close()
    assert results
    for result in results:
        assert np.array_equal(result, expected(model, counts[:2000]))


def test_two_boards_at_once(board, model, counts, tmp_path):
    other = movement(3000, seed=5)
    with (
        board("cortex_m4", link=tmp_path / "left") as left,
        board(link=tmp_path / "right", counts=other) as right,
        Device.open(left.port) as first,
        Device.open(right.port) as second,
    ):
        assert np.array_equal(joined(stream(second), "predictions"), expected(model, other))
        assert np.array_equal(joined(stream(first), "predictions"), expected(model, counts))
    assert not (tmp_path / "left").is_symlink()
    assert not (tmp_path / "right").is_symlink()


def test_a_link_belongs_to_one_board(board, tmp_path):
    link = tmp_path / "port"
    link.symlink_to(tmp_path / "gone")  # what a killed board leaves behind
    with board(link=link) as first:
        pty = link.readlink()
        with pytest.raises(LinkError, match=f"port: points to {pty}, which exists"):
            board(link=link).start()
        assert link.readlink() == pty
        with Device.open(first.port) as device:
            device.identify()
    assert not link.is_symlink()


def test_a_link_that_has_become_anothers_stays(board, tmp_path):
    link = tmp_path / "port"
    with board(link=link):
        link.unlink()
        link.symlink_to(tmp_path)
    assert link.readlink() == tmp_path


def test_the_port_has_one_reader(board):
    with (
        board() as virtual,
        Device.open(virtual.port),
        pytest.raises(LinkError, match=r"another program has the port open; end that one first$"),
    ):
        Device.open(virtual.port)


def test_a_frame_in_parts_is_waited_for():
    """A busy computer may read a part of a frame, which is not yet silence."""
    frame = encode_frame("pong", 0, token=1, time_us=0)
    with Pty() as pty, Device.open(pty.port) as device:
        os.write(pty.controller, frame[:5])
        rest = threading.Timer(0.1, os.write, (pty.controller, frame[5:]))
        rest.start()
        names = [frame.name for frame in device.frames(30.0)]
        rest.join()
        assert names == ["pong"]
        os.write(pty.controller, frame[:5])
        assert device.frames(0.1) == []


def test_a_port_that_is_no_board_is_said_so(tmp_path):
    with pytest.raises(LinkError, match="cannot open it as a serial port"):
        Device.open(str(tmp_path / "nothing"))
    with (
        Pty() as pty,
        Device.open(pty.port) as device,
        pytest.raises(LinkError, match="no identity within"),
    ):
        device.identify()


def test_bad_arguments(model, counts, tmp_path):
    with pytest.raises(ConfigError, match="unknown board 'nrf', expected one of cortex_m0plus"):
        VirtualBoard(counts, IMU, model, "nrf")
    with pytest.raises(ModelError, match=r"model\.json: .*'myowave train'"):
        VirtualBoard(counts, IMU, tmp_path, "native")
    with pytest.raises(ConfigError, match="expected \\(n, 6\\)"):
        VirtualBoard(counts[:, :5], IMU, model, "native")
    taken = tmp_path / "file"
    taken.write_text("mine")
    with pytest.raises(LinkError, match="expected a free path"):
        VirtualBoard(counts, IMU, model, "native", taken).start()
    assert taken.read_text() == "mine"


def test_a_board_that_had_to_wait_loses_nothing(board):
    """What has become due while the process was stopped is more than its line takes at once."""
    counts = movement(30_000)
    losses = []
    with board(counts=counts, virtual_clock=False) as virtual, Device.open(virtual.port) as device:
        device.set_raw(True)
        device.start()
        process = virtual._process
        assert process is not None
        # A busy computer may keep this reader from reading too; not every time.
        for _ in range(5):
            newest = data_frames(device)[-1]["first_tick"]
            process.send_signal(signal.SIGSTOP)
            time.sleep(1.0)
            process.send_signal(signal.SIGCONT)
            ticks = [newest]
            while ticks[-1] < newest + 1500:
                ticks += [frame["first_tick"] for frame in data_frames(device)]
            losses.append(int(np.diff(ticks).max()) - 20)
    assert min(losses) == 0


@pytest.mark.parametrize("name", EMULATED)
def test_the_board_ends_with_its_parent(model, name):
    """A killed `virtual` leaves no emulator behind."""
    script = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[3])\n"
        "from tests.firmware.models import IMU, movement\n"
        "from myowave.virtual import VirtualBoard\n"
        "board = VirtualBoard(movement(100), IMU, Path(sys.argv[1]), sys.argv[2]); board.start()\n"
        "print(board._process.pid, flush=True); time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", script, model, name, root], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_board_table():
    assert {
        "native",
        "cortex_m0plus",
        "cortex_m3",
        "cortex_m4",
        "cortex_m7",
        "cortex_m55",
    } <= boards().keys()


def test_a_port_url_is_a_port(board, model, counts):
    """Anything `serial.serial_for_url` opens will do: here a TCP server in front of the board."""
    with board(virtual_clock=False) as virtual, socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()
        bridge = threading.Thread(target=_serve_tcp, args=(server, virtual.port, done))
        bridge.start()
        with Device.open(f"socket://127.0.0.1:{server.getsockname()[1]}") as device:
            assert np.array_equal(device.replay(counts[:200]), expected(model, counts[:200]))
        done.set()
        bridge.join()


def _serve_tcp(server: socket.socket, port: str, done: threading.Event) -> None:
    connection, _ = server.accept()
    line = os.open(port, os.O_RDWR | os.O_NOCTTY)
    while not done.is_set():
        readable, _, _ = select.select([connection.fileno(), line], [], [], 0.05)
        if connection.fileno() in readable:
            os.write(line, connection.recv(4096))
        if line in readable:
            connection.sendall(os.read(line, 4096))
    connection.close()
    os.close(line)
