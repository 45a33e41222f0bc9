"""What a model must beat: a linear model, itself on another trial's IMU, and no IMU at all."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myowave.dataset import Series
from myowave.errors import ModelError
from myowave.metrics import correlation

NAMES = ("ridge", "swap", "mean_curve")

_CURVE_POINTS = 201
_STRENGTHS = 10.0 ** np.arange(-6.0, 1.01, 0.5)


@dataclass(frozen=True)
class RidgeConfig:
    """Ridge regression on causal lags.

    Attributes
    ----------
    longest_ms, step_ms : int
        Lags from 0 to `longest_ms` in steps of `step_ms`, each the mean of that many samples.
    """

    longest_ms: int = 1008
    step_ms: int = 16

    @property
    def lags(self) -> int:
        """Number of lags of each channel."""
        return self.longest_ms // self.step_ms + 1


@dataclass(frozen=True)
class Baselines:
    """Fitted baselines; the swapped IMU needs none of its own, it is the model's.

    Attributes
    ----------
    weights : (lags, 6, m) float64
        Ridge coefficients on m/s² and rad/s, newest lag first.
    intercept : (m,) float64
        Of the ridge regression.
    strength : float
        Its penalty, relative to the number of samples, on standardized lags.
    step_ms : int
        Milliseconds from lag to lag.
    mean_curve : (points, m) float64
        Mean envelope over the relative time of a recording, 0 to 1.
    """

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    strength: float
    step_ms: int
    mean_curve: NDArray[np.float64]

    def predict_ridge(self, imu: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return (n, m) predictions from (n, 6) m/s² and rad/s; never below 0, like the model's."""
        lagged = _moving_average(imu, self.step_ms)
        result = np.tile(self.intercept, (len(imu), 1))
        for lag, weights in enumerate(self.weights):
            late = lag * self.step_ms
            if late < len(lagged):
                result[late:] += lagged[: len(lagged) - late] @ weights
                result[:late] += lagged[0] @ weights
            else:
                result += lagged[0] @ weights
        clipped: NDArray[np.float64] = np.maximum(result, 0.0)
        return clipped

    def predict_mean_curve(self, samples: int) -> NDArray[np.float64]:
        """Return (samples, m): the mean curve stretched to the recording's length."""
        at = np.linspace(0.0, 1.0, samples)
        points = np.linspace(0.0, 1.0, len(self.mean_curve))
        return np.column_stack([np.interp(at, points, column) for column in self.mean_curve.T])

    def save(self, path: Path) -> None:
        """Write the baselines as `.npz`."""
        np.savez_compressed(
            path,
            weights=self.weights,
            intercept=self.intercept,
            strength=self.strength,
            step_ms=self.step_ms,
            mean_curve=self.mean_curve,
        )


def load_baselines(path: Path) -> Baselines:
    """Read what `Baselines.save` wrote; raise ModelError if it is absent or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            result = Baselines(
                weights=stored["weights"],
                intercept=stored["intercept"],
                strength=float(stored["strength"]),
                step_ms=int(stored["step_ms"]),
                mean_curve=stored["mean_curve"],
            )
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: damaged baselines: {error}") from None
    outputs = result.intercept.shape
    if result.weights.shape[1:] != (6, *outputs) or result.mean_curve.shape[1:] != outputs:
        raise ModelError(f"{path}: damaged baselines: shapes do not fit each other")
    return result


def fit_baselines(
    train: Sequence[Series], validation: Sequence[Series], config: RidgeConfig | None = None
) -> Baselines:
    """Fit ridge and mean curve on training recordings, the ridge's strength on validation.

    Without validation recordings the strength is tuned by leaving out each fifth training
    recording in turn.
    """
    config = config or RidgeConfig()
    parts = [_Normal.of(item, config) for item in train]
    held_out = [_lagged_rows(item, config) for item in validation]
    if validation:
        scores = _scores(_Normal.total(parts), held_out)
    else:
        scores = np.zeros(len(_STRENGTHS))
        for fold in range(min(5, len(parts)) if len(parts) > 1 else 0):
            kept = [part for index, part in enumerate(parts) if index % 5 != fold]
            out = [_lagged_rows(item, config) for item in list(train)[fold::5]]
            if kept:
                scores += _scores(_Normal.total(kept), out)
    strength = float(_STRENGTHS[int(np.argmax(scores))])
    # With the strength chosen, what chose it may teach too.
    everything = _Normal.total(parts + [_Normal.of(item, config) for item in validation])
    weights, intercept = everything.solve(strength)
    curves = []
    for item in (*train, *validation):
        at = np.linspace(0.0, 1.0, len(item.target))
        points = np.linspace(0.0, 1.0, _CURVE_POINTS)
        curves.append(np.column_stack([np.interp(points, at, column) for column in item.target.T]))
    return Baselines(
        weights=weights.reshape(config.lags, 6, -1),
        intercept=intercept,
        strength=strength,
        step_ms=config.step_ms,
        mean_curve=np.mean(curves, axis=0),
    )


def swapped_imu(imus: Sequence[NDArray[np.floating]], index: int) -> NDArray[np.float64]:
    """Return another trial's IMU, as long as that of trial `index`.

    The next trial's, repeated where it is shorter; with a single trial its own, shifted by half
    its length. A model that hears more than the usual rhythm does badly on it.
    """
    own = np.asarray(imus[index], dtype=np.float64)
    if len(imus) == 1:
        return np.roll(own, len(own) // 2, axis=0)
    other = np.asarray(imus[(index + 1) % len(imus)], dtype=np.float64)
    times = -(-len(own) // len(other))
    return np.tile(other, (times, 1))[: len(own)]


@dataclass(frozen=True)
class _Normal:
    """Sums that a least-squares fit needs: they add up over recordings."""

    count: int
    sum_x: NDArray[np.float64]
    sum_y: NDArray[np.float64]
    xx: NDArray[np.float64]
    xy: NDArray[np.float64]

    @classmethod
    def of(cls, series: Series, config: RidgeConfig) -> "_Normal":
        x, y = _lagged_rows(series, config)
        return cls(len(x), x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y)

    @classmethod
    def total(cls, parts: Sequence["_Normal"]) -> "_Normal":
        return cls(
            sum(part.count for part in parts),
            np.sum([part.sum_x for part in parts], axis=0),
            np.sum([part.sum_y for part in parts], axis=0),
            np.sum([part.xx for part in parts], axis=0),
            np.sum([part.xy for part in parts], axis=0),
        )

    def solve(self, strength: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return coefficients and intercept, penalized on standardized columns."""
        mean_x, mean_y = self.sum_x / self.count, self.sum_y / self.count
        covariance = self.xx / self.count - np.outer(mean_x, mean_x)
        deviation = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
        scaled = covariance / np.outer(deviation, deviation)
        cross = (self.xy / self.count - np.outer(mean_x, mean_y)) / deviation[:, None]
        penalized = scaled + strength * np.eye(len(scaled))
        weights = np.linalg.solve(penalized, cross) / deviation[:, None]
        return weights, mean_y - mean_x @ weights


def _scores(
    normal: _Normal, held_out: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> NDArray[np.float64]:
    """Return the mean correlation on held-out recordings for each strength."""
    scores = np.zeros(len(_STRENGTHS))
    for index, strength in enumerate(_STRENGTHS):
        weights, intercept = normal.solve(float(strength))
        predictions = [np.maximum(x @ weights + intercept, 0.0) for x, _ in held_out]
        scores[index] = np.mean(
            [
                correlation(predicted[:, output], y[:, output])
                for predicted, (_, y) in zip(predictions, held_out, strict=True)
                for output in range(y.shape[1])
            ]
        )
    return scores


def _lagged_rows(
    series: Series, config: RidgeConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lags, (rows, lags * 6), and targets, (rows, m), of every `step_ms`-th sample."""
    averaged = _moving_average(series.imu, config.step_ms)
    rows = np.arange(config.step_ms - 1, len(averaged), config.step_ms)
    at = rows[:, None] - config.step_ms * np.arange(config.lags)[None, :]
    lagged = averaged[np.maximum(at, 0)].reshape(len(rows), -1)
    return lagged, series.target[rows].astype(np.float64)


def _moving_average(values: NDArray[np.floating], width: int) -> NDArray[np.float64]:
    """Return the causal mean of the last `width` rows, the first row standing for the past."""
    padded = np.vstack([np.repeat(values[:1], width, axis=0), values]).astype(np.float64)
    sums = np.cumsum(padded, axis=0)
    averaged: NDArray[np.float64] = (sums[width:] - sums[:-width]) / width
    return averaged
