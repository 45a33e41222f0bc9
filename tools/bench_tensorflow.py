"""Time TensorFlow on a float network of R's shape, one thread; the figures as JSON, one line.

The model is reference network R (`myowave.compiler.reference`) layer for layer, with random
weights: the time does not depend on them. Timed are compiled graphs (`tf.function`), the result
brought back to numpy:

- window: one call of one receptive field gives one prediction, as on a stream of single samples;
- long call: one call of many samples gives a prediction for each, every dilated convolution
  computed once a sample: the most favourable form there is, for recordings and not for a stream.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from bench_laptop import RUNS, SAMPLES, fastest
from myowave.compiler.reference import REFERENCES, WaveNetShape
from myowave.network import DropOldest, TimeConvolution, keras, tf

# Predictions a call, and how often it is timed.
CALLS = {1: 5 * RUNS, SAMPLES: RUNS}


def float_network(shape: WaveNetShape, predictions: int) -> keras.Model:
    """Return the float form of a reference network.

    Parameters
    ----------
    shape : WaveNetShape
        Of `REFERENCES`.
    predictions : int
        The input is (1, receptive field - 1 + predictions, 1, inputs), the output
        (1, predictions, 1, outputs).
    """

    def conv(
        filters: int, kernel: int = 1, dilation: int = 1, *, relu: bool = False
    ) -> TimeConvolution:
        return TimeConvolution(filters, kernel, dilation, relu=relu)

    width = shape.channels
    later = 2**shape.blocks - 1  # samples the blocks still to come need of the past
    inputs = keras.Input(batch_shape=(1, later + predictions, 1, shape.inputs))
    path = conv(width)(inputs)
    skips = []
    for block in range(shape.blocks):
        dilation = 2**block
        wave = keras.layers.Activation("tanh")(conv(width, 2, dilation)(path))
        gate = keras.layers.Activation("sigmoid")(conv(width, 2, dilation)(path))
        gated = keras.layers.Multiply()([wave, gate])
        later -= dilation
        skips.append(conv(width)(DropOldest(later)(gated)))
        path = keras.layers.Add()([DropOldest(dilation)(path), conv(width)(gated)])
    total = keras.layers.ReLU()(keras.layers.Add()([path, *skips]))
    return keras.Model(inputs, conv(shape.outputs)(conv(width, relu=True)(total)))


def measure(shape: WaveNetShape) -> list[dict[str, object]]:
    """Time both forms; return the call and the nanoseconds a prediction of each."""
    rows: list[dict[str, object]] = []
    for predictions, runs in CALLS.items():
        model = float_network(shape, predictions)
        graph = _compiled(model)
        noise = np.random.default_rng(0).standard_normal(model.input_shape)
        x = tf.constant(noise, tf.float32)
        graph(x)  # the first call compiles
        seconds = fastest(_call(graph, x), runs) / predictions
        call = "one window" if predictions == 1 else f"{predictions:,} samples"
        rows.append({"call": call, "ns_per_sample": seconds * 1e9})
    return rows


def _compiled(model: keras.Model) -> Callable[[Any], Any]:
    graph: Callable[[Any], Any] = tf.function(lambda x: model(x, training=False))
    return graph


def _call(graph: Callable[[Any], Any], x: Any) -> Callable[[], Any]:
    return lambda: graph(x).numpy()


def main() -> None:
    """Time R and print."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print(json.dumps(measure(REFERENCES["R"])))


if __name__ == "__main__":
    main()
