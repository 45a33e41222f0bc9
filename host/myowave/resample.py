"""Resampling of one source channel group from its own rate to the uniform 1 kHz clock.

Each output sample is a windowed-sinc sum around its own instant,

    y(t) = sum_n x[n] h(t - n / rate),

with a symmetric h, so the result has no delay to compensate. h is a Kaiser-windowed low-pass
(Kaiser & Schafer 1980; Oppenheim & Schafer, Discrete-Time Signal Processing, 7.6) whose stop band
begins at the lower of the two Nyquist frequencies: going down nothing aliases, going up no image
remains. A rational rate needs only a few distinct sets of coefficients (27 for both Trigno rates).
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from myowave.recording import RATE_HZ

STOP_BAND_DB = 80.0
PASS_BAND = 0.9
"""Flat up to this share of the lower Nyquist frequency: 450 Hz for sEMG above 1 kHz."""

# Every Trigno channel delivers a whole number of samples in each 13.5 ms radio frame (Trigno SDK
# user guide), and headers print the rate rounded to 4 decimals: 370.3704 Hz is 5 / 13.5 ms.
_TRIGNO_FRAME_HZ = Fraction(10000, 135)
_MAX_PHASES = 4096
_PHASES = 2048
_BLOCK = 1 << 16


def exact_rate(rate_hz: float) -> Fraction:
    """Return the rational rate a rounded header value stands for.

    Multiples of the Trigno frame rate are restored exactly (370.3704 becomes 10000/27); any other
    rate is taken as printed.
    """
    multiple = round(Fraction(rate_hz) / _TRIGNO_FRAME_HZ)
    candidate = multiple * _TRIGNO_FRAME_HZ
    if multiple and abs(float(candidate) - rate_hz) < 1e-4 + 1e-7 * rate_hz:
        return candidate
    return Fraction(rate_hz).limit_denominator(1_000_000)


def resample(
    values: NDArray[np.float64],
    rate_hz: Fraction,
    n_samples: int,
    start_s: Fraction = Fraction(0),
) -> NDArray[np.float64]:
    """Resample uniform samples to 1 kHz.

    Parameters
    ----------
    values : (n, c) array
        Source samples; sample i was taken at i / `rate_hz` seconds.
    rate_hz : Fraction
        Source rate.
    n_samples : int
        Number of output samples; the last must not lie after the last source sample.
    start_s : Fraction
        Time of the first output sample, in the source's time.

    Returns
    -------
    (n_samples, c) array
        Samples at `start_s` + k ms. Up to 0.9 of the lower Nyquist frequency the gain is 1 to
        within 0.001; beyond that Nyquist frequency it is below -80 dB. Outside the source's span
        the signal is continued by odd reflection, as `scipy.signal.sosfiltfilt` does.
    """
    step = Fraction(rate_hz, RATE_HZ)
    step = Fraction(1) / (1 / step).limit_denominator(_MAX_PHASES)
    up, down = step.denominator, step.numerator
    offset = float(start_s * rate_hz)
    if step == 1 and offset == int(offset):
        return np.array(values[int(offset) : int(offset) + n_samples], dtype=np.float64)

    half_taps, coefficients = _polyphase(step, offset - np.floor(offset))
    padded = _odd_extension(np.asarray(values, dtype=np.float64), half_taps)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half_taps, axis=0)
    out = np.empty((n_samples, padded.shape[1]))
    base = int(np.floor(offset))
    for first in range(0, n_samples, _BLOCK):
        last = min(first + _BLOCK, n_samples)
        for phase in range(min(up, last - first)):
            k = np.arange(first + phase, last, up)
            # Source position of output k is base + (k * down / up + fraction of offset).
            whole, shift = coefficients[(k[0] * down) % up]
            nearest = base + k * down // up + whole
            # A window that starts at nearest + 1 of the padded signal holds half its taps on
            # either side of the output's instant.
            out[k] = windows[nearest + 1] @ shift
    return out


def sample_at(values: NDArray[np.float64], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return uniform samples as they were at other instants, such as those of a drifting clock.

    Parameters
    ----------
    values : (n, c) array
        Samples.
    positions : (k,) array
        Instants in samples, 0 to n - 1. They are rounded to 1/2048 of a sample, which adds noise
        67 dB below a tone at 0.9 of the Nyquist frequency, further below slower ones.

    Returns
    -------
    (k, c) array
        With the gain of `resample`. For instants spread about as densely as the samples.
    """
    half_taps, table = _polyphase(Fraction(1, _PHASES), 0.0)
    padded = _odd_extension(np.asarray(values, dtype=np.float64), half_taps)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half_taps, axis=0)
    steps = np.rint(positions * _PHASES).astype(np.int64)
    whole, phase = np.divmod(steps, _PHASES)
    out = np.empty((len(positions), padded.shape[1]))
    order = np.argsort(phase, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(phase[order])) + 1):
        for first in range(0, len(rows), _BLOCK):
            some = rows[first : first + _BLOCK]
            out[some] = windows[whole[some] + 1] @ table[int(phase[some[0]])][1]
    return out


def _polyphase(
    step: Fraction, fraction: float
) -> tuple[int, dict[int, tuple[int, NDArray[np.float64]]]]:
    """Return taps on each side and, for each phase, extra whole samples and coefficients."""
    nyquist = 0.5 * min(1.0, float(1 / step))  # in cycles a source sample
    transition = (1.0 - PASS_BAND) * nyquist
    cutoff = nyquist - transition / 2
    beta = 0.1102 * (STOP_BAND_DB - 8.7)
    # Kaiser's estimate of the length that gives this attenuation over this transition.
    length = (STOP_BAND_DB - 8.0) / (2.285 * 2 * np.pi * transition)
    half_taps = int(np.ceil(length / 2)) + 1
    up = step.denominator
    table = {}
    for phase in range(up):
        position = phase / up + fraction
        whole = int(np.floor(position))
        # Distance of the output from each of the 2 * half_taps source samples around it.
        tau = position - whole + half_taps - 1 - np.arange(2 * half_taps)
        inside = np.clip(1.0 - (2 * tau / length) ** 2, 0.0, None)
        window = np.where(np.abs(tau) <= length / 2, np.i0(beta * np.sqrt(inside)), 0.0)
        taps = np.sinc(2 * cutoff * tau) * window
        table[phase] = (whole, taps / taps.sum())
    return half_taps, table


def _odd_extension(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Continue (n, c) `values` by `count` samples on both sides, about the end points."""
    reach = len(values) - 1
    before, after = values[:1], values[-1:]
    head = 2 * before - values[1 : min(count, reach) + 1][::-1]
    tail = 2 * after - values[-1 - min(count, reach) : -1][::-1]
    missing = count - len(head)
    if missing > 0:
        head = (
            np.vstack([np.repeat(head[:1], missing, axis=0), head])
            if len(head)
            else (np.repeat(before, count, axis=0))
        )
        tail = (
            np.vstack([tail, np.repeat(tail[-1:], missing, axis=0)])
            if len(tail)
            else (np.repeat(after, count, axis=0))
        )
    return np.vstack([head, values, tail])
