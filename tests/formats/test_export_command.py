"""`myowave export` as a person calls it."""

import json
from pathlib import Path

import pytest

from myowave.cli import main
from myowave.recording import load


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_export_and_import(
    gappy_log: Path, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "session.edf"
    figures = tmp_path / "figures.json"
    code, out, _ = run(capsys, "export", gappy_log, "-o", path, "--json", figures)
    assert code == 0
    assert "3.000 s of acc_x, acc_y, acc_z, gyro_x, gyro_y, gyro_z, envelope muscle 0" in out
    assert "0.050 s of it missing" in out
    found = json.loads(figures.read_text())
    assert found["samples"] == 3000
    assert found["missing_samples"]["acc"] == 50
    assert found["facts"]["imu"] == "icm-42688-p"
    code, _, err = run(capsys, "import", path, "--imu-only", "-o", tmp_path / "a.parquet")
    assert code == 2
    assert "no value between others" in err
    code, _, _ = run(capsys, "export", log, "-o", path, "--subject", "S5", "--name", "curls")
    assert code == 0
    code, _, _ = run(capsys, "import", path, "--imu-only", "-o", tmp_path / "a.parquet")
    assert code == 0
    assert (load(tmp_path / "a.parquet").subject, load(tmp_path / "a.parquet").name) == (
        "S5",
        "curls",
    )


def test_a_part_is_exported(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "part.csv"
    code, out, _ = run(capsys, "export", log, "-o", path, "--begin", 0.5, "--end", 2)
    assert code == 0
    assert "1.500 s of acc_x" in out
    code, _, err = run(capsys, "export", log, "-o", path, "--begin", 2, "--end", 1)
    assert code == 2
    assert "3.000 s long, nothing from 2 to 1 s" in err


def test_export_into_a_dataset_and_import_all_of_it(
    log: Path, recording_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "study"
    code, out, _ = run(
        capsys, "export", log, "--bids", root, "--subject", "S1", "--task", "curls",
        "--session", "1", "--bids-run", 2,
    )  # fmt: skip
    assert code == 0
    assert "sub-S1_ses-1_task-curls_tracksys-imu_run-2_motion.tsv" in out
    assert run(capsys, "export", recording_file, "--bids", root)[0] == 0
    folder = tmp_path / "imported"
    code, out, _ = run(capsys, "import", root, "--imu-only", "--keep-orientation", "-o", folder)
    assert code == 0
    assert "2 written" in out
    assert {load(path).subject for path in folder.iterdir()} == {"S1", "Zoë K"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-o", "a.xlsx"), "a.xlsx: unknown ending, expected one of .csv, .parquet"),
        ((), "expected either -o FILE or --bids DIR"),
        (("-o", "a.csv", "--bids", "b"), "expected either -o FILE or --bids DIR"),
        (("-o", "a.csv", "--day", "monday"), "--day monday: expected a date"),
        (("-o", "a.csv", "--run", "2"), "no run 2, the log holds 1"),
        (("-o", "theirs.csv"), "theirs.csv: exists and is no MyoWave CSV file"),
        (("--bids", "b", "--task", "a_b"), "--task 'a_b': BIDS takes letters and digits only"),
        (("--bids", "theirs.csv"), "theirs.csv: is a file, expected a folder"),
    ],
)
def test_refusals(  # noqa: PLR0917
    log: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("theirs.csv").write_text("a,b\n")
    code, _, err = run(capsys, "export", log, *arguments)
    assert code == 2
    assert expected in err
    assert err.count("\n") == 1
    assert Path("theirs.csv").read_text() == "a,b\n"
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.csv"]


@pytest.mark.parametrize("package", ["edfio", "pyxdf"])
def test_a_missing_package_is_named(
    log: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    package: str,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "a.xdf").write_bytes(b"XDF:")
    command = ("export", log, "-o", tmp_path / "a.edf")
    if package == "pyxdf":
        command = ("import", tmp_path / "a.xdf", "-o", tmp_path / "a.parquet")
    code, _, err = run(capsys, *command)
    assert code == 2
    assert f"need the package {package}: pip install '.[formats]' in the clone" in err
