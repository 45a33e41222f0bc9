"""The figures, against values worked out by hand and signals whose answer is known."""

import numpy as np
import pytest

from myowave import metrics
from myowave.errors import RecordingError


def bursts(n=20_000, period=2_000, width=400.0, shift=0):
    """One smooth burst every `period` ms."""
    at = (np.arange(n) - shift) % period
    return np.exp(-(((at - period / 2) / width) ** 2))


def test_by_hand():
    figures = metrics.accuracy(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0]))
    assert figures["r"] == pytest.approx(3.0 / np.sqrt(2.0 * 14.0 / 3.0))
    # Residual 1, variance around 7/3: 1 - 1 / (14 / 3).
    assert figures["r2"] == pytest.approx(1.0 - 3.0 / 14.0)
    assert figures["rmse"] == pytest.approx(np.sqrt(1.0 / 3.0))
    assert figures["nrmse"] == pytest.approx(np.sqrt(1.0 / 3.0) / 3.0)


def test_a_perfect_prediction():
    recorded = bursts()
    figures = metrics.accuracy(recorded, recorded)
    assert figures == pytest.approx(
        {
            "r": 1.0,
            "r2": 1.0,
            "rmse": 0.0,
            "nrmse": 0.0,
            "lag_ms": 0.0,
            "peak_ratio": 1.0,
            "onset_error_ms": 0.0,
        }
    )


@pytest.mark.parametrize("late", [-120, 0, 35, 250])
def test_lag_and_onset_error_are_the_delay(late):
    figures = metrics.accuracy(bursts(shift=late), bursts())
    assert figures["lag_ms"] == late
    assert figures["onset_error_ms"] == pytest.approx(abs(late), abs=1.0)


def test_gain_and_offset_change_r2_but_not_r_or_onsets():
    recorded = bursts()
    figures = metrics.accuracy(0.5 * recorded, recorded)
    assert figures["r"] == pytest.approx(1.0)
    assert figures["peak_ratio"] == pytest.approx(0.5)
    assert figures["onset_error_ms"] == 0.0
    assert figures["r2"] is not None and figures["r2"] < 0.5


def test_constant_prediction_explains_nothing():
    recorded = bursts()
    figures = metrics.accuracy(np.full_like(recorded, recorded.mean()), recorded)
    assert figures["r"] == 0.0
    assert figures["r2"] == pytest.approx(0.0)
    assert metrics.accuracy(np.zeros_like(recorded), recorded)["onset_error_ms"] is None


def test_a_wavering_burst_has_one_onset():
    envelope = np.concatenate([np.zeros(100), [0.4, 0.25, 0.4, 0.25] * 25, np.zeros(100)])
    envelope[150] = 1.0
    envelope[151:154] = 1.0  # the 99th percentile
    assert metrics.onsets(envelope).tolist() == [100]


@pytest.mark.parametrize("period", [1_100, 2_000, 3_700])
def test_repetitions_are_found(period):
    rng = np.random.default_rng(0)
    envelope = bursts(8 * period, period, period / 6) + 0.05 * rng.standard_normal(8 * period)
    assert metrics.repetition_s(envelope) == pytest.approx(period / 1000.0, rel=0.05)


def test_gain_is_fitted_on_the_first_repetitions_and_judged_on_the_rest():
    recorded = bursts(16_000, 2_000)
    late_wrong = 0.5 * recorded
    late_wrong[10_000:] *= 3.0
    figures = metrics.accuracy_with_gain(late_wrong, recorded)
    assert figures["fitted_s"] == pytest.approx(4.0, rel=0.05)
    assert figures["gain"] == pytest.approx(2.0)
    assert figures["fitted_s"] is not None
    rest = slice(round(figures["fitted_s"] * 1000), None)
    expected = metrics.accuracy(2.0 * late_wrong[rest], recorded[rest])
    assert figures["rmse"] == pytest.approx(expected["rmse"])


def test_medians_leave_out_what_is_missing():
    rows: list[metrics.Figures] = [
        {"r": 0.1, "lag_ms": None},
        {"r": 0.5, "lag_ms": 4.0},
        {"r": 0.7, "lag_ms": None},
    ]
    assert metrics.median_figures(rows) == {"r": 0.5, "lag_ms": 4.0}
    assert metrics.median_figures([]) == {}


@pytest.mark.parametrize(
    ("predicted", "recorded", "reason"),
    [
        (np.zeros(3), np.zeros(4), "shapes"),
        (np.zeros(4), np.ones(4), "constant"),
        (np.array([0.0, np.nan]), np.array([0.0, 1.0]), "not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(predicted, recorded, reason):
    with pytest.raises(RecordingError, match=reason):
        metrics.accuracy(predicted, recorded)
