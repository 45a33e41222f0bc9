"""What inspection finds is what was put in."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from myowave.errors import ConfigError
from myowave.imu import DEG_RAD, G_M_S2
from myowave.quality import (
    emg_quality,
    find_rest,
    imu_rail_fraction,
    inspect,
    power_density,
    rail_mask,
)
from myowave.quality_plot import plot_inspections
from myowave.recording import Recording

RATE = 58000 / 27
Array = NDArray[np.float64]


def emg(seconds: float = 20.0, seed: int = 0) -> Array:
    """Bursts of band-limited noise of about 0.5 mV."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    sections = signal.butter(2, (30, 300), "bandpass", fs=RATE, output="sos")
    noise = signal.sosfilt(sections, rng.standard_normal(n))
    bursts = 0.1 + np.abs(np.sin(2 * np.pi * 0.25 * np.arange(n) / RATE))
    return np.asarray(0.5 * bursts * noise / noise.std())


def test_clean_semg_is_clean() -> None:
    quality = emg_quality(emg(), RATE)
    assert quality.rail_fraction == 0.0
    assert quality.below_20hz_power < 0.05
    assert max(quality.hum_50hz, quality.hum_60hz) < 0.03
    assert quality.longest_hold_ms < 2.0


@pytest.mark.parametrize("n", [100, 4096, 4097, 30_001])
@pytest.mark.parametrize("length", [255, 4096])
def test_power_density_is_scipys(n: int, length: int) -> None:
    values = np.random.default_rng(n).standard_normal(n) + 3.0
    frequency, power = power_density(values, RATE, length)
    expected_frequency, expected = signal.welch(values, RATE, nperseg=min(length, n))
    np.testing.assert_allclose(frequency, expected_frequency)
    np.testing.assert_allclose(power, expected, rtol=1e-9)


@pytest.mark.parametrize("rail", [0.8, 1.3, 5.5])
@pytest.mark.parametrize("sided", [1, 2])
def test_clipping_is_found_at_any_rail_and_counted(rail: float, sided: int) -> None:
    """Blurred by 0.2 % as the filters of a sensor do."""
    raw = emg() * rail
    clipped = np.minimum(raw, rail) if sided == 1 else np.clip(raw, -rail, rail)
    truth = np.mean(raw > rail) + (np.mean(raw < -rail) if sided == 2 else 0)
    clipped *= 1 + 0.002 * np.random.default_rng(1).uniform(-1, 0, len(raw))
    assert np.mean(rail_mask(clipped)) == pytest.approx(truth, rel=0.15)
    assert truth > 0.001


@pytest.mark.parametrize("seed", range(20))
def test_unclipped_signals_have_no_rail(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = np.arange(40_000) / RATE
    for values in (
        emg(10.0, seed),
        rng.standard_normal(40_000),
        rng.laplace(size=40_000),
        np.sin(2 * np.pi * 7.3 * t) + 0.01 * rng.standard_normal(40_000),
        np.zeros(1000),
    ):
        assert not rail_mask(values).any()


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_power_below_20_hz_is_measured(share: float) -> None:
    clean = emg()
    t = np.arange(len(clean)) / RATE
    slow = np.sin(2 * np.pi * 3.0 * t)
    slow *= np.sqrt(share / (1 - share) * clean.var() / slow.var())
    quality = emg_quality(clean + slow, RATE)
    assert quality.below_20hz_power == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("mains", [50, 60])
def test_hum_is_measured_and_told_apart(mains: int) -> None:
    clean = emg()
    t = np.arange(len(clean)) / RATE
    hum = np.sin(2 * np.pi * mains * t) + 0.5 * np.sin(2 * np.pi * 3 * mains * t)
    hum *= np.sqrt(0.25 / 0.75 * clean.var() / hum.var())
    quality = emg_quality(clean + hum, RATE)
    own, other = quality.hum_50hz, quality.hum_60hz
    if mains == 60:
        own, other = other, own
    assert own == pytest.approx(0.25, abs=0.06)
    assert other < 0.03


def test_lost_samples_show_as_a_held_value() -> None:
    values = emg()
    values[5000:5300] = values[5000]
    assert emg_quality(values, RATE).longest_hold_ms == pytest.approx(300 / RATE * 1000, abs=1)


def test_lost_imu_samples_show_as_no_change_of_any_channel(tmp_path: Path) -> None:
    good = recording()
    (before,) = inspect([good])
    assert before.imu_longest_hold_ms < 3
    acc, gyro = good.acc.copy(), good.gyro.copy()
    acc[4000:4400] = acc[4000]
    (only_acc,) = inspect([replace(good, acc=acc)])
    assert only_acc.verdict == "ok"
    gyro[4000:4400] = gyro[4000]
    (both,) = inspect([replace(good, acc=acc, gyro=gyro)])
    assert both.imu_longest_hold_ms == 400.0
    assert (both.verdict, both.reasons) == (
        "artifact",
        ("IMU: no change for 400 ms, samples were lost",),
    )


def test_imu_at_the_end_of_its_range() -> None:
    t = np.arange(5000) / 1000
    gyro = np.column_stack([700 * np.sin(2 * np.pi * t), 0 * t, 0 * t]) * DEG_RAD
    assert imu_rail_fraction(gyro, "gyro") == 0.0
    clipped = np.clip(gyro, -500 * DEG_RAD, 500 * DEG_RAD)
    truth = np.mean(np.abs(gyro[:, 0]) > 500 * DEG_RAD)
    assert imu_rail_fraction(clipped, "gyro") == pytest.approx(truth, rel=0.02)


def recording(name: str = "r", gain: float = 1.0) -> Recording:
    """10 s that end with 2 s of rest, gravity mostly along x."""
    rng = np.random.default_rng(3)
    t = np.arange(10_000) / 1000
    angle = np.where(t < 8, 0.6 * np.sin(2 * np.pi * 0.5 * t), 0.0)
    acc = G_M_S2 * np.column_stack([np.cos(angle), np.full_like(t, 0.1), np.sin(angle)])
    gyro = np.column_stack([0 * t, np.gradient(angle, 1e-3), 0 * t])
    gyro += np.array([0.02, -0.03, 0.01])
    raw = emg(10.1)
    return Recording(
        acc=acc + 0.01 * rng.standard_normal((10_000, 3)),
        gyro=gyro + 0.001 * rng.standard_normal((10_000, 3)),
        emg=gain * signal.resample(raw, 10_100)[:10_000, None],
        muscles=("biceps",),
        subject="S1",
        day="2025-01-29",
        name=name,
        source_rates_hz={"acc_x": 370.37, "emg biceps": 2148.15},
    )


def test_gravity_at_rest_and_gyro_offset() -> None:
    rest = find_rest(recording())
    np.testing.assert_allclose(rest.gravity_m_s2, [G_M_S2, 0.1 * G_M_S2, 0.0], atol=0.02)
    assert rest.magnitude_m_s2 == pytest.approx(G_M_S2 * np.hypot(1, 0.1), abs=0.02)
    np.testing.assert_allclose(rest.gyro_offset_rad_s, [0.02, -0.03, 0.01], atol=0.002)


def test_verdicts_and_reasons() -> None:
    good = recording()
    stored = {
        "abs_max_mv": 5.49, "rail_fraction": 0.0, "below_20hz_power": 0.03,
        "above_450hz_power": 0.001, "hum_50hz": 0.0, "hum_60hz": 0.0, "longest_hold_ms": 2.0,
    }  # fmt: skip

    def judged(**changes: float) -> tuple[str, str]:
        quality = {"biceps": {**stored, **changes}}
        (one,) = inspect([replace(good, provenance={"source_quality": quality})])
        return one.verdict, "; ".join(one.reasons)

    assert judged() == ("ok", "")
    assert judged(below_20hz_power=0.299) == ("ok", "")
    assert judged(rail_fraction=0.002) == (
        "artifact", "biceps: 0.2 % of samples on the rail (5.49 mV)",
    )  # fmt: skip
    assert judged(rail_fraction=0.12)[0] == "exclude"
    assert judged(below_20hz_power=0.33) == ("artifact", "biceps: 33 % of power below 20 Hz")
    assert judged(hum_50hz=0.2)[0] == "artifact"
    assert judged(longest_hold_ms=60)[0] == "artifact"
    assert judged(longest_hold_ms=2000)[0] == "exclude"
    (wrong_unit,) = inspect([replace(good, acc=good.acc * 0.1)])
    assert wrong_unit.verdict == "exclude"
    assert "m/s² at rest, expected 9.81" in wrong_unit.reasons[0]
    (no_gyro,) = inspect([replace(good, provenance={"missing_gyro": True})])
    assert (no_gyro.verdict, no_gyro.reasons) == ("artifact", ("IMU: no gyroscope",))


def test_inspection_is_json() -> None:
    (one,) = inspect([recording()])
    values = json.loads(json.dumps(one.to_json(), allow_nan=False))
    assert values["verdict"] == "ok"
    assert set(values["emg"]["biceps"]) >= {"rail_fraction", "below_20hz_power", "hum_50hz"}


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_pictures_are_drawn(tmp_path: Path, count: int, suffix: str) -> None:
    recordings = [recording(f"r{i}", 1 + i) for i in range(count)]
    path = tmp_path / "deep" / f"p{suffix}"
    plot_inspections(recordings, inspect(recordings), path)
    if suffix == ".svg":
        assert "<svg" in path.read_text()
    else:
        from matplotlib.image import imread

        picture = imread(path)
        assert picture.shape[1] > 1000
        assert picture[..., :3].std() > 0.05


def test_picture_without_semg_and_of_unknown_format(tmp_path: Path) -> None:
    bare = replace(recording(), emg=np.empty((10_000, 0)), muscles=())
    plot_inspections([bare], inspect([bare]), tmp_path / "p.png")
    with pytest.raises(ConfigError, match=r"expected a name ending in \.png"):
        plot_inspections([bare], inspect([bare]), tmp_path / "p.doc")
