"""The Arduino port end to end: PlatformIO's environments, the Arduino API on this computer."""

import re
import time

import numpy as np
import pytest

from myowave.errors import LinkError
from myowave.link import Device, Statistics
from myowave.model_card import load_card
from myowave.paths import firmware_dir
from myowave.upload.find import Port
from myowave.upload.survey import survey
from myowave.wire import Frame
from tests.arduino.conftest import Sketch
from tests.firmware.models import expected, movement

ENVIRONMENTS = re.findall(
    r"^\[env:(\w+)\]",
    (firmware_dir() / "ports" / "arduino" / "environments.ini").read_text(),
    re.MULTILINE,
)
XIAO_PINS = {"sda": 17, "scl": 16, "power": 15}
DATA_READY = "-DMW_IMU_DATA_READY_PIN=2"


def stream(device: Device, samples: int, until=None) -> list[Frame]:
    """Return the data frames of at least `samples` samples, and until `until(frames)` holds."""
    frames: list[Frame] = []
    deadline = time.monotonic() + 60
    while sum(frame["count"] for frame in frames) < samples or (until and not until(frames)):
        assert time.monotonic() < deadline
        frames += [frame for frame in device.frames(0.2) if frame.name == "data"]
    return frames


def segments(frames: list[Frame]) -> list[list[Frame]]:
    """Return the frames between gaps."""
    parts: list[list[Frame]] = [[]]
    for frame in frames:
        if frame["gap_ticks"]:
            parts.append([])
        parts[-1].append(frame)
    return [part for part in parts if part]


def counts_of(frames: list[Frame]) -> np.ndarray:
    return np.vstack([frame["counts"] for frame in frames]).astype(np.int16)


def assert_predictions_are_the_native_engines(frames: list[Frame], model) -> None:
    """Each gap begins the network anew; between gaps every integer is the engine's."""
    for part in segments(frames):
        predictions = np.vstack([frame["predictions"] for frame in part])
        assert np.array_equal(predictions, expected(model, counts_of(part)))


def rows_in(recording: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return which row of the recording each sample is, by its acc z.

    What a part samples at a rate of its own may be of either side of a row's end, each axis by
    itself: the other axes are of the same row or one beside it.
    """
    row_of = {z: row for row, z in enumerate(recording[:, 2])}
    rows = np.array([row_of[z] for z in counts[:, 2]])
    beside = np.stack([np.roll(recording, shift, axis=0)[rows] for shift in (-1, 0, 1)])
    assert np.all(np.any(beside == counts, axis=0))
    return rows


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_builds(build, environment):
    """All of its sources, flags and scripts; only core and platform are the stand-in's."""
    assert build(environment).is_file()


def test_a_plain_build_needs_none_of_them():
    text = (firmware_dir().parent / "platformio.ini").read_text()
    default = re.search(r"^default_envs = (.*)$", text, re.MULTILINE)
    assert default is not None
    assert not set(default[1].split(", ")) & set(ENVIRONMENTS)


@pytest.mark.parametrize(
    ("board", "wires"),
    [
        (("xiao_nrf52840_sense_usb", "lsm6ds3tr-c"), XIAO_PINS),
        (("nano33ble", "icm-42688-p"), {}),
        (("rp2040", "mpu-6050"), {}),
        (("teensy41", "icm-42688-p", DATA_READY), {"data_ready": 2}),
    ],
)
def test_frames_hold_the_recording_and_the_native_engines_predictions(
    build, models, recording, board, wires
):
    file, truth = recording
    environment, imu = board[:2]
    program = build(*board)
    with Sketch(program, imu=imu, counts=file, **wires) as sketch, Device.open(sketch.port) as dev:
        identity = dev.require_model(load_card(models[imu]).tflite_sha256)
        assert (identity.imu, identity.board) == (imu, environment + "_stand_in")
        dev.set_raw(True)
        dev.start()
        frames = stream(dev, 2000)
        dev.stop()
        statistics = dev.statistics()
    assert_predictions_are_the_native_engines(frames, models[imu])
    assert len(segments(frames)) == 1
    assert (statistics.missed, statistics.dropped, statistics.tx_dropped_batches) == (0, 0, 0)
    rows = rows_in(truth, counts_of(frames))
    # A row a millisecond; a part with another rate has its newest sample up to a row ago.
    assert set(np.diff(rows) % len(truth)) <= {0, 1, 2}
    assert (rows[-1] - rows[0] - len(rows) + 1) % len(truth) in (0, 1, len(truth) - 1)
    times = np.array([frame["time_us"] for frame in frames], dtype=np.int64)
    counts = np.array([frame["count"] for frame in frames])
    # Of most: the stand-in's clock is this computer's, which stamps a tick late when it is busy.
    assert np.median(np.abs(np.diff(times) - 1000 * counts[:-1])) < 100


def test_a_part_that_samples_when_it_is_read_gives_each_row_once(build, recording):
    """By the data-ready line: no sample twice, none skipped."""
    file, truth = recording
    program = build("teensy41", "icm-42688-p", DATA_READY)
    with (
        Sketch(program, imu="icm-42688-p", counts=file, data_ready=2) as sketch,
        Device.open(sketch.port) as dev,
    ):
        dev.set_raw(True)
        dev.start()
        rows = rows_in(truth, counts_of(stream(dev, 1000)))
    assert set(np.diff(rows)) <= {1, 1 - len(truth)}


def test_without_an_imu_the_board_answers_and_does_not_start(build, models):
    with Sketch(build("nano33ble")) as sketch, Device.open(sketch.port) as device:
        assert device.identify().imu == ""
        with pytest.raises(LinkError, match="refused 'start': no sensor"):
            device.start()
        counts = movement(600)
        assert np.array_equal(device.replay(counts), expected(models["icm-42688-p"], counts))
        assert sketch.light(4) == [True, False, True, False]  # it blinks


def test_doctor_says_what_the_board_found_wrong(build):
    with Sketch(build("nano33ble")) as sketch:
        report = survey(Port(sketch.port, "Nano", "2341:805A", ""), 5.0)
    assert report.state == "answers"
    assert report.detail.startswith("nano33ble_stand_in, firmware")
    assert report.detail.endswith("IMU none, self-test failed: imu")


def test_an_imu_without_power_is_not_there(build, recording):
    """On the XIAO a pin powers it; here that pin is another."""
    wires = {**XIAO_PINS, "power": 14}
    program = build("xiao_nrf52840_sense_usb", "lsm6ds3tr-c")
    with (
        Sketch(program, imu="lsm6ds3tr-c", counts=recording[0], **wires) as sketch,
        Device.open(sketch.port) as device,
    ):
        assert device.identify().imu == ""


def statistics_after(device: Device, holds, seconds: float = 30.0) -> Statistics:
    """Ask until `holds(statistics)`."""
    deadline = time.monotonic() + seconds
    while not holds(statistics := device.statistics()):
        assert time.monotonic() < deadline, statistics
    return statistics


def after_gap(frames: list[Frame]) -> bool:
    parts = segments(frames)
    return len(parts) > 1 and sum(frame["count"] for frame in parts[-1]) >= 200


@pytest.mark.parametrize(
    ("fault", "counter"),
    [
        ("refuse 1", "bus_nacks"),
        ("refuse 6", "bus_nacks"),
        ("corrupt 1", "bus_nacks"),
        ("stuck 5", "bus_stuck"),
        ("reset", "imu_lost_configurations"),
        ("freeze", "imu_frozen"),
    ],
)
def test_faults_on_the_bus_are_gaps_counted_and_recovered_from(
    build, models, recording, fault, counter
):
    file, truth = recording
    program = build("nano33ble")
    with (
        Sketch(program, imu="icm-42688-p", counts=file) as sketch,
        Device.open(sketch.port) as device,
    ):
        device.set_raw(True)
        device.start()
        frames = stream(device, 100)
        sketch.do(fault)
        frames += stream(device, 0, lambda new: after_gap(frames + new))
        device.stop()
        statistics = device.statistics()
    assert getattr(statistics, counter) >= 1
    assert statistics.missed >= 1
    assert statistics.gaps == len(segments(frames)) - 1
    assert_predictions_are_the_native_engines(frames, models["icm-42688-p"])
    rows_in(truth, counts_of(frames))  # every sample was measured: it is a row of the truth
    if counter in ("bus_nacks", "bus_stuck"):
        assert 0 < statistics.longest_recovery_us <= 50_000


def test_a_silent_data_ready_line_is_replaced_by_the_schedule(build, models, recording):
    program = build("teensy41", "icm-42688-p", DATA_READY)
    with (
        Sketch(program, imu="icm-42688-p", counts=recording[0], data_ready=2) as sketch,
        Device.open(sketch.port) as device,
    ):
        device.set_raw(True)
        device.start()
        frames = stream(device, 100)
        sketch.do("silent")
        frames += stream(device, 0, lambda new: after_gap(frames + new))
        device.stop()
        statistics = device.statistics()
    assert statistics.clock_silent == 1
    assert_predictions_are_the_native_engines(frames, models["icm-42688-p"])


def test_time_goes_on_when_micros_begins_anew(build, recording):
    """32 bits of microseconds are over after 71 minutes."""
    begin_us = 2**32 - 1_500_000
    with (
        Sketch(
            build("nano33ble"), imu="icm-42688-p", counts=recording[0], begin_us=begin_us
        ) as sketch,
        Device.open(sketch.port) as device,
    ):
        device.start()
        frames = stream(device, 3000)
        statistics = device.statistics()
    times = [frame["time_us"] for frame in frames]
    assert times[0] < 2**32 < times[-1]
    assert set(np.diff(times) // 100) <= {199, 200}
    assert (statistics.missed, statistics.overruns) == (0, 0)


def test_a_host_that_does_not_read_loses_whole_batches_and_never_half_a_frame(
    build, models, recording
):
    with (
        Sketch(build("rp2040"), imu="icm-42688-p", counts=recording[0]) as sketch,
        Device.open(sketch.port) as device,
    ):
        device.set_raw(True)
        device.start()
        frames = stream(device, 100)
        sketch.do("rush")
        time.sleep(1.0)
        frames += stream(device, 2000)
        device.stop()
        statistics = device.statistics()
        decoder = device.decoder
    assert statistics.tx_dropped_batches > 0
    assert (decoder.crc_errors, decoder.malformed, decoder.lost) == (0, 0, 0)
    assert (statistics.missed, statistics.gaps) == (0, 0)  # the network has run on
    ticks = np.array([frame["first_tick"] for frame in frames])
    assert np.all(np.diff(ticks) % 20 == 0)
    assert max(np.diff(ticks)) > 20


@pytest.mark.parametrize(
    ("board", "wires", "lit"),
    [
        (("nano33ble", "icm-42688-p"), {}, True),
        # Its light is on when the pin is low; it goes off at boot.
        (("xiao_nrf52840_sense_usb", "lsm6ds3tr-c"), XIAO_PINS, False),
    ],
)
def test_the_light_says_what_the_board_does(build, recording, board, wires, lit):
    file, _ = recording
    with (
        Sketch(build(*board), imu=board[1], counts=file, **wires) as sketch,
        Device.open(sketch.port) as device,
    ):
        if not lit:
            assert sketch.light(1) == [True]
        device.start()
        assert sketch.light(1) == [lit]
        device.stop()
        assert sketch.light(1) == [not lit]


def test_the_sanitized_sketch_streams_through_a_fault_and_replays(build, models, recording):
    program = build("nano33ble", sanitize=True)
    with (
        Sketch(program, imu="icm-42688-p", counts=recording[0]) as sketch,
        Device.open(sketch.port) as device,
    ):
        counts = movement(200)
        assert np.array_equal(device.replay(counts), expected(models["icm-42688-p"], counts))
        device.set_raw(True)
        device.start()
        frames = stream(device, 100)
        sketch.do("stuck 9")
        frames += stream(device, 0, lambda new: after_gap(frames + new))
    assert_predictions_are_the_native_engines(frames, models["icm-42688-p"])
