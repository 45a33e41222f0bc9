"""Whole recordings: the same bytes for the same seed, people that differ, labels, refusals."""

import doctest
import json

import numpy as np
import pytest

from myowave.cli import main
from myowave.errors import ConfigError
from myowave.recording import load
from myowave.simulate import SimulationSet, draw_subject, simulate, simulate_truth, write_set


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        list(write_set(SimulationSet(6.0, 11), tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_seed_person_day_or_trial_gives_another_recording():
    first = simulate(6.0, 11)
    for other in (
        simulate(6.0, 12),
        simulate(6.0, 11, subject=2),
        simulate(6.0, 11, day=2),
        simulate(6.0, 11, trial=2),
    ):
        assert not np.array_equal(first.acc, other.acc)
        assert np.corrcoef(first.emg[:, 0], other.emg[:, 0])[0, 1] < 0.2


def test_a_person_stays_the_same_through_days_and_trials():
    first, later = simulate_truth(6.0, 11), simulate_truth(6.0, 11, day=2, trial=3)
    assert first.subject == later.subject
    assert not np.array_equal(first.session.mounting, later.session.mounting)


def test_a_second_muscle_and_another_imu_leave_the_motion_alone():
    plain = simulate_truth(6.0, 11)
    both = simulate_truth(6.0, 11, muscles=2, imu="mpu-6050")
    np.testing.assert_array_equal(plain.motion.elbow.angle, both.motion.elbow.angle)
    assert both.recording.muscles == ("biceps", "triceps")
    assert both.recording.emg.shape == (6000, 2)


def test_people_differ_in_all_that_a_model_has_to_cope_with():
    people = [draw_subject(4, number) for number in range(1, 13)]
    for field in (
        "height_m",
        "mass_kg",
        "flexion_nm",
        "load_kg",
        "curl_period_s",
        "delay_s",
        "noise",
        "emg_gain_mv",
        "emg_low_hz",
        "curl_top_rad",
    ):
        values = np.array([getattr(person, field) for person in people])
        assert len(set(values.tolist())) > 3, field
        assert values.std() > 0.01 * values.mean(), field
    assert all(0.0 < person.load_kg < 20.0 for person in people)


def test_longer_is_the_same_movement_going_on():
    short, long = simulate_truth(10.0, 11), simulate_truth(20.0, 11)
    assert [bout.kind for bout in long.bouts[: len(short.bouts)]] == [b.kind for b in short.bouts]
    assert long.recording.n_samples == 20_000


def test_every_recording_says_that_it_is_simulated(tmp_path):
    (path,) = write_set(SimulationSet(6.0, 11), tmp_path / "one.parquet")
    recording = load(path)
    assert recording.provenance["simulated"] is True
    assert recording.provenance["seed"] == 11
    assert recording.provenance["equations_version"] >= 1
    assert recording.provenance["subject"]["number"] == 1
    assert recording.subject == "sim01"
    assert recording.day == "2000-01-01"
    expected = simulate(6.0, 11)
    np.testing.assert_array_equal(recording.acc, expected.acc)
    np.testing.assert_array_equal(recording.emg, expected.emg)


def test_the_ranges_are_those_of_an_arm_not_of_a_machine():
    for subject in (1, 2, 3):
        recording = simulate(30.0, 8, subject=subject)
        norm = np.linalg.norm(recording.acc, axis=1) / 9.80665
        assert 0.5 < np.percentile(norm, 1) < 1.0
        assert 1.0 < np.percentile(norm, 99) < 2.5
        assert 60.0 < np.degrees(np.abs(recording.gyro)).max() < 600.0


def test_envelope_is_not_a_function_of_the_instantaneous_imu():
    # A linear map of the six channels of the same instant must explain little: the rest is in the
    # past, in the phase of the movement and in what the IMU never sees.
    simulation = simulate_truth(60.0, 5)
    smooth = np.convolve(np.abs(simulation.recording.emg[:, 0]), np.ones(150) / 150, "same")[::10]
    imu = np.hstack([simulation.recording.acc, simulation.recording.gyro])[::10]
    design = np.hstack([imu, np.ones((imu.shape[0], 1))])
    fitted = design @ np.linalg.lstsq(design, smooth, rcond=None)[0]
    assert np.corrcoef(fitted, smooth)[0, 1] < 0.9


def test_a_set_is_named_by_person_day_and_trial(tmp_path):
    request = SimulationSet(5.0, 3, subjects=2, days=2, flips=True)
    files = sorted(path.name for path in write_set(request, tmp_path / "set"))
    assert files == [
        "sim01_2000-01-01_1.parquet",
        "sim01_2000-01-02_1.parquet",
        "sim02_2000-01-01_1.parquet",
        "sim02_2000-01-02_1.parquet",
    ]
    flipped = [load(tmp_path / "set" / name).provenance["session"]["flipped"] for name in files]
    assert flipped == [False, True, False, True]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seconds": 1.0}, "seconds: 1, expected 5 to 3600"),
        ({"seconds": float("nan")}, "seconds: nan, expected 5"),
        ({"seed": -1}, "seed: -1"),
        ({"subjects": 0}, "subjects: 0, expected 1 to 99"),
        ({"days": 29}, "days: 29, expected 1 to 28"),
        ({"trials": 0}, "trials: 0"),
        ({"muscles": 3}, "muscles: 3, expected 1 (biceps) or 2"),
        ({"imu": "bno055"}, "unknown IMU 'bno055', expected one of icm-42688-p"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_written(arguments, words):
    with pytest.raises(ConfigError) as error:
        SimulationSet(**{"seconds": 10.0, "seed": 1, **arguments})
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_subject_number_is_refused():
    with pytest.raises(ConfigError, match="subject: 0, expected 1 to 99"):
        simulate(10.0, 1, subject=0)


def test_paths_that_cannot_take_the_recordings_are_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("occupied")
    with pytest.raises(ConfigError, match="a file, expected a folder for 2 recordings"):
        next(write_set(SimulationSet(5.0, 1, trials=2), file))
    with pytest.raises(ConfigError, match="a folder, expected a file name"):
        next(write_set(SimulationSet(5.0, 1), tmp_path))
    with pytest.raises(ConfigError, match="cannot be written"):
        next(write_set(SimulationSet(5.0, 1), file / "below" / "x.parquet"))
    assert file.read_text() == "occupied"


def test_command_writes_and_reports(tmp_path, capsys):
    out, figures = tmp_path / "sim", tmp_path / "sim.json"
    command = ["simulate", "-o", str(out), "--seconds", "5", "--seed", "4", "--trials", "2"]
    assert main([*command, "--json", str(figures)]) == 0
    written = json.loads(figures.read_text())
    assert written["simulated"] is True
    assert [load(out / f"sim01_2000-01-01_{k}.parquet").n_samples for k in (1, 2)] == [5000, 5000]
    assert len(written["files"]) == 2
    assert "2 simulated recordings of 5 s" in capsys.readouterr().out


def test_command_turns_bad_input_into_one_line(tmp_path, capsys):
    assert main(["simulate", "-o", str(tmp_path / "x"), "--seconds", "1"]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message == "myowave: error: seconds: 1, expected 5 to 3600"
    assert not (tmp_path / "x").exists()


def test_help_ends_with_an_example(capsys):
    assert main(["simulate", "--help"]) == 0
    assert "Example: myowave simulate -o" in capsys.readouterr().out


def test_the_example_in_the_docstring_runs():
    import myowave.simulate.simulator as module

    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
