"""Baselines: the linear one finds what is linear, the others know nothing of the trial."""

import numpy as np
import pytest

from myowave.baselines import fit_baselines, load_baselines, swapped_imu
from myowave.dataset import Series
from myowave.errors import ModelError
from myowave.metrics import correlation


def linear_series(name, n=20_000, noise=0.0):
    """A target that is a smoothed, delayed mix of two channels, above zero."""
    rng = np.random.default_rng(sum(name.encode()))
    slow = np.cumsum(rng.standard_normal((n + 500, 6)), axis=0)
    slow -= np.linspace(0.0, 1.0, n + 500)[:, None] * slow[-1]
    slow /= slow.std(axis=0)
    imu = slow[500:]
    target = 5.0 + 0.5 * slow[500 - 160 : n + 340, 1:2] - 0.3 * slow[500 - 480 : n + 20, 4:5]
    target = target + noise * rng.standard_normal(target.shape)
    return Series(name, imu.astype(np.float32), target.astype(np.float32))


def test_ridge_recovers_a_linear_system_with_delays():
    train = [linear_series(name) for name in "abcd"]
    unseen = linear_series("z")
    baselines = fit_baselines(train, [linear_series("v")])
    predicted = baselines.predict_ridge(unseen.imu)
    assert predicted.shape == unseen.target.shape
    assert correlation(predicted[1000:, 0], unseen.target[1000:, 0]) > 0.99
    error = predicted[1000:] - unseen.target[1000:]
    assert np.sqrt(np.mean(error**2)) < 0.1 * unseen.target.std()


def test_ridge_is_causal():
    baselines = fit_baselines([linear_series("a"), linear_series("b")], [])
    imu = linear_series("z").imu
    changed = imu.copy()
    changed[8000:] += 3.0
    np.testing.assert_array_equal(
        baselines.predict_ridge(changed)[:8000], baselines.predict_ridge(imu)[:8000]
    )


def test_noise_asks_for_a_stronger_penalty():
    clean = fit_baselines([linear_series("a")], [linear_series("v")])
    noisy = fit_baselines([linear_series("a", 3_000, 3.0)], [linear_series("v", noise=3.0)])
    assert noisy.strength > clean.strength


def test_mean_curve_is_the_mean_over_relative_time():
    ramp = np.linspace(0.0, 1.0, 4001, dtype=np.float32)[:, None]
    imu = np.random.default_rng(0).standard_normal((4001, 6)).astype(np.float32)
    train = [Series("up", imu, ramp), Series("half", imu, 0.5 * ramp)]
    curve = fit_baselines(train, []).predict_mean_curve(101)
    np.testing.assert_allclose(curve[:, 0], 0.75 * np.linspace(0.0, 1.0, 101), atol=1e-3)


def test_swapped_imu_is_another_trials():
    imus = [np.full((n, 6), float(n)) for n in (10, 25, 7)]
    assert np.all(swapped_imu(imus, 0) == 25.0)
    assert swapped_imu(imus, 0).shape == (10, 6)
    assert np.all(swapped_imu(imus, 1) == 7.0)
    assert swapped_imu(imus, 1).shape == (25, 6)
    alone = np.arange(60.0).reshape(10, 6)
    np.testing.assert_array_equal(swapped_imu([alone], 0), np.roll(alone, 5, axis=0))


def test_stored_baselines_predict_the_same(tmp_path):
    series = linear_series("a")
    baselines = fit_baselines([series, linear_series("b")], [])
    path = tmp_path / "baselines.npz"
    baselines.save(path)
    loaded = load_baselines(path)
    np.testing.assert_array_equal(
        loaded.predict_ridge(series.imu), baselines.predict_ridge(series.imu)
    )
    np.testing.assert_array_equal(loaded.predict_mean_curve(500), baselines.predict_mean_curve(500))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 torn"])
def test_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "baselines.npz"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"baselines\.npz"):
        load_baselines(path)
