"""A card that does not hold is refused, with the reason."""

import hashlib
import json

import numpy as np
import pytest

from myowave.errors import ModelError
from myowave.imu import imu_by_name
from myowave.model_card import ModelCard, load_card, load_model_dir, write_card
from myowave.scaling import input_scaling

TFLITE = b"stands for a model"


@pytest.fixture
def card():
    scales = (18.0, 16.0, 14.0, 4.0, 6.5, 6.5)
    scaling = input_scaling(imu_by_name("icm-42688-p"), np.array(scales), 0.0078, -1)
    return ModelCard(
        name="test",
        channel_scale=scales,
        imu="icm-42688-p",
        input_scale=0.0078,
        input_zero_point=-1,
        output_scale=0.005,
        output_zero_point=-128,
        input_multipliers=scaling.multipliers,
        input_shift=scaling.shift,
        muscles=("biceps", "triceps"),
        normalization={},
        target={},
        receptive_field=64,
        architecture={},
        training={"simulated": True},
        metrics={},
        baselines={},
        tflite_sha256=hashlib.sha256(TFLITE).hexdigest(),
    )


def test_round_trip_through_the_file(card, tmp_path):
    write_card(tmp_path, card)
    (tmp_path / "model.tflite").write_bytes(TFLITE)
    assert load_model_dir(tmp_path) == (card, TFLITE)
    assert load_card(tmp_path).simulated


def test_envelope_is_a_fraction_of_the_reference(card):
    codes = np.array([[-128, 127], [72, -128]], np.int8)
    np.testing.assert_allclose(card.envelope_of(codes), [[0.0, 1.275], [1.0, 0.0]])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format_version": 2}, "format_version 2, this program reads 1"),
        ({"muscles": []}, "no muscles"),
        ({"muscles": [1]}, "muscles is '1', expected a value of type str"),
        ({"rate_hz": 500}, "rate_hz 500, expected 1000"),
        ({"channel_scale": [1.0]}, "1 values in channel_scale"),
        ({"input_shift": 3}, "do not follow from channel_scale"),
        ({"imu": "bno055"}, "unknown IMU 'bno055'"),
        ({"output_scale": 0.0}, "output_scale"),
        ({"receptive_field": "long"}, "receptive_field is 'long', expected a value of type int"),
        ({"normalization": 3}, "normalization is '3', expected an object"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"name": None}, "name is 'None'"),
    ],
)
def test_what_does_not_hold_is_refused(card, tmp_path, change, reason):
    values = {**card.to_json(), **change}
    (tmp_path / "model.json").write_text(json.dumps(values))
    with pytest.raises(ModelError) as caught:
        load_card(tmp_path)
    assert reason in str(caught.value)
    assert "model.json" in str(caught.value)


def test_missing_parts_are_named(card, tmp_path):
    with pytest.raises(ModelError, match="not a model directory"):
        load_card(tmp_path)
    values = card.to_json()
    del values["muscles"]
    (tmp_path / "model.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match="no 'muscles'"):
        load_card(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        load_card(tmp_path)
    write_card(tmp_path, card)
    with pytest.raises(ModelError, match=r"model\.tflite"):
        load_model_dir(tmp_path)
