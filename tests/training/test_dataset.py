"""Nothing of the recordings that judge reaches the training."""

import dataclasses

import numpy as np
import pytest

from myowave.dataset import (
    ChunkSampler,
    Series,
    channel_scales,
    common_muscles,
    fit_reference,
    split_recordings,
    to_series,
)
from myowave.errors import ConfigError, RecordingError
from myowave.train_config import SplitConfig, TargetConfig, config_from_dict


@pytest.fixture(scope="module")
def recordings(make_recording):
    return [
        make_recording(
            f"{subject}-{day}-{trial}",
            subject,
            f"2025-01-0{day}",
            seconds=3.0,
            recorded=f"2025-01-0{day}T10:0{trial}:00",
        )
        for subject in ("S1", "S2", "S3")
        for day in (1, 2)
        for trial in (1, 2, 3)
    ]


def group_of(recording, by):
    return {
        "recording": recording.name,
        "day": (recording.subject, recording.day),
        "subject": recording.subject,
    }[by]


@pytest.mark.parametrize("by", ["recording", "day", "subject"])
@pytest.mark.parametrize("seed", range(8))
def test_splits_hold_every_recording_once_and_never_divide_a_group(recordings, by, seed):
    split = split_recordings(recordings, SplitConfig(by=by), seed)
    everyone = split.train + split.validation + split.test
    assert sorted(r.name for r in everyone) == sorted(r.name for r in recordings)
    assert split.train and split.validation and split.test
    tested = {group_of(recording, by) for recording in split.test}
    assert not tested & {group_of(recording, by) for recording in split.fitted}


def test_splits_depend_on_the_seed_alone(recordings):
    config = SplitConfig(by="recording")
    names = [split_recordings(recordings, config, seed).names() for seed in (0, 0, 1, 2, 3)]
    assert names[0] == names[1]
    assert any(other != names[0] for other in names[2:])


def test_first_recording_of_a_day_is_kept_for_training(recordings):
    for seed in range(8):
        split = split_recordings(recordings, SplitConfig(test_share=0.5), seed)
        assert not [r.name for r in split.test + split.validation if r.name.endswith("-1")]


def test_named_groups(recordings):
    config = SplitConfig(by="day", test=("S2/2025-01-02",), validation=("S1-1-3",))
    split = split_recordings(recordings, config, 0)
    assert {r.name for r in split.test} == {"S2-2-1", "S2-2-2", "S2-2-3"}
    assert [r.name for r in split.validation] == ["S1-1-3"]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (SplitConfig(test=("S9",)), "split.test 'S9': no such recording or group"),
        (SplitConfig(by="subject", test=("S1",), validation=("S1-1-1",)), "in test and in valid"),
        (SplitConfig(by="subject", test=("S1", "S2", "S3")), "leave none to train on"),
    ],
)
def test_splits_that_cannot_be(recordings, config, reason):
    with pytest.raises(ConfigError, match=reason):
        split_recordings(recordings, config, 0)


@pytest.mark.parametrize(
    ("count", "config", "expected"),
    [
        (1, SplitConfig(), "1 recording, expected at least 3 to hold out validation and test; set"),
        (
            2,
            SplitConfig(),
            "1 recording left to train on, expected at least 2 to hold out validation",
        ),
        (1, SplitConfig(validation_share=0.0), "1 recording, expected at least 2 to hold out test"),
        (1, SplitConfig(test_share=0.0), "1 recording left to train on, expected at least 2 to h"),
        (3, SplitConfig(by="day"), "3 recordings of 1 day, expected at least 2 days to hold out t"),
        (6, SplitConfig(by="subject"), "6 recordings of 1 subject, expected at least 2 subjects"),
        (2, SplitConfig(test=("S1-1-1",)), "1 recording left to train on, expected at least 2"),
    ],
)
def test_nobody_to_judge_is_refused_unless_asked_for(recordings, count, config, expected):
    with pytest.raises(ConfigError, match=expected) as caught:
        split_recordings(recordings[:count], config, 0)
    assert "share = 0 to train without" in str(caught.value)
    without = dataclasses.replace(config, test_share=0.0, validation_share=0.0)
    split = split_recordings(recordings[:count], without, 0)
    assert len(split.train) == count - len(config.test)


def test_three_recordings_are_enough_for_a_split(recordings):
    split = split_recordings(recordings[:3], SplitConfig(), 0)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [1, 1, 1]


def test_names_must_differ(recordings):
    with pytest.raises(RecordingError, match="two recordings are named 'S1-1-1'"):
        split_recordings([*recordings, recordings[0]], SplitConfig(), 0)


@pytest.mark.parametrize("method", ["percentile:99", "mvc", "calibration:60:99"])
def test_references_of_training_days_ignore_the_test_recordings(recordings, method):
    config = SplitConfig(by="recording", test=("S1-1-2", "S1-1-3"))
    louder = [
        dataclasses.replace(r, emg=10.0 * r.emg) if r.name in config.test else r for r in recordings
    ]
    target = TargetConfig(reference=method)
    before, after = (
        fit_reference(split_recordings(rs, config, 0), target) for rs in (recordings, louder)
    )
    assert before.values_mv == after.values_mv


def test_unseen_day_is_calibrated_on_its_first_recording(recordings):
    config = SplitConfig(by="day", test=("S1/2025-01-02",))
    split = split_recordings(recordings, config, 0)
    reference = fit_reference(split, TargetConfig(reference="percentile:99"))
    key = ("S1", "2025-01-02", "biceps")
    louder = [
        dataclasses.replace(r, emg=10.0 * r.emg) if r.name == "S1-2-2" else r for r in recordings
    ]
    again = fit_reference(
        split_recordings(louder, config, 0), TargetConfig(reference="percentile:99")
    )
    assert again.values_mv[key] == reference.values_mv[key]


def test_delay_shifts_the_target(recordings):
    split = split_recordings(recordings, SplitConfig(), 0)
    plain, late = (TargetConfig(delay_ms=delay) for delay in (0, 40))
    one = to_series(recordings[0], fit_reference(split, plain), plain, ("biceps",)).target
    other = to_series(recordings[0], fit_reference(split, late), late, ("biceps",)).target
    assert other.shape == one.shape
    np.testing.assert_array_equal(other[40:], one[:-40])


def test_muscles_in_common(make_recording):
    both = make_recording("both", muscles=("biceps", "triceps"), seconds=1.0)
    one = make_recording("one", muscles=("triceps",), seconds=1.0)
    other = make_recording("other", muscles=("deltoid",), seconds=1.0)
    assert common_muscles([both, one], ()) == ("triceps",)
    assert common_muscles([both], ("triceps", "biceps")) == ("triceps", "biceps")
    reason = r"'one': no muscle 'biceps', it has triceps \(import with --muscle biceps\)"
    with pytest.raises(RecordingError, match=reason):
        common_muscles([both, one], ("biceps",))
    with pytest.raises(RecordingError, match="no muscle in common"):
        common_muscles([both, other], ())


def counting_series(name, n, offset):
    """IMU and target both tell the sample's number, so that alignment can be read off."""
    number = np.arange(n, dtype=np.float32)
    imu = np.tile(((number + offset) / 1e5)[:, None], (1, 6))
    return Series(name, imu, (number + offset)[:, None])


def sampler_config(**augment):
    return config_from_dict(
        {
            "network": {"dilations": [8, 16], "front_kernel": 4},
            "fit": {"batch": 8, "chunk_ms": 64},
            "augment": augment,
        }
    )


def test_examples_are_aligned_to_the_sample_and_come_from_the_given_series_alone():
    config = sampler_config(rotation_z_rad=0.0, tilt_rad=0.0, time_stretch=0.0)
    series = [counting_series("a", 400, 0), counting_series("b", 30, 50_000)]
    sampler = ChunkSampler(series, np.ones(6), config, np.random.default_rng(0))
    seen = set()
    for _ in range(20):
        batch = sampler.draw()
        assert batch.inputs.shape == (8, config.network.phase_samples(8), 1, 6)
        assert batch.targets.shape == (8, 8, 1)
        assert batch.weights.shape == (8, 8)
        ends = batch.inputs[:, config.network.receptive_field - 1 :: 8, 0, 0] * 1e5
        inside = batch.weights > 0.0
        # Starts are fractions of a sample; the nearest target is at most half a sample away.
        np.testing.assert_allclose(ends[inside], batch.targets[..., 0][inside], atol=0.6)
        np.testing.assert_allclose(np.diff(ends[:, -2:]), 8.0, atol=0.1)
        seen |= set((batch.targets[inside] >= 50_000).ravel().tolist())
    # The second one is shorter than an example and serves all the same.
    assert seen == {False, True}


def test_augmentation_keeps_the_length_of_vectors():
    config = sampler_config(rotation_z_rad=0.5, tilt_rad=0.5, time_stretch=0.0)
    rng = np.random.default_rng(0)
    imu = np.tile(np.array([1.0, 2.0, 2.0, 3.0, 0.0, 4.0], np.float32), (500, 1))
    series = [Series("a", imu, np.zeros((500, 1), np.float32))]
    batch = ChunkSampler(series, np.full(6, 10.0), config, rng).draw()
    np.testing.assert_allclose(np.linalg.norm(batch.inputs[..., :3], axis=-1), 0.3, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(batch.inputs[..., 3:], axis=-1), 0.5, atol=1e-5)
    assert np.ptp(batch.inputs[:, 0, 0, 0]) > 0.01


def test_faster_playing_turns_faster():
    config = sampler_config(rotation_z_rad=0.0, tilt_rad=0.0, time_stretch=0.3)
    rng = np.random.default_rng(0)
    n = 2_000
    angle = np.linspace(0.0, 1.0, n)
    imu = np.zeros((n, 6), np.float32)
    imu[:, 0] = angle
    imu[:, 3] = np.gradient(angle) * 1000.0
    series = [Series("a", imu, np.zeros((n, 1), np.float32))]
    batch = ChunkSampler(series, np.full(6, 1.0), config, rng).draw()
    inside = batch.inputs[:, 60:, 0]
    slope = np.diff(inside[..., 0], axis=1).mean(axis=1) * 1000.0
    np.testing.assert_allclose(slope, inside[..., 3].mean(axis=1), rtol=0.02)
    assert np.ptp(slope) > 0.05


def test_channel_scales_cover_the_data_and_leave_room_for_other_mountings():
    rng = np.random.default_rng(0)
    imu = rng.standard_normal((50_000, 6)).astype(np.float32) * [9.0, 3.0, 0.1, 2.0, 0.0, 0.5]
    scales = channel_scales(
        [Series("a", imu.astype(np.float32), np.zeros((50_000, 1), np.float32))]
    )
    assert np.all(scales > np.percentile(np.abs(imu), 99.9, axis=0))
    np.testing.assert_allclose(scales[2], scales[0] / 2, rtol=1e-3)
    np.testing.assert_allclose(scales[4], scales[3] / 2, rtol=1e-3)
    with pytest.raises(RecordingError, match="zero throughout"):
        channel_scales([Series("a", np.zeros((10, 6), np.float32), np.zeros((10, 1), np.float32))])
