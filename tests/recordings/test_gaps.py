"""What lies between gaps is had back, each part by itself, and nothing is bridged."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myowave.errors import RecordingError
from myowave.imu import G_M_S2
from myowave.readers import read, read_parts, write_csv
from myowave.recording import Recording, load, save

from .files import EMG_RATE, IMU_RATE, Trigno, acc_g, emg_mv
from .test_cli import run
from .test_orientation import curl, turned

IMU = slice(0, 6)
EMG = slice(6, 7)


def with_gaps(path: Path, *gaps: tuple[slice, float, float], seconds: float = 8.0) -> Path:
    """Write a Trigno file without what some columns hold from begin to end, in seconds."""
    trigno = Trigno(seconds=seconds)
    rows = trigno.rows()
    for columns, begin_s, end_s in gaps:
        rate = float(IMU_RATE if columns == IMU else EMG_RATE)
        for row in rows[trigno.header_rows :][round(begin_s * rate) : round(end_s * rate)]:
            row[columns] = [""] * len(row[columns])
    return trigno.write(path, rows)


def assert_truth(part: Recording) -> None:
    """Hold a part to the functions of `files` at its own time."""
    t = part.provenance["span_s"][0] + np.arange(part.n_samples) / 1000
    inside = slice(200, -200)
    acc = np.column_stack([acc_g(axis)(t) for axis in range(3)]) * G_M_S2
    assert np.max(np.abs(part.acc - acc)[inside]) < 0.01
    assert np.max(np.abs(part.emg[:, 0] - emg_mv(0)(t))[inside]) < 0.002


def test_parts_lie_between_the_gaps_of_all_channels(tmp_path):
    path = with_gaps(tmp_path / "S_a.csv", (IMU, 2.0, 2.1), (EMG, 2.05, 2.2), (EMG, 5.0, 5.01))
    parts = read_parts(path)
    spans = np.array([part.provenance["span_s"] for part in parts])
    # Up to the last sample of the slower rate where that ends, and to 1 ms beside others' gaps.
    imu_s, ms = 1 / float(IMU_RATE), 0.001
    assert np.abs(spans - [[0, 2 - imu_s], [2.2, 5], [5.01, 8 - imu_s]]).max() < imu_s + ms
    assert np.abs(spans[1] - [2.2, 5.0]).max() < 1.5 * ms
    for part in parts:
        assert_truth(part)
    assert [part.name for part in parts] == ["S_a_part1", "S_a_part2", "S_a_part3"]
    assert {part.subject for part in parts} == {"S"}
    assert parts[1].provenance["part"] == {"number": 2, "of": 3, "too_short": 0}


def test_no_sample_next_to_a_gap_is_lost_or_made_up(tmp_path):
    whole = curl(1)
    path = tmp_path / "a.csv"
    write_csv(whole, path)
    blank(path, slice(9_000, 9_001))
    read_back = read_parts(path, imu_only=True)
    assert [part.n_samples for part in read_back] == [9_000, len(whole.acc) - 9_001]
    assert np.allclose(read_back[0].acc, whole.acc[:9_000], atol=1e-6)
    assert np.allclose(read_back[1].gyro, whole.gyro[9_001:], atol=1e-6)


def blank(path: Path, samples: slice) -> None:
    """Blank the IMU's cells of some samples of a MyoWave CSV."""
    lines = path.read_text().splitlines()
    header = next(i for i, line in enumerate(lines) if not line.startswith("#")) + 1
    for row in range(header + samples.start, header + samples.stop):
        cells = lines[row].split(",")
        cells[1:7] = [""] * 6
        lines[row] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")


def test_short_parts_are_left_out_and_counted(tmp_path):
    parts = read_parts(with_gaps(tmp_path / "a.csv", (IMU, 0.9, 1.0), (IMU, 1.5, 1.6)))
    assert [part.provenance["part"] for part in parts] == [{"number": 1, "of": 1, "too_short": 2}]
    assert parts[0].name == "a"
    assert parts[0].duration_s == pytest.approx(6.4, abs=0.01)
    every_second = [(IMU, second - 0.1, second) for second in np.arange(0.9, 8.0, 0.9)]
    with pytest.raises(RecordingError, match=r"nothing between its gaps lasts 1 s"):
        read_parts(with_gaps(tmp_path / "b.csv", *every_second))


def test_a_part_without_a_signal_is_taken_as_it_is(tmp_path):
    """The whole channel changes; an electrode that has come off does not end the rest."""
    trigno = Trigno(seconds=6.0)
    rows = trigno.rows()
    emg = rows[trigno.header_rows :]
    edge = round(3.0 * float(EMG_RATE))
    emg[edge][6] = ""
    for row in emg[edge + 1 :]:
        row[6] = "0.0"
    first, second = read_parts(trigno.write(tmp_path / "a.csv", rows))
    assert first.emg.std() > 0.1
    assert not second.emg.any()


def test_without_gaps_it_is_the_recording(tmp_path):
    path = Trigno().write(tmp_path / "a.csv")
    (part,) = read_parts(path)
    whole = read(path)
    assert np.array_equal(part.emg, whole.emg)
    assert part.provenance == whole.provenance
    save(whole, tmp_path / "a.parquet")
    assert [one.name for one in read_parts(tmp_path / "a.parquet")] == ["a"]


def test_a_cut_off_file_is_refused_still(tmp_path):
    trigno = Trigno()
    rows = trigno.rows()
    rows[1000][0] = ""
    with pytest.raises(RecordingError, match="the file is cut off"):
        read_parts(trigno.write(tmp_path / "a.csv", rows[:2000]))


def test_the_command_writes_a_file_a_part(tmp_path, capsys):
    source = with_gaps(tmp_path / "S_a.csv", (EMG, 3.0, 3.5), (EMG, 4.0, 4.1))
    code, _, err = run(capsys, "import", source, "-o", tmp_path / "a.parquet")
    assert code == 2
    assert "no value between others" in err
    assert "--split-gaps" in err
    figures = tmp_path / "figures.json"
    words = ["import", source, "-o", tmp_path / "out" / "a.parquet", "--split-gaps"]
    code, out, _ = run(capsys, *words, "--json", figures)
    assert code == 0
    assert "too short between gaps, under 1 s, and left out: 1" in out
    assert f"2 written, 7 s in all: {tmp_path / 'out'}\n" in out
    names = ["a_part1.parquet", "a_part2.parquet"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert [row["part"]["number"] for row in json.loads(figures.read_text())["recordings"]] == [
        1,
        2,
    ]
    # What is there and no recording stays.
    (tmp_path / "out" / "a_part2.parquet").write_text("mine")
    (tmp_path / "out" / "a_part1.parquet").unlink()
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "a_part2.parquet: exists and is not a MyoWave recording" in err
    assert not (tmp_path / "out" / "a_part1.parquet").exists()


def test_parts_of_one_source_are_turned_alike(tmp_path, capsys):
    """A part with hardly a movement would not tell by itself."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in range(4):
        write_csv(replace(curl(seed), name=f"{seed}"), folder / f"{seed}.csv")
    write_csv(replace(turned(curl(4), "180z"), name="4"), folder / "4.csv")
    blank(folder / "4.csv", slice(1200, 1300))
    code, _, _ = run(capsys, "import", folder, "-o", tmp_path / "out", "--imu-only", "--split-gaps")
    assert code == 0
    turns = {
        path.stem: load(path).provenance["orientation"]["turn"]
        for path in (tmp_path / "out").iterdir()
    }
    assert turns == {**dict.fromkeys("0123", "none"), "4_part1": "180z", "4_part2": "180z"}
