"""LSL outlets against an inlet in another process."""

import dataclasses
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from myowave.cli import main
from myowave.link import Device
from myowave.live.background import followed
from myowave.live.lsl import LslOutlets
from myowave.live.session import Session, Status
from myowave.log import read_log
from myowave.model_card import load_card, write_card
from myowave.virtual import VirtualBoard
from tests.firmware.models import IMU, expected, movement, write_model

MYOWAVE = Path(sys.executable).with_name("myowave")
INLET = Path(__file__).with_name("lsl_inlet.py")
# Found on this machine without multicast, which not every network lets through.
CONFIGURATION = "[multicast]\nResolveScope = machine\n[lab]\nKnownPeers = {127.0.0.1}\n"
MINUTE = 60_000


@pytest.fixture(autouse=True)
def on_this_machine(tmp_path, monkeypatch) -> None:
    path = tmp_path / "lsl_api.cfg"
    path.write_text(CONFIGURATION + "[log]\nlevel = -2\n")
    monkeypatch.setenv("LSLAPICFG", str(path))


def inlet(source: str, samples: float, out: Path) -> subprocess.Popen[str]:
    """Start an inlet in a process of its own; return when it listens to all streams."""
    process = subprocess.Popen(
        [sys.executable, str(INLET), source, str(samples), str(out)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "connected\n"
    return process


def receive(url: str, model: Path, out: Path) -> dict[str, Any]:
    """Follow a board until it has no more to send; return what an inlet has received of it."""
    outlets = LslOutlets(url, [model])
    with Device.open(url) as device:
        # The outlets open before the board is started, so that no sample comes before the inlet.
        outlets.on_identity(device.identify(), time.time())
    process = inlet(url, np.inf, out)
    stop = threading.Event()
    session = Session(url, raw=True, model_dirs=[model])
    session.add(outlets)

    def end(status: Status) -> None:
        if status.state == "ended" and not stop.is_set():
            # A second before now, as when a label was asked for first.
            now_s = time.time()
            session.marker("début", now_s - 1.0)
            session.marker(f"end {status.samples}", now_s)
            assert process.wait(120) == 0
            stop.set()

    session.run(stop, end)
    return dict(np.load(out))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Model directory of the small reference network, taught a target with a delay."""
    folder = write_model(tmp_path_factory.mktemp("model") / "small", "S")
    card = load_card(folder)
    write_card(folder, dataclasses.replace(card, target={"filter_delay_ms": 52.5}))
    return folder


def test_an_inlet_receives_every_sample_of_a_minute(board, model, tmp_path):
    counts = movement(MINUTE, seed=5)
    with board(counts=counts, link=tmp_path / "port") as virtual:
        taken = receive(virtual.port, model, tmp_path / "taken.npz")
    card = load_card(model)
    assert np.array_equal(
        taken["envelope"], card.envelope_of(expected(model, counts)).astype(np.float32)
    )
    # m/s² and rad/s, from which the counts come back.
    assert np.array_equal(np.rint(taken["IMU"] / IMU.lsb), counts)
    stamps = taken["envelope stamps"]
    assert np.array_equal(stamps, taken["IMU stamps"])
    assert np.diff(stamps).min() > 0.0

    assert taken["markers"].tolist() == [["début"], [f"end {MINUTE}"]]
    begin_s, end_s = taken["markers stamps"]
    assert end_s - begin_s == pytest.approx(1.0, abs=1e-3)

    description = ElementTree.fromstring(str(taken["envelope xml"]))
    assert description.findtext("name") == "MyoWave envelope"
    assert description.findtext("type") == "MISC"
    assert float(description.findtext("nominal_srate", "")) == 1000.0
    assert virtual.port in description.findtext("source_id", "")
    channel = description.find("desc/channels/channel")
    assert channel is not None
    assert {item.tag: item.text for item in channel} == {
        "label": card.muscles[0],
        "unit": "fraction of reference",
        "type": "MISC",
    }
    assert description.findtext("desc/model/sha256") == card.tflite_sha256
    assert description.findtext("desc/model/filter_delay_ms") == "52.5"
    imu = ElementTree.fromstring(str(taken["IMU xml"]))
    channels = imu.findall("desc/channels/channel")
    assert [item.findtext("label") for item in channels] == list(card.channels)
    assert [item.findtext("unit") for item in channels] == list(card.units)
    markers = ElementTree.fromstring(str(taken["markers xml"]))
    assert float(markers.findtext("nominal_srate", "")) == 0.0


def test_time_stamps_are_as_evenly_spaced_as_the_board_samples(board, model, tmp_path):
    """In real time, with a gap of 0.2 s that stays one."""
    counts = movement(3000)
    options = {"virtual_clock": False, "missing": [(1500, 1700)], "link": tmp_path / "port"}
    with board(counts=counts, **options) as virtual:
        taken = receive(virtual.port, model, tmp_path / "taken.npz")
    steps_s = np.diff(taken["envelope stamps"])
    assert np.abs(steps_s - 0.201).min() < 0.04
    # The first frames' delays are learned from within the first seconds.
    assert np.median(steps_s) == pytest.approx(1e-3, rel=0.01)
    assert steps_s.min() > 0.0
    # The last sample was measured shortly before the markers were set.
    before_s = taken["markers stamps"][-1] - taken["envelope stamps"][-1]
    assert 0.0 < before_s < 10.0


def test_log_opens_outlets(board, model, tmp_path):
    """What an inlet receives that comes and goes while `log --lsl` runs is what the log holds."""
    link, path, out = tmp_path / "port", tmp_path / "session.mwlog", tmp_path / "taken.npz"
    with board(counts=movement(20_000), virtual_clock=False, link=link):
        words = ["log", link, "-o", path, "--lsl", "--model", model]
        log = subprocess.Popen([MYOWAVE, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert inlet(str(link), 1500, out).wait(60) == 0
        log.send_signal(signal.SIGINT)
        said, _ = log.communicate(timeout=20)
    assert log.returncode == 0, said
    taken, held = np.load(out), read_log(path)
    counts = np.rint(taken["IMU"] / IMU.lsb).astype(np.int16)
    begin = int(np.flatnonzero((held.counts == counts[0]).all(axis=1))[0])
    assert len(counts) >= 1500
    assert np.array_equal(held.counts[begin : begin + len(counts)], counts)
    # The inlet may have begun to listen to one stream a frame before it did to the other.
    stamps = (taken["envelope stamps"], taken["IMU stamps"])
    common, of_envelope, of_counts = np.intersect1d(*stamps, return_indices=True)
    assert len(common) >= 1400
    assert np.array_equal(
        taken["envelope"][of_envelope], held.envelope.astype(np.float32)[begin + of_counts]
    )


def test_another_model_gets_streams_of_its_own(model, tmp_path):
    import pylsl

    link = tmp_path / "port"
    models = [model, write_model(tmp_path / "other", "R")]
    session = Session(str(link))
    session.add(LslOutlets(str(link)))

    def streamed(wanted: int) -> list[str]:
        """Return the models of this board's envelope streams."""
        here = f"name='MyoWave envelope' and contains(source_id,'{link}')"
        described = [
            pylsl.StreamInlet(info).info(10).as_xml()
            for info in pylsl.resolve_bypred(here, wanted, 30.0 if wanted else 1.0)
        ]
        return [
            ElementTree.fromstring(text).findtext("desc/model/sha256", "") for text in described
        ]

    stop = threading.Event()
    first = VirtualBoard(movement(500), IMU, models[0], "native", link, loop=True)
    with first, followed(session, stop):
        assert streamed(1) == [load_card(models[0]).tflite_sha256]
        first.close()
        with VirtualBoard(movement(500), IMU, models[1], "native", link, loop=True):
            deadline = time.monotonic() + 20
            while not session.status().resumes:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert streamed(1) == [load_card(models[1]).tflite_sha256]
    assert streamed(0) == []


WITHOUT = {
    "pylsl": (
        "raise ModuleNotFoundError('No module named pylsl', name='pylsl')",
        "pip install '.[lsl]' in the clone",
    ),
    "liblsl": ("import ctypes; ctypes.CDLL('/nowhere/liblsl.so')", "$PYLSL_LIB"),
}


@pytest.mark.parametrize("missing", WITHOUT)
def test_a_missing_library_is_one_line(missing, tmp_path, monkeypatch, capsys):
    code, remedy = WITHOUT[missing]
    (tmp_path / "pylsl.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "pylsl"]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["monitor", str(tmp_path / "port"), "--plain", "--lsl"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "LSL outlets need" in error
    assert remedy in error
