"""The commands as a user types them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from myowave.cli import main
from myowave.imu import from_counts
from myowave.log import read_log
from myowave.model_card import load_card
from myowave.recording import Recording, save
from tests.firmware.models import IMU, expected

MYOWAVE = Path(sys.executable).with_name("myowave")


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """Recording file of a movement whose counts round-trip."""
    from tests.firmware.models import movement

    physical = from_counts(movement(3000), IMU)
    path: Path = tmp_path_factory.mktemp("recording") / "movement.parquet"
    save(
        Recording(
            acc=physical[:, :3],
            gyro=physical[:, 3:],
            emg=np.zeros((3000, 0)),
            muscles=(),
            subject="nobody",
            day="",
            name="movement",
        ),
        path,
    )
    return path


@pytest.mark.parametrize("board", ["native", "cortex_m4"])
def test_virtual_and_log(recording, model, counts, tmp_path, board):
    """Two terminals: a virtual wearable in one, a log in the other, until the recording ends."""
    link, path = tmp_path / "port", tmp_path / "session.mwlog"
    wearable = subprocess.Popen(
        [MYOWAVE, "virtual", recording, "--board", board, "--model", model, "--link", link],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not link.exists() and time.monotonic() < deadline:
            assert wearable.poll() is None, wearable.communicate()
            time.sleep(0.05)
        subprocess.run([MYOWAVE, "log", link, "-o", path, "--raw"], check=True, timeout=60)
    finally:
        wearable.send_signal(signal.SIGINT)
        out, err = wearable.communicate(timeout=20)
    assert (wearable.returncode, err) == (0, "")
    assert "played to its end" in out
    assert not link.is_symlink()
    log = read_log(path)
    assert np.array_equal(log.tick, np.arange(len(counts)))
    assert np.array_equal(log.counts, counts)
    assert np.array_equal(log.predictions, expected(model, counts))
    assert log.statistics[-1][1].dropped == 0


def test_flash_waits_for_the_models_identity(model, capsys):
    assert main(["flash", "cortex_m4", "--model", str(model)]) == 0
    out = capsys.readouterr().out
    assert load_card(model).tflite_sha256[:12] in out
    assert "cortex_m4 runs firmware 0.1.0" in out.replace("\n", " ")


def test_doctor(tmp_path, capsys):
    assert main(["doctor", "--json", str(tmp_path / "doctor.json")]) == 0
    report = json.loads((tmp_path / "doctor.json").read_text())
    found = {finding["what"]: finding for finding in report["findings"]}
    assert found["numpy"]["found"] == np.__version__
    assert "arm-none-eabi-gcc" in found
    assert "Python" in capsys.readouterr().out


def test_doctor_names_the_remedy(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MYOWAVE_MODEL", str(tmp_path / "no model"))
    assert main(["doctor", "--json", str(tmp_path / "doctor.json")]) == 0
    report = json.loads((tmp_path / "doctor.json").read_text())
    assert not report["ok"]
    found = {finding["what"]: finding for finding in report["findings"]}
    assert found["qemu-system-arm"]["found"] == ""
    assert "apt install qemu-system-arm" in found["qemu-system-arm"]["remedy"]
    assert "apt install qemu-system-arm" in " ".join(capsys.readouterr().out.split())


@pytest.fixture
def places(tmp_path, model, recording) -> dict[str, Path]:
    return {"tmp": tmp_path, "model": model, "rec": recording}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["flash", "uno"], "unknown board 'uno', expected one of cortex_m0plus"),
        (["flash", "native", "--model", "{tmp}"], "not a model directory"),
        (["log", "{tmp}/port", "-o", "{tmp}/log"], "cannot open it as a serial port"),
        (["log", "{tmp}/port"], "Missing option '-o'"),
        (["log", "{tmp}/port", "-o", "{tmp}/log", "--seconds", "soon"], "'--seconds'"),
        (["monitor", "nonsense://x"], "cannot open it as a serial port"),
        (["virtual", "{tmp}/no.parquet", "--link", "{tmp}/p", "--model", "{model}"], "no.parquet"),
        (["virtual", "{rec}", "--link", "{tmp}/p", "--board", "uno", "--model", "{model}"], "uno"),
        (["virtual", "{rec}", "--link", "{rec}", "--model", "{model}"], "expected a free path"),
        (
            ["virtual", "{rec}", "--link", "{rec}/p", "--model", "{model}"],
            "cannot put a link there",
        ),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(arguments, message, places, capsys):
    assert main([argument.format(**places) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert places["rec"].stat().st_size > 0
