"""How well a predicted envelope fits the recorded one: the figures `check` and `train` report."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from myowave.errors import RecordingError
from myowave.recording import RATE_HZ

Figures = dict[str, float | None]

MAX_LAG_S = 0.5
# A burst begins where the envelope rises above 30 % of its 99th percentile and ends where it falls
# under 20 %: between the two a wavering envelope counts once.
ONSET_LEVEL = 0.30
OFFSET_LEVEL = 0.20
_REPETITION_S = (0.8, 8.0)


def accuracy(
    predicted: NDArray[np.floating], recorded: NDArray[np.floating], rate_hz: float = RATE_HZ
) -> Figures:
    """Compare one predicted envelope with the recorded one.

    Parameters
    ----------
    predicted, recorded : (n,) array
        Envelopes of one muscle in the same unit; leave the warm-up out.
    rate_hz : float
        Their rate.

    Returns
    -------
    dict
        ``r``: Pearson's correlation, 0 where one of the two is constant.
        ``r2``: share of the recorded variance explained, with no gain or offset fitted; negative
        where the recorded mean would do better.
        ``rmse``: root-mean-square error. ``nrmse``: the same over the recorded range.
        ``lag_ms``: how much later than recorded the prediction comes, where the cross-correlation
        within ±500 ms is highest.
        ``peak_ratio``: 99th percentile predicted over recorded.
        ``onset_error_ms``: median distance of the recorded bursts' onsets to the nearest predicted
        one within 500 ms; None where there is none.

    Raises
    ------
    RecordingError
        If the shapes differ, a value is not finite or the recorded envelope is constant.
    """
    predicted, recorded = _checked(predicted, recorded)
    error = predicted - recorded
    variance = float(np.mean((recorded - recorded.mean()) ** 2))
    mean_square = float(np.mean(error**2))
    return {
        "r": correlation(predicted, recorded),
        "r2": 1.0 - mean_square / variance,
        "rmse": mean_square**0.5,
        "nrmse": mean_square**0.5 / float(np.ptp(recorded)),
        "lag_ms": lag_ms(predicted, recorded, rate_hz),
        "peak_ratio": float(np.percentile(predicted, 99) / np.percentile(recorded, 99)),
        "onset_error_ms": onset_error_ms(predicted, recorded, rate_hz),
    }


def accuracy_with_gain(
    predicted: NDArray[np.floating],
    recorded: NDArray[np.floating],
    rate_hz: float = RATE_HZ,
    repetitions: int = 2,
) -> Figures:
    """Compare as `accuracy` does, after one gain fitted on the first repetitions.

    The load in the hand is not in the IMU signal; one gain a set is what a user can calibrate. The
    figures are those of what follows the fitted part. Also returned: ``gain`` and ``fitted_s``.

    Raises
    ------
    RecordingError
        As `accuracy` does, or if the recording is no longer than the repetitions.
    """
    predicted, recorded = _checked(predicted, recorded)
    fitted = round(repetitions * repetition_s(recorded, rate_hz) * rate_hz)
    if len(recorded) - fitted < rate_hz:
        raise RecordingError(
            f"{len(recorded) / rate_hz:.1f} s recorded, too short for {repetitions} repetitions to "
            "fit a gain on and at least 1 s to judge it"
        )
    power = float(np.dot(predicted[:fitted], predicted[:fitted]))
    gain = float(np.dot(predicted[:fitted], recorded[:fitted])) / power if power > 0.0 else 1.0
    figures = accuracy(gain * predicted[fitted:], recorded[fitted:], rate_hz)
    return {**figures, "gain": gain, "fitted_s": fitted / rate_hz}


def median_figures(figures: Sequence[Mapping[str, float | None]]) -> Figures:
    """Return the median of each figure over recordings, None where none has it."""
    result: Figures = {}
    for name in figures[0] if figures else ():
        values = [value for row in figures if (value := row[name]) is not None]
        result[name] = float(np.median(values)) if values else None
    return result


def correlation(predicted: NDArray[np.floating], recorded: NDArray[np.floating]) -> float:
    """Return Pearson's correlation of two (n,) arrays, 0 where one is constant."""
    if np.ptp(predicted) == 0.0 or np.ptp(recorded) == 0.0:
        return 0.0
    a = predicted - predicted.mean()
    b = recorded - recorded.mean()
    return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))


def lag_ms(
    predicted: NDArray[np.floating], recorded: NDArray[np.floating], rate_hz: float = RATE_HZ
) -> float:
    """Return by how much the prediction is late (negative: early), within ±500 ms."""
    from scipy import signal

    n = len(recorded)
    furthest = min(round(MAX_LAG_S * rate_hz), n - 1)
    products = signal.correlate(predicted - predicted.mean(), recorded - recorded.mean())
    near = products[n - 1 - furthest : n + furthest]
    # The overlap shrinks with the lag; without this the estimate leans towards zero.
    overlap = n - np.abs(np.arange(-furthest, furthest + 1))
    return float((int(np.argmax(near / overlap)) - furthest) * 1000.0 / rate_hz)


def onsets(envelope: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the samples at which bursts begin, by `ONSET_LEVEL` and `OFFSET_LEVEL`."""
    top = float(np.percentile(envelope, 99))
    if not top > 0.0:
        return np.empty(0, dtype=np.intp)
    state = np.zeros(len(envelope), dtype=np.int8)
    state[envelope >= ONSET_LEVEL * top] = 1
    state[envelope < OFFSET_LEVEL * top] = -1
    decided = np.flatnonzero(state)
    rising = np.flatnonzero(np.diff(state[decided]) > 0)
    return decided[rising + 1]


def onset_error_ms(
    predicted: NDArray[np.floating], recorded: NDArray[np.floating], rate_hz: float = RATE_HZ
) -> float | None:
    """Return the median distance of recorded onsets to the nearest predicted one within 500 ms."""
    ours, theirs = onsets(predicted), onsets(recorded)
    if not len(ours) or not len(theirs):
        return None
    distances = np.abs(ours[None, :] - theirs[:, None]).min(axis=1) / rate_hz
    near = distances[distances <= MAX_LAG_S]
    return float(np.median(near)) * 1000.0 if len(near) else None


def repetition_s(envelope: NDArray[np.floating], rate_hz: float = RATE_HZ) -> float:
    """Return the usual time from one repetition to the next, from the envelope's autocorrelation.

    Looked for between 0.8 and 8 s; a third of the recording where it does not repeat.
    """
    from scipy import signal

    step = max(1, round(rate_hz / 50))
    coarse = np.asarray(envelope, dtype=np.float64)[: len(envelope) // step * step]
    coarse = coarse.reshape(-1, step).mean(axis=1)
    coarse = coarse - coarse.mean()
    n = len(coarse)
    rate = rate_hz / step
    same = signal.correlate(coarse, coarse)[n - 1 :] / (n - np.arange(n))
    low, high = (round(limit * rate) for limit in _REPETITION_S)
    peaks, _ = signal.find_peaks(same[: min(high, n // 2)])
    peaks = peaks[(peaks >= low) & (same[peaks] > 0.0)]
    if not len(peaks):
        return n / rate / 3.0
    # The first of the good peaks: later ones are its multiples.
    good = peaks[same[peaks] >= 0.7 * same[peaks].max()]
    return float(good[0] / rate)


def _checked(
    predicted_values: NDArray[np.floating], recorded_values: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    predicted = np.asarray(predicted_values, dtype=np.float64)
    recorded = np.asarray(recorded_values, dtype=np.float64)
    if predicted.shape != recorded.shape or recorded.ndim != 1 or len(recorded) < 2:
        raise RecordingError(
            f"envelopes of shapes {predicted.shape} and {recorded.shape}, expected both (n,)"
        )
    if not (np.all(np.isfinite(predicted)) and np.all(np.isfinite(recorded))):
        raise RecordingError("envelope with a value that is not finite")
    if not float(np.ptp(recorded)) > 0.0:
        raise RecordingError("the recorded envelope is constant: there is nothing to predict")
    return predicted, recorded
