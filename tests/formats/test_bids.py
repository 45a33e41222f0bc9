"""BIDS: a dataset the field's validator passes, and runs that come back from it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myowave.errors import ConfigError, RecordingError
from myowave.formats import bids, edf
from myowave.formats.sources import load_table
from myowave.log import read_log
from myowave.readers import find_sources, read
from myowave.recording import Recording
from tests.firmware.models import expected, movement

from .conftest import SECONDS, log_of


@pytest.fixture(scope="module")
def dataset(
    log: Path, gappy_log: Path, recording_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A log, a log with gaps in a second session, and a recording with sEMG."""
    root = tmp_path_factory.mktemp("bids") / "study"
    bids.write(load_table(log, subject="S 1"), root, bids.Run("S1", "curls", run=1))
    bids.write(load_table(gappy_log), root, bids.Run("S1", "curls", "late", run=2))
    bids.write(load_table(recording_file), root, bids.Run("ZoeK"))
    return root


def validate(root: Path) -> dict[str, Any]:
    """Return what the BIDS validator says; it holds its schema and needs no network."""
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed")
    run = subprocess.run(
        [str(validator), "-r", str(root), "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def errors(found: dict[str, Any]) -> list[str]:
    own = [
        f"{issue['code']} {issue.get('subCode', '')} {issue.get('location', '')}"
        for issue in found["issues"]["issues"]
        if issue["severity"] == "error"
    ]
    inner = found.get("derivativesSummary") or {}
    return own + [line for part in inner.values() for line in errors(part)]


def test_the_validator_passes_it(dataset: Path) -> None:
    found = validate(dataset)
    assert errors(found) == []
    summary = found["summary"]
    assert sorted(summary["modalities"]) == ["emg", "motion"]
    assert sorted(summary["subjects"]) == ["S1", "ZoeK"]
    assert list(found["derivativesSummary"]) == ["/derivatives/myowave/"]


def test_the_validator_would_say_so(dataset: Path, tmp_path: Path) -> None:
    """The test above can fail: without one required field it does."""
    root = tmp_path / "copy"
    subprocess.run(["cp", "-r", dataset, root], check=True)
    (sidecar,) = root.glob("sub-ZoeK/emg/*_emg.json")
    values = json.loads(sidecar.read_text())
    del values["EMGReference"]
    sidecar.write_text(json.dumps(values))
    assert any("EMGReference" in line for line in errors(validate(root)))


def test_runs_of_a_log_come_back(dataset: Path, log: Path) -> None:
    identity = read_log(log).identity
    assert identity is not None
    runs = find_sources([dataset])
    assert [path.relative_to(dataset).parts[0] for path in runs] == ["sub-S1"] * 2 + ["sub-ZoeK"]
    recording = read(next(path for path in runs if "ses-" not in str(path)), imu_only=True)
    counts = movement(1000 * SECONDS)
    assert np.array_equal(recording.acc, counts[:, :3] * identity.acc_lsb_m_s2)
    assert np.array_equal(recording.gyro, counts[:, 3:] * identity.gyro_lsb_rad_s)
    assert recording.subject == "S 1"
    markers = {text: onset_s for onset_s, text in recording.provenance["source"]["markers"]}
    assert markers["curl 1, left"] == pytest.approx(1.5, abs=1e-4)
    gappy = next(path for path in runs if "ses-late" in str(path))
    with pytest.raises(RecordingError, match="sample 700, column 1 'acc_x': no value"):
        read(gappy, imu_only=True)
    events = (gappy.with_name(gappy.name.replace("_motion.tsv", "_events.tsv"))).read_text()
    assert "0.700000\t0.040000\tmissing\tn/a" in events


def test_semg_comes_back_with_the_motion(dataset: Path, recording: Recording) -> None:
    (path,) = find_sources([dataset / "sub-ZoeK"])
    back = read(path)
    assert np.array_equal(back.acc, recording.acc)
    assert np.max(np.abs(back.emg - recording.emg)) < 1e-6
    for name in ("muscles", "subject", "day", "name"):
        assert getattr(back, name) == getattr(recording, name)
    assert back.provenance["simulated"] is True


def test_the_envelope_is_a_derivative(dataset: Path, model: Path) -> None:
    """Nothing predicted is among the raw data; the predictions are, to the integer, beside them."""
    (path,) = dataset.glob("derivatives/myowave/sub-S1/emg/*recording-envelope_emg.edf")
    (envelope,) = edf.read(path).channels
    assert envelope.kind == "envelope"
    assert np.array_equal(envelope.samples, expected(model, movement(1000 * SECONDS))[:, 0])
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["MyoWave"]["facts"]["model_card"]["tflite_sha256"]
    assert sidecar["EMGChannelCount"] == 0
    raw = [one for one in dataset.rglob("*") if "derivatives" not in one.parts]
    assert not [one for one in raw if "envelope" in one.name]
    assert not list((dataset / "sub-S1").glob("**/*_emg.*"))


def test_datasets_and_runs_of_others_are_left_alone(log: Path, tmp_path: Path) -> None:
    table = load_table(log)
    (tmp_path / "photos").mkdir()
    with pytest.raises(ConfigError, match=r"no dataset_description\.json, expected a BIDS"):
        bids.write(table, tmp_path, bids.Run("1"))
    root = tmp_path / "study"
    folder = root / "sub-1" / "motion"
    folder.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "Theirs", "BIDSVersion": "1.9.0"}')
    (root / "participants.tsv").write_text("participant_id\tage\nsub-9\t31\n")
    theirs = folder / "sub-1_task-movement_tracksys-mocap_motion.json"
    theirs.write_text('{"SamplingFrequency": 100}')
    with pytest.raises(ConfigError, match="this run is there and was not exported by MyoWave"):
        bids.write(table, root, bids.Run("1"))
    bids.write(table, root, bids.Run("1", run=2))
    bids.write(table, root, bids.Run("1", run=2))
    assert json.loads((root / "dataset_description.json").read_text())["Name"] == "Theirs"
    assert (root / "participants.tsv").read_text() == (
        "participant_id\tage\nsub-9\t31\nsub-1\tn/a\n"
    )
    assert len((root / "sub-1" / "sub-1_scans.tsv").read_text().splitlines()) == 2
    with pytest.raises(ConfigError, match="--task 'a b': BIDS takes letters and digits"):
        bids.Run("1", "a b")


def test_a_run_described_from_above_is_left_alone(recording_file: Path, tmp_path: Path) -> None:
    root = tmp_path / "theirs"
    theirs = root / "sub-1" / "emg" / "sub-1_task-movement_emg.bdf"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    (root / "dataset_description.json").write_text("{}")
    (root / "task-movement_emg.json").write_text('{"SamplingFrequency": 2000}')
    with pytest.raises(ConfigError, match=r"emg\.bdf: this run is there and was not exported"):
        bids.write(load_table(recording_file), root, bids.Run("1"))
    assert theirs.read_bytes() == b"theirs"


def test_lists_of_a_dataset_keep_what_others_wrote(log: Path, tmp_path: Path) -> None:
    root = tmp_path / "study"
    table = load_table(log)
    bids.write(table, root, bids.Run("1"))
    scans = root / "sub-1" / "sub-1_scans.tsv"
    titles, row = scans.read_text().splitlines()
    edited = f"{titles}\toperator\n{row}\tAnn\n"
    scans.write_text(edited)
    bids.write(table, root, bids.Run("1"))
    assert scans.read_text() == edited


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "columns , expected participant_id"),
        (b"participant_id\n\xff\n", "cannot be read, expected a TSV in UTF-8"),
        (b"age\tparticipant_id\n31\n", "a row has not 2 cells"),
    ],
)
def test_lists_of_a_dataset_that_are_damaged(
    log: Path, tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "dataset_description.json").write_text("{}")
    (tmp_path / "participants.tsv").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"participants\.tsv: {said}"):
        bids.write(load_table(log), tmp_path, bids.Run("1"))
    assert not (tmp_path / "sub-1").exists()


def test_a_dataset_of_another_program(tmp_path: Path) -> None:
    """Two tracked points, sidecars higher up, sEMG that began later, rates of their own."""
    rng = np.random.default_rng(8)
    root = tmp_path / "theirs"
    motion, emg = root / "sub-4" / "motion", root / "sub-4" / "emg"
    motion.mkdir(parents=True)
    emg.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.11.1"}')
    (root / "task-walk_tracksys-xsens_motion.json").write_text('{"SamplingFrequency": 250}')
    rows = [
        f"{point}_{kind}_{axis}\t{axis}\t{kind}\t{point}\t{unit}"
        for point in ("wrist", "elbow")
        for kind, unit in (("ACCEL", "g"), ("GYRO", "deg/s"))
        for axis in "xyz"
    ]
    stem = "sub-4_task-walk_tracksys-xsens"
    titles = "name\tcomponent\ttype\ttracked_point\tunits"
    (motion / f"{stem}_channels.tsv").write_text("\n".join([titles, *rows]) + "\n")
    values = np.sin(2 * np.pi * 3.0 * np.arange(1000)[:, None] / 250 + np.arange(12))
    np.savetxt(motion / f"{stem}_motion.tsv", values, delimiter="\t")
    edfio = pytest.importorskip("edfio")
    signal = edfio.EdfSignal(
        rng.normal(0.0, 200.0, 4000), 2000, label="sensor 3", physical_dimension="uV"
    )
    edfio.Edf([signal]).write(emg / "sub-4_task-walk_emg.edf")
    (emg / "sub-4_task-walk_channels.tsv").write_text("name\ttype\tunits\nsensor 3\tEMG\tuV\n")
    (root / "sub-4" / "sub-4_scans.tsv").write_text(
        "filename\tacq_time\n"
        f"motion/{stem}_motion.tsv\t2026-01-02T03:04:05.000Z\n"
        "emg/sub-4_task-walk_emg.edf\t2026-01-02T03:04:06.500Z\n"
    )
    (path,) = find_sources([root])
    with pytest.raises(RecordingError, match="choose one with --imu-sensor: 'wrist', 'elbow'"):
        read(path)
    recording = read(path, imu_sensor="elbow", allow_short=True)
    assert (recording.subject, recording.day) == ("4", "2026-01-02")
    assert recording.muscles == ("sensor 3",)
    assert recording.source_rates_hz == {
        **dict.fromkeys(["acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z"], 250.0),
        "emg sensor 3": 2000.0,
    }
    assert recording.provenance["span_s"][0] == pytest.approx(1.5)
    assert recording.n_samples == pytest.approx(2000, abs=2)
    # Every fourth sample is one of theirs.
    assert recording.acc[400:1600:4, 0] == pytest.approx(9.80665 * values[475:775, 6], abs=0.01)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("channels.tsv", None, r"no \*_channels.tsv beside it"),
        ("channels.tsv", "name\ttype\n", "6 columns, but its .* lists 0 channels"),
        ("channels.tsv", "name\n", "expected name, type among them"),
        ("motion.json", "{}", "no SamplingFrequency from 1 to 100000 Hz"),
        ("motion.json", "[1", "sidecar: not a JSON object"),
        ("motion.tsv", "1\t2\n", "2 columns, but its"),
        ("motion.tsv", "", "empty file"),
        ("motion.tsv", "1\t2\t3\t4\t5\tsix\n", "row 1, column 6 'gyro_z': 'six' is not a number"),
        ("events.tsv", "onset\tduration\nsoon\t0\n", "onset 'soon', duration '0', expected second"),
        ("events.tsv", "onset\tduration\n1\tinf\n", "onset '1', duration 'inf', expected second"),
    ],
)
def test_faults_of_a_dataset_in_one_line(
    dataset: Path, tmp_path: Path, file: str, content: str | None, message: str
) -> None:
    root = tmp_path / "copy"
    subprocess.run(["cp", "-r", dataset, root], check=True)
    (path,) = root.glob(f"sub-S1/motion/*_{file}")
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    (motion,) = root.glob("sub-S1/motion/*_motion.tsv")
    with pytest.raises(RecordingError, match=message) as caught:
        read(motion, imu_only=True)
    assert "\n" not in str(caught.value)


def test_a_log_of_predictions_is_a_derivative_alone(model: Path, tmp_path: Path) -> None:
    source = log_of(tmp_path / "a.mwlog", model, raw=False)
    (path,) = bids.write(load_table(source), tmp_path / "study", bids.Run("1"))
    assert "derivatives" in path.parts
    assert errors(validate(tmp_path / "study")) == []
