"""The recorded sEMG beside a board that plays its recording."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from myowave.dataset import to_series
from myowave.envelope import Reference
from myowave.errors import LinkError, RecordingError
from myowave.live.recorded_emg import RecordedEmg, recording_beside
from myowave.model_card import ModelCard, load_card
from myowave.paths import REPOSITORY
from myowave.recording import Recording, save
from myowave.train_config import config_from_dict
from myowave.virtual import VirtualBoard, virtual_board

SECONDS = 4


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return load_card(REPOSITORY / "models" / "sim_biceps")


def recording(muscles: tuple[str, ...] = ("biceps",), subject: str = "sim02") -> Recording:
    rng = np.random.default_rng(3)
    n = 1000 * SECONDS
    bursts = 0.2 * (1.0 + np.sin(np.arange(n) / 300.0))[:, None]
    return Recording(
        acc=np.tile([0.0, 0.0, 9.8], (n, 1)),
        gyro=np.zeros((n, 3)),
        emg=rng.normal(0.0, 1.0, (n, len(muscles))) * bursts,
        muscles=muscles,
        subject=subject,
        day="2000-01-01",
        name="curls",
    )


@pytest.mark.parametrize("delay_ms", [0, 50])
def test_it_is_the_target_the_model_was_taught(card, delay_ms):
    late = dataclasses.replace(card, target={**card.target, "delay_ms": delay_ms})
    target = dataclasses.replace(
        config_from_dict(card.training["config"]).target, delay_ms=delay_ms
    )
    reference = Reference.from_json(card.normalization)
    taught = to_series(recording(), reference, target, card.muscles).target
    shown = RecordedEmg(recording(), late).at(np.arange(len(taught)))
    # What lies before the recording is held in training, and not known here.
    assert np.isnan(shown[:delay_ms]).all()
    assert shown[delay_ms:].astype(np.float32) == pytest.approx(taught[delay_ms:])


def test_a_board_that_plays_in_a_loop_counts_on(card):
    emg = RecordedEmg(recording(), card)
    once = emg.at(np.arange(1000 * SECONDS))
    assert np.array_equal(emg.at(np.arange(1000 * SECONDS) + 3 * 1000 * SECONDS), once)
    assert np.isnan(emg.at(np.array([-1]))).all()


def test_other_muscles_are_left_out_and_missing_ones_unknown(card):
    alone = RecordedEmg(recording(), card).at(np.arange(100))
    two = dataclasses.replace(card, muscles=("triceps", "biceps"))
    shown = RecordedEmg(recording(), two).at(np.arange(100))
    assert np.isnan(shown[:, 0]).all()
    assert np.array_equal(shown[:, 1], alone[:, 0])
    with pytest.raises(RecordingError, match=r"sEMG of deltoid, expected one of .* biceps"):
        RecordedEmg(recording(("deltoid",)), card)


def test_a_stranger_is_their_own_reference(card):
    shown = RecordedEmg(recording(subject="somebody"), card).at(np.arange(1000 * SECONDS))
    assert np.percentile(shown, 99) == pytest.approx(1.0)


def board(path: Path, model: Path, link: Path) -> VirtualBoard:
    return virtual_board(path, model, "native", link)


def test_a_virtual_board_links_its_recording_beside_its_port(tmp_path, model):
    path, link = tmp_path / "curls.parquet", tmp_path / "port"
    save(recording(), path)
    beside = recording_beside(link)
    # Left behind by a board that was killed.
    beside.symlink_to(tmp_path / "of_yesterday.parquet")
    with board(path, model, link):
        assert beside.resolve() == path.resolve()
        with pytest.raises(LinkError, match="perhaps another board's port"):
            board(path, model, link).start()
        assert beside.resolve() == path.resolve()
    assert not beside.is_symlink()
    assert not link.is_symlink()
    beside.write_text("not ours")
    with pytest.raises(LinkError, match="expected a free path for the link to the recording"):
        board(path, model, link).start()
    assert beside.read_text() == "not ours"
    assert not link.is_symlink()
