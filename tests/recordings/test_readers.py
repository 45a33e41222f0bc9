"""Every format in every variant gives the samples that were recorded, on the 1 kHz clock."""

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myowave.errors import RecordingError
from myowave.readers import dates, find_sources, read, write_csv
from myowave.readers.dates import parse_day
from myowave.readers.table import TableLayout, _read_fast, _read_plain
from myowave.recording import Recording, load, save

from .files import (
    EMG_RATE,
    IMU_RATE,
    Channel,
    Sensor,
    Trigno,
    acc_g,
    emg_mv,
    emg_sensor,
    expected,
    imu_sensor,
    ninapro,
    opensignals,
)


def assert_truth(
    recording: Recording, *, imu_shift: float = 0.0, gyro: bool = True, counts: float = 0.0
) -> None:
    """Hold a recording to the functions of `files`; within the filters' reach of the ends looser.

    `counts` adds what quantization may cost, as a share of the channels' sizes.
    """
    n = recording.n_samples
    acc, rate, emg = expected(n, imu_shift)
    inside = slice(200, n - 200)
    assert np.max(np.abs(recording.acc - acc)[inside]) < 0.01 + 10 * counts
    if gyro:
        assert np.max(np.abs(recording.gyro - rate)[inside]) < 0.005
    assert np.max(np.abs(recording.emg[:, :1] - emg)[inside]) < 0.002 + counts


TRIGNO_VARIANTS = {
    "as exported": Trigno(),
    "with time columns": Trigno(times=True, periods=True, line_end="\n"),
    "with periods and markers": Trigno(times=True, periods=True, markers=True),
    "saved again by pandas": Trigno(pandas=True, line_end="\n"),
    "semicolons, decimal comma": Trigno(delimiter=";", decimal=","),
    "semicolons, decimal comma, times": Trigno(delimiter=";", decimal=",", times=True),
    "tabs": Trigno(delimiter="\t"),
    "byte order mark": Trigno(bom=True),
    "NaN for blank": Trigno(blank="NaN"),
    "NaN tail on all channels": Trigno(blank="NaN", tail_rows=40),
    "blank tail on all channels": Trigno(tail_rows=40, line_end="\n"),
    "sEMG before IMU": Trigno(sensors=(emg_sensor(), imu_sensor())),
}


@pytest.mark.parametrize("variant", TRIGNO_VARIANTS)
def test_trigno_variants(tmp_path: Path, variant: str) -> None:
    path = TRIGNO_VARIANTS[variant].write(tmp_path / "S1_10_1.dat")
    recording = read(path)
    assert 2680 <= recording.n_samples <= 2700
    assert recording.muscles == ("bicep",)
    assert (recording.subject, recording.day) == ("S1", "2025-01-29")
    assert recording.name == "S1_10_1"
    assert recording.source_rates_hz["acc_x"] == pytest.approx(float(IMU_RATE))
    assert recording.source_rates_hz["emg bicep"] == pytest.approx(float(EMG_RATE))
    assert recording.source_units == {
        **dict.fromkeys(("acc_x", "acc_y", "acc_z"), "G"),
        **dict.fromkeys(("gyro_x", "gyro_y", "gyro_z"), "deg/s"),
        "emg bicep": "mV",
    }
    assert recording.provenance["source"]["reader"] == "trigno-discover"
    assert recording.provenance["recorded"] == "2025-01-29T10:22:21"
    assert_truth(recording)


def test_marker_titles_on_a_row_of_their_own(tmp_path: Path) -> None:
    """Version 2 writes them beside the sample intervals, here without a unit."""
    writer = Trigno(times=True, periods=True, markers=True)
    rows = writer.rows()
    rows[7] = [cell.removesuffix(" s") for cell in rows[7]]
    assert_truth(read(writer.write(tmp_path / "a.csv", rows)))


def test_units_of_a_trigno_file_are_converted(tmp_path: Path) -> None:
    sensors = (
        imu_sensor(),
        Sensor("bicep", (Channel("EMG 1 (uV)", EMG_RATE, lambda t: 1e3 * emg_mv(0)(t)),)),
    )
    assert_truth(read(Trigno(sensors=sensors).write(tmp_path / "a.csv")))


def test_several_semg_sensors_become_muscles(tmp_path: Path) -> None:
    duo = Sensor(
        "forearm (3)",
        (
            Channel("EMG 1 (mV)", EMG_RATE, emg_mv(1)),
            Channel("EMG 2 (mV)", EMG_RATE, emg_mv(2)),
        ),
    )
    path = Trigno(sensors=(imu_sensor(), emg_sensor(), duo)).write(tmp_path / "a.csv")
    recording = read(path)
    assert recording.muscles == ("bicep", "forearm 1", "forearm 2")
    assert_truth(recording)
    t = np.arange(recording.n_samples) / 1000
    np.testing.assert_allclose(recording.emg[200:-200, 2], emg_mv(2)(t)[200:-200], atol=0.002)
    named = read(path, muscles=("biceps", "flexors", "extensors"))
    assert named.muscles == ("biceps", "flexors", "extensors")
    chosen = read(path, emg_sensors=("forearm 2", "bicep"))
    assert chosen.emg[:, 0].tobytes() == recording.emg[:, 2].tobytes()
    with pytest.raises(RecordingError, match="2 muscle names for 3 sEMG channels"):
        read(path, muscles=("a", "b"))
    with pytest.raises(RecordingError, match="out of bicep, forearm 1, forearm 2"):
        read(path, emg_sensors=("triceps",))


def test_one_of_several_imus_is_taken_by_name_or_serial(tmp_path: Path) -> None:
    sensors = (imu_sensor(), imu_sensor("upper arm (77)", shift=0.5), emg_sensor())
    path = Trigno(sensors=sensors).write(tmp_path / "a.csv")
    for name in ("upper arm", "Upper Arm (77)", "77"):
        assert_truth(read(path, imu_sensor=name), imu_shift=0.5)
    assert_truth(read(path, imu_sensor="wrist"))
    with pytest.raises(
        RecordingError, match=r"--imu-sensor: 'wrist \(81457\)', 'upper arm \(77\)'"
    ):
        read(path)
    with pytest.raises(RecordingError, match="'ankle' fits 0 sensors"):
        read(path, imu_sensor="ankle")


def test_missing_gyroscope_only_on_request(tmp_path: Path) -> None:
    half = Sensor("wrist", imu_sensor().channels[:3])
    path = Trigno(sensors=(half, emg_sensor())).write(tmp_path / "a.csv")
    with pytest.raises(RecordingError, match=r"missing channel GYRO X.*--allow-missing-gyro"):
        read(path)
    recording = read(path, allow_missing_gyro=True)
    assert not recording.gyro.any()
    assert recording.provenance["missing_gyro"] is True
    assert "gyro_x" not in recording.source_rates_hz
    assert_truth(recording, gyro=False)


def test_imu_only_on_request(tmp_path: Path) -> None:
    path = Trigno(sensors=(imu_sensor(),)).write(tmp_path / "a.csv")
    with pytest.raises(RecordingError, match=r"missing channel EMG.*--imu-only"):
        read(path)
    assert read(path, imu_only=True).emg.shape[1] == 0


def test_time_columns_that_start_apart_are_aligned(tmp_path: Path) -> None:
    """The IMU's clock column begins 40.3 ms after the sEMG's."""
    late = 0.0403
    writer = Trigno(times=True, line_end="\n")
    rows = writer.rows()
    functions = [channel.function for channel in imu_sensor().channels]
    for i, row in enumerate(rows[7:]):
        for k, function in enumerate(functions):
            if row[2 * k]:
                t = late + i / float(IMU_RATE)
                row[2 * k] = f"{t:.7f}"
                row[2 * k + 1] = f"{function(np.array(t)):.7f}"
    recording = read(writer.write(tmp_path / "a.csv", rows), allow_short=True)
    assert recording.provenance["span_s"][0] == pytest.approx(late, abs=1e-6)
    at = late + np.arange(recording.n_samples) / 1000
    truth = emg_mv(0)(at)[:, None]
    assert np.max(np.abs(recording.emg - truth)[200:-200]) < 0.002
    assert np.max(np.abs(recording.acc[:, 0] / 9.80665 - acc_g(0)(at))[200:-200]) < 0.001


def test_length_kept_is_what_all_channels_cover(tmp_path: Path) -> None:
    """The IMU loses its last 150 ms: NaN tail, as after a lost sensor."""
    rows = Trigno().rows()
    n_imu = int(2.7 * IMU_RATE)
    lost = int(0.15 * IMU_RATE)
    for row in rows[7 + n_imu - lost :]:
        row[:6] = ["NaN"] * 6
    recording = read(Trigno().write(tmp_path / "a.csv", rows))
    last_s = (n_imu - lost - 1) / float(IMU_RATE)
    assert recording.n_samples == int(last_s * 1000) + 1
    assert_truth(recording)


@pytest.mark.parametrize(
    ("text", "order", "day"),
    [
        ("29/01/2025 10:22:21", "auto", "2025-01-29"),
        ("05/02/2025 16:49:33", "auto", "2025-02-05"),
        ("05/02/2025 16:49:33", "mdy", "2025-05-02"),
        ("1/29/2025 10:22:21 AM", "auto", "2025-01-29"),
        ("2/5/2025 4:49:33 PM", "auto", "2025-02-05"),
        ("2025-02-05T16:49:33", "auto", "2025-02-05"),
        ("05.02.2025 16:49", "auto", "2025-02-05"),
        ("31/31/2025", "auto", ""),
        ("", "auto", ""),
    ],
)
def test_days(text: str, order: str, day: str) -> None:
    assert parse_day(text, order)[0] == day  # type: ignore[arg-type]


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(dates).failed == 0


def test_afternoon_is_after_noon() -> None:
    assert parse_day("2/5/2025 4:49:33 PM")[1] == "2025-02-05T16:49:33"
    assert parse_day("2/5/2025 12:00:01 AM")[1] == "2025-02-05T00:00:01"


def test_own_csv_round_trip_is_exact(tmp_path: Path) -> None:
    recording = read(Trigno().write(tmp_path / "S1_10_1.csv"))
    write_csv(recording, tmp_path / "own.csv")
    back = read(tmp_path / "own.csv")
    for name in ("acc", "gyro", "emg"):
        assert getattr(back, name).tobytes() == getattr(recording, name).tobytes()
    for name in ("muscles", "subject", "day", "name"):
        assert getattr(back, name) == getattr(recording, name)


def test_own_csv_at_other_rates_and_units(tmp_path: Path) -> None:
    t = np.arange(5000) / 2000
    lines = ["# MyoWave CSV 1", "# rate_hz: 2000", "# samples: 5000"]
    lines += ["emg biceps [uV],acc_x [g],acc_y [g],acc_z [g],gyro_x [deg/s],"
              "gyro_y [deg/s],gyro_z [deg/s]"]  # fmt: skip
    columns = [1e3 * emg_mv(0)(t), *(c.function(t) for c in imu_sensor().channels)]
    lines += [",".join(f"{value:.7f}" for value in row) for row in zip(*columns, strict=True)]
    path = tmp_path / "a.txt"
    path.write_text("\n".join(lines) + "\n")
    assert_truth(read(path))


def test_own_csv_writer_refuses_names_it_cannot_keep(tmp_path: Path) -> None:
    recording = read(Trigno().write(tmp_path / "a.csv"), muscles=("long, short head",))
    with pytest.raises(RecordingError, match="muscle 'long, short head'"):
        write_csv(recording, tmp_path / "b.csv")
    assert not (tmp_path / "b.csv").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# MyoWave CSV 2\n", "row 1: '# MyoWave CSV 2', expected '# MyoWave CSV 1'"),
        ("# MyoWave CSV 1\n# rate: 5\n", "row 2: '# rate: 5', expected"),
        ("# MyoWave CSV 1\nacc_x [g]\n", "rate_hz is '' in the header"),
        ("# MyoWave CSV 1\n# rate_hz: 100\nacc_x [g]\n", "samples is '' in the header"),
        ("# MyoWave CSV 1\n# rate_hz: 9\n# samples: 5\nacc_x\n", "column 1: 'acc_x', expected"),
        ("# MyoWave CSV 1\n# rate_hz: 9\n# samples: 5\nacc_x [g],acc_x [g]\n", "a second time"),
        ("# MyoWave CSV 1\n# rate_hz: 9\n# samples: 5\nacc_x [g]\n", "missing channel acc_y"),
        ("# MyoWave CSV 1\n# day: 5.2.25\n# rate_hz: 9\n# samples: 5\nx\n", "expected an ISO date"),
        ("# MyoWave CSV 1\n", "no row of column titles"),
    ],
)
def test_own_csv_is_strict(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(RecordingError, match=message):
        read(path)


CALIBRATION = ((25000.0, 38000.0),)


def test_opensignals_converts_what_has_a_transfer_function(tmp_path: Path) -> None:
    path = opensignals(tmp_path / "a.txt")
    recording = read(path, allow_missing_gyro=True, acc_calibration=CALIBRATION)
    assert recording.muscles == ("emg",)
    assert recording.day == "2025-01-29"
    assert_truth(recording, gyro=False, counts=1e-3)
    assert recording.provenance["source"]["acc_calibration"] == [[25000.0, 38000.0]] * 3


def test_opensignals_knows_bitalino_by_its_gain(tmp_path: Path) -> None:
    plux = opensignals(tmp_path / "a.txt")
    bitalino = opensignals(tmp_path / "b.txt", device="bitalino_rev")
    options: dict[str, Any] = {"allow_missing_gyro": True, "acc_calibration": CALIBRATION}
    ratio = read(bitalino, **options).emg.std() / read(plux, **options).emg.std()
    assert ratio == pytest.approx(3.3 / 1009 * 1000 / 3.0, rel=1e-6)


@pytest.mark.parametrize(
    ("writer", "options", "message"),
    [
        ({}, {}, r"missing channel gyroscope \(there is none\)"),
        (
            {"sensors": ("EMG", "XYZ", "XYZ", "XYZ", "GYR")},
            {},
            "its counts have no stated transfer function",
        ),
        ({}, {"allow_missing_gyro": True}, "need a calibration"),
        (
            {},
            {"allow_missing_gyro": True, "acc_calibration": ((5.0, 5.0),)},
            "expected 0 <= LOW < HIGH",
        ),
        ({"sensors": ("EMG", "XYZ")}, {}, "1 accelerometer channels"),
        ({"sensors": ("XYZ", "XYZ", "XYZ")}, {}, "missing channel EMG"),
        ({"device": "phone"}, {}, "device 'phone', expected biosignalsplux or bitalino"),
        ({"convertedValues": 1}, {}, "holds converted values"),
        ({"resolution": [16]}, {}, "resolutions"),
        ({"sampling rate": "fast"}, {}, "sampling rate 'fast'"),
        (
            {"drop_row": 500},
            {"allow_missing_gyro": True, "acc_calibration": CALIBRATION},
            "row 504, column nSeq: 117 after 115: samples were lost",
        ),
    ],
)
def test_opensignals_refuses_what_it_cannot_know(
    tmp_path: Path, writer: dict[str, object], options: dict[str, Any], message: str
) -> None:
    path = opensignals(tmp_path / "a.txt", **writer)  # type: ignore[arg-type]
    with pytest.raises(RecordingError, match=message):
        read(path, **options)


def test_ninapro_with_and_without_gyroscope(tmp_path: Path) -> None:
    full = read(ninapro(tmp_path / "a.mat", gyro=True), imu_sensor="1")
    assert full.muscles[8:] == ("flexor digitorum", "extensor digitorum", "biceps", "triceps")
    assert full.subject == "S7"
    assert_truth(full)
    path = ninapro(tmp_path / "b.mat")
    with pytest.raises(RecordingError, match=r"missing channel gyro.*--allow-missing-gyro"):
        read(path, imu_sensor="biceps")
    half = read(path, imu_sensor="biceps", allow_missing_gyro=True)
    assert not half.gyro.any()
    assert half.provenance["missing_gyro"] is True
    assert_truth(half, imu_shift=10.0, gyro=False)


@pytest.mark.parametrize(
    ("writer", "options", "message"),
    [
        ({"gyro": True}, {}, "12 sensors with an IMU, choose one"),
        ({"gyro": True}, {"imu_sensor": "13"}, "no IMU sensor '13'"),
        ({"acc": None}, {}, "missing channel acc"),
        ({"emg": None}, {}, "missing channel emg"),
        ({"acc": np.zeros((4000, 3))}, {}, "variable acc has 3 columns for 12"),
        ({"acc": np.zeros((10, 36))}, {}, "variable acc has 10 rows, expected 4000"),
        ({"emg": "text"}, {}, "expected a numeric matrix"),
    ],
)
def test_ninapro_refusals(
    tmp_path: Path, writer: dict[str, object], options: dict[str, Any], message: str
) -> None:
    path = ninapro(tmp_path / "a.mat", **writer)  # type: ignore[arg-type]
    with pytest.raises(RecordingError, match=message):
        read(path, **options)


def test_recording_files_are_read_as_they_are(tmp_path: Path) -> None:
    recording = read(Trigno().write(tmp_path / "a.csv"))
    save(recording, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").emg.tobytes() == recording.emg.tobytes()
    assert load(tmp_path / "a.parquet").provenance == recording.provenance


def test_sources_of_a_folder_are_found_by_content(tmp_path: Path) -> None:
    trigno = Trigno().write(tmp_path / "b.data")
    mat = ninapro(tmp_path / "c")
    text = opensignals(tmp_path / "d.csv")
    (tmp_path / "README.md").write_text("# Notes\n")
    (tmp_path / "quality.csv").write_text("file,subject\na,b\n")
    (tmp_path / "empty").touch()
    assert find_sources([tmp_path]) == [trigno, mat, text]
    assert find_sources([trigno]) == [trigno]
    with pytest.raises(RecordingError, match="no such file"):
        find_sources([tmp_path / "absent"])
    (tmp_path / "sub").mkdir()
    with pytest.raises(RecordingError, match="folder without recordings"):
        find_sources([tmp_path / "sub"])


@pytest.mark.parametrize(
    "variant", [name for name, writer in TRIGNO_VARIANTS.items() if not writer.markers]
)
def test_fast_and_plain_parsers_agree(tmp_path: Path, variant: str) -> None:
    writer = TRIGNO_VARIANTS[variant]
    path = writer.write(tmp_path / "a.csv")
    columns = 7 * (2 if writer.times else 1) + writer.pandas
    layout = TableLayout(
        writer.header_rows, writer.delimiter, writer.decimal, tuple(map(str, range(columns)))
    )
    wanted = list(range(columns))
    fast = _read_fast(path, layout, wanted)
    assert fast is not None
    assert fast.tobytes() == _read_plain(path, layout, wanted).tobytes()
