"""Device time against host time: drift, jumps, late arrivals, and what is said of them."""

import math
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from myowave.clock import LiveClock, fit_clock, fit_log
from myowave.link import Device
from myowave.log import LogWriter, read_log
from myowave.virtual import VirtualBoard
from tests.firmware.models import IMU, movement, write_model

Array = NDArray[np.float64]
BEGIN_S = 1.76e9
FLOOR_S = 0.002
FRAME_S = 0.02
DELAYS = ("exponential", "polled", "pareto", "lognormal")


def delays(kind: str, rng: np.random.Generator, n: int) -> Array:
    """Delays beyond the shortest one: light and heavy tails, and a host that polls."""
    if kind == "exponential":
        return rng.exponential(0.005, n)
    if kind == "polled":
        return rng.uniform(0.0, 0.05, n)
    if kind == "pareto":
        return 0.003 * rng.pareto(1.5, n)
    return rng.lognormal(-5.0, 1.0, n)


def arrivals(
    seconds: float, drift_ppm: float, kind: str = "exponential", seed: int = 0
) -> tuple[NDArray[np.int64], Array, Array]:
    """Device times of frames, when they were sent and when they came, in order."""
    rng = np.random.default_rng(seed)
    device_us = np.arange(1, round(seconds / FRAME_S), dtype=np.int64) * round(1e6 * FRAME_S)
    sent = BEGIN_S + 1e-6 * device_us / (1 + 1e-6 * drift_ppm) + FLOOR_S
    came = sent + delays(kind, rng, len(sent))
    # Three times the host has other things to do.
    for begin in rng.uniform(0.0, max(1.0, seconds - 5.0), 3):
        busy = (1e-6 * device_us > begin) & (1e-6 * device_us <= begin + rng.uniform(0.5, 3.0))
        if busy.any():
            came[busy] = np.maximum(came[busy], sent[busy].max() + 0.01)
    in_order: Array = np.maximum.accumulate(came)
    return device_us, np.asarray(sent), in_order


@pytest.mark.parametrize("kind", DELAYS)
@pytest.mark.parametrize(("seconds", "within_ppm"), [(120.0, 10.0), (900.0, 1.0)])
def test_drift_is_found_and_its_uncertainty_holds(kind, seconds, within_ppm):
    missed = 0
    for seed in range(20):
        drift_ppm = float(np.random.default_rng(seed).uniform(-100, 100))
        device_us, sent, came = arrivals(seconds, drift_ppm, kind, seed)
        fit = fit_clock(device_us, came)
        error_ppm = abs(fit.drift_ppm - drift_ppm)
        assert error_ppm < within_ppm
        missed += error_ppm > fit.uncertainty_ppm
        # Not so wide that it says nothing.
        assert fit.uncertainty_ppm < 40 * within_ppm
        late = fit.host_s(device_us) - sent
        assert np.all(np.abs(late) < 0.005)
        assert fit.steps == ()
        assert fit.n == len(np.unique(came))
    assert missed <= 1


@given(
    drift_ppm=st.floats(-100, 100),
    kind=st.sampled_from(DELAYS),
    seed=st.integers(0, 2**32 - 1),
    late_s=st.lists(st.floats(0, 3), max_size=30),
)
@settings(max_examples=40, deadline=None)
def test_the_line_is_below_all_arrivals_and_touches_two(drift_ppm, kind, seed, late_s):
    device_us, _, came = arrivals(40.0, drift_ppm, kind, seed)
    came[:: max(1, len(came) // 30)][: len(late_s)] += late_s[: len(came[:: len(came) // 30])]
    fit = fit_clock(device_us, came)
    above = came - fit.host_s(device_us)
    # Unix times are multiples of 0.24 µs.
    assert above.min() > -1e-6
    if fit.drift_ppm != 0.0:
        assert np.sum(above < 1e-6) >= 2


@given(
    points=st.lists(
        st.tuples(st.integers(0, 10**12), st.floats(0, 1e4)), min_size=1, max_size=60
    ).map(lambda pairs: sorted(set(pairs)))
)
@settings(deadline=None)
def test_no_other_line_below_is_nearer(points):
    """Against every line through two of the points: the optimum of a linear program is one."""
    device_us = np.array([point[0] for point in points], dtype=np.int64)
    came = np.array([point[1] for point in points])
    fit = fit_clock(device_us, came)
    above = came - fit.host_s(device_us)
    assert np.isfinite(fit.offset_s)
    if fit.steps or len(points) < 3 or fit.n < len(points) or fit.drift_ppm == 0.0:
        return
    tolerance = 1e-6 * (1.0 + float(np.abs(came).max()))
    assert above.min() >= -tolerance
    seconds = 1e-6 * device_us
    for i in range(len(points)):
        for j in range(i):
            if seconds[i] == seconds[j]:
                continue
            slope = (came[i] - came[j]) / (seconds[i] - seconds[j])
            rest = came - came[j] - slope * (seconds - seconds[j])
            if slope > 0 and rest.min() >= 0:
                assert above.sum() <= rest.sum() + tolerance * len(points)


@given(shift_s=st.floats(-1e6, 1e6), begin_us=st.integers(0, 2**45))
@settings(max_examples=25, deadline=None)
def test_where_the_clocks_begin_does_not_matter(shift_s, begin_us):
    device_us, _, came = arrivals(60.0, 30.0)
    here, there = fit_clock(device_us, came), fit_clock(device_us + begin_us, came + shift_s)
    assert there.drift_ppm == pytest.approx(here.drift_ppm, abs=0.1)
    expected = here.host_s(device_us) + shift_s
    assert np.allclose(there.host_s(device_us + begin_us), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("size_s", [-3.0, -0.3, 0.2, 5.0])
def test_a_jump_of_the_hosts_clock_is_told_and_not_taken_for_drift(size_s):
    device_us, sent, came = arrivals(300.0, 40.0, seed=3)
    jumped = device_us > 100_000_000
    fit = fit_clock(device_us, np.where(jumped, came + size_s, came))
    (step,) = fit.steps
    # A frame that is late may be taken for one after a jump forward, and the other way round.
    assert step.device_us == pytest.approx(100_000_000, abs=1_000_000)
    assert step.size_s == pytest.approx(size_s, abs=0.02)
    assert abs(fit.drift_ppm - 40.0) <= fit.uncertainty_ppm < 20.0
    # The longer stretch is the one after.
    assert np.all(np.abs(fit.host_s(device_us) - sent - size_s) < 0.005)
    assert "set" in str(fit)


def test_two_jumps_and_a_busy_host_in_between():
    device_us, _, came = arrivals(400.0, -20.0, "pareto", seed=5)
    came = came + 1.5 * (device_us > 90_000_000) - 0.4 * (device_us > 300_000_000)
    fit = fit_clock(device_us, came)
    assert [step.size_s for step in fit.steps] == pytest.approx([1.5, -0.4], abs=0.03)
    assert abs(fit.drift_ppm + 20.0) <= fit.uncertainty_ppm


def test_drift_that_changes_widens_the_uncertainty():
    """A board that warms up by 10 ppm: the drift found is the mean, and less well known."""
    device_us, _, came = arrivals(1200.0, 20.0, "pareto", seed=2)
    seconds = 1e-6 * device_us
    steady = fit_clock(device_us, came)
    warmed = fit_clock(device_us, came + 0.5 * 10e-6 * seconds**2 / seconds[-1])
    assert warmed.uncertainty_ppm > 1.0 > 20 * steady.uncertainty_ppm
    assert abs(warmed.drift_ppm - 15.0) <= warmed.uncertainty_ppm


def test_too_little_is_said_to_be_too_little():
    one = fit_clock([5_000_000], [BEGIN_S])
    assert math.isinf(one.uncertainty_ppm)
    assert one.drift_ppm == 0.0
    assert one.host_s(6_000_000) == pytest.approx(BEGIN_S + 1.0)
    assert one.to_json()["drift_ppm"] is None
    device_us, _, came = arrivals(2.0, 50.0)
    assert fit_clock(device_us, came).drift_ppm == 0.0
    assert "not known" in str(fit_clock(device_us, came))
    with pytest.raises(ValueError, match="as many of both"):
        fit_clock([], [])
    with pytest.raises(ValueError, match="as many of both"):
        fit_clock([1, 2], [1.0])


def test_the_last_sample_of_a_frame_is_the_one_that_counts():
    device_us, _, came = arrivals(60.0, 0.0)
    every_us = (device_us[:, None] - np.arange(19, -1, -1) * 1000).ravel()
    every, last = fit_clock(every_us, np.repeat(came, 20)), fit_clock(device_us, came)
    assert every.offset_s == pytest.approx(last.offset_s, abs=1e-6)
    assert every.n == last.n


# ---- while a board sends -------------------------------------------------------------------------


def feed(clock: LiveClock, device_us: NDArray[np.int64], came: Array) -> Array:
    """Feed frames; return the time given out for the last sample of each, which never goes back."""
    before = -math.inf
    out = []
    for us, host_s in zip(device_us.tolist(), came.tolist(), strict=True):
        clock.add(us, host_s)
        for sample_us in (us - 19_000, us - 7_000, us):
            now = clock.host_s(sample_us)
            assert now >= before
            before = now
        out.append(before)
    return np.array(out)


@pytest.mark.parametrize("kind", DELAYS)
def test_a_live_clock_follows(kind):
    device_us, sent, came = arrivals(900.0, 80.0, kind, seed=4)
    clock = LiveClock()
    assert math.isnan(clock.host_s(0))
    error_s = feed(clock, device_us, came) - sent
    settled = 1e-6 * device_us > 60.0
    assert np.max(np.abs(error_s[settled])) < 0.01
    assert clock.drift_ppm == pytest.approx(80.0, abs=2.0)
    assert clock.steps == 0


def test_slow_changes_of_drift_are_followed_in_bounded_memory():
    """Two hours in which a board warms up by 40 ppm; after ten minutes no more is kept."""
    device_us, _, came = arrivals(7200.0, 0.0, "exponential", seed=6)
    seconds = 1e-6 * device_us
    bend = 0.5 * 40e-6 * seconds**2 / seconds[-1]
    clock = LiveClock()
    for us, host_s in zip(device_us[::5].tolist(), (came + bend)[::5].tolist(), strict=True):
        clock.add(us, host_s)
    assert clock.drift_ppm == pytest.approx(-40.0, abs=4.0)
    assert len(clock._blocks) <= 600
    assert clock.steps == 0


@pytest.mark.parametrize("size_s", [-2.0, 2.0])
def test_a_live_clock_follows_a_jump_and_never_runs_backwards(size_s):
    device_us, sent, came = arrivals(200.0, 10.0, seed=7)
    jumped = 1e-6 * device_us > 100.0
    clock = LiveClock()
    error_s = feed(clock, device_us, np.where(jumped, came + size_s, came)) - sent
    assert clock.steps == 1
    assert np.all(np.abs(error_s[1e-6 * device_us > 150.0] - size_s) < 0.01)
    assert np.all(np.abs(error_s[(1e-6 * device_us > 60.0) & ~jumped]) < 0.01)


def test_a_new_run_starts_the_clock_anew():
    device_us, _, came = arrivals(60.0, 0.0)
    clock = LiveClock()
    feed(clock, device_us, came)
    clock.add(1000, BEGIN_S + 500.0)
    assert clock.host_s(1000) == BEGIN_S + 500.0
    assert clock.drift_ppm is None
    clock.reset()
    assert math.isnan(clock.host_s(1000))


@given(
    st.lists(st.tuples(st.integers(1, 10_000_000), st.floats(-5.0, 5.0)), min_size=1, max_size=80)
)
@settings(deadline=None, max_examples=60)
def test_whatever_arrives_a_live_clock_never_runs_backwards(steps):
    """Frames at any distance, host times that jump at will."""
    clock = LiveClock()
    device_us, before = 0, -math.inf
    for ahead_us, host_s in steps:
        first_us = device_us + 1
        device_us += ahead_us
        clock.add(device_us, BEGIN_S + host_s)
        for sample_us in (first_us, device_us):
            now = clock.host_s(sample_us)
            # Unix times are multiples of 0.24 µs.
            assert now >= before - 1e-6
            before = now


# ---- a real board's log --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of a native board in real time, switched off and on again."""
    folder = tmp_path_factory.mktemp("clock")
    path = folder / "two_runs.mwlog"
    model = write_model(folder / "model")
    for seconds in (6.0, 3.0):
        with (
            VirtualBoard(movement(10_000), IMU, model, "native") as board,
            Device.open(board.port) as device,
            LogWriter(path) as writer,
        ):
            device.listen(writer.frame)
            device.identify()
            device.start()
            done = threading.Event()
            threading.Timer(seconds, done.set).start()
            while not done.is_set():
                device.frames(0.05)
                writer.flush()
    return path


def test_a_real_log_has_one_clock_a_run(two_runs):
    log = read_log(two_runs)
    fits = fit_log(log)
    assert list(fits) == [0, 1]
    for run, fit in fits.items():
        rows = log.run == run
        above = log.host_s[rows] - fit.host_s(log.device_us[rows])
        assert above.min() > -1e-6
        # The board's clock is this computer's: what the fit says of the drift must allow none.
        assert abs(fit.drift_ppm) <= max(fit.uncertainty_ppm, 1.0)
        assert fit.steps == ()
    assert fits[1].offset_s > fits[0].offset_s + 5.0
