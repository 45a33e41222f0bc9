"""The clock of a log of any length: the same line as from all arrivals, in little memory."""

import numpy as np
import pytest

from myowave.clock import fit_clock
from myowave.live import drift
from myowave.live.drift import Drift
from myowave.wire import Frame
from tests.live.test_history import data, identity

BATCH = data(0, 20)


def batch(index: int) -> Frame:
    return Frame("data", 0, {**BATCH.fields, "first_tick": 20 * index, "time_us": 20_000 * index})


def arrivals(frames: int, drift_ppm: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Device times of the last samples of 20-sample frames, and when they came."""
    rng = np.random.default_rng(seed)
    device_us = 20_000 * np.arange(frames) + 19_000
    late_s = 0.002 + rng.exponential(0.008, frames)
    return device_us, 1.7e9 + 1e-6 * device_us / (1.0 + 1e-6 * drift_ppm) + late_s


@pytest.mark.parametrize("drift_ppm", [-180.0, 0.0, 35.0])
def test_the_drift_of_a_long_log_is_that_of_all_its_arrivals(drift_ppm, monkeypatch):
    monkeypatch.setattr(drift, "_BLOCKS", 50)
    frames = 30_000
    device_us, host_s = arrivals(frames, drift_ppm, 1)
    followed = Drift()
    followed.on_identity(identity(), 0.0)
    for index in range(frames):
        followed.on_frame(batch(index), float(host_s[index]))
    whole, found = fit_clock(device_us, host_s), followed.fit()
    assert found is not None
    assert found.drift_ppm == pytest.approx(drift_ppm, abs=2.0)
    assert found.drift_ppm == pytest.approx(whole.drift_ppm, abs=2.0)
    assert found.residual_s == pytest.approx(whole.residual_s, abs=0.001)
    assert found.n == frames
    assert len(followed._run._quickest) <= 50


def test_the_longest_run_counts():
    followed = Drift()
    assert followed.fit() is None
    followed.on_identity(identity(), 0.0)
    start_s = 0.0
    for frames in (10, 500, 100):
        _, host_s = arrivals(frames, 0.0, frames)
        for index in range(frames):
            followed.on_frame(batch(index), start_s + float(host_s[index]))
        start_s += 100.0
    found = followed.fit()
    assert found is not None
    assert found.n == 500
    assert found.span_s == pytest.approx(499 * 0.02, abs=1.0)
