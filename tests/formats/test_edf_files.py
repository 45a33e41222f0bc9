"""EDF and BDF files of other systems: taken where labels and units say enough, else refused."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from myowave.errors import RecordingError
from myowave.formats import edf
from myowave.formats.sources import load_table, table_of_recording
from myowave.readers import read
from myowave.recording import Recording

pyedflib = pytest.importorskip("pyedflib", reason="writes the files, independent of edfio")

WRIST = tuple(
    (f"wrist {kind} {axis}", unit, 200)
    for kind, unit in (("ACC", "g"), ("GYRO", "deg/s"))
    for axis in "XYZ"
)
EMG = (("EMG biceps", "uV", 2000), ("EMG triceps", "uV", 2000))


def signal(number: int, rate: int, seconds: int = 4) -> np.ndarray:
    time_s = np.arange(seconds * rate) / rate
    return 0.5 * np.sin(2 * np.pi * (3 + number) * time_s + number)


def write(
    path: Path,
    channels: tuple[tuple[str, str, int], ...] = WRIST + EMG,
    kind: int | None = None,
) -> Path:
    """Write a file by EDFlib, which is no code of edfio's."""
    file_type = pyedflib.FILETYPE_EDFPLUS if kind is None else kind
    with pyedflib.EdfWriter(str(path), len(channels), file_type=file_type) as writer:
        bdf = file_type in (pyedflib.FILETYPE_BDF, pyedflib.FILETYPE_BDFPLUS)
        for number, (label, unit, rate) in enumerate(channels):
            writer.setSignalHeader(
                number,
                {
                    "label": label,
                    "dimension": unit,
                    "sample_frequency": rate,
                    "physical_max": 1.0,
                    "physical_min": -1.0,
                    "digital_max": 8388607 if bdf else 32767,
                    "digital_min": -8388608 if bdf else -32768,
                    "transducer": "",
                    "prefilter": "",
                },
            )
        writer.setStartdatetime(datetime(2026, 5, 4, 3, 2, 1))
        writer.setPatientCode("P_12")
        writer.writeSamples([signal(n, rate) for n, (_, _, rate) in enumerate(channels)])
        if file_type not in (pyedflib.FILETYPE_EDF, pyedflib.FILETYPE_BDF):
            writer.writeAnnotation(1.25, -1, "lift")
    return path


@pytest.mark.parametrize("kind", ["FILETYPE_EDF", "FILETYPE_EDFPLUS", "FILETYPE_BDFPLUS"])
def test_labels_and_units_are_read(tmp_path: Path, kind: str) -> None:
    recording = read(write(tmp_path / "a", kind=getattr(pyedflib, kind)))
    assert recording.muscles == ("biceps", "triceps")
    assert recording.day == "2026-05-04"
    assert recording.subject == "P 12"
    assert recording.source_rates_hz["acc_x"] == 200.0
    assert recording.source_rates_hz["emg biceps"] == 2000.0
    time_s = np.arange(recording.n_samples) / 1000
    inside = slice(300, -300)
    for column, number, factor in ((0, 0, 9.80665), (2, 2, 9.80665)):
        truth = factor * 0.5 * np.sin(2 * np.pi * (3 + number) * time_s + number)
        assert np.max(np.abs(recording.acc[inside, column] - truth[inside])) < 0.005
    truth = 0.5e-3 * np.sin(2 * np.pi * 10 * time_s + 7)
    assert np.max(np.abs(recording.emg[inside, 1] - truth[inside])) < 1e-6
    if kind != "FILETYPE_EDF":
        assert [1.25, "lift"] in recording.provenance["source"]["markers"]


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (
            (("EEG Fpz-Cz", "uV", 200), ("Resp", "V", 100)),
            "missing channel acc_x, .*, channels are none of sEMG or IMU, not recognised are "
            "'EEG Fpz-Cz', 'Resp'",
        ),
        (WRIST, "missing channel EMG, channels are 'acc_x' .g., .*; allow it with --imu-only"),
        (EMG, r"missing channel acc_x, acc_y, .* channels are 'emg biceps' \[uV\], 'emg triceps'"),
        (WRIST[:3] + EMG, "missing channel gyro_x, .*; allow it with --allow-missing-gyro"),
        (
            (("ACC X", "steps", 200), *WRIST[1:], *EMG),
            "missing channel acc and gyro of one sensor, channels are 'acc_x' .steps.",
        ),
        (
            (*WRIST[:5], ("wrist GYRO Z", "steps", 200), *EMG),
            r"signal 6 'wrist GYRO Z' has the unknown unit 'steps', expected one of deg/s",
        ),
        (
            (*WRIST, *((label.replace("wrist", "ankle"), *rest) for label, *rest in WRIST), *EMG),
            "2 sensors with an IMU, choose one with --imu-sensor: 'wrist', 'ankle'",
        ),
        ((WRIST[0], *WRIST, *EMG), "signal 1 .* and signal 2 .* are both acc_x of sensor 'wrist'"),
    ],
)
def test_what_labels_do_not_say_is_refused(
    tmp_path: Path, channels: tuple[tuple[str, str, int], ...], expected: str
) -> None:
    with pytest.raises(RecordingError, match=expected) as caught:
        read(write(tmp_path / "a", channels))
    assert "\n" not in str(caught.value)


def test_a_file_cut_off_or_with_gaps_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    whole = path.read_bytes()
    path.write_bytes(whole[:-3000])
    with pytest.raises(RecordingError, match=r"not whole .* with --allow-short"):
        read(path)
    assert read(path, allow_short=True).n_samples == pytest.approx(3000, abs=10)
    path.write_bytes(whole[:192] + b"EDF+D" + whole[197:])
    with pytest.raises(RecordingError, match=r"EDF\+D, a recording with gaps"):
        read(path)


def test_starts_stay_short_whatever_the_fraction() -> None:
    """Checked for each of them, against the decimal sum, up to a day of records."""
    records = 86_400
    fractions = np.arange(0, 1_000_000, 997)
    for part_us in fractions.tolist():
        moved = edf._short_fraction(part_us, records)
        assert abs(moved - part_us) <= 12
        for record in (1, 2, 3, 100, 4095, 65_537, 86_399):
            assert record + moved / 1e6 == float(f"{record}.{moved:06d}")


def test_an_export_somebody_has_changed_says_so(recording_file: Path, tmp_path: Path) -> None:
    """Also where only the range is another, which the samples do not show."""
    path = tmp_path / "a.edf"
    edf.write(load_table(recording_file), path)
    whole = path.read_bytes()
    n_signals = int(whole[252:256])
    maxima = 256 + n_signals * (16 + 80 + 8 + 8)
    for content in (
        whole[:-30_000] + b"\1" + whole[-29_999:],
        whole[:maxima] + b"77" + whole[maxima + 2 :],
    ):
        path.write_bytes(content)
        with pytest.raises(RecordingError, match="samples were changed after export"):
            read(path)
        # Out of the header's field it is a file like any other.
        path.write_bytes(content.replace(b"MyoWave ", b"Other   ", 1))
        assert read(path).muscles == ("biceps brach", "biceps bra 2")
    path.write_bytes(whole.replace(b"EDF Annotations", b"EDF Annotation ", 1))
    with pytest.raises(RecordingError, match="its annotation 'MyoWave' is missing"):
        read(path)


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_values_no_header_can_say_are_refused(
    recording: Recording, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    table = table_of_recording(replace(recording, emg=recording.emg * 1e9))
    with pytest.raises(RecordingError, match=r"biceps .* reaches beyond 9999999 mV"):
        edf.write(table, path, bdf=suffix == ".bdf")
    assert not path.exists()
