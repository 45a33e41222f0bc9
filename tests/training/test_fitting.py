"""The optimisation learns, repeats itself and can be ended."""

import dataclasses
import signal

import numpy as np
import pytest

from myowave.dataset import channel_scales, fit_reference, split_recordings, to_series
from myowave.fitting import Progress, chunk_loss, fit_network, learning_rate
from myowave.network import tf
from myowave.train_config import FitConfig


@pytest.fixture(scope="module")
def data(make_recording, tiny_config):
    recordings = [make_recording(f"r{index}", seconds=5.0) for index in range(5)]
    split = split_recordings(recordings, tiny_config.split, 0)
    reference = fit_reference(split, tiny_config.target)
    train, validation = (
        [to_series(r, reference, tiny_config.target, ("biceps",)) for r in part]
        for part in (split.train, split.validation)
    )
    return train, validation, channel_scales(train)


def with_fit(config, **changes):
    return dataclasses.replace(config, fit=dataclasses.replace(config.fit, **changes))


def test_learns_and_repeats_itself(data, tiny_config):
    train, validation, scales = data
    reports: list[Progress] = []
    first = fit_network(train, validation, scales, tiny_config, reports.append)
    again = fit_network(train, validation, scales, tiny_config)
    other = fit_network(train, validation, scales, dataclasses.replace(tiny_config, seed=1))
    for one, two in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, two)
    assert first.histories == again.histories
    assert any(np.any(a != b) for a, b in zip(first.weights, other.weights, strict=True))

    (history,) = first.histories
    assert history.step == [10, 20, 30, 40]
    assert history.loss[-1] < 0.7 * history.loss[0]
    scores = [score for score in history.validation_r if score is not None]
    assert max(scores) > 0.8
    assert first.best_step == history.step[int(np.argmax(scores))]
    assert [report.step for report in reports] == list(range(1, 41))
    assert reports[-1].steps == 40
    assert reports[-1].best_r == max(scores)
    assert not first.interrupted


def test_stops_when_validation_no_longer_improves(data, tiny_config):
    train, validation, scales = data
    # At this rate every evaluation is as good as the one before, so none is better.
    config = with_fit(tiny_config, learning_rate=1e-12, evaluate_every=5, patience=2)
    fitted = fit_network(train, validation, scales, config)
    (history,) = fitted.histories
    assert history.step[-1] < config.fit.steps
    assert history.step[-1] == fitted.best_step + 10


def test_without_validation_the_last_step_counts(data, tiny_config):
    train, _, scales = data
    fitted = fit_network(train, [], scales, with_fit(tiny_config, steps=15))
    assert fitted.best_step == 15
    assert fitted.histories[0].validation_r == [None, None]


def test_ctrl_c_keeps_the_best_so_far(data, tiny_config):
    train, validation, scales = data
    config = with_fit(tiny_config, steps=1000, seeds=3)

    def press(progress):
        if progress.step == 23:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    fitted = fit_network(train, validation, scales, config, press)
    assert signal.getsignal(signal.SIGINT) is before
    assert fitted.interrupted
    assert len(fitted.histories) == 1
    assert fitted.histories[0].step == [10, 20, 24]
    assert fitted.best_step in fitted.histories[0].step
    assert all(np.all(np.isfinite(weight)) for weight in fitted.weights)


@pytest.fixture
def usual_ctrl_c():
    """Python's own handler, which a job in a shell's background starts without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_ctrl_c")
def test_a_second_ctrl_c_is_an_ordinary_one(data, tiny_config):
    train, validation, scales = data

    def press_twice(progress):
        if progress.step == 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit_network(train, validation, scales, tiny_config, press_twice)


def test_refit_learns_from_the_validation_recordings_too(data, tiny_config):
    train, validation, scales = data
    reports: list[Progress] = []
    config = with_fit(tiny_config, steps=20, refit=True)
    fitted = fit_network(train, validation, scales, config, reports.append)
    assert reports[-1].step == 20 + fitted.best_step <= reports[-1].steps == 40
    alone = with_fit(tiny_config, steps=20, refit=False)
    same = fit_network([*train, *validation], [], scales, alone)
    assert fitted.histories[0].step == [10, 20]
    if fitted.best_step == 20:
        for one, two in zip(fitted.weights, same.weights, strict=True):
            np.testing.assert_array_equal(one, two)


def test_best_of_several_seeds_is_kept(data, tiny_config):
    train, validation, scales = data
    fitted = fit_network(train, validation, scales, with_fit(tiny_config, steps=10, seeds=2))
    scores = [history.validation_r[-1] or 0.0 for history in fitted.histories]
    assert [history.seed for history in fitted.histories] == [0, 1]
    assert scores[fitted.best_seed] == max(scores)


def loss_of(predicted, target, weights, fit):
    p, t, w = (tf.constant(values, tf.float32) for values in (predicted, target, weights))
    return float(chunk_loss(p, t, w, fit))


def test_loss_forgives_a_gain_within_the_tolerance_only():
    rng = np.random.default_rng(0)
    target = rng.uniform(0.2, 1.0, (3, 50, 1))
    weights = np.ones((3, 50))
    for gain, forgiven in ((1.0, True), (0.6, True), (1.9, True), (0.3, False), (3.0, False)):
        loss = loss_of(target / gain, target, weights, FitConfig(gain_tolerance=1.0))
        assert (loss < 1e-4) == forgiven
        plain = loss_of(target / gain, target, weights, FitConfig(gain_tolerance=0.0))
        assert plain == pytest.approx(float(np.mean((target / gain - target) ** 2)), rel=1e-4)


def test_loss_ignores_what_has_no_weight_and_weighs_peaks():
    target = np.zeros((1, 4, 1))
    target[0, 3] = 1.0
    predicted = target + 0.5
    weights = np.array([[0.0, 1.0, 1.0, 1.0]])
    fit = FitConfig(gain_tolerance=0.0, peak_weight=3.0)
    wrong_before = predicted.copy()
    wrong_before[0, 0] = 100.0
    losses = [loss_of(values, target, weights, fit) for values in (predicted, wrong_before)]
    assert losses[0] == pytest.approx(0.25 * (1 + 1 + 4) / 3)
    assert losses[1] == pytest.approx(losses[0])


def test_learning_rate_rises_then_falls():
    fit = FitConfig(steps=400, learning_rate=1e-3)
    rates = [learning_rate(step, fit) for step in range(1, 401)]
    top = int(np.argmax(rates))
    assert 40 <= top <= 60
    assert np.all(np.diff(rates[:top]) > 0.0) and np.all(np.diff(rates[top:]) < 0.0)
    assert rates[-1] == pytest.approx(5e-5)
