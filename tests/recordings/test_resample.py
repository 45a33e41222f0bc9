"""Resampling: nothing is delayed, nothing aliases, amplitude stays."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import signal

from myowave.resample import exact_rate, resample

EMG = Fraction(58000, 27)
IMU = Fraction(10000, 27)


@pytest.mark.parametrize(
    ("printed", "exact"),
    [
        (370.3704, IMU),
        (2148.1481, EMG),
        (1925.9259, Fraction(52000, 27)),
        (1259.2593, Fraction(34000, 27)),
        (148.1481, Fraction(4000, 27)),
        (74.0741, Fraction(2000, 27)),
        (2000.0, Fraction(2000)),
        (1000.0, Fraction(1000)),
        (100.5, Fraction(201, 2)),
    ],
)
def test_printed_rates_stand_for_exact_ones(printed: float, exact: Fraction) -> None:
    assert exact_rate(printed) == exact


def test_trigno_rates_are_29_to_5() -> None:
    assert exact_rate(2148.1481) / exact_rate(370.3704) == Fraction(29, 5)


@pytest.mark.parametrize("rate", [EMG, IMU, Fraction(2000), Fraction(100), Fraction(1111)])
@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 3000), Fraction(1, 5)])
def test_tones_in_the_pass_band_are_reproduced(rate: Fraction, start: Fraction) -> None:
    nyquist = min(500.0, float(rate) / 2)
    t = np.arange(int(12 * rate)) / float(rate)
    frequencies = nyquist * np.array([0.02, 0.3, 0.6, 0.89])
    values = np.sin(2 * np.pi * frequencies * t[:, None] + 0.4)
    out = resample(values, rate, 11_000, start)
    at = float(start) + np.arange(11_000) / 1000
    truth = np.sin(2 * np.pi * frequencies * at[:, None] + 0.4)
    inside = slice(1500, -1500)
    assert np.max(np.abs(out - truth)[inside]) < 1e-3


def test_constant_and_ramp_survive_to_the_very_ends() -> None:
    t = np.arange(2000) / float(IMU)
    out = resample(np.column_stack([np.full_like(t, 9.81), t]), IMU, 5000)
    np.testing.assert_allclose(out[:, 0], 9.81, rtol=1e-12)
    np.testing.assert_allclose(out[:, 1], np.arange(5000) / 1000, atol=1e-5)


@pytest.mark.parametrize("rate", [EMG, IMU])
def test_an_impulse_stays_where_it_was(rate: Fraction) -> None:
    """A smooth 12 ms pulse at an instant between samples of both rates."""
    instant = 1.23456
    t = np.arange(int(3 * rate)) / float(rate)
    pulse = np.exp(-0.5 * ((t - instant) / 0.005) ** 2)[:, None]
    out = resample(pulse, rate, 2900)[:, 0]
    centre = np.sum(out * np.arange(2900) / 1000) / np.sum(out)
    assert abs(centre - instant) < 1e-5


def test_channels_of_two_rates_stay_aligned() -> None:
    """One chirp seen by an IMU and by an sEMG channel: below 0.1 ms of shift."""

    def chirp(t: np.ndarray) -> np.ndarray:
        return signal.chirp(t, 2.0, 4.0, 120.0)

    outs = []
    for rate in (IMU, EMG):
        t = np.arange(int(4 * rate)) / float(rate)
        outs.append(resample(chirp(t)[:, None], rate, 3900)[:, 0])
    imu, emg = (out[300:-300] for out in outs)
    spectrum = np.fft.rfft(imu) * np.conj(np.fft.rfft(emg))
    frequency = np.fft.rfftfreq(len(imu), 1e-3)
    band = (frequency > 10) & (frequency < 110)
    slope = np.polyfit(frequency[band], np.unwrap(np.angle(spectrum[band])), 1)[0]
    assert abs(slope / (2 * np.pi)) < 1e-5
    np.testing.assert_allclose(imu, emg, atol=2e-3)


@pytest.mark.parametrize("frequency", [505.0, 550.0, 640.0, 800.0, 1000.0])
def test_what_would_alias_is_gone(frequency: float) -> None:
    t = np.arange(int(6 * EMG)) / float(EMG)
    out = resample(np.sin(2 * np.pi * frequency * t)[:, None], EMG, 5900)[500:-500]
    assert 20 * np.log10(np.max(np.abs(out))) < -60


def test_no_image_appears_going_up() -> None:
    t = np.arange(int(6 * IMU)) / float(IMU)
    out = resample(np.sin(2 * np.pi * 150.0 * t)[:, None], IMU, 5900)[500:-500, 0]
    frequency, power = signal.periodogram(out, 1000.0, window="blackmanharris")
    image = power[frequency > 190].max() / power.max()
    assert 10 * np.log10(image) < -60


def test_long_signals_go_in_blocks_without_seams() -> None:
    t = np.arange(80_000) / float(IMU)
    values = np.sin(2 * np.pi * 20.0 * t)[:, None]
    out = resample(values, IMU, 200_000)[:, 0]
    truth = np.sin(2 * np.pi * 20.0 * np.arange(200_000) / 1000)
    assert np.max(np.abs(out - truth)[1000:-1000]) < 1e-3


def test_1_khz_passes_through_untouched() -> None:
    values = np.random.default_rng(0).standard_normal((1000, 2))
    assert resample(values, Fraction(1000), 990, Fraction(1, 100)).tobytes() == (
        values[10:].tobytes()
    )
