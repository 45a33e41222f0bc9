"""LSL outlets against an inlet in another process."""

import dataclasses
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
from myowave.link import Identity
from myowave.live.lsl import LslOutlets
from myowave.live.session import Listener, Session, Status
from myowave.model_card import load_card, write_card
from tests.firmware.models import IMU, expected, movement, write_model

INLET = Path(__file__).with_name("lsl_inlet.py")
# Found on this machine without multicast, which not every network lets through.
CONFIGURATION = "[multicast]\nResolveScope = machine\n[lab]\nKnownPeers = {127.0.0.1}\n"
MINUTE = 60_000


@pytest.fixture(autouse=True)
def on_this_machine(tmp_path, monkeypatch) -> None:
    path = tmp_path / "lsl_api.cfg"
    path.write_text(CONFIGURATION + "[log]\nlevel = -2\n")
    monkeypatch.setenv("LSLAPICFG", str(path))


class Reader(Listener):
    """Starts the inlet's process with the first identity: no sample comes before it listens."""

    def __init__(self, source: str, samples: int, out: Path) -> None:
        self._command = [sys.executable, str(INLET), source, str(samples), str(out)]
        self._process: subprocess.Popen[str] | None = None
        self._out = out

    def on_identity(self, identity: Identity, host_s: float) -> None:
        if self._process is None:
            self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == "connected\n"

    def result(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.wait(120) == 0
        return dict(np.load(self._out))


def receive(url: str, model: Path, samples: int, out: Path) -> dict[str, Any]:
    """Follow a board until an inlet in another process has `samples` and two markers."""
    stop = threading.Event()
    session = Session(url, raw=True, model_dirs=[model])
    outlets, reader = LslOutlets(url, [model]), Reader(url, samples, out)
    session.add(outlets)
    session.add(reader)
    taken: dict[str, Any] = {}

    def mark(status: Status) -> None:
        if status.samples >= samples:
            # A second before now, as when a label was asked for first.
            now_s = time.time()
            session.marker("début", now_s - 1.0)
            session.marker("end", now_s)
            taken.update(reader.result(), now_s=now_s)
            stop.set()

    session.run(stop, mark)
    return taken


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
        taken = receive(virtual.port, model, MINUTE, tmp_path / "taken.npz")
    card = load_card(model)
    assert np.array_equal(
        taken["envelope"], card.envelope_of(expected(model, counts)).astype(np.float32)
    )
    # m/s² and rad/s, from which the counts come back.
    assert np.array_equal(np.rint(taken["IMU"] / IMU.lsb), counts)
    stamps = taken["envelope stamps"]
    assert np.array_equal(stamps, taken["IMU stamps"])
    assert np.diff(stamps).min() > 0.0

    assert taken["markers"].tolist() == [["début"], ["end"]]
    begin_s, end_s = taken["markers stamps"]
    assert end_s - begin_s == pytest.approx(1.0, abs=1e-3)

    description = ElementTree.fromstring(str(taken["envelope xml"]))
    assert description.findtext("name") == "MyoWave envelope"
    assert description.findtext("type") == "EMG"
    assert float(description.findtext("nominal_srate", "")) == 1000.0
    assert virtual.port in description.findtext("source_id", "")
    channel = description.find("desc/channels/channel")
    assert channel is not None
    assert {item.tag: item.text for item in channel} == {
        "label": card.muscles[0],
        "unit": "fraction of reference",
        "type": "EMG",
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
    counts = movement(4000)
    options = {"virtual_clock": False, "missing": [(2000, 2200)], "link": tmp_path / "port"}
    with board(counts=counts, **options) as virtual:
        taken = receive(virtual.port, model, 3800, tmp_path / "taken.npz")
    steps_s = np.diff(taken["envelope stamps"])
    gap = int(np.argmax(steps_s))
    assert gap == 1999
    assert steps_s[gap] == pytest.approx(0.201, rel=0.2)
    # The first frames' delays are learned from within the first seconds.
    assert np.median(steps_s) == pytest.approx(1e-3, rel=0.01)
    assert steps_s.min() > 0.0
    # The last sample was measured shortly before the markers were set.
    before_s = taken["markers stamps"][-1] - taken["envelope stamps"][-1]
    assert 0.0 < before_s < 10.0


WITHOUT = {
    "pylsl": (
        "raise ModuleNotFoundError('No module named pylsl', name='pylsl')",
        'pip install "myowave[lsl]"',
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
