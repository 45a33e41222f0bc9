"""From recordings to a model directory."""

import dataclasses
import json
import shutil
import signal

import numpy as np
import pytest

from myowave import recording as recording_file
from myowave.baselines import load_baselines
from myowave.cli import main
from myowave.engine import NativeEngine
from myowave.errors import ModelError, RecordingError
from myowave.imu import imu_by_name, to_counts
from myowave.model_card import ModelCard, load_model_dir
from myowave.network import load_model, predict_stream
from myowave.train import select_by_quality, train

FILES = {
    "model.keras",
    "model.tflite",
    "model.json",
    "model_data.h",
    "model_data.c",
    "baselines.npz",
    "report.html",
}


@pytest.fixture(scope="module")
def recordings(make_recording):
    return [
        make_recording(
            f"{subject}-{trial}", subject, simulated=True, recorded=f"2025-01-01T10:0{trial}:00"
        )
        for subject in ("S1", "S2")
        for trial in (1, 2, 3)
    ]


@pytest.fixture(scope="module")
def result(recordings, tiny_config, tmp_path_factory):
    return train(recordings, tmp_path_factory.mktemp("train") / "model", tiny_config)


def test_directory_is_whole_and_vouched_for(result):
    assert {path.name for path in result.folder.iterdir()} >= FILES
    card, tflite = load_model_dir(result.folder)
    assert card == result.card
    assert card.simulated
    assert card.muscles == ("biceps",)
    assert NativeEngine(tflite).receptive_field == card.receptive_field
    assert card.training["split"] == result.split.names()
    assert "sha256" in (result.folder / "model_data.h").read_text().lower()
    ModelCard.from_json(json.loads(json.dumps(card.to_json())))


def test_the_card_is_enough_to_run_the_model_from_raw_counts(result, recordings):
    card, tflite = load_model_dir(result.folder)
    trial = recordings[0]
    counts = to_counts(trial.acc, trial.gyro, imu_by_name(card.imu))
    predicted = card.envelope_of(NativeEngine(tflite).run(card.input_scaling().apply(counts)))

    model = load_model(result.folder / "model.keras")
    imu = np.hstack([trial.acc, trial.gyro]) / np.array(card.channel_scale)
    expected = predict_stream(model, np.clip(imu, -1.0, 1.0).astype(np.float32))
    rows = slice(card.receptive_field, None)
    assert np.corrcoef(predicted[rows, 0], expected[rows, 0])[0, 1] > 0.98
    error = np.sqrt(np.mean((predicted[rows] - expected[rows]) ** 2))
    assert error < 0.1 * expected[rows].max()


def test_it_learned_more_than_the_rhythm(result):
    figures = result.accuracy.to_json()
    assert figures["accuracy"]["biceps"]["r"] > 0.8
    assert figures["baselines"]["swap"]["biceps"]["r"] < figures["accuracy"]["biceps"]["r"] - 0.3
    assert set(figures["baselines"]) == {"ridge", "swap", "mean_curve"}
    assert result.replay.parity["native"].mismatches == 0
    assert result.card.metrics["int8"] == figures["accuracy"]
    assert load_baselines(result.folder / "baselines.npz").intercept.shape == (1,)


def test_report_says_that_data_are_simulated(result):
    page = (result.folder / "report.html").read_text()
    assert "<strong>simulated</strong>" in page
    assert page.count("<svg") >= 3
    for recording in result.split.test:
        assert f"{recording.name} (simulated" in page


def test_a_changed_tflite_is_noticed(result, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(result.folder, folder)
    tflite = bytearray((folder / "model.tflite").read_bytes())
    tflite[-1] ^= 1
    (folder / "model.tflite").write_bytes(tflite)
    with pytest.raises(ModelError, match="SHA-256"):
        load_model_dir(folder)


def test_a_refused_run_leaves_the_older_model_alone(result, recordings, tiny_config):
    before = {path.name: path.read_bytes() for path in result.folder.iterdir()}
    short = dataclasses.replace(
        recordings[0],
        acc=recordings[0].acc[:500],
        gyro=recordings[0].gyro[:500],
        emg=recordings[0].emg[:500],
        name="short",
    )
    with pytest.raises(RecordingError, match=r"recording 'short': 0\.5 s"):
        train([*recordings, short], result.folder, tiny_config)
    assert {path.name: path.read_bytes() for path in result.folder.iterdir()} == before


def test_flipped_sensors_are_turned_before_training(recordings, tiny_config, tmp_path):
    turned = [
        dataclasses.replace(r, acc=r.acc * [-1.0, -1.0, 1.0], gyro=r.gyro * [-1.0, -1.0, 1.0])
        if r.name == "S2-2"
        else r
        for r in recordings
    ]
    quick = dataclasses.replace(tiny_config, fit=dataclasses.replace(tiny_config.fit, steps=2))
    result = train(turned, tmp_path / "model", quick)
    turns = {
        r.name: r.provenance["orientation"]["turn"] for r in result.split.fitted + result.split.test
    }
    assert turns.pop("S2-2") == "180z"
    assert set(turns.values()) == {"none"}


def test_bad_recordings_are_left_out_and_named(recordings):
    clipped = dataclasses.replace(
        recordings[0], name="clipped", emg=np.clip(10 * recordings[0].emg, -5.5, 5.5)
    )
    kept, left_out = select_by_quality([*recordings, clipped], ("ok",))
    assert [r.name for r in kept] == [r.name for r in recordings]
    assert set(left_out) == {"clipped"}
    with pytest.raises(RecordingError, match=r"no recording has a verdict .*'clipped'"):
        select_by_quality([clipped], ("ok",))


def test_recordings_without_emg_are_refused(recordings, tiny_config, tmp_path):
    silent = dataclasses.replace(
        recordings[0], emg=np.zeros((recordings[0].n_samples, 0)), muscles=()
    )
    with pytest.raises(RecordingError, match="no sEMG to learn from"):
        train([silent], tmp_path / "model", tiny_config)
    with pytest.raises(RecordingError, match="no recordings"):
        train([], tmp_path / "model", tiny_config)


def test_ctrl_c_still_exports(recordings, tiny_config, tmp_path):
    def press(progress):
        if progress.step == 12:
            signal.raise_signal(signal.SIGINT)

    result = train(recordings, tmp_path / "model", tiny_config, press)
    card, _ = load_model_dir(tmp_path / "model")
    assert result.fitted.interrupted and card.training["interrupted"]
    assert "ended by Ctrl-C" in (tmp_path / "model" / "report.html").read_text()


def test_command(recordings, tmp_path, capfd):
    folder = tmp_path / "recordings"
    for item in recordings:
        recording_file.save(item, folder / f"{item.name}.parquet")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        "[network]\nchannels = 4\ndilations = [8, 16]\nfront_kernel = 8\n"
        "[fit]\nsteps = 4\nbatch = 2\nchunk_ms = 256\nevaluate_every = 2\n"
        "[export]\nrepresentative_windows = 12\nverification_windows = 4\n"
    )
    figures = tmp_path / "figures.json"
    arguments = ["train", str(folder), "-o", str(tmp_path / "model"), "--config", str(recipe)]
    assert main([*arguments, "--json", str(figures)]) == 0
    told = json.loads(figures.read_text())
    assert told["simulated"] is True
    assert set(told["accuracy"]["biceps"]) >= {"r", "r2", "peak_ratio"}
    assert set(told["baselines"]) == {"ridge", "swap", "mean_curve"}

    recipe.write_text("[fit]\nstep = 4\n")
    capfd.readouterr()
    assert main(arguments) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "unknown key 'fit.step'" in error
