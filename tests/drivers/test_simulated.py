"""The whole application on the simulated board: drivers, acquisition, network and wire, by the
register models and on a virtual clock. What goes wrong is in tests/firmware/test_faults.py.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from myowave.errors import ConfigError
from myowave.firmware import board_by_name, build_firmware
from myowave.imu import IMUS
from myowave.link import Device
from myowave.virtual import VirtualBoard
from tests.drivers.simulated import ROWS_PER_MS, START_S, Run, Script, noisy_movement, run
from tests.firmware.models import expected, write_model
from tests.firmware.test_board import stream

ROWS = 50_000
TIMER_PARTS = sorted(IMUS)
DATA_READY_PARTS = [name for name in sorted(IMUS) if not name.startswith("lsm")]
NO_SENSOR = 6
# A number that a burst reads is of the part's last sample, from 1 ms before the tick to 0.35 ms
# after it. These are the movement's rows of that time; the first is of the millisecond before.
ROWS_OF_A_TICK = np.arange(0, 7)

Models = Callable[[str], Path]
Simulate = Callable[..., Run]


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Models:
    """Return the model directory of the small reference network for a part."""
    folder = tmp_path_factory.mktemp("models")

    def make(part: str, network: str = "S") -> Path:
        model = folder / f"{part}-{network}"
        return model if model.exists() else write_model(model, network, IMUS[part])

    return make


@pytest.fixture
def simulate(models, tmp_path) -> Simulate:
    """Run the board built for a part with that part, or another one, on its bus."""

    def start(part: str, script: Script, *options: str, network: str = "S") -> Run:
        image = build_firmware(board_by_name("simulated"), models(part, network))
        movement = noisy_movement(ROWS)
        return run(image, tmp_path, movement, script, "--imu", part, *options)

    return start


def sampled(seconds: float) -> Script:
    script = Script()
    script.sample(seconds)
    return script


def assert_every_sample_is_there(found: Run, seconds: float) -> None:
    """One a millisecond, none twice, none lost, each with the time of its tick."""
    # The last tick and the stop command fall together.
    assert len(found.counts) in (round(seconds * 1000) - 1, round(seconds * 1000))
    np.testing.assert_array_equal(found.tick, np.arange(len(found.tick)))
    statistics = found.statistics
    assert statistics["processed"] == len(found.counts)
    assert {statistics[name] for name in ("missed", "dropped", "overruns", "gaps")} == {0}
    assert found.errors == 0


@pytest.mark.parametrize("part", TIMER_PARTS)
def test_by_the_timer_every_sample_is_the_imus_newest(simulate, part):
    """Ticks 1 ms apart to the microsecond; each axis as the part measured it at its last sample."""
    found = simulate(part, sampled(20.0), "--timer")
    assert_every_sample_is_there(found, 20.0)
    np.testing.assert_array_equal(found.time_us, found.time_us[0] + 1000 * found.tick)
    assert START_S * 1e6 < found.time_us[0] - 1000 < START_S * 1e6 + 100
    rows = ROWS_PER_MS * found.tick[:, None] + ROWS_OF_A_TICK
    held = noisy_movement(ROWS)[rows % ROWS]
    fits = held == found.counts[:, None, :]
    assert fits.any(axis=1).all()
    if part in DATA_READY_PARTS:
        # A burst is of one sample, and both clocks are as fast: always the same row of them.
        assert fits.all(axis=2).all(axis=0).any()


@pytest.mark.parametrize("part", DATA_READY_PARTS)
def test_by_data_ready_every_sample_of_the_imu_is_delivered_once(simulate, part):
    found = simulate(part, sampled(20.0))
    assert_every_sample_is_there(found, 20.0)
    np.testing.assert_array_equal(found.time_us, found.time_us[0] + 1000 * found.tick)
    movement = noisy_movement(ROWS)
    # Where within its millisecond the IMU samples is its own affair, but it stays there.
    phases = [movement[(ROWS_PER_MS * found.tick + phase) % ROWS] for phase in range(ROWS_PER_MS)]
    assert any(np.array_equal(found.counts, held) for held in phases)


@pytest.mark.parametrize("part", ["lsm6ds3tr-c", "icm-42688-p"])
def test_predictions_are_those_of_the_engine_on_the_delivered_counts(simulate, models, part):
    found = simulate(part, sampled(5.0))
    np.testing.assert_array_equal(found.predictions, expected(models(part), found.counts))


def test_an_hour(simulate, models):
    """3.6 million samples of the board's part: exact count, exact times, exact predictions."""
    found = simulate("lsm6ds3tr-c", sampled(3600.0), "--loop", network="R")
    assert_every_sample_is_there(found, 3600.0)
    np.testing.assert_array_equal(found.time_us, found.time_us[0] + 1000 * found.tick)
    rows = (ROWS_PER_MS * found.tick[:, None] + ROWS_OF_A_TICK) % ROWS
    movement = noisy_movement(ROWS)
    for axis in range(6):
        assert (movement[rows, axis] == found.counts[:, axis, None]).any(axis=1).all()
    np.testing.assert_array_equal(
        found.predictions, expected(models("lsm6ds3tr-c", "R"), found.counts)
    )


@pytest.mark.parametrize("ppm", [-10_000, 10_000])
def test_with_a_timer_an_imu_of_another_pace_repeats_or_skips_and_the_board_counts_it(
    simulate, ppm
):
    """MPU-6050: its clock is good to ±1 % (PS-MPU-6000A-00, 6.2)."""
    found = simulate("mpu-6050", sampled(20.0), "--timer", "--imu-ppm", str(ppm))
    assert_every_sample_is_there(found, 20.0)
    repeated = int((np.diff(found.counts, axis=0) == 0).all(axis=1).sum())
    assert found.statistics["imu_repeated"] == repeated
    assert repeated == (pytest.approx(200, abs=2) if ppm < 0 else 0)


def test_on_data_ready_an_imu_of_another_pace_loses_nothing(simulate):
    found = simulate("mpu-6050", sampled(20.0), "--imu-ppm", "-10000")
    assert len(found.counts) == pytest.approx(20_000 * 0.99, abs=2)
    assert found.statistics["imu_repeated"] == 0
    # 1.01 ms are 5.05 rows: each sample is 5 or, every twentieth time, 6 rows after the one before.
    movement = noisy_movement(ROWS)
    at = int(np.flatnonzero((movement[:ROWS_PER_MS] == found.counts[0]).all(axis=1))[0])
    steps = []
    for counts in found.counts[1:]:
        steps.append(5 if (movement[(at + 5) % ROWS] == counts).all() else 6)
        at = (at + steps[-1]) % ROWS
        assert (movement[at] == counts).all()
    assert steps.count(6) == pytest.approx(len(steps) / 20, abs=2)


def test_the_second_address_is_found(simulate):
    assert_every_sample_is_there(simulate("icm-42688-p", sampled(1.0), "--second-address"), 1.0)


def test_another_imu_than_the_models_is_named_and_not_sampled(models, tmp_path):
    image = build_firmware(board_by_name("simulated"), models("icm-42688-p"))
    script = Script()
    script.send(1.0, "start")
    script.add(1.1, "end")
    (tmp_path / "counts").write_bytes(noisy_movement(10).astype("<i2").tobytes())
    frames = run(image, tmp_path, noisy_movement(10), script, "--imu", "lsm6dso").frames
    identity = [frame for frame in frames if frame.name == "identity"][-1]
    assert identity["imu"] == "lsm6dso"
    assert identity["imu_rate_millihertz"] == 1_660_000
    assert [f["status"] for f in frames if f.name == "acknowledge"] == [NO_SENSOR]
    assert not [frame for frame in frames if frame.name == "data"]


def test_the_same_script_gives_the_same_bytes(simulate, tmp_path):
    script = sampled(3.0)
    for at, fault in ((1.5, "nack 3"), (1.9, "sda_low 5"), (2.4, "reset")):
        script.events.append((at, fault))
    simulate("icm-42688-p", script)
    first = (tmp_path / "output").read_bytes()
    simulate("icm-42688-p", script)
    assert (tmp_path / "output").read_bytes() == first


@pytest.mark.parametrize("virtual_clock", [True, False])
def test_as_a_virtual_board_with_a_serial_port(models, virtual_clock):
    """`myowave virtual --board simulated`: every row once, in order, and then it stops."""
    movement = noisy_movement(1500)
    model = models("icm-42688-p")
    with (
        VirtualBoard(
            movement, IMUS["icm-42688-p"], model, "simulated", virtual_clock=virtual_clock
        ) as board,
        Device.open(board.port) as device,
    ):
        device.set_raw(True)
        frames = stream(device)
        assert board.ended.wait(1.0)
    counts = np.vstack([frame["counts"] for frame in frames])
    np.testing.assert_array_equal(counts, movement)
    predictions = np.vstack([frame["predictions"] for frame in frames])
    np.testing.assert_array_equal(predictions, expected(model, movement))


def test_a_virtual_board_with_a_simulated_imu_cannot_miss_ticks(models):
    with pytest.raises(ConfigError, match="a sample at every tick"):
        VirtualBoard(
            *(noisy_movement(10), IMUS["mpu-6050"], models("mpu-6050"), "simulated"),
            missing=[(2, 4)],
        )
