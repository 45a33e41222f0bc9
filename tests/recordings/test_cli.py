"""The commands `import` and `inspect`: what they write, print and refuse."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from myowave.cli import main
from myowave.recording import load, save

from .files import Trigno, emg_sensor, imu_sensor, ninapro, opensignals


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_one_source_goes_to_the_file_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Trigno().write(tmp_path / "S1_10_1.csv")
    target = tmp_path / "out" / "a.parquet"
    code, out, _ = run(
        capsys, "import", source, "-o", target, "--muscle", "biceps", "--json", tmp_path / "j"
    )
    assert code == 0
    recording = load(target)
    assert (recording.subject, recording.day) == ("S1", "2025-01-29")
    assert recording.muscles == ("biceps",)
    assert "1 written" in out
    (row,) = json.loads((tmp_path / "j").read_text())["recordings"]
    assert row["file"] == str(target)
    assert row["samples"] == recording.n_samples
    assert row["turn"] is None


def test_a_folder_goes_to_a_folder_and_turned_sensors_are_put_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        writer = Trigno(sensors=(imu_sensor(shift=0.05 * number), emg_sensor()), seconds=12.0)
        rows = writer.rows()
        if number == 2:
            for row in rows[7:]:
                for column in (0, 1, 3, 4):
                    if row[column]:
                        row[column] = f"{-float(row[column]):.7f}"
        writer.write(folder / f"S1_{number}.csv", rows)
    (folder / "notes.txt").write_text("not a recording\n")
    code, out, _ = run(capsys, "import", folder, "-o", tmp_path / "out", "--json", tmp_path / "j")
    assert code == 0
    assert "4 written" in out
    rows_json = json.loads((tmp_path / "j").read_text())["recordings"]
    assert [row["turn"] for row in rows_json] == ["none", "none", "180z", "none"]
    recording = load(tmp_path / "out" / "S1_2.parquet")
    assert recording.provenance["orientation"]["turn"] == "180z"
    assert recording.acc[:, 0].mean() > 0
    kept = tmp_path / "kept"
    assert run(capsys, "import", folder, "-o", kept, "--keep-orientation")[0] == 0
    assert load(kept / "S1_2.parquet").acc[:, 0].mean() < 0
    single = tmp_path / "single.parquet"
    code, _, _ = run(
        capsys, "import", folder / "S1_2.csv", "-o", single, "--like", tmp_path / "out"
    )
    assert code == 0
    assert load(single).provenance["orientation"]["turn"] == "180z"

    code, out, _ = run(
        capsys, "inspect", kept, "--json", tmp_path / "i", "--plot", tmp_path / "p.png"
    )
    assert code == 0
    assert "S1_2" in out
    assert "180z" in out
    assert (tmp_path / "p.png").stat().st_size > 10_000
    inspected = json.loads((tmp_path / "i").read_text())["recordings"]
    assert [one["orientation"]["turn"] for one in inspected] == ["none", "none", "180z", "none"]


def test_inspect_compares_one_recording_with_others_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "good"
    for number in range(2):
        source = Trigno(seconds=6.0).write(tmp_path / f"{number}.csv")
        assert run(capsys, "import", source, "-o", good / f"{number}.parquet")[0] == 0
    recording = load(good / "0.parquet")
    turned = replace(recording, acc=recording.acc * [-1, -1, 1], gyro=recording.gyro * [-1, -1, 1])
    save(turned, tmp_path / "turned.parquet")
    arguments = ("inspect", tmp_path / "turned.parquet", "--json", tmp_path / "j")
    assert run(capsys, *arguments, "--like", good)[0] == 0
    (one,) = json.loads((tmp_path / "j").read_text())["recordings"]
    assert one["orientation"]["turn"] == "180z"
    assert run(capsys, *arguments)[0] == 0
    (one,) = json.loads((tmp_path / "j").read_text())["recordings"]
    assert one["orientation"] == {"turn": "none", "margin": 0.0, "certain": False}


def test_options_reach_the_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "r.parquet"
    plux = opensignals(tmp_path / "a.txt")
    options: tuple[str, ...]
    options = ("--allow-missing-gyro", "--acc-calibration", "25000:38000", "--subject", "S9")
    assert run(capsys, "import", plux, "-o", target, *options)[0] == 0
    assert load(target).subject == "S9"
    mat = ninapro(tmp_path / "b.mat", gyro=True)
    options = ("--imu-sensor", "biceps", "--emg-sensor", "biceps", "--emg-sensor", "triceps")
    assert run(capsys, "import", mat, "-o", target, *options, "--day", "2014-05-06")[0] == 0
    assert load(target).muscles == ("biceps", "triceps")
    assert load(target).day == "2014-05-06"
    american = Trigno(recorded="05/02/2025 10:00:00").write(tmp_path / "c.csv")
    assert run(capsys, "import", american, "-o", target, "--date-order", "mdy")[0] == 0
    assert load(target).day == "2025-05-02"


def test_inspect_reads_sources_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = Trigno(seconds=5.0).write(tmp_path / "S1_10_1.csv")
    code, out, _ = run(capsys, "inspect", source)
    assert code == 0
    assert "S1_10_1" in out
    assert "2148" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import", "absent.csv", "-o", "x"), "absent.csv: no such file or folder"),
        (("import", "bad.csv", "-o", "x.parquet"), "bad.csv: unknown format"),
        (("import", "good.csv", "-o", "x", "--day", "5.2.25"), "--day 5.2.25: expected a date"),
        (("import", "good.csv", "-o", "x", "--date-order", "ymd"), "--date-order ymd"),
        (("import", "good.csv", "-o", "x", "--acc-calibration", "5"), "expected LOW:HIGH"),
        (("import", "good.csv", "-o", "x", "--rate-hz", "0"), "--rate-hz 0"),
        (("import", "good.csv", "good.csv", "-o", "x"), "two sources would go to this file"),
        (
            ("import", "good.csv", "bad.csv", "-o", "bad.csv"),
            "bad.csv: is a file, expected a folder",
        ),
        (("import", "good.csv", "-o", "good.csv"), "good.csv: is a source"),
        (("import", "good.csv", "-o", "link.csv"), "link.csv: is a source"),
        (
            ("import", "good.csv", "-o", "bad.csv"),
            "bad.csv: exists and is not a MyoWave recording, so it is not replaced; name another",
        ),
        (
            ("simulate", "-o", "bad.csv", "--seconds", "5"),
            "bad.csv: exists and is not a MyoWave recording",
        ),
        (
            ("import", "good.csv", "-o", "/proc/x.parquet"),
            "/proc/x.parquet: cannot be written (No such file or directory), expected a file name",
        ),
        (("inspect", "good.csv", "--plot", "p.doc"), "p.doc: picture format"),
        (("inspect", "good.csv", "--plot", "/proc/p.png"), "/proc/p.png: cannot be written"),
        (("inspect", "good.csv", "--json", "."), ".: is a folder, expected a file name"),
        (("inspect", "bad.csv"), "bad.csv: unknown format"),
    ],
)
def test_faults_are_one_line_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Trigno().write(tmp_path / "good.csv")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    (tmp_path / "link.csv").symlink_to("good.csv")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert not out, "refused after the work, expected before it"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    line = err.strip().splitlines()[-1]
    assert line.startswith("myowave: error: ")
    assert message in line
    assert "Traceback" not in err


def test_a_recording_may_be_imported_again_but_not_over_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Trigno().write(tmp_path / "S1_10_1.csv")
    target = tmp_path / "r.parquet"
    assert run(capsys, "import", source, "-o", target)[0] == 0
    assert run(capsys, "import", source, "-o", target, "--muscle", "biceps")[0] == 0
    assert load(target).muscles == ("biceps",)
    before = target.read_bytes()
    code, _, err = run(capsys, "import", tmp_path / "r.parquet", "-o", tmp_path)
    assert code == 2
    assert "r.parquet: is a source" in err
    assert target.read_bytes() == before


def test_an_unknown_day_and_subject_are_told_with_their_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Trigno(recorded="99/99/2025 10:00:00").write(tmp_path / "curls.csv")
    target = tmp_path / "r.parquet"
    code, out, _ = run(capsys, "import", source, "-o", target)
    assert code == 0
    assert (
        "warning: no day known for curls (no date: '99/99/2025 10:00:00'); splits and "
        "normalization go by day, name it with --day YYYY-MM-DD\n"
    ) in out
    assert "warning: no subject known for curls; " in out
    assert "--subject" in out
    code, out, _ = run(
        capsys, "import", source, "-o", target, "--day", "2025-01-29", "--subject", "S1"
    )
    assert code == 0
    assert "warning" not in out


def test_an_unrecognised_column_is_named_beside_the_missing_channel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = Trigno().rows()
    rows[5][5] = "FOO Z (deg/s)"
    source = Trigno().write(tmp_path / "a.csv", rows)
    code, _, err = run(capsys, "import", source, "-o", tmp_path / "r.parquet")
    assert code == 2
    assert "missing channel GYRO Z" in err
    assert "not recognised are 'FOO Z (deg/s)'" in err
    assert "--allow-missing-gyro" in err
