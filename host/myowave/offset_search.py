"""Find the time offset between two recordings of one movement by correlation or by taps.

What two sensors on one limb have in common is spread over frequencies, and so is what tells one
repetition of an exercise from the next; most of the power is not. Features are therefore whitened
before they are correlated, which makes the peak of a true match narrow and high and takes away the
rounded tops by which any two sets of curls resemble each other (Knapp & Carter, The generalized
correlation method for estimation of time delay, IEEE Trans. ASSP 24, 1976: the SCOT weighting).

Two clocks drift apart, over half an hour by more than that peak is wide. So one recording is cut
into pieces, each is correlated with the whole other one, and the results are added up along every
drift in question. The pieces are then asked one by one whether they agree.

Times: `log` is the one whose clock counts; t_log = offset + t_other * (1 + drift).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

FEATURE_HZ = 100
MAX_DRIFT_PPM = 300.0
"""Two crystals differ by 200 ppm at most; resonators by more, and are not searched for."""
MIN_OVERLAP_S = 10.0
AGREE_S = 0.05
"""A piece agrees when its own best offset is this near to the one of all."""

_ROOT_HZ = 1000
# Spectra are smoothed over this width: wide against the lines of a periodic movement, which stay.
_SMOOTH_HZ = 0.6
_CLIP = 4.0
# The band makes lobes beside a peak; the period of the fastest shaking of a hand is outside.
_PEAK_HALF_WIDTH_S = 0.12
_PIECE_S = (4.0, 30.0)
_MOST_PIECES = 120
_PIECE_REACH_S = 2.0
# Of the mean power: pieces below it are rest and have nothing to say.
_QUIET = 0.2
# Two sensors 15 cm apart on one limb do not peak at one instant.
_SAME_MOMENT_S = 0.002
# Before the data speak: crystals against each other.
_DRIFT_PRIOR_PPM = 100.0

TAP_TOLERANCE_S = 0.008
_TAP_M_S2 = 4.0
_TAP_ABOVE_NOISE = 10.0
_TAP_WIDTH_S = 0.06
_TAP_APART_S = 0.1
_MOST_TAPS = 100
_MOST_ANCHORS = 60
TAP_GROUP_S = 8.0
"""Taps this near to each other are one group, within which drift does not show."""


# ---- correlation ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peak:
    """The best offset and what speaks for it.

    Attributes
    ----------
    offset_s, drift_ppm : float
        t_log = offset_s + t_other * (1 + 1e-6 * drift_ppm).
    correlation : float
        Of the whitened features over the overlap.
    over_noise : float
        Height over the usual size of the correlation at all other offsets (1.48 times its median
        absolute deviation).
    over_second : float
        Height over the highest peak elsewhere.
    second_s : float
        Where that one is.
    overlap_s : float
        Length both have in common.
    pieces : int
        Pieces of the overlap that hold movement.
    agreeing : int
        Those whose own best offset, searched 2 s to either side, is the same.
    uncertainty_s : float
        Of the offset at the worse end of the overlap: two standard deviations, and 2 ms for
        sensors in different places of the limb.
    drift_uncertainty_ppm : float
        Two standard deviations.
    least_drift_ppm : float
        Size of the smallest drift the pieces allow, with nothing assumed of crystals.
    """

    offset_s: float
    drift_ppm: float
    correlation: float
    over_noise: float
    over_second: float
    second_s: float
    overlap_s: float
    pieces: int
    agreeing: int
    uncertainty_s: float
    drift_uncertainty_ppm: float
    least_drift_ppm: float


def magnitude(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the length of (n, 3) vectors, which is the same however the sensor sits."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", values, values)))


def whitened(values: NDArray[np.float64], band_hz: tuple[float, float]) -> NDArray[np.float64]:
    """Return (n,) 1 kHz `values` at FEATURE_HZ, with equal power over the band and over all 1.

    Silent where `values` are constant.
    """
    from scipy import fft, signal

    step = _ROOT_HZ // FEATURE_HZ
    low_pass = signal.butter(4, 0.4 * FEATURE_HZ, fs=_ROOT_HZ, output="sos")
    slow = signal.sosfiltfilt(low_pass, values - values.mean())[::step]
    # Zeros behind the end, so that it does not meet the beginning.
    length = fft.next_fast_len(len(slow) + 2 * FEATURE_HZ, real=True)
    spectrum = fft.rfft(slow, length)
    frequency_hz = np.arange(len(spectrum)) * (FEATURE_HZ / length)
    reach = max(3, round(_SMOOTH_HZ / frequency_hz[1]))
    kernel = np.hanning(2 * reach + 3)[1:-1]
    power = signal.fftconvolve(
        np.pad(np.abs(spectrum) ** 2, reach, mode="reflect"), kernel / kernel.sum(), "valid"
    )
    low_hz, high_hz = band_hz
    band = np.clip((2 * frequency_hz - low_hz) / low_hz, 0.0, 1.0) * np.clip(
        (1.25 * high_hz - frequency_hz) / (0.25 * high_hz), 0.0, 1.0
    )
    # Rounding of the convolution leaves nothing, or less, where there was nothing.
    least = 1e-12 * float(power.max()) + 1e-30
    flat = fft.irfft(spectrum * band / np.sqrt(np.maximum(power, least)), length)[: len(slow)]
    scale = float(np.sqrt(np.mean(flat**2)))
    if scale == 0.0 or float(np.std(values)) == 0.0:
        return np.zeros(len(slow))
    # One knock must not outweigh a minute.
    limited = np.clip(flat / scale, -_CLIP, _CLIP)
    return np.asarray(limited / np.sqrt(np.mean(limited**2)))


def find_peak(
    log: NDArray[np.float64], other: NDArray[np.float64], agree_s: float = AGREE_S
) -> Peak | None:
    """Return the offset at which two sets of whitened features fit best.

    Parameters
    ----------
    log, other : (c, n) and (c, k) arrays
        The same c features of both, at FEATURE_HZ.
    agree_s : float
        How near to the offset of all that of a piece must be.

    Returns
    -------
    Peak or None
        None if one is shorter than MIN_OVERLAP_S, or without movement.
    """
    n, k = log.shape[1], other.shape[1]
    if min(n, k) < MIN_OVERLAP_S * FEATURE_HZ or not (log.any() and other.any()):
        return None
    if n < k:
        # The shorter one is cut up: of the longer one hardly a piece might lie in the overlap.
        turned = find_peak(other, log, agree_s)
        return None if turned is None else _turned(turned)
    pieces = _Pieces(log, other)
    lags = np.arange(-k, n + 1)
    begin, end = np.clip(lags, 0, n), np.clip(lags + k, 0, n)
    overlap = (end - begin) / FEATURE_HZ
    log_power = _cumulative(log)
    other_power = _cumulative(other)
    channels = len(log)
    # In rest both are near 0, and any quotient is possible.
    least = _QUIET * channels * (end - begin) + 1e-9
    scale = np.sqrt(
        np.maximum(log_power[end] - log_power[begin], least)
        * np.maximum(other_power[end - lags] - other_power[begin - lags], least)
    )
    allowed = overlap >= MIN_OVERLAP_S

    # The deviation of a chance correlation goes with the root of the overlap.
    weight = np.where(allowed, np.sqrt(overlap) / scale, 0.0).astype(np.float32)
    best = np.zeros(len(lags), dtype=np.float32)
    best_drift = np.zeros(len(lags), dtype=np.float32)
    noise = 0.0
    for drift_ppm in pieces.drifts():
        height = pieces.stack(drift_ppm) * weight
        if drift_ppm == 0.0:
            usual = height[allowed]
            noise = 1.4826 * float(np.median(np.abs(usual - np.median(usual))))
        higher = height > best
        best[higher] = height[higher]
        best_drift[higher] = drift_ppm
    top = int(np.argmax(best))
    if best[top] <= 0.0 or noise == 0.0:
        return None
    elsewhere = np.abs(lags - lags[top]) > _PEAK_HALF_WIDTH_S * FEATURE_HZ
    second = int(np.argmax(np.where(elsewhere, best, 0.0)))
    times_s, found_s, count = pieces.ask(int(lags[top]), float(best_drift[top]), agree_s)
    middle_s = pieces.middle / FEATURE_HZ
    line = _line(times_s - middle_s, found_s, lags[top] / FEATURE_HZ, float(best_drift[top]))
    first_s = float(begin[top] - lags[top]) / FEATURE_HZ - middle_s
    return Peak(
        offset_s=line.lag_s - 1e-6 * line.drift_ppm * middle_s,
        drift_ppm=line.drift_ppm,
        correlation=float(best[top] / np.sqrt(overlap[top])),
        over_noise=float(best[top] / noise),
        over_second=float(best[top] / max(float(best[second]), noise)),
        second_s=float(lags[second]) / FEATURE_HZ - 1e-6 * line.drift_ppm * middle_s,
        overlap_s=float(overlap[top]),
        pieces=count,
        agreeing=len(found_s),
        uncertainty_s=line.uncertainty_s(first_s, first_s + float(overlap[top])),
        drift_uncertainty_ppm=line.drift_uncertainty_ppm,
        least_drift_ppm=line.least_drift_ppm,
    )


def _turned(peak: Peak) -> Peak:
    """Return a peak with log and other exchanged."""
    rate = 1.0 / (1.0 + 1e-6 * peak.drift_ppm)
    return replace(
        peak,
        offset_s=-peak.offset_s * rate,
        second_s=-peak.second_s * rate,
        drift_ppm=1e6 * (rate - 1.0),
    )


class _Pieces:
    """The other recording in pieces, each correlated with the whole log."""

    def __init__(self, log: NDArray[np.float64], other: NDArray[np.float64]) -> None:
        from scipy import fft

        self.n, self.k = log.shape[1], other.shape[1]
        self.middle = self.k // 2
        seconds = max(min(self.k / FEATURE_HZ / 8, _PIECE_S[1]), _PIECE_S[0])
        self.length = max(round(seconds * FEATURE_HZ), -(-self.k // _MOST_PIECES))
        self.starts = range(0, self.k - self.length // 2, self.length)
        self._log_power, self._other_power = _cumulative(log), _cumulative(other)
        size = fft.next_fast_len(self.n + self.length, real=True)
        spectrum = fft.rfft(log, size)
        # Entry j of a piece: it begins at sample j - length of the log.
        self._correlations = []
        for start in self.starts:
            piece = fft.rfft(other[:, start : start + self.length], size)
            by_lag = fft.irfft((np.conj(piece) * spectrum).sum(axis=0), size)
            self._correlations.append(
                np.concatenate([by_lag[-self.length :], by_lag[: self.n]]).astype(np.float32)
            )

    def _distance(self, start: int) -> float:
        """Return how far a piece's middle is from the recording's, in samples."""
        return float(start + 0.5 * self.length - self.middle)

    def drifts(self) -> list[float]:
        """Return the drifts to try, in ppm: the outermost piece moves by one sample from each."""
        farthest = max(abs(self._distance(start)) for start in self.starts)
        steps = int(np.ceil(1e-6 * MAX_DRIFT_PPM * farthest))
        return [MAX_DRIFT_PPM * step / max(1, steps) for step in range(-steps, steps + 1)]

    def stack(self, drift_ppm: float) -> NDArray[np.float32]:
        """Add the pieces up along a drift; entry i is lag i - k at the recording's middle."""
        margin = 2 * self.length
        total = np.zeros(self.n + self.k + 1 + 2 * margin, dtype=np.float32)
        for start, correlation in zip(self.starts, self._correlations, strict=True):
            shift = round(1e-6 * drift_ppm * self._distance(start))
            first = margin + self.k - start - self.length - shift
            total[first : first + len(correlation)] += correlation
        return total[margin : margin + self.n + self.k + 1]

    def ask(
        self, lag: int, drift_ppm: float, agree_s: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """Return middle and lag of the pieces that agree, in s, and how many were asked."""
        reach = round(_PIECE_REACH_S * FEATURE_HZ)
        mean_log = self._log_power[-1] / self.n
        mean_other = self._other_power[-1] / self.k
        asked = 0
        times, found = [], []
        for start, correlation in zip(self.starts, self._correlations, strict=True):
            expected = lag + 1e-6 * drift_ppm * self._distance(start)
            at = start + round(expected)
            stop = min(start + self.length, self.k)
            if at < 0 or at + stop - start > self.n:
                continue
            moved = self._other_power[stop] - self._other_power[start]
            moved_log = self._log_power[at + stop - start] - self._log_power[at]
            if min(moved / mean_other, moved_log / mean_log) < _QUIET * (stop - start):
                continue
            asked += 1
            low = max(0, at + self.length - reach)
            window = correlation[low : at + self.length + reach + 1]
            highest = int(np.argmax(window))
            own = low + highest - self.length - start + _vertex(window, highest)
            if abs(own - expected) <= agree_s * FEATURE_HZ:
                times.append((start + 0.5 * (stop - start)) / FEATURE_HZ)
                found.append(own / FEATURE_HZ)
        return np.array(times), np.array(found), asked


def _cumulative(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the power up to each sample, (n + 1,)."""
    return np.concatenate([[0.0], np.cumsum((features**2).sum(axis=0))])


def _vertex(values: NDArray[np.float32], top: int) -> float:
    """Return where between samples the parabola through a maximum has its vertex."""
    if not 0 < top < len(values) - 1:
        return 0.0
    left, middle, right = (float(value) for value in values[top - 1 : top + 2])
    curvature = left - 2 * middle + right
    return 0.5 * (left - right) / curvature if curvature < 0.0 else 0.0


@dataclass(frozen=True)
class _Line:
    """Lag against time: `lag_s + 1e-6 * drift_ppm * time`, with covariance of (lag, drift)."""

    lag_s: float
    drift_ppm: float
    covariance: NDArray[np.float64]
    least_drift_ppm: float = 0.0

    def uncertainty_s(self, begin_s: float, end_s: float) -> float:
        """Return two standard deviations at the worse end, and what no correlation tells."""
        ends = np.array([begin_s, end_s])
        (lag, both), (_, drift) = self.covariance
        variance = lag + 2 * both * ends + drift * ends**2
        return _SAME_MOMENT_S + 2.0 * float(np.sqrt(variance.max()))

    @property
    def drift_uncertainty_ppm(self) -> float:
        """Two standard deviations."""
        return 2e6 * float(np.sqrt(self.covariance[1, 1]))


def _line(
    times_s: NDArray[np.float64], lags_s: NDArray[np.float64], lag_s: float, drift_ppm: float
) -> _Line:
    """Fit lag and drift to pieces or taps; without any, return the values given.

    A drift of crystals is assumed beforehand, so that a recording of seconds keeps a sober one.
    """
    if len(times_s) == 0:
        return _Line(lag_s, drift_ppm, np.diag([AGREE_S**2, (1e-6 * MAX_DRIFT_PPM) ** 2]))
    design = np.column_stack([np.ones(len(times_s)), times_s])
    deviation = 0.002
    # Twice: how well pieces fit a line is known after a first one.
    for _ in range(2):
        information = design.T @ design / deviation**2
        assumed = np.diag([0.0, 1.0 / (1e-6 * _DRIFT_PRIOR_PPM) ** 2])
        covariance = np.linalg.inv(information + assumed)
        solution = covariance @ (design.T @ lags_s) / deviation**2
        rest = lags_s - design @ solution
        deviation = max(0.0005, float(np.sqrt(np.sum(rest**2) / max(1, len(rest) - 2))))
    # The same without the assumption, which only gets wrong what is far from any crystal.
    spread = times_s - times_s.mean()
    extent = float(np.sum(spread**2))
    least = 0.0
    if extent > 0.0 and len(times_s) > 2:
        free = float(spread @ lags_s) / extent
        rest = lags_s - lags_s.mean() - free * spread
        own = float(np.sqrt(max(np.sum(rest**2) / (len(rest) - 2), 0.0005**2) / extent))
        least = max(0.0, abs(free) - 2.0 * own)
    return _Line(
        float(solution[0]),
        1e6 * float(solution[1]),
        np.asarray(covariance, dtype=np.float64),
        1e6 * least,
    )


# ---- taps ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TapMatch:
    """The offset at which most taps coincide.

    Attributes
    ----------
    offset_s, drift_ppm : float
        As in `Peak`.
    matched : int
        Taps that coincide within TAP_TOLERANCE_S.
    second : int
        Taps that coincide at the next best offset.
    groups : tuple of int
        Matched taps of each group.
    taps : tuple of int
        Taps of the log and of the other recording where they overlap.
    uncertainty_s, drift_uncertainty_ppm : float
        As in `Peak`.
    overlap_s : float
        Length both have in common.
    """

    offset_s: float
    drift_ppm: float
    matched: int
    second: int
    groups: tuple[int, ...]
    taps: tuple[int, int]
    uncertainty_s: float
    drift_uncertainty_ppm: float
    overlap_s: float


def find_taps(acc: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the times of sharp knocks in (n, 3) acceleration at 1 kHz, in s."""
    from scipy import signal

    if len(acc) < _ROOT_HZ:
        return np.zeros(0)
    high_pass = signal.butter(2, 25.0, "highpass", fs=_ROOT_HZ, output="sos")
    fast = magnitude(signal.sosfiltfilt(high_pass, acc, axis=0))
    low_pass = signal.butter(2, 40.0, fs=_ROOT_HZ, output="sos")
    level = signal.sosfiltfilt(low_pass, fast)
    threshold = max(_TAP_M_S2, _TAP_ABOVE_NOISE * float(np.median(level)))
    apart = round(_TAP_APART_S * _ROOT_HZ)
    peaks, _ = signal.find_peaks(level, height=threshold, distance=apart)
    widths = signal.peak_widths(level, peaks)[0] / _ROOT_HZ
    sharp = peaks[widths <= _TAP_WIDTH_S]
    strongest = sharp[np.argsort(level[sharp])[::-1][:_MOST_TAPS]]
    return np.sort(strongest) / _ROOT_HZ


def match_taps(
    log_taps: NDArray[np.float64],
    other_taps: NDArray[np.float64],
    log_s: float,
    other_s: float,
) -> TapMatch | None:
    """Return the offset and drift at which most taps of both coincide.

    Parameters
    ----------
    log_taps, other_taps : (n,) and (k,) arrays
        Times of taps in s.
    log_s, other_s : float
        Lengths of both.

    Returns
    -------
    TapMatch or None
        None if nowhere three taps of one group coincide.
    """
    # Where the pattern around one tap is that around another: candidates for a line.
    candidates: list[tuple[int, float, float]] = []
    for t_log in log_taps:
        for t_other in other_taps:
            near_log = log_taps[np.abs(log_taps - t_log) <= TAP_GROUP_S]
            near_other = other_taps[np.abs(other_taps - t_other) <= TAP_GROUP_S]
            count = len(_coincident(near_log, near_other, t_log - t_other, 0.0))
            if count >= 3:
                candidates.append((count, float(t_other), float(t_log)))
    if not candidates:
        return None
    strongest = sorted(candidates, reverse=True)[:_MOST_ANCHORS]
    anchors = sorted((other, log) for _, other, log in strongest)
    lines = [(log - other, 0.0) for other, log in anchors]
    for i, (other, log) in enumerate(anchors):
        for later_other, later_log in anchors[i + 1 :]:
            span = later_other - other
            if span > TAP_GROUP_S:
                drift = (later_log - log) / span - 1.0
                if abs(drift) <= 1e-6 * MAX_DRIFT_PPM:
                    lines.append((log - other * (1.0 + drift), drift))
    middle = 0.5 * other_s
    counts = [len(_coincident(log_taps, other_taps, *line)) for line in lines]
    best = int(np.argmax(counts))
    pairs = _coincident(log_taps, other_taps, *lines[best])
    at_middle = [offset + drift * middle for offset, drift in lines]
    second = _second_best(log_taps, other_taps, lines[best])
    for count, there in zip(counts, at_middle, strict=True):
        if abs(there - at_middle[best]) > 3 * TAP_TOLERANCE_S:
            second = max(second, count)
    times, lags = pairs[:, 0], pairs[:, 1] - pairs[:, 0]
    line = _line(times - middle, lags, at_middle[best], 1e6 * lines[best][1])
    offset = line.lag_s - 1e-6 * line.drift_ppm * middle
    begin, end = max(0.0, -offset), min(other_s, log_s - offset)
    splits = np.flatnonzero(np.diff(times) > TAP_GROUP_S) + 1
    return TapMatch(
        offset_s=offset,
        drift_ppm=line.drift_ppm,
        matched=len(pairs),
        second=second,
        groups=tuple(len(group) for group in np.split(times, splits)),
        taps=(
            int(np.sum((log_taps >= offset + begin) & (log_taps <= offset + end))),
            int(np.sum((other_taps >= begin) & (other_taps <= end))),
        ),
        uncertainty_s=line.uncertainty_s(begin - middle, end - middle),
        drift_uncertainty_ppm=line.drift_uncertainty_ppm,
        overlap_s=end - begin,
    )


def _second_best(
    log_taps: NDArray[np.float64], other_taps: NDArray[np.float64], line: tuple[float, float]
) -> int:
    """Return how many taps coincide elsewhere with the same drift."""
    offset, drift = line
    moved = other_taps * (1.0 + drift)
    differences = np.sort((log_taps[:, None] - moved[None, :]).ravel())
    elsewhere = differences[np.abs(differences - offset) > 3 * TAP_TOLERANCE_S]
    if len(elsewhere) == 0:
        return 0
    # Each tap is in few pairs of one offset, so counting pairs counts taps. Five times as wide as
    # the tolerance: taps in step are nearly as good one tap later.
    ends = np.searchsorted(elsewhere, elsewhere + 5 * TAP_TOLERANCE_S, side="right")
    return int(np.max(ends - np.arange(len(elsewhere))))


def _coincident(
    log_taps: NDArray[np.float64], other_taps: NDArray[np.float64], offset: float, drift: float
) -> NDArray[np.float64]:
    """Return the pairs (time in other, time in log) that coincide, each tap once, (p, 2)."""
    if len(log_taps) == 0 or len(other_taps) == 0:
        return np.zeros((0, 2))
    expected = offset + other_taps * (1.0 + drift)
    after = np.clip(np.searchsorted(log_taps, expected), 1, max(1, len(log_taps) - 1))
    after = np.minimum(after, len(log_taps) - 1)
    before = np.maximum(after - 1, 0)
    nearer = expected - log_taps[before] < log_taps[after] - expected
    nearest = np.where(nearer, before, after)
    close = np.abs(log_taps[nearest] - expected) <= TAP_TOLERANCE_S
    # Taps are farther apart than twice the tolerance, so none is taken twice.
    return np.column_stack([other_taps[close], log_taps[nearest[close]]])
