"""Four boards at once, one of them on a line that damages what it carries: the others are not hurt.

The boards' clocks are virtual: time passes as fast as they are read, so that no sample is ever late
on a busy machine, and every one of them must arrive.
"""

import contextlib
import copy
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from myowave.cli import main
from myowave.link import Device, Identity
from myowave.live.session import Listener, Session, Status
from myowave.log import LogData, read_log
from myowave.pty_port import Pty
from myowave.virtual import VirtualBoard
from myowave.wire import Frame
from tests.firmware.bridge import Bridge, Noise, nothing_but_noise, sound
from tests.firmware.models import IMU, expected, movement

MYOWAVE = Path(sys.executable).with_name("myowave")
SAMPLES = 6000
BAD = 2
# About every sixth frame is hit, from the first data on. The end comes through: a virtual clock
# stands still after it, and a board that stands still and has not said why is taken for a new one.
NOISE = Noise(seed=7, per_byte=0.0007, begin=500, end=75_000)


@dataclass
class Setup:
    """One of the boards: where its port is, what it measures, where it is logged."""

    port: str
    counts: NDArray[np.int16]
    path: Path


@pytest.fixture
def boards(model, tmp_path) -> Iterator[list[Setup]]:
    """Four boards, the port of the third behind a noisy line."""
    with contextlib.ExitStack() as stack:
        made = []
        for number in range(4):
            counts = movement(SAMPLES, seed=number)
            board = VirtualBoard(counts, IMU, model, "native", virtual_clock=True)
            port = stack.enter_context(board).port
            if number == BAD:
                bridge = stack.enter_context(Bridge(copy.deepcopy(NOISE)))
                bridge.connect(port)
                port = bridge.port
            made.append(Setup(port, counts, tmp_path / f"{number}.mwlog"))
        yield made


def check_samples(log: LogData, setup: Setup, model: Path) -> None:
    """Whatever is in the log is what the board measured and the engine predicts."""
    assert np.all(np.diff(log.tick) > 0)
    assert log.has_counts.all()
    assert np.array_equal(log.counts, setup.counts[log.tick])
    assert np.array_equal(log.predictions, expected(model, setup.counts)[log.tick])
    assert np.array_equal(np.diff(log.device_us), 1000 * np.diff(log.tick))
    # Every gap is marked where it is, as long as it is.
    assert np.array_equal(log.missing[1:], np.diff(log.tick) - 1)


def check_good(log: LogData, setup: Setup, model: Path) -> None:
    check_samples(log, setup, model)
    assert np.array_equal(log.tick, np.arange(SAMPLES))
    assert (log.lost_frames, log.damaged_records) == (0, 0)
    assert log.warm_up.sum() == 511


def check_bad(log: LogData, setup: Setup, model: Path) -> None:
    check_samples(log, setup, model)
    assert 0.5 * SAMPLES < log.n_samples < 0.97 * SAMPLES
    # Each hole is of whole frames of 20 samples, and the frames lost are at least those.
    holes = log.missing[log.missing > 0]
    assert len(holes) > 10
    assert np.all(holes % 20 == 0)
    assert log.lost_frames >= holes.sum() // 20


class Ear(Listener):
    """What a listener hears, for one that keeps no file."""

    def __init__(self) -> None:
        self.identities: list[Identity] = []
        self.frames: list[Frame] = []

    def on_identity(self, identity: Identity, host_s: float) -> None:
        del host_s
        self.identities.append(identity)

    def on_frame(self, frame: Frame, host_s: float) -> None:
        del host_s
        self.frames.append(frame)


def heard_samples(ear: Ear) -> dict[int, tuple[bytes, bytes]]:
    return {
        frame["first_tick"] + row: (
            frame["predictions"][row].tobytes(),
            frame["counts"][row].tobytes(),
        )
        for frame in ear.frames
        if frame.name == "data"
        for row in range(frame["count"])
    }


def test_four_sessions_at_once(boards, model):
    ears = [Ear() for _ in boards]
    sessions = [Session(setup.port, raw=True, recording=setup.path) for setup in boards]
    ends: dict[int, Status] = {}

    def follow(number: int) -> None:
        sessions[number].add(ears[number])
        ends[number] = sessions[number].run(threading.Event())

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(ends) == [0, 1, 2, 3]
    for number, setup in enumerate(boards):
        log, status = read_log(setup.path), ends[number]
        (check_bad if number == BAD else check_good)(log, setup, model)
        # The listener has heard what the log holds, to the bit.
        heard = heard_samples(ears[number])
        assert list(heard) == log.tick.tolist()
        assert b"".join(p for p, _ in heard.values()) == log.predictions.tobytes()
        assert b"".join(c for _, c in heard.values()) == log.counts.tobytes()
        assert status.samples == log.n_samples
        assert status.resumes == 0
        assert {identity.board for identity in ears[number].identities} == {"native"}
        damaged = status.crc_errors + status.malformed
        if number == BAD:
            assert min(status.crc_errors, status.malformed) > 0
            assert damaged > 20
            assert status.lost_frames == log.lost_frames
        else:
            assert (damaged, status.lost_frames) == (0, 0)


def test_four_logs_side_by_side(boards, model):
    processes = [
        subprocess.Popen(
            [
                *(MYOWAVE, "log", setup.port, "-o", setup.path, "--raw"),
                *("--json", setup.path.with_suffix(".json")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for setup in boards
    ]
    for number, (process, setup) in enumerate(zip(processes, boards, strict=True)):
        out, err = process.communicate(timeout=100)
        assert (process.returncode, err) == (0, "")
        log, figures = read_log(setup.path), json.loads(setup.path.with_suffix(".json").read_text())
        (check_bad if number == BAD else check_good)(log, setup, model)
        assert f"{log.n_samples} samples in" in out
        assert f"{log.lost_frames} frames lost" in out
        assert figures["samples"] == log.n_samples
        assert figures["lost_frames"] == log.lost_frames
        if number == BAD:
            assert figures["crc_errors"] + figures["malformed"] > 20
            assert f"damaged on the line: {figures['crc_errors']} frames with a wrong" in out
        else:
            assert (figures["crc_errors"], figures["malformed"]) == (0, 0)
            assert "damaged" not in out


def wait_until(what: str, holds) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.05)
    pytest.fail(f"not within 40 s: {what}")


def test_a_line_that_turns_to_noise_and_back(model, tmp_path):
    """The session says that it waits and why, delivers nothing meanwhile, and goes on after it."""
    counts = movement(60_000)
    setup = Setup("", counts, tmp_path / "log")
    with VirtualBoard(counts, IMU, model, "native") as board, Bridge() as bridge:
        bridge.connect(board.port)
        session = Session(bridge.port, raw=True, recording=setup.path)
        stop = threading.Event()
        thread = threading.Thread(target=session.run, args=(stop,))
        thread.start()
        try:
            wait_until("samples", lambda: session.status().samples > 300)
            bridge.damage = nothing_but_noise
            wait_until("the session waits", lambda: session.status().state == "waiting")
            during = session.status()
            wait_until("a reason", lambda: "no MyoWave frames" in session.status().note)
            note = session.status().note
            assert session.status().samples == during.samples
            bridge.damage = sound
            wait_until("more samples", lambda: session.status().samples > during.samples + 300)
            after = session.status()
        finally:
            stop.set()
            thread.join(20)
    assert not thread.is_alive()
    assert note.startswith(f"waiting for {bridge.port} to come back (")
    assert "\n" not in note
    assert (after.resumes, after.state) == (1, "live")
    assert after.crc_errors + after.malformed > 0
    log = read_log(setup.path)
    check_samples(log, setup, model)
    assert log.missing.max() > 1000
    assert [event["event"] for _, event in log.events if event["event"] != "model_card"] == [
        *("opened", "lost", "resumed", "closed")
    ]


@pytest.fixture
def noisy_port() -> Iterator[str]:
    """A port that sends noise without end."""
    with Pty() as pty:
        stop = threading.Event()

        def hiss() -> None:
            os.set_blocking(pty.controller, False)
            while not stop.wait(0.005):
                with contextlib.suppress(BlockingIOError):
                    os.write(pty.controller, os.urandom(200))

        thread = threading.Thread(target=hiss)
        thread.start()
        yield pty.port
        stop.set()
        thread.join()


def test_a_port_that_only_sends_noise_is_told_in_one_sentence(noisy_port, tmp_path, capsys):
    assert main(["log", noisy_port, "-o", str(tmp_path / "log")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith(f"myowave: error: {noisy_port}: no identity within")
    assert "bytes came that are no MyoWave frames, so something else is there" in told
    assert "'myowave doctor' tells" in told
    assert not (tmp_path / "log").exists()


def test_a_command_is_sent_again_when_its_answer_is_lost(model, counts):
    """The first answer to each command is lost, the second comes through."""
    with VirtualBoard(counts, IMU, model, "native") as board, Bridge() as bridge:
        bridge.connect(board.port)
        answers = 0

        def every_other(data: bytes) -> bytes:
            nonlocal answers
            answers += 1
            return data if answers % 2 == 0 else b""

        bridge.damage = every_other
        with Device.open(bridge.port) as device:
            device.set_raw(True)
            assert device.identify().raw
            device.ping(3)
            assert device.statistics().rx_frames >= 6
            assert device.decoder.lost >= 3
