"""An export is int8, means on tflite-micro what it means on TFLite, or is refused."""

import keras
import numpy as np
import pytest

from myowave import export
from myowave.dataset import Series
from myowave.errors import ModelError
from myowave.network import predict_stream, stream_network, tf, window_network
from myowave.train_config import NetworkConfig

NETWORK = NetworkConfig(channels=4, dilations=(4, 8), front_kernel=4, kernel=3)
RF = NETWORK.receptive_field


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(0)
    n = 3_000
    level = np.clip(np.sin(np.arange(n) / 300.0), 0.0, None).astype(np.float32)
    imu = (rng.standard_normal((n, 6)) * (0.1 + level[:, None])).astype(np.float32)
    return [Series("a", imu, level[:, None])]


@pytest.fixture(scope="module")
def networks():
    stream = stream_network(NETWORK, 2)
    rng = np.random.default_rng(1)
    stream.set_weights([0.4 * rng.standard_normal(w.shape) for w in stream.get_weights()])
    stream.get_layer("head_envelope").bias.assign([0.5, 1.0])
    window = window_network(NETWORK, 2)
    window.set_weights(stream.get_weights())
    return stream, window


@pytest.fixture(scope="module")
def windows(series):
    rng = np.random.default_rng(2)
    return export.representative_windows(series, np.full(6, 2.0), RF, 60, rng)


@pytest.fixture(scope="module")
def tflite(networks, windows):
    return export.convert(networks[1], windows)


def test_representative_windows_hold_peaks_and_rest_and_the_whole_range(windows):
    assert windows.shape == (60, RF, 6)
    assert windows.min() == -1.0 and windows.max() == 1.0
    activity = windows[1:].std(axis=(1, 2))
    # A third each from the loudest and the quietest twentieth.
    assert np.sort(activity)[-15:].mean() > 4 * np.sort(activity)[:15].mean()


def test_too_short_recordings_are_refused():
    short = Series("a", np.zeros((10, 6), np.float32), np.zeros((10, 1), np.float32))
    with pytest.raises(ModelError, match="receptive field"):
        export.representative_windows([short], np.ones(6), RF, 4, np.random.default_rng(0))


def test_export_is_native_int8_and_verified(tflite, windows):
    assert set(export.operators(tflite)) <= export.ALLOWED_OPERATORS
    quantization = export.quantization_of(tflite)
    # The input's scale follows from the range -1 to 1, not from the windows drawn.
    assert quantization.input_scale == pytest.approx(2.0 / 255.0, rel=1e-6)
    assert quantization.output_zero_point == -128
    verified = export.verify(tflite, quantization.quantize(windows[:5]))
    assert verified.windows == 5 + len(export.saturating_windows((RF, 6)))


def test_int8_follows_the_float_network(networks, tflite):
    from myowave.engine import NativeEngine

    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.standard_normal((2_000, 6)), axis=0)
    x = np.clip(walk / 40.0, -1.0, 1.0).astype(np.float32)
    quantization = export.quantization_of(tflite)
    outputs = NativeEngine(tflite).run(quantization.quantize(x)).astype(float)
    predicted = (outputs - quantization.output_zero_point) * quantization.output_scale
    expected = np.minimum(predict_stream(networks[0], x), 255 * quantization.output_scale)
    for output in range(2):
        r = np.corrcoef(predicted[RF:, output], expected[RF:, output])[0, 1]
        assert r > 0.98


def test_dilation_by_space_to_batch_is_refused():
    class Dilated(keras.layers.Layer):  # type: ignore[misc]
        """What Keras' dilated convolutions are in TFLite when the batch is not static."""

        def call(self, inputs):
            interleaved = tf.space_to_batch(inputs, (4, 1), ((4, 0), (0, 0)))
            doubled = tf.nn.relu(interleaved[:, 1:] + interleaved[:, :-1])
            return tf.batch_to_space(doubled, (4, 1), ((0, 0), (0, 0)))

    model = keras.Sequential([keras.Input(batch_shape=(1, 32, 1, 6)), Dilated()])
    windows = np.random.default_rng(0).uniform(-1.0, 1.0, (4, 32, 6)).astype(np.float32)
    with pytest.raises(ModelError, match=r"SPACE_TO_BATCH_ND: .*dilations=\(d, 1\)"):
        export.convert(model, windows)


def test_fully_connected_is_refused():
    model = keras.Sequential([keras.Input(batch_shape=(1, 6)), keras.layers.Dense(3)])
    windows = np.random.default_rng(0).uniform(-1.0, 1.0, (4, 6)).astype(np.float32)
    with pytest.raises(ModelError, match=r"FULLY_CONNECTED: .*1x1 convolution"):
        export.convert(model, windows)


def test_what_is_no_tflite_is_refused():
    with pytest.raises(ModelError, match=r"not a \.tflite model"):
        export.operators(b"\xff" * 64)
