"""Activation: what a plain loop over the samples says, however they are handed over."""

import numpy as np
import pytest

from myowave.errors import ConfigError
from myowave.live.activation import FALL_S, Activation

ON, OFF, HOLD_S = 0.20, 0.15, 1.5


def wander(seed: int, samples: int = 4000, muscles: int = 3) -> np.ndarray:
    """Envelopes that tremble about both thresholds, with gaps."""
    rng = np.random.default_rng(seed)
    slow = 0.18 + 0.12 * np.sin(np.arange(samples)[:, None] / 300.0 + np.arange(muscles))
    envelope = np.clip(slow + rng.normal(0.0, 0.02, (samples, muscles)), 0.0, 1.0)
    envelope[rng.random((samples, muscles)) < 0.1] = np.nan
    envelope[1000:1200] = np.nan
    return envelope


def batches(samples: int, seed: int) -> list[slice]:
    edges = np.unique(np.random.default_rng(seed).integers(0, samples, samples // 15))
    return [slice(*pair) for pair in zip([0, *edges], [*edges, samples], strict=True)]


@pytest.mark.parametrize("seed", range(5))
def test_hysteresis_is_that_of_a_loop_over_the_samples(seed):
    envelope = wander(seed)
    times = np.arange(len(envelope)) / 1000.0
    activation = Activation(ON, OFF)
    active = [False] * 3
    switched = crossings = 0
    above = [False] * 3
    for rows in batches(len(envelope), seed):
        found = activation.update(envelope[rows], times[rows])
        for sample in envelope[rows]:
            for muscle, value in enumerate(sample):
                before = active[muscle]
                active[muscle] = value >= ON if not before else not value < OFF
                switched += active[muscle] != before
                crossings += not np.isnan(value) and (value >= ON) != above[muscle]
                above[muscle] = above[muscle] if np.isnan(value) else value >= ON
        assert found.active.tolist() == active
    # One threshold would make it flicker.
    assert 3 <= switched < 0.5 * crossings


def test_the_peak_is_held_and_then_falls_to_the_envelope():
    activation = Activation(ON, OFF, HOLD_S)
    activation.update(np.array([[0.1], [0.9], [0.3]]), np.array([0.0, 0.001, 0.002]))
    assert activation.update(np.full((1, 1), 0.3), 0.001 + HOLD_S).peak[0] == 0.9
    falling = activation.update(np.full((1, 1), 0.3), 0.001 + HOLD_S + 0.25 * FALL_S)
    assert falling.peak[0] == pytest.approx(0.65)
    assert falling.level[0] == 0.3
    assert activation.update(np.full((1, 1), 0.3), 10.0).peak[0] == 0.3
    # From there it is held anew.
    assert activation.update(np.full((1, 1), 0.2), 11.0).peak[0] == 0.3
    assert activation.update(np.full((1, 1), 0.95), 11.1).peak[0] == 0.95


@pytest.mark.parametrize("seed", range(5))
def test_the_peak_lies_between_the_envelope_and_its_highest_value(seed):
    envelope = wander(seed)
    times = np.arange(len(envelope)) / 100.0
    activation = Activation()
    for rows in batches(len(envelope), seed):
        found = activation.update(envelope[rows], times[rows])
        if rows.stop > 10:
            assert np.all(found.peak >= found.level)
            assert np.all(found.peak <= np.nanmax(envelope[: rows.stop], axis=0))
            since = times[: rows.stop] >= times[rows.stop - 1] - 0.9 * HOLD_S
            # What was highest within the hold is still held.
            held = np.nanmax(np.where(since[:, None], envelope[: rows.stop], -1.0), axis=0)
            within = held < np.nanmax(envelope[: rows.stop], axis=0)
            assert np.all(found.peak[~within] >= held[~within])


def test_no_samples_change_nothing_and_gaps_are_not_activity():
    activation = Activation()
    first = activation.update(np.zeros((0, 2)), np.zeros(0))
    assert not first.active.any()
    assert np.isnan(first.level).all()
    assert np.isnan(first.peak).all()
    before = activation.update(np.array([[0.5, 0.1]]), 1.0)
    for nothing in (np.zeros((0, 2)), np.full((7, 2), np.nan)):
        after = activation.update(nothing, np.full(len(nothing), 1.1))
        assert after.active.tolist() == [True, False]
        assert np.array_equal(after.level, before.level)
        assert np.array_equal(after.peak, before.peak)


def test_other_muscles_or_time_that_goes_back_begin_anew():
    activation = Activation()
    activation.update(np.array([[0.9, 0.9]]), 5.0)
    assert activation.update(np.array([[0.17]]), 6.0).active.tolist() == [False]
    activation.update(np.array([[0.9]]), 7.0)
    again = activation.update(np.array([[0.17]]), 1.0)
    assert (again.active[0], again.peak[0]) == (False, 0.17)


@pytest.mark.parametrize("wrong", [(0.1, 0.2), (0.2, 0.0), (float("nan"), 0.1), (0.2, 0.1, -1.0)])
def test_thresholds_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        Activation(*wrong)
