"""The real recordings: every file reads, every verdict and every turned sensor is found."""

import csv
from pathlib import Path

import pytest

from myowave.orientation import align, estimate, fit_reference
from myowave.quality import inspect
from myowave.readers import read
from myowave.recording import Recording

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def rows(curls_dir: Path) -> Rows:
    with (curls_dir / "quality.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def curls(curls_dir: Path, rows: Rows) -> list[Recording]:
    return [read(curls_dir / row["file"]) for row in rows]


def test_lengths_names_and_days(rows: Rows, curls: list[Recording]) -> None:
    assert len(curls) == 38
    for row, recording in zip(rows, curls, strict=True):
        day, month, year = row["recorded"].split()[0].split("/")
        assert recording.subject == row["subject"]
        assert recording.day == f"{year}-{month}-{day}"
        assert recording.muscles == ("bicep",)
        assert recording.provenance["channels"]["emg bicep"]["samples"] == int(row["emg_n"])
        assert recording.provenance["channels"]["acc_x"]["samples"] == int(row["imu_n"])
        # The last 1 kHz sample lies within one IMU sample of the recording's end.
        assert 0 <= float(row["seconds"]) - recording.duration_s < 0.004


def test_verdicts(rows: Rows, curls: list[Recording]) -> None:
    for row, one in zip(rows, inspect(curls), strict=True):
        quality = one.emg["bicep"]
        assert one.verdict == row["quality"], row["file"]
        assert quality.rail_fraction == pytest.approx(float(row["rail_frac"]), rel=0.1, abs=1e-6)
        assert quality.below_20hz_power == pytest.approx(
            float(row["below20Hz_power_frac"]), abs=0.0006
        )
        assert quality.abs_max_mv == pytest.approx(float(row["emg_absmax_mV"]), abs=0.006)


def test_all_38_orientations(rows: Rows, curls: list[Recording]) -> None:
    found = estimate(curls)
    expected = ["none" if row["flip180z"] == "1" else "180z" for row in rows]
    # 180z relative to the group most files belong to, which quality.csv calls flipped.
    assert [one.turn for one in found] == expected
    assert all(one.certain for one in found)


def test_orientation_holds_in_subsets_and_against_a_reference(
    rows: Rows, curls: list[Recording]
) -> None:
    """Any 5 of the files, and each subject against a reference of the two others."""
    is_turned = [row["flip180z"] == "0" for row in rows]
    for start in range(0, 38, 5):
        members = [(start + 7 * k) % 38 for k in range(5)]
        found = [one.turn == "180z" for one in estimate([curls[i] for i in members])]
        truth = [is_turned[i] for i in members]
        assert found in (truth, [not turned for turned in truth])
    aligned = align(curls)
    for subject in ("A321", "P714", "T417"):
        reference = fit_reference([one for one in aligned if one.subject != subject])
        own = [i for i, one in enumerate(curls) if one.subject == subject]
        found = [one.turn == "180z" for one in estimate([curls[i] for i in own], reference)]
        assert found == [is_turned[i] for i in own], subject
