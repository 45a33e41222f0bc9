"""How good a recording is: clipping, low-frequency artifacts, mains hum, dropouts; a verdict."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Trigno Avanti sensors digitize ±5.5 mV or ±11 mV (Delsys, Trigno Avanti specifications).
_KNOWN_RANGES_MV = (5.5, 11.0)
_RAIL_BAND = 0.985
_WELCH_S = 1.9
_HUM_HALF_WIDTH_HZ = 1.0


@dataclass(frozen=True)
class EmgQuality:
    """What can be said of one raw sEMG signal at its own rate.

    Attributes
    ----------
    abs_max_mv : float
        Largest absolute value.
    rail_fraction : float
        Share of samples on the rail of the amplifier; 0 where no rail was reached.
    below_20hz_power : float
        Share of power below 20 Hz: movement artifacts, lifted electrodes.
    above_450hz_power : float
        Share of power above 450 Hz, which a 1 kHz recording does not keep.
    hum_50hz, hum_60hz : float
        Share of power within 1 Hz of the mains frequency and its harmonics up to 300 Hz, over
        what the bands beside them hold.
    longest_hold_ms : float
        Longest run of one repeated value off the rail: samples lost on the radio link.
    """

    abs_max_mv: float
    rail_fraction: float
    below_20hz_power: float
    above_450hz_power: float
    hum_50hz: float
    hum_60hz: float
    longest_hold_ms: float


def emg_quality(emg_mv: NDArray[np.float64], rate_hz: float) -> EmgQuality:
    """Measure one raw sEMG signal, (n,) in mV, at the rate it was recorded at."""
    from scipy import signal

    # 4096 samples at the Trigno's 2148 Hz.
    length = min(len(emg_mv), 1 << round(np.log2(_WELCH_S * rate_hz)))
    frequency_hz, power = signal.welch(emg_mv, rate_hz, nperseg=length)
    total = float(power.sum()) or 1.0
    on_rail = rail_mask(emg_mv)
    return EmgQuality(
        abs_max_mv=float(np.max(np.abs(emg_mv))),
        rail_fraction=float(np.mean(on_rail)),
        below_20hz_power=float(power[frequency_hz < 20.0].sum()) / total,
        above_450hz_power=float(power[frequency_hz > 450.0].sum()) / total,
        hum_50hz=_hum(frequency_hz, power, 50.0),
        hum_60hz=_hum(frequency_hz, power, 60.0),
        longest_hold_ms=1000.0 * _longest_hold(emg_mv, on_rail) / rate_hz,
    )


def rail_mask(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the samples, (n,), that sit on the amplifier's rail.

    The rail is not known beforehand, and filters in the sensor blur it by about 1 %. But a clipped
    signal piles up at its extreme: the last 1.5 % below it hold many times more samples than the
    1.5 % before, where an unclipped one has fewer or, at worst (the crest of a sine wave), twice as
    many. An extreme at the end of a known range needs less proof.
    """
    mask = np.zeros(len(values), dtype=bool)
    for side in (values, -values):
        extreme = float(np.max(side))
        if extreme <= 0.0:
            continue
        at_extreme = side >= _RAIL_BAND * extreme
        count = int(at_extreme.sum())
        before = int((side >= (2 * _RAIL_BAND - 1) * extreme).sum()) - count
        piles_up = count >= 8 and count >= 5 * (before + 1)
        at_range_end = any(0.99 < extreme / end < 1.002 for end in _KNOWN_RANGES_MV)
        if piles_up or (at_range_end and count >= 3):
            mask |= at_extreme
    return mask


def _hum(frequency_hz: NDArray[np.float64], power: NDArray[np.float64], mains_hz: float) -> float:
    excess = 0.0
    for harmonic in np.arange(mains_hz, min(301.0, frequency_hz[-1] - 4.0), mains_hz):
        distance = np.abs(frequency_hz - harmonic)
        inside = distance <= _HUM_HALF_WIDTH_HZ
        beside = (distance > 2 * _HUM_HALF_WIDTH_HZ) & (distance <= 5 * _HUM_HALF_WIDTH_HZ)
        if inside.any() and beside.any():
            floor = float(np.median(power[beside])) * int(inside.sum())
            excess += max(0.0, float(power[inside].sum()) - floor)
    return excess / (float(power.sum()) or 1.0)


def _longest_hold(values: NDArray[np.float64], on_rail: NDArray[np.bool_]) -> int:
    """Return the length of the longest run of one repeated value, 0 when none repeats."""
    repeats = (np.diff(values) == 0.0) & ~on_rail[1:]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], repeats.view(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    return int(runs.max()) + 1 if len(runs) else 0
