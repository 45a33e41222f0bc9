"""Does `check` see a wrong integer, and are its figures of what it says they are of?"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from myowave import check
from myowave.backends import run_int8
from myowave.cli import main
from myowave.errors import ConfigError, ParityError, RecordingError
from myowave.metrics import accuracy
from myowave.model_card import BASELINES_FILE, load_model_dir
from myowave.recording import save
from myowave.simulate import simulate

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL_DIR = REPOSITORY / "models" / "sim_biceps"


@pytest.fixture(scope="module")
def model():
    return load_model_dir(MODEL_DIR)


@pytest.fixture(scope="module")
def recordings():
    return [simulate(12.0, 1, subject=subject, day=7) for subject in (1, 2)]


def test_backends_agree_with_the_oracle_on_every_sample(model, recordings):
    card, tflite = model
    result = check.replay(card, tflite, recordings, ["tflm", "native"])
    compared = sum(r.n_samples - card.receptive_field + 1 for r in recordings)
    assert result.parity["native"].samples == compared
    assert result.parity["native"].mismatches == 0
    assert result.parity["tflm"].mismatches == 0
    result.require_parity()


def test_without_the_oracle_among_the_backends_it_still_judges(model, recordings):
    card, tflite = model
    result = check.replay(card, tflite, recordings, ["native"])
    assert result.parity["native"].samples == 2 * check.SPOT_WINDOWS  # of two recordings
    assert result.parity["native"].mismatches == 0


def test_one_wrong_sample_is_found_and_named(model, recordings, monkeypatch):
    card, tflite = model
    at = card.receptive_field + 1234

    def wrong(backend, tflite, inputs, progress=None):
        outputs = run_int8(backend, tflite, inputs, progress)
        if backend == "native":
            outputs[at] ^= 1
        return outputs

    monkeypatch.setattr(check, "run_int8", wrong)
    result = check.replay(card, tflite, recordings[:1], ["tflm", "native"])
    parity = result.parity["native"]
    assert (parity.mismatches, parity.max_abs_diff) == (1, 1)
    assert parity.first is not None
    assert parity.first.sample == at
    counts = result.replays[0].counts
    assert parity.first.inputs == card.input_scaling().apply(counts)[at].tolist()
    with pytest.raises(ParityError, match=rf"native.*sample {at}"):
        result.require_parity()


def test_a_mismatch_fails_the_command_after_the_report_is_written(
    recordings, monkeypatch, tmp_path, capsys
):
    def wrong(backend, tflite, inputs, progress=None):
        return run_int8(backend, tflite, inputs, progress) ^ np.int8(backend == "native")

    monkeypatch.setattr(check, "run_int8", wrong)
    save(recordings[0], tmp_path / "r.parquet")
    figures = tmp_path / "figures.json"
    page = tmp_path / "page.html"
    words = ["check", str(MODEL_DIR), str(tmp_path / "r.parquet"), "--on", "tflm,native"]
    assert main([*words, "--json", str(figures), "--report", str(page)]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert "sample" in error[0]
    assert json.loads(figures.read_text())["parity"]["native"]["mismatches"] > 0
    assert "differs" in page.read_text()


def test_accuracy_is_that_of_the_predictions_without_warm_up(model, recordings):
    card, tflite = model
    result = check.replay(card, tflite, recordings, ["native"])
    judged = check.judge(
        card, tflite, result.replays, check.baselines_of(MODEL_DIR / BASELINES_FILE)
    )
    item = result.replays[0]
    name = item.recording.name
    rows = slice(card.receptive_field - 1, None)
    expected = accuracy(item.envelope[rows, 0], judged.recorded[name][rows, 0])
    assert judged.muscles["biceps"].of_recordings[name] == expected
    figures = judged.to_json()
    assert set(figures["baselines"]) == {"ridge", "swap", "mean_curve"}
    # Days the card does not know: what 1.0 is had to come from the recordings themselves.
    assert figures["reference_measured_on"]
    model_r = figures["accuracy"]["biceps"]["r"]
    assert model_r > figures["baselines"]["swap"]["biceps"]["r"] + 0.3
    assert model_r > figures["baselines"]["mean_curve"]["biceps"]["r"] + 0.3


def test_recordings_without_emg_have_parity_and_no_accuracy(model, recordings):
    card, tflite = model
    silent = dataclasses.replace(recordings[0], emg=recordings[0].emg[:, :0], muscles=())
    result = check.replay(card, tflite, [silent], ["native"])
    assert result.parity["native"].mismatches == 0
    assert check.judge(card, tflite, result.replays).muscles == {}


def test_what_cannot_be_checked_is_named(model, recordings):
    card, tflite = model
    with pytest.raises(ConfigError, match="unknown backend 'gpu'"):
        check.replay(card, tflite, recordings, ["gpu"])
    with pytest.raises(ConfigError, match="no backend"):
        check.replay(card, tflite, recordings, [])
    short = recordings[0]
    short = dataclasses.replace(
        short, acc=short.acc[:500], gyro=short.gyro[:500], emg=short.emg[:500]
    )
    with pytest.raises(ConfigError, match="receptive field"):
        check.replay(card, tflite, [short], ["native"])
    other = dataclasses.replace(recordings[0], muscles=("soleus",))
    result = check.replay(card, tflite, [other], ["native"])
    with pytest.raises(RecordingError, match="biceps"):
        check.judge(card, tflite, result.replays)


def test_real_recordings_agree_too(model, curls_dir):
    card, tflite = model
    recordings = check.load_recordings([curls_dir / "A321_15_13.csv"], card)
    result = check.replay(card, tflite, recordings, ["tflm", "native"])
    assert result.parity["native"].samples > 30_000
    assert result.parity["native"].mismatches == 0


def test_without_the_oracle_the_first_backend_stands_in_for_every_sample(
    model, recordings, monkeypatch
):
    card, tflite = model
    at = card.receptive_field + 777

    def wrong(backend, tflite, inputs, progress=None):
        outputs = run_int8("native", tflite, inputs, progress)
        if backend == "cortex-m4":
            outputs[at] ^= 1
        return outputs

    monkeypatch.setattr(check, "run_int8", wrong)
    result = check.replay(card, tflite, recordings[:1], ["native", "cortex-m4"])
    assert result.parity["native"].samples == check.SPOT_WINDOWS
    parity = result.parity["cortex-m4"]
    assert parity.samples == recordings[0].n_samples - card.receptive_field + 1
    assert parity.first is not None
    assert (parity.first.sample, parity.first.reference) == (at, "native")


def test_whether_figures_are_simulated_is_up_to_the_recordings(model, recordings):
    card, tflite = model
    assert check.replay(card, tflite, recordings[:1], ["native"]).simulated
    real = dataclasses.replace(recordings[0], provenance={})
    assert not check.replay(card, tflite, [real], ["native"]).simulated


def test_a_recording_named_twice_is_refused(model, recordings, tmp_path):
    card, _ = model
    save(recordings[0], tmp_path / "r.parquet")
    with pytest.raises(RecordingError, match="each name once"):
        check.load_recordings([tmp_path / "r.parquet", tmp_path / "r.parquet"], card)
