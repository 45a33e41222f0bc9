"""The three forms of the network are one network."""

from pathlib import Path

import numpy as np
import pytest

from myowave.errors import ModelError
from myowave.network import (
    TimeConvolution,
    load_model,
    model_receptive_field,
    phase_network,
    predict_stream,
    stream_network,
    window_network,
)
from myowave.train_config import NetworkConfig

NETWORKS = [
    NetworkConfig(channels=4, dilations=(4, 8, 16), front_kernel=4),
    NetworkConfig(channels=3, dilations=(6, 12), front_kernel=9, kernel=3, gate_convolutions=2),
    NetworkConfig(channels=5, dilations=(1, 2, 4), front_kernel=1, residual=False, dropout=0.0),
    NetworkConfig(channels=4, dilations=(8, 8, 16), front_kernel=3, skip=False),
]


def randomized(network, outputs=2, seed=0):
    model = stream_network(network, outputs)
    rng = np.random.default_rng(seed)
    model.set_weights([0.5 * rng.standard_normal(w.shape) for w in model.get_weights()])
    model.get_layer("head_envelope").bias.assign([3.0] * outputs)  # mostly above zero
    return model


def samples(n, seed=1):
    return np.random.default_rng(seed).standard_normal((n, 6)).astype(np.float32)


@pytest.mark.parametrize("network", NETWORKS)
def test_phase_form_is_every_pth_prediction_of_the_stream_form(network):
    stream = randomized(network)
    phase = phase_network(network, 2, predictions=7)
    phase.set_weights(stream.get_weights())
    x = samples(network.phase_samples(7) + network.phases - 1)
    all_of_it = np.asarray(stream(x[None, :, None]))[0, :, 0]
    for offset in range(network.phases):
        part = x[offset : offset + network.phase_samples(7)]
        # Training leaves the output unrectified.
        one = np.maximum(np.asarray(phase(part[None, :, None], training=False))[0, :, 0], 0.0)
        np.testing.assert_allclose(one, all_of_it[offset :: network.phases][:7], atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_window_form_gives_the_stream_prediction_of_its_last_sample(network):
    stream = randomized(network)
    window = window_network(network, 2)
    window.set_weights(stream.get_weights())
    rf = network.receptive_field
    x = samples(3 * rf)
    streamed = predict_stream(stream, x)
    for end in (rf - 1, rf, 2 * rf + 3, 3 * rf - 1):
        one = np.asarray(window(x[None, end - rf + 1 : end + 1, None]))
        assert one.shape == (1, 1, 1, 2)
        np.testing.assert_allclose(one.ravel(), streamed[end], atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_predictions_depend_on_the_receptive_field_and_on_nothing_else(network):
    stream = randomized(network)
    rf = network.receptive_field
    assert model_receptive_field(stream) == rf
    x = samples(2 * rf)
    before = predict_stream(stream, x)[-1]
    outside = x.copy()
    outside[:rf] += 10.0
    np.testing.assert_array_equal(predict_stream(stream, outside)[-1], before)
    oldest = x.copy()
    oldest[rf] += 100.0
    assert np.any(predict_stream(stream, oldest)[-1] != before)


def test_taps_and_native_convolution_are_the_same_sums():
    x = samples(40)[None, :, None]
    for kernel, dilation, stride in ((3, 5, 1), (4, 1, 4), (2, 1, 3)):
        native = TimeConvolution(7, kernel, dilation, stride)
        taps = TimeConvolution(7, kernel, dilation, stride, taps=True)
        expected = native(x)
        taps.build(x.shape)
        taps.set_weights(native.get_weights())
        np.testing.assert_allclose(taps(x), expected, atol=1e-5)


def test_saved_model_loads_and_predicts_the_same(tmp_path: Path):
    stream = randomized(NETWORKS[0])
    stream.save(tmp_path / "model.keras")
    x = samples(100)
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(predict_stream(loaded, x), predict_stream(stream, x))


def test_what_is_no_model_is_refused(tmp_path: Path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match=r"model\.keras: not a MyoWave Keras model"):
        load_model(path)
