"""What is exported comes back: counts and predictions exactly, sEMG within half a step."""

import doctest
import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from scipy import io

from myowave.clock import fit_log
from myowave.errors import ConfigError, RecordingError
from myowave.formats import edf, labels, matlab, parquet, require_replaceable, write
from myowave.formats.sources import load_table, table_of_log, table_of_recording
from myowave.formats.table import Annotation, Table
from myowave.log import read_log
from myowave.readers import find_sources, read, read_parts
from myowave.recording import Recording
from tests.firmware.models import expected, movement

from .conftest import SECONDS, log_of

SUFFIXES = (".csv", ".parquet", ".edf", ".bdf", ".mat")
READERS = {".parquet": parquet.read, ".edf": edf.read, ".bdf": edf.read, ".mat": matlab.read}
# Half a step of the widest channel, as a share of its largest value.
STEP = {".csv": 0.0, ".parquet": 0.0, ".mat": 0.0, ".edf": 0.51 / 32767, ".bdf": 0.51 / 8388607}


def export(source: Path, path: Path, **options: object) -> Table:
    table = load_table(source, **options)  # type: ignore[arg-type]
    write(table, path)
    return table


def counts_of(table: Table) -> np.ndarray:
    return np.column_stack([channel.samples for channel in table.of("acc", "gyro")])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_counts_of_a_log_come_back_exactly(log: Path, tmp_path: Path, suffix: str) -> None:
    identity = read_log(log).identity
    assert identity is not None
    path = tmp_path / f"S7_1{suffix}"
    export(log, path, subject="S7")
    recording = read(path, imu_only=True)
    counts = movement(1000 * SECONDS)
    assert np.array_equal(recording.acc, counts[:, :3] * identity.acc_lsb_m_s2)
    assert np.array_equal(recording.gyro, counts[:, 3:] * identity.gyro_lsb_rad_s)
    assert recording.subject == "S7"
    assert recording.name == "whole"
    assert recording.day == datetime.now(UTC).date().isoformat()
    source = recording.provenance["source"]
    assert source["exported"]["model_sha256"] == identity.model_sha256
    assert source["exported"]["clock"][0]["run"] == 1


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".csv"])
def test_all_of_a_log_comes_back(log: Path, model: Path, tmp_path: Path, suffix: str) -> None:
    table = export(log, tmp_path / f"a{suffix}")
    back = READERS[suffix](tmp_path / f"a{suffix}")
    assert np.array_equal(counts_of(back), movement(1000 * SECONDS))
    (envelope,) = back.of("envelope")
    assert np.array_equal(envelope.samples, expected(model, movement(1000 * SECONDS))[:, 0])
    assert np.array_equal(envelope.values(), table.of("envelope")[0].values())
    assert back.annotations == table.annotations
    assert {one.kind for one in back.annotations} >= {"marker", "note", "warm-up", "board"}
    assert [(one.name, one.unit, one.lsb) for one in back.channels] == [
        (one.name, one.unit, one.lsb) for one in table.channels
    ]
    assert back.start_s == pytest.approx(table.start_s, abs=1e-6)
    assert back.facts["clock"] == table.facts["clock"]


def test_csv_holds_predictions_warm_up_and_events(log: Path, model: Path, tmp_path: Path) -> None:
    table = export(log, tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    titles = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    rows = pa_csv.read_csv(tmp_path / "a.csv", pa_csv.ReadOptions(skip_rows=titles))
    assert rows.column_names[:2] == ["time [s]", "acc_x [m/s^2]"]
    assert rows.column_names[-3:] == ["envelope muscle 0 [1]", "warm_up [0/1]", "event [text]"]
    (channel,) = table.of("envelope")
    fraction = rows.column("envelope muscle 0 [1]").to_numpy()
    predictions = np.rint(fraction / channel.lsb) + channel.zero
    assert np.array_equal(predictions, expected(model, movement(1000 * SECONDS))[:, 0])
    assert rows.column("warm_up [0/1]").to_numpy().sum() == 511
    events = rows.column("event [text]").to_pylist()
    assert events[1500] == 'curl 1, left; note: he said "ouch"'
    assert events[0] in (None, "")
    facts = json.loads(next(line for line in lines if line.startswith("# facts: "))[9:])
    assert facts["steps"][0]["lsb"] == table.channels[0].lsb


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_recording_comes_back(
    recording: Recording, recording_file: Path, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"x{suffix}"
    export(recording_file, path)
    back = read(path)
    for name in ("acc", "gyro", "emg"):
        truth = getattr(recording, name)
        limit = STEP[suffix] * (np.abs(truth).max() * 1.001 + 1e-4)
        assert np.max(np.abs(getattr(back, name) - truth)) <= limit
    for name in ("muscles", "subject", "day", "name", "n_samples"):
        assert getattr(back, name) == getattr(recording, name)
    assert back.provenance["simulated"] is True
    again = tmp_path / f"y{suffix}"
    write(table_of_recording(back), again)
    # What one export has rounded the next leaves alone.
    assert np.max(np.abs(read(again).emg - back.emg)) <= STEP[suffix]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_gaps_come_back_as_gaps_and_are_never_filled(
    gappy_log: Path, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"g{suffix}"
    table = export(gappy_log, path)
    gone = np.r_[700:740, 2000:2010]
    assert np.array_equal(np.flatnonzero(np.isnan(table.channels[0].values())), gone)
    with pytest.raises(RecordingError, match=r"(sample 700|row 7\d\d).*no value between others"):
        read(path, imu_only=True)
    # Of 0.7, 1.26 and 0.99 s between the gaps.
    (part,) = read_parts(path, imu_only=True)
    whole = table.channels[0].values()
    assert np.array_equal(part.acc[:, 0], whole[740:2000])
    if suffix in READERS:
        back = READERS[suffix](path)
        for channel in back.channels:
            assert np.array_equal(np.flatnonzero(np.isnan(channel.values())), gone)
        assert back.annotations == table.annotations


def test_a_log_without_raw_counts_exports_predictions(model: Path, tmp_path: Path) -> None:
    source = log_of(tmp_path / "a.mwlog", model, raw=False)
    for suffix in SUFFIXES:
        path = tmp_path / f"a{suffix}"
        table = export(source, path)
        assert [channel.kind for channel in table.channels] == ["envelope"]
        assert table.facts["raw_counts"] is False
        with pytest.raises(RecordingError, match="holds predictions alone, log with --raw"):
            read(path, imu_only=True)


def test_runs_lie_as_far_apart_as_they_were(model: Path, tmp_path: Path) -> None:
    """A board started anew counts from 0 again; the host's clock says how much later."""
    path = tmp_path / "a.mwlog"
    log_of(path, model)
    log_of(path, model, missing=[(0, 100)])
    logged = read_log(path)
    assert set(logged.run) == {0, 1}
    # A virtual clock runs as fast as it can; here frames arrive as those of a real one do.
    began_s = 1.79e9 + np.array([0.0, 10.25])
    log = replace(
        logged,
        host_s=began_s[logged.run] + 1e-6 * logged.device_us,
        markers=[(began_s[0] + 1.5, "first"), (began_s[1] + 1.6, "second")],
    )
    table = table_of_log(log, path)
    counts, truth = counts_of(table), movement(1000 * SECONDS)
    # The second run's first sample is its tick 100.
    begin = 10_250 + 100
    assert table.facts["clock"][1]["start_s"] == pytest.approx(begin / 1000, abs=0.0011)
    begin = round(1000 * table.facts["clock"][1]["start_s"])
    assert np.array_equal(counts[: len(truth)], truth)
    assert np.array_equal(counts[begin:], truth[100:])
    assert np.isnan(table.channels[0].values()[len(truth) : begin]).all()
    markers = [one.onset_s for one in table.annotations if one.kind == "marker"]
    assert markers == pytest.approx([1.5, 11.85], abs=0.0011)
    alone = table_of_log(log, path, run=2)
    assert np.array_equal(counts_of(alone), truth[100:])
    assert alone.channels[0].present is None
    assert [one["run"] for one in alone.facts["clock"]] == [2]
    with pytest.raises(RecordingError, match="no run 3, the log holds 2"):
        load_table(path, run=3)
    # Continued a month later: the time between would be nearly all of the file.
    later = replace(log, host_s=log.host_s + np.where(log.run == 1, 30 * 86400.0, 0.0))
    with pytest.raises(RecordingError, match=r"720\.0 h in 2 runs.*one run with --run N"):
        table_of_log(later, path)
    assert table_of_log(later, path, run=2).n_samples == len(truth) - 100


def test_parts_of_a_log_make_up_the_whole(log: Path, tmp_path: Path) -> None:
    logged = read_log(log)
    # A virtual clock runs as fast as it can; here frames arrive as those of a real one do.
    host_s = np.asarray(1.79e9 + 1e-6 * logged.device_us, dtype=np.float64)
    logged = replace(logged, host_s=host_s, markers=[(host_s[1500], "curl 1, left")])
    whole = table_of_log(logged, log)
    cuts = [0.0, 0.7001, 1.6, math.inf]
    parts = [
        table_of_log(logged, log, begin_s=begin_s, end_s=end_s) for begin_s, end_s in pairwise(cuts)
    ]
    assert np.array_equal(np.concatenate([counts_of(part) for part in parts]), counts_of(whole))
    assert [part.n_samples for part in parts[:2]] == pytest.approx([700, 900], abs=2)
    labels = [[one.text for one in part.annotations if one.kind == "marker"] for part in parts]
    assert labels == [[], ["curl 1, left"], []]
    onsets_s = [
        next(one.onset_s for one in table.annotations if one.kind == "marker") + begin_s
        for table, begin_s in ((whole, 0.0), (parts[1], 0.7001))
    ]
    assert onsets_s[0] == pytest.approx(onsets_s[1], abs=0.0011)
    assert whole.start_s is not None
    assert parts[1].start_s == pytest.approx(whole.start_s + 0.7001, abs=0.0011)
    assert parts[2].facts["source"]["begin_s"] == 1.6
    with pytest.raises(RecordingError, match=r"long, nothing from 3\.5 to 4 s"):
        table_of_log(logged, log, begin_s=3.5, end_s=4.0)


def test_a_run_longer_than_a_file_can_be_is_exported_in_parts(log: Path) -> None:
    logged = read_log(log)
    slow = 4000  # as if every sample were four seconds after the one before
    long = replace(logged, tick=slow * logged.tick, device_us=slow * logged.device_us)
    long = replace(long, host_s=np.asarray(1.79e9 + 1e-6 * long.device_us, dtype=np.float64))
    with pytest.raises(RecordingError, match=r"3\.3 h in 1 runs.*; export parts with --begin"):
        table_of_log(long, log)
    hour = table_of_log(long, log, begin_s=3600.0, end_s=7200.0)
    assert hour.n_samples == pytest.approx(3_600_000, abs=2 * slow)


def test_parts_of_a_recording_make_up_the_whole(
    recording: Recording, recording_file: Path, tmp_path: Path
) -> None:
    parts = [
        load_table(recording_file, begin_s=begin_s, end_s=end_s)
        for begin_s, end_s in pairwise([0.0, 0.007, 2.0, math.inf])
    ]
    assert [part.n_samples for part in parts] == [7, 1993, 345]
    emg = np.concatenate([part.of("emg")[1].values() for part in parts])
    assert np.array_equal(emg, recording.emg[:, 1])
    with pytest.raises(RecordingError, match=r"2\.345 s long, nothing from 3 s on"):
        load_table(recording_file, begin_s=3.0)


def test_independent_readers_see_the_same(
    log: Path, recording: Recording, recording_file: Path, tmp_path: Path
) -> None:
    """EDF by pyedflib, Parquet by pyarrow alone, MATLAB by scipy alone."""
    pyedflib = pytest.importorskip("pyedflib")
    table = export(log, tmp_path / "a.edf")
    with pyedflib.EdfReader(str(tmp_path / "a.edf")) as reader:
        assert reader.getSignalLabels()[:7] == [
            *(f"ACC {axis}" for axis in "XYZ"),
            *(f"GYRO {axis}" for axis in "XYZ"),
            "ENV muscle 0",
        ]
        digital = np.column_stack([reader.readSignal(i, digital=True) for i in range(6)])
        assert np.array_equal(digital, movement(1000 * SECONDS))
        for index, channel in enumerate(table.channels):
            assert reader.getPhysicalDimension(index) == channel.unit
            # Eight characters of header bound how well the physical range can be said.
            error = np.max(np.abs(reader.readSignal(index) - channel.values()))
            assert error < 0.1 * channel.lsb
        start = datetime.fromtimestamp(int(table.start_s or 0), UTC).replace(tzinfo=None)
        # What it says of the microseconds is a tenth of them.
        assert reader.getStartdatetime().replace(microsecond=0) == start
        subsecond_s = reader.starttime_subsecond / 1e7
        assert int(table.start_s or 0) + subsecond_s == pytest.approx(table.start_s, abs=2e-5)
        onsets, _, texts = reader.readAnnotations()
        (marker,) = (one for one in table.annotations if one.kind == "marker")
        assert onsets[list(texts).index(marker.text)] == pytest.approx(marker.onset_s, abs=1e-6)
    export(recording_file, tmp_path / "b.bdf")
    with pyedflib.EdfReader(str(tmp_path / "b.bdf")) as reader:
        assert reader.getSignalLabels()[6:] == ["EMG biceps brach", "EMG biceps bra 2"]
        n = recording.n_samples
        assert np.allclose(reader.readSignal(6)[:n], recording.emg[:, 0], atol=1e-6)
        assert not reader.readSignal(6)[n:].any()
        onsets, durations, texts = reader.readAnnotations()
        at = list(texts).index("missing")
        assert (onsets[at], durations[at]) == pytest.approx((2.345, 0.655))
    export(log, tmp_path / "a.parquet")
    found = pq.read_table(tmp_path / "a.parquet")
    assert found.schema.field("gyro_x").metadata[b"unit"] == b"rad/s"
    assert np.array_equal(found.column("acc_y").to_numpy(), table.channels[1].values())
    assert found.column("warm_up").to_numpy().sum() == 511
    export(recording_file, tmp_path / "b.mat")
    variables = io.loadmat(str(tmp_path / "b.mat"), simplify_cells=True)
    assert np.array_equal(variables["emg"], recording.emg)
    assert list(variables["muscles"]) == list(recording.muscles)
    assert variables["subject"] == recording.subject


def test_counts_sent_for_a_part_of_a_log_only(log: Path, tmp_path: Path) -> None:
    """Raw counts may be switched on and off while predictions go on."""
    whole = read_log(log)
    some = (whole.tick >= 400) & (whole.tick < 2600)
    began_s = float(fit_log(whole)[0].host_s(float(whole.device_us[0])))
    events = [(began_s - 0.25, "before"), (began_s + 60.0, "long after")]
    part = replace(whole, has_counts=some, markers=events)
    table = table_of_log(part, log)
    for suffix, back in READERS.items():
        write(table, tmp_path / f"a{suffix}")
        found = back(tmp_path / f"a{suffix}")
        present = ~np.isnan(found.of("gyro")[0].values())
        assert np.array_equal(present, some)
        assert not np.isnan(found.of("envelope")[0].values()).any()
        # 2.2 s are left of three: blank ends are cut off, as of any source.
        assert read(tmp_path / f"a{suffix}", imu_only=True).n_samples == 2200
        markers = [one for one in found.annotations if one.kind == "marker"]
        assert [one.text for one in markers] == ["before", "long after"]
        assert [one.onset_s for one in markers] == pytest.approx(
            [one.onset_s for one in table.annotations if one.kind == "marker"], abs=1e-9
        )
        assert markers[0].onset_s < 0.0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_invented_where_nothing_is_known(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(3)
    recording = Recording(
        acc=rng.normal(0.0, 1.0, (1500, 3)),
        gyro=np.zeros((1500, 3)),
        emg=rng.normal(0.0, 1.0, (1500, 1)),
        muscles=("a",),
        subject="",
        day="",
        name="",
        provenance={"missing_gyro": True},
    )
    path = tmp_path / f"a{suffix}"
    write(table_of_recording(recording), path)
    with pytest.raises(RecordingError, match="missing channel gyro_x"):
        read(path)
    back = read(path, allow_missing_gyro=True)
    assert (back.subject, back.day, back.name) == ("unknown", "", "a")
    assert back.provenance["missing_gyro"] is True
    assert not back.gyro.any()


def test_words_of_annotations_keep_their_kind() -> None:
    for annotation in (
        Annotation(0.0, 0.0, "marker", "start"),
        Annotation(0.0, 0.0, "marker", "note: not a note"),
        Annotation(0.0, 0.0, "marker", "marker: of a marker"),
        Annotation(0.0, 0.0, "note", "marker"),
        Annotation(1.0, 0.5, "missing", "acc"),
        Annotation(1.0, 0.5, "warm-up"),
    ):
        words = annotation.words()
        assert Annotation.from_words(annotation.onset_s, annotation.duration_s, words) == annotation


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(labels).failed == 0


def test_only_an_export_is_replaced(log: Path, recording_file: Path, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"thesis, chapter 1\n")
        with pytest.raises(ConfigError, match="is not replaced"):
            require_replaceable(path)
        path.unlink()
        require_replaceable(path)
        export(log, path)
        require_replaceable(path)
    with pytest.raises(ConfigError, match="is not replaced"):
        require_replaceable(recording_file)
    with pytest.raises(ConfigError, match=r"unknown ending, expected one of \.csv"):
        require_replaceable(tmp_path / "a.xlsx")


def test_a_folder_of_exports_is_found(log: Path, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        export(log, tmp_path / f"a{suffix}")
    (tmp_path / "notes.txt").write_text("none\n")
    assert [path.suffix for path in find_sources([tmp_path])] == sorted(SUFFIXES)


def test_what_is_neither_log_nor_recording_is_refused(tmp_path: Path, model: Path) -> None:
    path = tmp_path / "a"
    path.write_text("no log\n")
    with pytest.raises(RecordingError, match="neither a log nor a recording"):
        load_table(path)
    with pytest.raises(RecordingError, match="cannot be read"):
        load_table(tmp_path / "absent")
    whole = log_of(tmp_path / "b.mwlog", model).read_bytes()
    (tmp_path / "c.mwlog").write_bytes(whole[:14])
    with pytest.raises(RecordingError, match="holds no samples"):
        load_table(tmp_path / "c.mwlog")


def test_muscles_of_a_board_get_a_column_each(log: Path) -> None:
    data = read_log(log)
    assert data.identity is not None
    named = replace(data.identity, muscles=("arm", "arm 3", "arm"))
    table = table_of_log(
        replace(data, identity=named, predictions=np.repeat(data.predictions, 3, axis=1)), log
    )
    assert [one.muscle for one in table.of("envelope")] == ["arm", "arm 3", "arm 3 3"]
