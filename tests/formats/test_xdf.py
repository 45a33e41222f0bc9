"""XDF: streams with clocks that differ come out on one; what is not whole is refused."""

import time
from pathlib import Path

import numpy as np
import pytest

from myowave.errors import RecordingError
from myowave.formats import xdf
from myowave.live.lsl import LslOutlets, si_units
from myowave.log import read_log
from myowave.readers import read

from .xdf_files import AXES, XdfFile, two_clocks, wave


def imu_channels(prefix: str = "") -> list[tuple[str, str, str]]:
    return [(f"{prefix}acc_{a}", "m/s^2", "ACC") for a in AXES] + [
        (f"{prefix}gyro_{a}", "rad/s", "GYRO") for a in AXES
    ]


def regular(
    n: int = 3000, rate_hz: float = 1000.0, **options: object
) -> tuple[XdfFile, np.ndarray, np.ndarray]:
    """A file with an IMU of random values."""
    values = np.random.default_rng(4).normal(0.0, 3.0, (n, 6))
    time_s = 50.0 + np.arange(n) / rate_hz
    file = XdfFile().stream(
        1, "wrist", "IMU", imu_channels(), time_s, values, rate_hz=rate_hz, fmt="double64",
        **options,  # type: ignore[arg-type]
    )  # fmt: skip
    return file, time_s, values


def refusal(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path, imu_only=True)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_two_clocks_and_rates_become_one(tmp_path: Path) -> None:
    """0.2 ms a second of drift and an hour between the clocks: both waves lie on each other."""
    recording = read(two_clocks().write(tmp_path / "S3_1.xdf"))
    assert recording.muscles == ("biceps",)
    assert (recording.subject, recording.day) == ("S3", "2026-05-04")
    assert recording.source_rates_hz["acc_x"] == 500.0
    assert recording.source_rates_hz["emg biceps"] == pytest.approx(2000.0, rel=1e-6)
    assert recording.n_samples == pytest.approx(3799, abs=2)
    assert recording.provenance["source"]["markers"] == [[pytest.approx(1.0, abs=1e-4), "curl 1"]]
    inside = slice(200, -200)
    assert np.max(np.abs(recording.emg[inside, 0] - recording.acc[inside, 0])) < 0.003
    time_s = 100.1 + np.arange(recording.n_samples) / 1000
    assert np.max(np.abs(recording.acc[inside, 0] - wave(time_s)[inside])) < 0.003


def test_a_regular_stream_at_1_khz_comes_back_exactly(tmp_path: Path) -> None:
    file, _, values = regular()
    recording = read(file.write(tmp_path / "a.xdf"), imu_only=True)
    assert np.array_equal(recording.acc, values[:, :3])
    assert np.array_equal(recording.gyro, values[:, 3:])


def test_float32_of_our_own_boards_gives_the_counts(tmp_path: Path) -> None:
    """The outlet sends float32; the description says what one count is."""
    counts = np.random.default_rng(2).integers(-32768, 32768, (2000, 6))
    lsb = np.repeat([9.80665 / 4096, 0.0005321125499904156], 3)
    desc = (
        f"<acquisition><acc_lsb_m_s2>{float(lsb[0])!r}</acc_lsb_m_s2>"
        f"<gyro_lsb_rad_s>{float(lsb[3])!r}</gyro_lsb_rad_s></acquisition>"
    )
    path = XdfFile().stream(
        1, "MyoWave IMU", "IMU", imu_channels(), 7.0 + np.arange(2000) / 1000, counts * lsb,
        rate_hz=1000, desc=desc,
    ).write(tmp_path / "a.xdf")  # fmt: skip
    recording = read(path, imu_only=True)
    assert np.array_equal(recording.acc, counts[:, :3] * lsb[:3])
    assert np.array_equal(recording.gyro, counts[:, 3:] * lsb[3:])


def test_what_our_outlets_say_of_themselves_is_understood(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The descriptions are those of real outlets, as a recorder would write them."""
    pytest.importorskip("pylsl")
    configuration = tmp_path / "lsl_api.cfg"
    configuration.write_text("[multicast]\nResolveScope = machine\n[log]\nlevel = -2\n")
    monkeypatch.setenv("LSLAPICFG", str(configuration))
    logged = read_log(log)
    assert logged.identity is not None
    outlets = LslOutlets("port", [])
    outlets.on_identity(logged.identity, time.time())
    xml = {name: outlet.get_info().as_xml() for name, outlet in outlets._outlets.items()}
    outlets.close()
    file = XdfFile()
    time_s = 7.0 + np.arange(logged.n_samples) / 1000
    imu = si_units(logged.counts, logged.identity)
    file.stream(1, "", "", [], time_s, imu, rate_hz=1000, info=xml["imu"])
    file.stream(2, "", "", [], time_s, logged.envelope, rate_hz=1000, info=xml["envelope"])
    file.stream(
        3, "", "", [], np.array([8.5]), ["grip"], rate_hz=0, fmt="string", info=xml["markers"]
    )
    recording = read(file.write(tmp_path / "a.xdf"), imu_only=True)
    lsb = np.repeat([logged.identity.acc_lsb_m_s2, logged.identity.gyro_lsb_rad_s], 3)
    assert np.array_equal(np.hstack([recording.acc, recording.gyro]), logged.counts * lsb)
    assert recording.muscles == ()
    assert recording.provenance["source"]["markers"] == [[pytest.approx(1.5), "grip"]]


def test_jitter_of_time_stamps_is_taken_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    n = 4000
    time_s = 9.0 + np.arange(n) / 1000
    late = time_s + rng.exponential(0.003, n)
    values = np.column_stack([wave(time_s) + k for k in range(6)])
    path = XdfFile().stream(
        1, "wrist", "IMU", imu_channels(), late, values, rate_hz=1000, fmt="double64", block=20
    ).write(tmp_path / "a.xdf")  # fmt: skip
    recording = read(path, imu_only=True)
    inside = slice(300, -300)
    truth = wave(9.0 + np.arange(recording.n_samples) / 1000)
    assert np.max(np.abs(recording.acc[inside, 0] - truth[inside])) < 0.1


def test_accelerometer_and_gyroscope_of_one_sensor_in_two_streams(tmp_path: Path) -> None:
    file = XdfFile()
    time_s = 3.0 + np.arange(1500) / 250
    for number, (kind, unit) in enumerate((("Accelerometer", "g"), ("Gyroscope", "deg/s")), 1):
        values = np.column_stack([wave(time_s) * (k + 1) for k in range(3)])
        channels = [(f"{axis.upper()}", unit, "") for axis in AXES]
        file.stream(number, f"Muse_{kind}", kind, channels, time_s, values, rate_hz=250)
    recording = read(file.write(tmp_path / "a.xdf"), imu_only=True)
    assert recording.source_units["acc_x"] == "g"
    inside = slice(100, -100)
    truth = 9.80665 * wave(3.0 + np.arange(recording.n_samples) / 1000)
    assert np.max(np.abs(recording.acc[inside, 0] - truth[inside])) < 0.05


def test_of_two_sensors_one_is_named(tmp_path: Path) -> None:
    file, time_s, values = regular()
    file.stream(2, "ankle", "IMU", imu_channels(), time_s, 2 * values, rate_hz=1000, fmt="double64")
    path = file.write(tmp_path / "a.xdf")
    assert "2 sensors with an IMU, choose one with --imu-sensor: 'wrist', 'ankle'" in refusal(path)
    recording = read(path, imu_only=True, imu_sensor="Ankle")
    assert np.array_equal(recording.acc, 2 * values[:, :3])


def test_streams_of_other_kinds_are_named(tmp_path: Path) -> None:
    path = XdfFile().stream(
        1, "BioSemi", "EEG", [("Fpz", "microvolts", "EEG")], np.arange(2000) / 500,
        np.zeros((2000, 1)), rate_hz=500,
    ).write(tmp_path / "a.xdf")  # fmt: skip
    assert "not recognised are 'BioSemi (EEG)'" in refusal(path)


def test_an_envelope_is_never_taken_for_emg(tmp_path: Path) -> None:
    file, time_s, _ = regular()
    file.stream(
        2, "MyoWave envelope", "EMG", [("biceps", xdf._FRACTION, "EMG")], time_s,
        np.random.default_rng(1).random((3000, 1)), rate_hz=1000,
    )  # fmt: skip
    path = file.write(tmp_path / "a.xdf")
    with pytest.raises(RecordingError, match="missing channel EMG"):
        read(path)
    assert read(path, imu_only=True).muscles == ()


def test_breaks_and_losses_are_refused(tmp_path: Path) -> None:
    _, time_s, values = regular()
    for change, expected in (
        (np.where(np.arange(3000) < 1500, 0.0, 0.4), "a break of 0.4"),
        (np.arange(3000) * 1e-4, "samples a second, but its header says 1000 Hz"),
    ):
        path = XdfFile().stream(
            1, "wrist", "IMU", imu_channels(), time_s + change, values, rate_hz=1000
        ).write(tmp_path / "a.xdf")  # fmt: skip
        assert expected in refusal(path)
    file, _, _ = regular(sample_count=3010)
    assert "had 3010 samples, the file holds 3000" in refusal(file.write(tmp_path / "a.xdf"))


def test_a_file_cut_anywhere_is_refused_or_whole_chunks_short(tmp_path: Path) -> None:
    """Chunks carry no checksum, but they must fill the file to its last byte."""
    whole = regular(n=1500)[0].write(tmp_path / "a.xdf").read_bytes()
    path = tmp_path / "cut.xdf"
    refused = 0
    for end in range(len(whole) - 1, 4, -331):
        path.write_bytes(whole[:end])
        try:
            recording = read(path, imu_only=True)
        except RecordingError as error:
            refused += 1
            assert str(path) in str(error)
        else:
            assert recording.n_samples % 50 in (0, 1)
    assert refused > 200
