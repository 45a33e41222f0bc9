"""Calibration: measured by the board, kept by the host, applied alike by both, found in the log."""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import pytest
from numpy.typing import NDArray

from myowave.calibration import Calibration, find_turn, load_calibration, write_calibration
from myowave.cli import main
from myowave.errors import ConfigError, LinkError
from myowave.imu import G_M_S2, IMUS, from_counts
from myowave.link import Device
from myowave.live.logger import Logger
from myowave.log import read_log
from myowave.model_card import load_card
from myowave.orientation import TURNS, fit_reference
from myowave.paths import REPOSITORY, firmware_dir
from myowave.recording import Recording, save
from myowave.virtual import VirtualBoard
from tests.firmware.models import IMU, expected, movement

BIAS = (-37, 410, 5)
SHIM = """\
#include "calibration.h"

void shim_apply(uint8_t turn, const int16_t *bias, const int16_t *counts, int16_t *out) {
    mw_calibration calibration = {.set = true, .turn = turn};
    for (int i = 0; i < 3; i++) {
        calibration.gyro_bias[i] = bias[i];
    }
    mw_calibration_apply(&calibration, counts, out);
}

/* Two samples that differ by so many counts, around a bias. */
bool shim_at_rest(int gyro_range, int acc_range, int bias, float acc_lsb, float gyro_lsb) {
    mw_bias_meter meter = {0};
    for (int i = -1; i <= 1; i += 2) {
        int16_t counts[6] = {(int16_t)(acc_range * (1 + i) / 2), 0, 0, 0,
                             (int16_t)(bias + gyro_range * (1 + i) / 2 - gyro_range / 2), 0};
        mw_bias_meter_add(&meter, counts);
    }
    return mw_bias_meter_result(&meter, acc_lsb, gyro_lsb).at_rest;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> tuple[cffi.FFI, Any]:
    folder = tmp_path_factory.mktemp("calibration")
    (folder / "shim.c").write_text(SHIM)
    app = firmware_dir() / "app"
    subprocess.run(
        [
            *("cc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fPIC"),
            *("-shared", "-fsanitize=undefined", "-fno-sanitize-recover=all", f"-I{app}"),
            *("-o", folder / "calibration.so", folder / "shim.c", app / "calibration.c"),
        ],
        check=True,
    )
    ffi = cffi.FFI()
    ffi.cdef(
        """
        void shim_apply(uint8_t, const int16_t *, const int16_t *, int16_t *);
        _Bool shim_at_rest(int, int, int, float, float);
        """
    )
    return ffi, ffi.dlopen(str(folder / "calibration.so"))


@pytest.fixture(scope="module")
def twin(library):
    """Return the C function that applies a calibration."""
    ffi, lib = library

    def apply(turn: str, bias: tuple[int, int, int], row: NDArray[np.int16]) -> list[int]:
        out = ffi.new("int16_t[6]")
        lib.shim_apply(list(TURNS).index(turn), list(bias), row.tolist(), out)
        return list(out)

    return apply


@pytest.mark.parametrize("turn", list(TURNS))
def test_board_and_host_apply_the_same_integers(twin, turn):
    rng = np.random.default_rng(1)
    extremes = np.array([-32768, -32767, -1, 0, 1, 32767], dtype=np.int16)
    counts = np.vstack([rng.integers(-32768, 32768, (300, 6)), rng.choice(extremes, (300, 6))])
    counts = counts.astype(np.int16)
    for bias in ((0, 0, 0), BIAS, (-32768, 32767, 1)):
        applied = Calibration(IMU.name, turn, bias).apply(counts)
        assert applied.tolist() == [twin(turn, bias, row) for row in counts]


def test_a_turn_is_the_recordings_correction():
    """The same rotation as `orientation.apply`, which leaves the bias it cannot know."""
    counts = movement(100)
    for turn, signs in TURNS.items():
        turned = Calibration(IMU.name, turn, (0, 0, 0)).apply(counts)
        assert np.array_equal(turned, np.clip(counts.astype(int) * [*signs, *signs], -32768, 32767))


@pytest.mark.parametrize("imu", IMUS.values(), ids=list(IMUS))
def test_the_limits_of_rest(library, imu):
    """5 deg/s and 0.08 g between two samples, a bias of 25 deg/s: to the count, for every part."""
    _, lib = library
    # Some are whole counts but for rounding.
    gyro = int(np.radians(5.0) / imu.gyro_lsb_rad_s + 1e-3)
    acc = int(0.08 * G_M_S2 / imu.acc_lsb_m_s2 + 1e-3)
    bias = int(np.radians(25.0) / imu.gyro_lsb_rad_s + 1e-3)
    scale = (imu.acc_lsb_m_s2, imu.gyro_lsb_rad_s)
    assert lib.shim_at_rest(gyro, acc, 0, *scale)
    assert not lib.shim_at_rest(gyro + 1, acc, 0, *scale)
    assert not lib.shim_at_rest(gyro, acc + 1, 0, *scale)
    assert lib.shim_at_rest(0, 0, bias, *scale)
    assert lib.shim_at_rest(0, 0, -bias, *scale)
    assert not lib.shim_at_rest(0, 0, bias + 1, *scale)
    assert not lib.shim_at_rest(0, 0, -bias - 1, *scale)
    for senseless in (0.0, -0.001, float("inf"), float("nan")):
        assert not lib.shim_at_rest(0, 0, 0, senseless, senseless)


def resting(samples: int = 4000, seed: int = 0) -> NDArray[np.int16]:
    """Return raw counts of a sensor at rest, with noise and a bias."""
    rng = np.random.default_rng(seed)
    level = np.array([100, -200, 4090, *BIAS])
    return (level + rng.normal(0.0, [20] * 3 + [4] * 3, (samples, 6))).round().astype(np.int16)


def test_the_board_measures_its_bias_at_rest(board):
    counts = resting()
    with board(counts=counts) as virtual, Device.open(virtual.port) as device:
        bias = device.measure_gyro_bias()
        assert device.measure_gyro_bias() == bias  # the recording begins anew
        assert device.identify().calibration is None  # measured, not applied
    first = counts[:1000]
    mean = first[:, 3:].mean(axis=0)
    assert np.abs(np.array(bias.counts) - mean).max() <= 0.5
    assert np.abs(np.array(bias.counts) - BIAS).max() <= 1
    assert bias.gyro_range == np.ptp(first[:, 3:].astype(int), axis=0).max()
    assert bias.acc_range == np.ptp(first[:, :3].astype(int), axis=0).max()


def turning(counts: NDArray[np.int16]) -> None:
    """Turn the sensor slowly, at a constant 6 deg/s: to the gyroscope a bias like another."""
    angle = np.radians(6.0) * np.arange(len(counts)) / 1000
    counts[:, 3] += np.rint(np.radians(6.0) / IMU.gyro_lsb_rad_s).astype(np.int16)
    counts[:, 1] = np.rint(4096 * np.sin(angle))
    counts[:, 2] = np.rint(4096 * np.cos(angle))


def shaking(counts: NDArray[np.int16]) -> None:
    """Move the sensor for a moment."""
    counts[500:600, 4] += 300


def spinning(counts: NDArray[np.int16]) -> None:
    """Turn the sensor steadily about the vertical, faster than any bias."""
    counts[:, 5] += np.rint(np.radians(40.0) / IMU.gyro_lsb_rad_s).astype(np.int16)


@pytest.mark.parametrize("motion", [turning, shaking, spinning])
def test_a_moving_board_is_refused(board, motion):
    counts = resting()
    motion(counts)
    with board(counts=counts) as virtual, Device.open(virtual.port) as device:
        with pytest.raises(LinkError, match="the board moved"):
            device.measure_gyro_bias()
        device.start()  # nothing is left of it


def test_too_few_samples_are_refused(board):
    with board(counts=resting(600)) as virtual, Device.open(virtual.port) as device:
        with pytest.raises(LinkError, match="gave 600 samples"):
            device.measure_gyro_bias()
        assert not device.identify().running


def test_no_calibration_while_sampling(board):
    wanted = Calibration(IMU.name, "180x", BIAS)
    with board(virtual_clock=False) as virtual, Device.open(virtual.port) as device:
        device.start()
        with pytest.raises(LinkError, match="refused 'set_calibration': busy"):
            device.set_calibration(wanted)
        with pytest.raises(LinkError, match="refused 'measure_gyro_bias': busy"):
            device.measure_gyro_bias()
        device.stop()
        assert device.set_calibration(wanted).calibration == wanted
        with pytest.raises(LinkError, match="bad argument"):
            device._command("set_calibration", **(wanted.to_fields() | {"turn": 4}))
        with pytest.raises(LinkError, match="calibration is of 'mpu-6050'"):
            device.set_calibration(Calibration("mpu-6050", "none", BIAS))
        assert device.identify().calibration == wanted


@pytest.mark.parametrize("turn", ["none", "180z"])
def test_a_log_gives_the_networks_input_again(board, model, counts, tmp_path, turn):
    """Two sessions in one file, of which only the second is calibrated."""
    path = tmp_path / "session.mwlog"
    calibration = Calibration(IMU.name, turn, BIAS)
    with board() as virtual:
        for given in (None, calibration):
            Logger(virtual.port, path, raw=True, calibration=given).run(threading.Event())
    log = read_log(path)
    assert log.identity is not None
    assert log.identity.calibration == calibration
    corrected = calibration.apply(counts)
    assert np.array_equal(log.counts, np.vstack([counts, counts]))
    assert np.array_equal(log.corrected, np.vstack([counts, corrected]))
    assert np.array_equal(
        log.predictions, np.vstack([expected(model, counts), expected(model, corrected)])
    )


def test_a_replay_takes_counts_as_they_are(board, model, counts):
    with board() as virtual, Device.open(virtual.port) as device:
        device.set_calibration(Calibration(IMU.name, "180y", BIAS))
        assert np.array_equal(device.replay(counts[:1500]), expected(model, counts[:1500]))


def arm(seed: int) -> NDArray[np.int16]:
    """Return raw counts of 20 s of movement that is not alike when turned."""
    rng = np.random.default_rng(seed)
    time = np.arange(20_000) / 1000
    swing = np.sin(2 * np.pi * 0.5 * time + rng.uniform(0, 6))
    acc = np.stack([2 + 3 * swing, 1 - 2 * swing, 9 - 2 * swing**2], axis=1)
    gyro = np.stack([0.2 * swing, np.maximum(swing, 0) * 4, 2 * swing**2], axis=1)
    values = np.hstack([acc, gyro]) / IMU.lsb + rng.normal(0, 10, (len(time), 6))
    return values.round().astype(np.int16)


def test_movement_tells_how_the_sensor_sits(model):
    def recording(counts: NDArray[np.int16]) -> Recording:
        physical = from_counts(counts, IMU)
        return Recording(
            physical[:, :3], physical[:, 3:], np.zeros((len(counts), 0)), (), "", "", "arm"
        )

    card = load_card(model)
    calibration = Calibration(IMU.name, "none", BIAS)
    with pytest.raises(ConfigError, match="holds no orientation"):
        find_turn(arm(0), calibration, card)
    reference = fit_reference([recording(arm(seed)) for seed in range(3)])
    object.__setattr__(card, "orientation", reference.to_json())
    for turn in TURNS:
        worn = Calibration(IMU.name, turn, (0, 0, 0)).apply(arm(7))
        worn[:, 3:] += np.array(BIAS, dtype=np.int16)
        assert find_turn(worn, calibration, card) == turn
    with pytest.raises(ConfigError, match="does not tell"):
        find_turn(np.zeros((5000, 6), np.int16), calibration, card)


def test_the_command_writes_what_log_sends(board, tmp_path, capsys):
    path, log = tmp_path / "left.json", tmp_path / "session.mwlog"
    with board(counts=resting()) as virtual:
        assert main(["calibrate", virtual.port, "-o", str(path), "--turn", "180z"]) == 0
        assert main(["log", virtual.port, "-o", str(log), "--calibration", str(path)]) == 0
    calibration = load_calibration(path)
    assert calibration.turn == "180z"
    assert np.abs(np.array(calibration.gyro_bias) - BIAS).max() <= 1
    identity = read_log(log).identity
    assert identity is not None
    assert identity.calibration == calibration
    assert "180z" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"turn": "90x"}, "turn '90x', expected one of none"),
        ({"gyro_bias_counts": [1, 2]}, "three integers"),
        ({"gyro_bias_counts": [1, 2, 40000]}, "16-bit"),
        ({"gyro_bias_counts": [1, 2, True]}, "three integers"),
        ({"imu": None}, "'imu' as text"),
        ({"format_version": 2}, "no calibration of format 1"),
    ],
)
def test_files_that_are_no_calibration(tmp_path: Path, changes: dict[str, Any], message: str):
    path = tmp_path / "calibration.json"
    calibration = Calibration(IMUS["mpu-6050"].name, "180x", BIAS)
    write_calibration(path, calibration)
    assert load_calibration(path) == calibration
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ConfigError, match=message):
        load_calibration(path)
    path.write_text("[")
    with pytest.raises(ConfigError, match="not JSON"):
        load_calibration(path)
    with pytest.raises(ConfigError, match="cannot read it"):
        load_calibration(tmp_path / "absent.json")


def test_check_finds_a_calibrated_log_right(tmp_path):
    """Parity of the predictions with tflite-micro on counts put right as the board did."""
    recording, log, figures = (tmp_path / name for name in ("arm.parquet", "log", "check.json"))
    counts = movement(2500)
    physical = from_counts(counts, IMU)
    save(
        Recording(physical[:, :3], physical[:, 3:], np.zeros((2500, 0)), (), "", "", "arm"),
        recording,
    )
    folder = REPOSITORY / "models" / "sim_biceps"
    calibration = Calibration(IMU.name, "180y", BIAS)
    with VirtualBoard(counts, IMU, folder, "native", virtual_clock=True) as virtual:
        Logger(virtual.port, log, raw=True, calibration=calibration).run(threading.Event())
    words = ["check", folder, recording, "--on", "native", "--log", log, "--json", figures]
    assert main([*map(str, words), "--report", str(tmp_path / "report.html")]) == 0
    parity = json.loads(figures.read_text())["parity"]["log"]
    assert (parity["samples"], parity["mismatches"]) == (2500 - 1023, 0)
