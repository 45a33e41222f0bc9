"""The envelope follows the muscle's amplitude, its delay is the one it states."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from myowave.envelope import (
    EnvelopeConfig,
    Reference,
    emg_envelope,
    recording_envelope,
)
from myowave.errors import ConfigError, RecordingError
from myowave.recording import Recording

MODULATION_HZ = 0.4
Array = NDArray[np.float64]


def modulated(seconds: int, band: tuple[float, float] = (50.0, 200.0)) -> tuple[Array, Array]:
    t = np.arange(seconds * 1000) / 1000
    amplitude = 0.5 - 0.45 * np.cos(2 * np.pi * MODULATION_HZ * t)
    noise = np.random.default_rng(5).standard_normal(len(t))
    carrier = signal.sosfiltfilt(signal.butter(2, band, "bandpass", fs=1000, output="sos"), noise)
    return amplitude, (amplitude * carrier / carrier.std())[:, None]


def measured_delay_ms(amplitude: Array, envelope: Array) -> float:
    bin_of = round(MODULATION_HZ * len(amplitude) / 1000)
    turn = np.fft.rfft(envelope)[bin_of] / np.fft.rfft(amplitude)[bin_of]
    return float(-np.angle(turn) / (2 * np.pi * MODULATION_HZ) * 1000)


@pytest.mark.parametrize("notch", [None, 50.0, 60.0])
@pytest.mark.parametrize("lowpass", [3.0, 6.0, 12.0])
def test_stated_delay_is_the_measured_one(notch: float | None, lowpass: float) -> None:
    amplitude, emg = modulated(300)
    config = EnvelopeConfig(causal=True, notch_hz=notch, lowpass_hz=lowpass)
    envelope = emg_envelope(emg, config=config)
    assert abs(measured_delay_ms(amplitude, envelope.values[:, 0]) - envelope.delay_ms) < 2.5


def test_zero_phase_has_no_delay_and_follows_the_amplitude() -> None:
    amplitude, emg = modulated(300)
    envelope = emg_envelope(emg)
    assert envelope.delay_ms == 0.0
    assert abs(measured_delay_ms(amplitude, envelope.values[:, 0])) < 1.0
    # The mean of rectified Gaussian noise is sqrt(2 / pi) of its standard deviation.
    gain = np.polyfit(amplitude, envelope.values[:, 0], 1)[0]
    assert gain == pytest.approx(np.sqrt(2 / np.pi), rel=0.1)
    assert np.corrcoef(amplitude, envelope.values[:, 0])[0, 1] > 0.95


def test_causal_envelope_does_not_see_the_future() -> None:
    _, emg = modulated(10)
    config = EnvelopeConfig(causal=True)
    whole = emg_envelope(emg, config=config).values
    changed = emg.copy()
    changed[6000:] *= 30.0
    assert emg_envelope(changed, config=config).values[:6000].tobytes() == whole[:6000].tobytes()


@pytest.mark.parametrize("causal", [True, False])
def test_low_pass_is_3_db_down_where_it_says(causal: bool) -> None:
    """A carrier modulated at 6 Hz comes out 0.707 as deep as one modulated slowly."""
    t = np.arange(40_000) / 1000
    depths = []
    for frequency in (0.25, 6.0):
        amplitude = 1 + 0.5 * np.cos(2 * np.pi * frequency * t)
        emg = (amplitude * np.sin(2 * np.pi * 120 * t))[:, None]
        config = EnvelopeConfig(causal=causal)
        envelope = emg_envelope(emg, config=config).values[4000:-4000, 0]
        tone = np.exp(-2j * np.pi * frequency * np.arange(len(envelope)) / 1000)
        depths.append(abs(np.mean(envelope * tone)))
    assert depths[1] / depths[0] == pytest.approx(np.sqrt(0.5), rel=0.03)


def test_movement_offset_and_hum_are_removed() -> None:
    t = np.arange(20_000) / 1000
    artifact = (3.0 + np.sin(2 * np.pi * 2 * t))[:, None]
    assert emg_envelope(artifact).values[1000:-1000].max() < 0.02
    hum = (np.sin(2 * np.pi * 50 * t) + 0.3 * np.sin(2 * np.pi * 150 * t))[:, None]
    kept = emg_envelope(hum).values[2000:-2000].mean()
    notched = emg_envelope(hum, config=EnvelopeConfig(notch_hz=50)).values[2000:-2000].mean()
    assert notched < 0.01 * kept


def test_band_is_lowered_for_slow_recordings() -> None:
    emg = np.random.default_rng(0).standard_normal((4000, 1))
    assert emg_envelope(emg).band_hz == (20.0, 450.0)
    assert emg_envelope(emg, source_rate_hz=500).band_hz == (20.0, 225.0)
    assert emg_envelope(emg, rate_hz=800).band_hz == (20.0, 360.0)
    with pytest.raises(ConfigError, match="40 Hz reaches 18 Hz only"):
        emg_envelope(emg, source_rate_hz=40)


def test_bad_configurations_say_what_is_wrong() -> None:
    for changes, message in (
        ({"band_hz": (450.0, 20.0)}, "band_hz"),
        ({"lowpass_hz": 0.0}, "lowpass_hz"),
        ({"order": 0}, "order"),
        ({"notch_hz": 10.0}, "notch_hz"),
    ):
        with pytest.raises(ConfigError, match=message):
            EnvelopeConfig(**changes)
    with pytest.raises(RecordingError, match="too short"):
        emg_envelope(np.zeros((100, 1)))


def recording(subject: str, day: str, gain: float, name: str = "r", seconds: int = 20) -> Recording:
    _, emg = modulated(seconds)
    rng = np.random.default_rng(0)
    return Recording(
        acc=rng.standard_normal((len(emg), 3)),
        gyro=rng.standard_normal((len(emg), 3)),
        emg=gain * emg,
        muscles=("biceps",),
        subject=subject,
        day=day,
        name=name,
        provenance={"recorded": f"{day}T10:00:{len(name):02d}"},
    )


@pytest.mark.parametrize("method", ["percentile:99", "mvc", "calibration:10:95"])
def test_normalized_amplitude_does_not_depend_on_gain(method: str) -> None:
    days = [recording("A", "2025-01-29", 1.0), recording("A", "2025-01-30", 3.0)]
    reference = Reference.fit(days, method)
    first, second = (reference.normalize(day, recording_envelope(day)) for day in days)
    np.testing.assert_allclose(first, second, rtol=1e-9)
    assert 0.8 < np.percentile(first, 99) < 1.6


def test_calibration_uses_only_the_start_of_the_first_recording() -> None:
    first = recording("A", "2025-01-29", 1.0, name="a")
    later = recording("A", "2025-01-29", 9.0, name="later")
    loud_end = first.emg.copy()
    loud_end[15_000:] *= 50.0
    changed = Recording(**{**first.__dict__, "emg": loud_end})
    method = "calibration:10:99"
    value = Reference.fit([first], method).values_mv["A", "2025-01-29", "biceps"]
    both = Reference.fit([later, changed], method)
    assert both.values_mv["A", "2025-01-29", "biceps"] == pytest.approx(value, rel=1e-3)
    assert both.recordings == ("a",)


def test_unknown_day_is_an_error_with_the_remedy() -> None:
    reference = Reference.fit([recording("A", "2025-01-29", 1.0)])
    other = recording("A", "2025-02-12", 1.0)
    with pytest.raises(RecordingError, match=r"'2025-02-12'.*measure one on an MVC"):
        reference.normalize(other, recording_envelope(other))


def test_reference_survives_json_and_merges() -> None:
    one = Reference.fit([recording("A", "2025-01-29", 1.0)])
    two = Reference.fit([recording("B", "2025-01-30", 2.0)], "mvc")
    both = one.merged(two)
    assert Reference.from_json(json.loads(json.dumps(both.to_json()))) == both
    assert set(both.values_mv) == {("A", "2025-01-29", "biceps"), ("B", "2025-01-30", "biceps")}
    other = Reference("mvc", {}, EnvelopeConfig(lowpass_hz=3.0))
    with pytest.raises(ConfigError, match="do not combine"):
        one.merged(other)
    with pytest.raises(ConfigError, match="amplitude reference"):
        Reference.from_json({"method": "mvc"})


def test_silent_muscle_and_unknown_method_are_refused() -> None:
    silent = recording("A", "2025-01-29", 0.0)
    with pytest.raises(RecordingError, match="is the electrode off"):
        Reference.fit([silent])
    for method in (
        "max",
        "percentile",
        "percentile:0",
        "percentile:x",
        "calibration:0:99",
        "mvc:1",
    ):
        with pytest.raises(ConfigError, match="reference method"):
            Reference.fit([silent], method)
