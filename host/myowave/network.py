"""The gated WaveNet: one set of weights in three forms.

- *stream*: any number of 1 kHz samples in, one prediction for each full receptive field; this is
  what `model.keras` holds;
- *phase*: the same network at every p-th sample, p = `NetworkConfig.phases`; its predictions are
  those of the stream form at these samples, for a p-th of the work. Training uses it;
- *window*: exactly one receptive field in, one prediction out, batch 1; the int8 export uses it.

All convolutions are valid: what is missing in the past is the caller's to supply, and nothing is
padded in silence. Where paths of different length meet, the longer one drops its oldest samples.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.errors import ModelError, ToolError
from myowave.train_config import INPUTS, NetworkConfig

# TensorFlow greets on stderr, in the middle of a progress bar, unless told not to.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# oneDNN picks other sums on other processors; training runs through XLA and does not need it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

try:
    import keras
    import tensorflow as tf
except ModuleNotFoundError as error:
    raise ToolError(
        f"training needs {error.name}, install it with: pip install '.[train]' in the clone"
    ) from None

__all__ = [
    "keras",
    "load_model",
    "model_receptive_field",
    "phase_network",
    "predict_stream",
    "stream_network",
    "tf",
    "window_network",
]


@keras.saving.register_keras_serializable("myowave")
class TimeConvolution(keras.layers.Layer):  # type: ignore[misc]
    """Valid convolution over time of (batch, time, 1, channels), dilated or strided.

    Keras' own `Conv1D(padding="causal")` becomes SPACE_TO_BATCH_ND in TFLite, which tflite-micro
    computes wrongly (its issues 1629 and 2319); `tf.nn.conv2d` keeps the dilation native.

    Parameters
    ----------
    filters, kernel, dilation, stride : int
        Output channels, taps, samples between taps, samples between outputs.
    relu : bool
        Rectify the output.
    taps : bool
        Compute as one matrix product over gathered taps. The same sums in another order: faster to
        train, and its gradient exists on every processor, which that of a dilated `conv2d` does
        not.
    """

    def __init__(
        self,
        filters: int,
        kernel: int,
        dilation: int = 1,
        stride: int = 1,
        *,
        relu: bool = False,
        taps: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if dilation > 1 and stride > 1:
            raise ModelError("a convolution is dilated or strided, not both")
        self.filters = filters
        self.taps_apart = dilation
        self.n_taps = kernel
        self.stride = stride
        self.relu = relu
        self.as_taps = taps

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights: kernel (taps, 1, inputs, filters) and bias (filters,)."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.n_taps, 1, input_shape[-1], self.filters),
            initializer=keras.initializers.LecunNormal(),
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Convolve; the output is (taps - 1) * dilation samples shorter, before striding."""
        if self.as_taps:
            outputs = self._tap_product(inputs)
        else:
            outputs = tf.nn.conv2d(
                inputs,
                self.kernel,
                strides=(self.stride, 1),
                padding="VALID",
                dilations=(self.taps_apart, 1),
            )
        outputs = tf.nn.bias_add(outputs, self.bias)
        return tf.nn.relu(outputs) if self.relu else outputs

    def _tap_product(self, inputs: Any) -> Any:
        span = (self.n_taps - 1) * self.taps_apart
        n = (inputs.shape[1] - span - 1) // self.stride + 1
        taps = [
            inputs[:, start : start + (n - 1) * self.stride + 1 : self.stride]
            for start in range(0, span + 1, self.taps_apart)
        ]
        # One product of two matrices; over four axes it would be one small product a sample.
        rows = tf.reshape(tf.concat(taps, axis=-1), (-1, self.n_taps * inputs.shape[-1]))
        products = tf.matmul(rows, tf.reshape(self.kernel, (-1, self.filters)))
        return tf.reshape(products, (-1, n, 1, self.filters))

    def get_config(self) -> dict[str, Any]:
        """Return what `model.keras` needs to make the layer again."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel": self.n_taps,
            "dilation": self.taps_apart,
            "stride": self.stride,
            "relu": self.relu,
            "taps": self.as_taps,
        }


@keras.saving.register_keras_serializable("myowave")
class DropOldest(keras.layers.Layer):  # type: ignore[misc]
    """Crop the `samples` oldest samples of (batch, time, 1, channels)."""

    def __init__(self, samples: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.samples = samples

    def call(self, inputs: Any) -> Any:
        """Return all but the oldest samples."""
        return inputs[:, self.samples :]

    def get_config(self) -> dict[str, Any]:
        """Return what `model.keras` needs to make the layer again."""
        return {**super().get_config(), "samples": self.samples}


@keras.saving.register_keras_serializable("myowave")
class ChannelPart(keras.layers.Layer):  # type: ignore[misc]
    """Channels `first` to `last` (excluded) of (batch, time, 1, channels)."""

    def __init__(self, first: int, last: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = first
        self.last = last

    def call(self, inputs: Any) -> Any:
        """Return the part."""
        return inputs[..., self.first : self.last]

    def get_config(self) -> dict[str, Any]:
        """Return what `model.keras` needs to make the layer again."""
        return {**super().get_config(), "first": self.first, "last": self.last}


def stream_network(network: NetworkConfig, outputs: int) -> Any:
    """Return the network for any number of 1 kHz samples: (b, n, 1, 6) to (b, n - RF + 1, 1, m)."""
    return _network(network, outputs, (None, None, 1, INPUTS), phase=1, training=False)


def window_network(network: NetworkConfig, outputs: int) -> Any:
    """Return the network for one receptive field: (1, RF, 1, 6) to (1, 1, 1, m)."""
    shape = (1, network.receptive_field, 1, INPUTS)
    return _network(network, outputs, shape, phase=1, training=False)


def phase_network(network: NetworkConfig, outputs: int, predictions: int) -> Any:
    """Return the network of one phase, for training.

    Parameters
    ----------
    predictions : int
        Predictions an example; they are `network.phases` samples apart, and the input is
        `network.phase_samples(predictions)` long. The output is not rectified, so that the
        gradient of a prediction below zero lives.
    """
    shape = (None, network.phase_samples(predictions), 1, INPUTS)
    return _network(network, outputs, shape, phase=network.phases, training=True)


def predict_stream(model: Any, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run the stream form over a whole recording.

    Parameters
    ----------
    model : keras.Model
        From `stream_network` or `load_model`.
    inputs : (n, 6) float32
        Scaled IMU.

    Returns
    -------
    (n, m) float32
        Predictions; the past before the first sample is taken as zero, as the device does.
    """
    history = model_receptive_field(model) - 1
    padded = np.concatenate([np.zeros((history, inputs.shape[1]), np.float32), inputs])
    outputs = model(padded[None, :, None, :], training=False)
    result: NDArray[np.float32] = np.asarray(outputs)[0, :, 0, :]
    return result


def model_receptive_field(model: Any) -> int:
    """Return the receptive field of a loaded stream network, from its layers."""
    front = model.get_layer("front")
    dilated = [layer for layer in model.layers if layer.name.endswith(("_gates", "_filter"))]
    return int(front.n_taps + sum((layer.n_taps - 1) * layer.taps_apart for layer in dilated))


def load_model(path: Any) -> Any:
    """Load `model.keras`; raise ModelError if it is not one."""
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{path}: not a MyoWave Keras model: {reason}") from None


def _network(
    network: NetworkConfig,
    outputs: int,
    batch_shape: tuple[int | None, ...],
    phase: int,
    training: bool,
) -> Any:
    channels = network.channels
    dilations = [dilation // phase for dilation in network.dilations]

    def conv(name: str, filters: int, kernel: int = 1, **options: Any) -> TimeConvolution:
        return TimeConvolution(filters, kernel, name=name, taps=training, **options)

    samples = keras.Input(batch_shape=batch_shape, name="imu")
    path = conv("front", channels, network.front_kernel, stride=phase)(samples)
    skips = []
    for index, dilation in enumerate(dilations):
        block = f"block{index + 1}"
        shape: dict[str, int] = {"kernel": network.kernel, "dilation": dilation}
        if network.gate_convolutions == 1:
            both = conv(f"{block}_gates", 2 * channels, **shape)(path)
            wave = ChannelPart(0, channels, name=f"{block}_wave")(both)
            gate = ChannelPart(channels, 2 * channels, name=f"{block}_gate")(both)
        else:
            wave = conv(f"{block}_filter", channels, **shape)(path)
            gate = conv(f"{block}_openness", channels, **shape)(path)
        gated = keras.layers.Multiply(name=f"{block}_gated")(
            [
                keras.layers.Activation("tanh", name=f"{block}_tanh")(wave),
                keras.layers.Activation("sigmoid", name=f"{block}_sigmoid")(gate),
            ]
        )
        if network.dropout > 0.0:
            # Whole channels: neighbouring samples are so alike that single ones hide nothing.
            gated = keras.layers.Dropout(
                network.dropout, noise_shape=(None, 1, 1, channels), name=f"{block}_dropout"
            )(gated)
        is_last = index == len(dilations) - 1
        if network.skip or is_last:
            later = (network.kernel - 1) * sum(dilations[index + 1 :])
            # Cropped before the convolution: the window form would compute it for nothing.
            newest = DropOldest(later, name=f"{block}_newest")(gated) if later else gated
            skips.append(newest)
        if not is_last:
            onward = conv(f"{block}_onward", channels)(gated)
            if network.residual:
                crop = (network.kernel - 1) * dilation
                kept = DropOldest(crop, name=f"{block}_kept")(path) if crop else path
                onward = keras.layers.Add(name=f"{block}_residual")([kept, onward])
            path = onward
    # One convolution over all blocks' outputs is the sum of one each, in one int32 accumulator
    # instead of a chain of int8 additions that each round.
    seen = skips[0] if len(skips) == 1 else keras.layers.Concatenate(name="seen")(skips)
    hidden = conv("skip", network.skip_channels, relu=True)(seen)
    hidden = conv("head_hidden", network.head_channels, relu=True)(hidden)
    # An envelope is never negative; the int8 output spends no steps below zero either.
    envelope = conv("head_envelope", outputs, relu=not training)(hidden)
    return keras.Model(samples, envelope, name="myowave")
