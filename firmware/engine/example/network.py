"""Make the example's network: train it on simulated vibration, write `model.tflite`.

    python network.py            # about half a minute; then: make tables

A motor's housing carries one accelerometer. Two things are wanted for every sample: how strongly
the motor hums, and whether something knocks. Plain TensorFlow, nothing of MyoWave: a stack of
causal convolutions, each looking further back than the one before.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
RATE_HZ = 1600
COUNTS_PER_UNIT = 2048  # the network's 1.0
COUNTS_PER_STEP = 16  # of its int8 input: COUNTS_PER_UNIT / 128
CHANNELS, TAPS = 8, 3
DILATIONS = (1, 2, 4, 8, 16, 32)
RECEPTIVE_FIELD = 1 + (TAPS - 1) * sum(DILATIONS)
BATCH, PREDICTIONS = 16, 512
Floats = NDArray[np.float32]


def vibration(rng: np.random.Generator, samples: int) -> tuple[Floats, Floats]:
    """Simulate the sensor.

    Returns
    -------
    signal : (samples,)
        What the sensor sees, 1.0 for COUNTS_PER_UNIT counts.
    levels : (samples, 2)
        Of the hum and of the knocks, 0 to 1.
    """
    t = np.arange(samples) / RATE_HZ
    # The hum swells and fades; its frequency is the motor's, with a harmonic.
    knots = rng.uniform(0.0, 0.8, samples // RATE_HZ + 3)
    hum = np.interp(t, np.arange(len(knots)) - rng.uniform(), knots)
    phase = 2 * np.pi * rng.uniform(35.0, 50.0) * t
    signal = 0.8 * hum * (np.sin(phase) + 0.25 * np.sin(2 * phase + 1.0))
    # A knock rings for some milliseconds; its level fades more slowly, so that nobody misses it.
    knock = np.zeros(samples)
    for start in np.flatnonzero(rng.uniform(size=samples) < 4.0 / RATE_HZ):
        strength, since = rng.uniform(0.3, 0.9), t[start:] - t[start]
        ringing = np.sin(2 * np.pi * rng.uniform(300.0, 400.0) * since)
        signal[start:] += 0.5 * strength * np.exp(-since / 0.008) * ringing
        knock[start:] = np.maximum(knock[start:], strength * np.exp(-since / 0.02))
    signal += 0.01 * rng.standard_normal(samples)
    return signal.astype(np.float32), np.stack([hum, knock], axis=1).astype(np.float32)


def to_counts(signal: Floats) -> NDArray[np.int16]:
    """Return what the sensor's converter gives."""
    counts = np.rint(signal * COUNTS_PER_UNIT)
    return np.clip(counts, -(2**15), 2**15 - 1).astype(np.int16)


def to_input(counts: NDArray[np.int16]) -> Floats:
    """Return counts as the network takes them: in its int8 steps, clipped to what they reach."""
    steps = np.clip((counts.astype(np.int32) + COUNTS_PER_STEP // 2) // COUNTS_PER_STEP, -128, 127)
    return (steps / 128).astype(np.float32)


def layers() -> list[keras.layers.Layer]:
    """Return the network's layers, to be called on inputs (batch, samples, 1, 1).

    Convolutions are "valid": one that pads would see zeros where the stream has a past. In two
    dimensions the dilation stays part of the convolution when converted; Conv1D's does not.
    """
    hidden = [
        keras.layers.Conv2D(
            CHANNELS,
            (TAPS, 1),
            dilation_rate=(dilation, 1),
            activation="relu",
            kernel_initializer="he_normal",
        )
        for dilation in DILATIONS
    ]
    # A sigmoid's output always has steps of 1/256 from 0: C code need not be told.
    return [*hidden, keras.layers.Conv2D(2, 1, activation="sigmoid")]


def model_of(
    stack: list[keras.layers.Layer], samples: int | None, batch: int | None
) -> keras.Model:
    """Return the model of the layers for inputs of so many samples."""
    inputs = outputs = keras.Input(batch_shape=(batch, samples, 1, 1))
    for layer in stack:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def train(stack: list[keras.layers.Layer], steps: int, rng: np.random.Generator) -> float:
    """Train the layers; return the root mean square error of the last steps."""
    model = model_of(stack, None, None)
    schedule = keras.optimizers.schedules.CosineDecay(4e-3, steps)
    model.compile(keras.optimizers.Adam(schedule), "mse")
    errors = []
    for _ in range(steps):
        drawn = [vibration(rng, RECEPTIVE_FIELD - 1 + PREDICTIONS) for _ in range(BATCH)]
        inputs = np.stack([to_input(to_counts(signal)) for signal, _ in drawn])
        targets = np.stack([levels[RECEPTIVE_FIELD - 1 :] for _, levels in drawn])
        errors.append(model.train_on_batch(inputs[:, :, None, None], targets[:, :, None]))
    return float(np.sqrt(np.mean(errors[-50:])))


def quantized(stack: list[keras.layers.Layer], rng: np.random.Generator) -> bytes:
    """Return the int8 `.tflite` of one window: one receptive field in, one prediction out."""
    window = model_of(stack, RECEPTIVE_FIELD, 1)
    signal, _ = vibration(rng, 60 * RATE_HZ)
    inputs = to_input(to_counts(signal))
    # The ends of the range, so that a step of the input is 1/128 whatever else is drawn.
    inputs[0], inputs[1] = -1.0, 127 / 128

    def calibration() -> Iterator[list[Floats]]:
        for start in range(0, len(inputs) - RECEPTIVE_FIELD, RECEPTIVE_FIELD):
            yield [inputs[start : start + RECEPTIVE_FIELD].reshape(1, -1, 1, 1)]

    converter = tf.lite.TFLiteConverter.from_keras_model(window)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    tflite: bytes = converter.convert()
    return tflite


def main() -> None:
    """Train, convert, write."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000, help="of training")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the files")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    stack = layers()
    error = train(stack, arguments.steps, rng)
    (arguments.out / "model.tflite").write_bytes(quantized(stack, rng))
    counts = to_counts(vibration(np.random.default_rng(2), 2 * RATE_HZ)[0])
    (arguments.out / "samples.txt").write_text("".join(f"{count}\n" for count in counts))
    print(f"error {error:.3f} of full scale; written: model.tflite, samples.txt")


if __name__ == "__main__":
    main()
