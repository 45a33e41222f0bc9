"""What wearables go through: faults of bus, IMU, clock and line on the simulated board.

The application, acquisition and drivers are the firmware's, built with sanitizers; time is virtual.
More random runs: `MYOWAVE_FAULT_SEEDS=100 pytest tests/firmware/test_faults.py`.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from myowave.engine import NativeEngine
from myowave.firmware import board_by_name, build_firmware
from myowave.link import Statistics
from myowave.model_card import load_model_dir
from myowave.wire import DEFINITION
from tests.drivers.simulated import ROWS_PER_MS, START_S, Run, Script, noisy_movement, run

SEEDS = range(int(os.environ.get("MYOWAVE_FAULT_SEEDS", "4")))
RECOVERY_LIMIT_US = 50_000
FROZEN_SAMPLES = 10  # MW_FROZEN_SAMPLES
TIMER = ("--timer",)  # the sample clock is the board's own timer, not the IMU's data-ready line
CLOCKS = pytest.mark.parametrize("clock", [TIMER, ()], ids=["timer", "data-ready"])
ROWS = 50_000
FAULT_S = START_S + 1.00012  # in the middle of a burst, by the timer
SAMPLES = ("counts", "predictions", "tick", "time_us")  # of a Run
Fault = tuple[float, str]


@pytest.fixture(scope="session")
def image(model) -> Path:
    return build_firmware(board_by_name("simulated"), model, sanitize=True)


@pytest.fixture
def survive(image, tmp_path):
    """Sample for some seconds while things go wrong."""

    def start(seconds: float, *faults: Fault, clock: tuple[str, ...] = TIMER) -> Run:
        script = Script()
        script.send(START_S - 0.1, "set_raw", on=1)
        script.send(START_S, "start")
        script.events += faults
        # Half a period after a tick: no burst is under way.
        script.send(START_S + seconds + 0.0005, "stop")
        script.add(START_S + seconds + 1.0, "end")
        return run(image, tmp_path, noisy_movement(ROWS), script, *clock)

    return start


def counters(found: Run) -> Statistics:
    """Return the counters at the end of sampling."""
    idle = [f for f in found.frames if f.name == "statistics" and f["mode"] == 0]
    return Statistics.from_frame(idle[-1])


def is_true(found: Run) -> NDArray[np.bool_]:
    """Tell of each delivered sample whether its counts are what moved the IMU when it was read.

    A number is of the part's last sample: from a millisecond before the tick to 0.35 ms after it,
    give or take the millisecond that the first data-ready pulse may come after the start.
    """
    begin_us = found.time_us[0] - 1000 * found.tick[0]
    row = ROWS_PER_MS * (found.time_us - begin_us) // 1000
    near = [
        noisy_movement(ROWS)[(row + shift) % ROWS] for shift in range(-ROWS_PER_MS, 2 * ROWS_PER_MS)
    ]
    fits: NDArray[np.bool_] = np.any([rows == found.counts for rows in near], axis=0).all(axis=1)
    return fits


def require_honest(found: Run) -> None:
    """Every tick is a sample that is true, or in a gap that is counted, and nothing else."""
    assert found.errors == 0  # never half a frame
    count = counters(found)
    missing = count.missed + count.dropped
    assert count.processed - len(found.tick) <= 20 * count.tx_dropped_batches
    if not count.tx_dropped_batches:
        assert count.processed == len(found.tick)
        expected = told = 0
        for frame in found.frames:
            if frame.name == "data":
                assert frame["first_tick"] - expected == frame["gap_ticks"]
                assert bool(frame["flags"] & 1) == (frame["gap_ticks"] > 0)
                told += frame["gap_ticks"]
                expected = frame["first_tick"] + frame["count"]
        # The last ticks may be in a gap that no frame follows.
        assert told + (count.processed + missing - expected) == missing
    # A frozen output is read as it stands until it is known to be.
    assert np.count_nonzero(~is_true(found)) <= FROZEN_SAMPLES * count.imu_frozen


def predicted_alike(found: Run, model: Path) -> bool:
    """Tell whether predictions are the native engine's, started anew after each gap."""
    card, tflite = load_model_dir(model)
    engine = NativeEngine(tflite)
    inputs = card.input_scaling().apply(found.counts)
    at = expected = 0
    known = True  # what the network remembers
    for frame in found.frames:
        if frame.name != "data":
            continue
        rows = slice(at, at + frame["count"])
        at = rows.stop
        if frame["gap_ticks"]:
            engine.reset()
            known = True
        elif frame["first_tick"] != expected:
            known = False  # a batch was dropped: the board's network saw what we did not
        expected = frame["first_tick"] + frame["count"]
        if known and not np.array_equal(engine.run(inputs[rows]), found.predictions[rows]):
            return False
    return True


def test_without_faults_nothing_is_counted(survive, model):
    found = survive(3.0)
    require_honest(found)
    assert np.array_equal(found.tick, np.arange(3000))
    assert predicted_alike(found, model)
    assert found.texts == []
    count = counters(found)
    assert count.faults() == {}
    assert (count.overruns, count.imu_repeated, count.imu_skipped) == (0, 0, 0)
    assert (count.jitter_max_us, count.jitter_mean_ns) == (0, 0)
    assert (count.longest_recovery_us, count.gaps) == (0, 0)
    identity = [frame for frame in found.frames if frame.name == "identity"][-1]
    assert (identity["self_test_run"], identity["self_test_failed"]) == (15, 0)
    assert identity["imu_rate_millihertz"] == 1_000_000


# Fault, how far it moves which counters, ticks without a sample at most. Up to 60 ms of a lost
# configuration are the IMU's own start-up.
FAULTS = [
    ("nack 1", {"bus_nacks": 1}, 1),
    ("nack_data 2", {"bus_nacks": 2}, 2),
    ("nack 5", {"bus_nacks": 3}, 50),
    ("arbitration 1", {"bus_arbitration_lost": 1, "bus_recoveries": 1}, 50),
    ("hang 1", {"bus_timeouts": 1, "bus_recoveries": 1}, 50),
    ("sda_low 5", {"bus_stuck": 1, "bus_recoveries": 1}, 50),
    ("sda_low 25", {"bus_stuck": 1, "bus_recoveries": 3}, 50),
    ("reset", {"imu_lost_configurations": 1, "imu_configurations": 1}, 100),
    ("unplugged 200", {"imu_lost_configurations": 1, "imu_configurations": 1}, 300),
    ("freeze", {"imu_frozen": 1, "imu_configurations": 1, "imu_repeated": 10}, 100),
    ("stall 300", {}, 300),
]


@CLOCKS
@pytest.mark.parametrize("fault", FAULTS, ids=[what for what, *_ in FAULTS])
def test_one_fault(survive, model, fault, clock):
    what, moved, most = fault
    found = survive(3.0, (FAULT_S, what), clock=clock)
    count = counters(found)
    for name, value in moved.items():
        assert getattr(count, name) == value, name
    assert count.faults().keys() <= {"silent clocks", *Statistics.faults(count)}
    assert count.processed + count.missed + count.dropped in (3000, 3001)
    assert 1 <= count.missed + count.dropped <= most
    assert count.gaps == 1
    assert count.longest_recovery_us <= RECOVERY_LIMIT_US
    require_honest(found)
    assert predicted_alike(found, model)
    if what not in ("nack 1", "nack_data 2", "stall 300"):
        assert len(found.texts) == 1
    # The network warms up again, and the host is told: 511 samples of a receptive field of 512.
    assert sum(f["warm_up"] for f in found.frames if f.name == "data") == 2 * 511


def test_a_silent_data_ready_line_is_replaced_by_the_timer(survive, model):
    found = survive(3.0, (FAULT_S, "silent 700"), clock=())
    count = counters(found)
    assert count.clock_silent == 1
    assert count.missed <= 15
    require_honest(found)
    assert predicted_alike(found, model)
    # Ticks have gone on at their rate, whoever gave them.
    assert abs(count.processed + count.missed - 3000) <= 1
    assert abs(int(found.time_us[-1] - found.time_us[0] - 1000 * found.tick[-1])) <= 1000


@pytest.mark.parametrize("milliseconds", [300, 1500])
def test_a_backlogged_line_costs_whole_batches_which_are_counted(survive, model, milliseconds):
    found = survive(4.0, (FAULT_S, f"backlog {milliseconds}"))
    count = counters(found)
    assert count.tx_dropped_batches > 0
    assert 4000 - len(found.tick) == 20 * count.tx_dropped_batches
    assert (count.processed, count.missed, count.gaps) == (4000, 0, 0)
    require_honest(found)
    assert predicted_alike(found, model)


def test_faults_are_reported_once_a_second(survive):
    found = survive(4.0, *((FAULT_S + 0.02 * i, "arbitration 1") for i in range(50)))
    assert counters(found).bus_arbitration_lost == 50
    assert 1 <= len(found.texts) <= 3


@pytest.mark.parametrize("ppm", [-20_000, 20_000])
def test_jitter_of_a_data_ready_line_is_measured(survive, ppm):
    """The IMU's clock is 2 % off: each tick comes 20 us early or late, seen from the one before."""
    found = survive(3.0, clock=("--imu-ppm", str(ppm)))
    count = counters(found)
    assert count.missed == 0
    off_us = abs(1e3 / (1 + ppm / 1e6) - 1e3)
    assert count.jitter_max_us == pytest.approx(off_us, abs=1.1)
    assert count.jitter_mean_ns == pytest.approx(1e3 * off_us, rel=0.1)


def test_an_imu_that_comes_late_is_found_without_a_reboot(image, tmp_path):
    for second in ((), ("--second-address",)):
        script = Script()
        script.add(0.0, "unplugged 2000")
        script.send(1.0, "start")
        script.send(5.0, "start")
        script.send(6.0005, "stop")
        script.add(7.0, "end")
        found = run(image, tmp_path, noisy_movement(ROWS), script, *second)
        _, without, *_, last = (f for f in found.frames if f.name == "identity")
        assert (without["imu"], last["imu"]) == ("", "icm-42688-p")
        assert (without["self_test_failed"], last["self_test_failed"]) == (4, 0)
        assert [f["status"] for f in found.frames if f.name == "acknowledge"] == [6, 0, 0]
        assert [text for text in found.texts if "no IMU answers" in text] == found.texts
        assert counters(found).processed == pytest.approx(1000, abs=1)


@CLOCKS
def test_a_stuck_main_loop_is_reset_by_the_watchdog(image, model, tmp_path, clock):
    """Sampling ends, the board says why, and a host that starts it again has all from there on."""
    script = Script()
    for at_s in (START_S, START_S + 5.0):
        script.send(at_s - 0.1, "set_raw", on=1)
        script.send(at_s, "start")
    script.add(FAULT_S, "stall 3000000")
    script.send(START_S + 8.0005, "stop")
    script.add(START_S + 9.0, "end")
    found = run(image, tmp_path, noisy_movement(ROWS), script, *clock)
    identities = [frame for frame in found.frames if frame.name == "identity"]
    cause = [frame["reset_cause"] for frame in identities]
    names = DEFINITION.reset_cause
    reset = cause.index(names["watchdog"])
    assert set(cause[:reset]) == {names["power_on"]}
    assert set(cause[reset:]) == {names["watchdog"]}
    assert (identities[-1]["self_test_run"], identities[-1]["self_test_failed"]) == (15, 0)
    # What the queue and the line held is lost; before and after no sample is.
    first = int(np.flatnonzero(found.tick == 0)[1])
    assert 900 <= first <= 1000
    before, after = found.tick[:first], found.tick[first:]
    assert np.array_equal(before, np.arange(first))
    assert np.array_equal(after, np.arange(len(after)))
    assert len(after) == counters(found).processed == 3000
    assert counters(found).faults() == {}
    for rows in (slice(0, first), slice(first, None)):
        part = replace(
            found,
            **{name: getattr(found, name)[rows] for name in SAMPLES},
        )
        assert is_true(part).all()
        card, tflite = load_model_dir(model)
        wanted = NativeEngine(tflite).run(card.input_scaling().apply(part.counts))
        assert np.array_equal(part.predictions, wanted)


# ---- random faults -------------------------------------------------------------------------------

# Range of the argument, of those that have one.
KINDS = {
    "nack": (1, 8),
    "nack_data": (1, 8),
    "arbitration": (1, 3),
    "hang": (1, 3),
    "sda_low": (1, 40),
    "reset": None,
    "unplugged": (1, 200),
    "freeze": None,
    "silent": (1, 400),
    "backlog": (1, 800),
    "stall": (1, 400),
}


def random_faults(rng: np.random.Generator, seconds: float, pause_s: float) -> list[Fault]:
    """Return faults of every kind at random times, on average `pause_s` apart."""
    faults: list[Fault] = []
    time_s = START_S
    while (time_s := time_s + rng.exponential(pause_s)) < START_S + seconds:
        kind = str(rng.choice(list(KINDS)))
        limits = KINDS[kind]
        faults.append((time_s, kind if limits is None else f"{kind} {rng.integers(*limits)}"))
    return faults


def require_survived(found: Run, model: Path, clock: tuple[str, ...]) -> None:
    require_honest(found)
    assert predicted_alike(found, model)
    count = counters(found)
    if clock == TIMER:
        # On the timer's grid to the microsecond, however long the run and whatever went wrong.
        offset_us = found.time_us - 1000 * found.tick
        assert np.abs(offset_us - offset_us[0]).max() <= 1
        ticks = count.processed + count.missed + count.dropped
        assert abs(ticks - 1 - (count.time_us - int(offset_us[0])) // 1000) <= 1


@CLOCKS
@pytest.mark.parametrize("seed", SEEDS)
def test_random_faults(survive, model, seed, clock):
    """From one a second to a storm in which one begins before the last is over."""
    rng = np.random.default_rng(seed)
    faults = random_faults(rng, 30.0, pause_s=rng.choice([0.05, 0.3, 1.0]))
    require_survived(survive(30.0, *faults, clock=clock), model, clock)


def test_an_hour_with_a_fault_every_two_seconds(model, tmp_path):
    image = build_firmware(board_by_name("simulated"), model)
    script = Script()
    script.send(START_S - 0.1, "set_raw", on=1)
    script.send(START_S, "start")
    script.events += random_faults(np.random.default_rng(0), 3600.0, pause_s=2.0)
    script.send(START_S + 3600.0005, "stop")
    script.add(START_S + 3602.0, "end")
    found = run(image, tmp_path, noisy_movement(ROWS), script, *TIMER)
    require_survived(found, model, TIMER)
    count = counters(found)
    assert count.processed + count.missed + count.dropped == 3_600_000
    assert set(count.faults()) == {
        *("NACKs", "arbitrations lost", "stuck buses", "bus timeouts", "bus recoveries"),
        *("lost IMU configurations", "IMU configurations", "frozen outputs"),
    }


def test_bus_faults_alone_are_over_within_50_ms(survive, model):
    rng = np.random.default_rng(5)
    kinds = ("nack", "nack_data", "arbitration", "hang", "sda_low")
    faults = [
        (
            START_S + 0.2 * (i + 1) + rng.uniform(0, 0.05),
            f"{rng.choice(kinds)} {rng.integers(1, 9)}",
        )
        for i in range(140)
    ]
    found = survive(30.0, *faults)
    require_survived(found, model, TIMER)
    count = counters(found)
    assert 0 < count.longest_recovery_us <= RECOVERY_LIMIT_US
    assert count.imu_configurations == 0
    # As the host sees it: no gap is longer.
    assert max(f["gap_ticks"] for f in found.frames if f.name == "data") <= 50
