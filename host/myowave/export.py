"""From the float network to the int8 window model, which is not written before it is proven.

Full int8 post-training quantization as TFLite defines it (per-channel weights; Jacob et al.,
arXiv 1712.05877). tflite-micro is what the model means; a graph it computes differently from
TFLite's own reference kernels is refused.
"""

import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.dataset import Series, scale_imu
from myowave.errors import ModelError, ParityError
from myowave.network import tf

ALLOWED_OPERATORS = frozenset(
    {"CONV_2D", "ADD", "MUL", "TANH", "LOGISTIC", "STRIDED_SLICE", "CONCATENATION"}
)
_REFUSED = {
    "SPACE_TO_BATCH_ND": (
        "tflite-micro computes dilated convolutions in this form wrongly (tflite-micro issues 1629 "
        "and 2319); build them with tf.nn.conv2d(..., 'VALID', dilations=(d, 1)) and a static "
        "batch of 1"
    ),
    "FULLY_CONNECTED": "it multiplies scales in float32; use a 1x1 convolution",
}


@dataclass(frozen=True)
class Quantization:
    """Scale and zero point of the input and of the output tensor."""

    input_scale: float
    input_zero_point: int
    output_scale: float
    output_zero_point: int

    def quantize(self, scaled: NDArray[np.floating]) -> NDArray[np.int8]:
        """Return (n, 6) scaled IMU as the network's int8 input."""
        steps = np.rint(scaled / self.input_scale) + self.input_zero_point
        quantized: NDArray[np.int8] = np.clip(steps, -128, 127).astype(np.int8)
        return quantized


@dataclass(frozen=True)
class Verification:
    """On what an export was compared.

    Attributes
    ----------
    windows : int
        Windows compared, recorded and saturating ones.
    operators : dict of str to int
        How often each operator is in the graph.
    """

    windows: int
    operators: dict[str, int]


def representative_windows(
    series: Sequence[Series],
    scales: NDArray[np.floating],
    receptive_field: int,
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return (count, RF, 6) scaled windows for calibration, from training recordings.

    A third ends at the highest envelopes, a third at the lowest, a third anywhere. The first and
    the last sample of the first window are the ends of the input's range, so that the input's
    quantization does not depend on which windows were drawn.
    """
    ends: list[tuple[int, int]] = []
    levels: list[float] = []
    for index, item in enumerate(series):
        usable = np.arange(receptive_field - 1, len(item.imu), 7)
        ends += [(index, int(end)) for end in usable]
        levels += item.target[usable].max(axis=1).tolist()
    if not ends:
        raise ModelError(
            f"no training recording is as long as the receptive field of {receptive_field} ms"
        )
    order = np.argsort(np.array(levels), kind="stable")
    third = max(1, count // 3)
    group = max(third, len(order) // 20)
    chosen = [
        *rng.choice(order[-group:], third),
        *rng.choice(order[:group], third),
        *rng.choice(order, max(0, count - 2 * third)),
    ][:count]
    windows = np.stack(
        [
            scale_imu(series[index].imu[end - receptive_field + 1 : end + 1], scales)
            for index, end in (ends[int(position)] for position in chosen)
        ]
    )
    windows[0, 0], windows[0, -1] = -1.0, 1.0
    return windows


def convert(window_model: Any, windows: NDArray[np.float32]) -> bytes:
    """Convert a float window model (1, RF, 1, 6) to int8, calibrated on (k, RF, 6) windows.

    Raises
    ------
    ModelError
        If the result holds an operator that tflite-micro or the streaming engine does not compute
        as TFLite does; the message names it and the remedy.
    """
    shape = tuple(window_model.inputs[0].shape)

    def calibration() -> Iterator[list[NDArray[np.float32]]]:
        for window in windows:
            yield [window.reshape(shape)]

    converter = tf.lite.TFLiteConverter.from_keras_model(window_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    with _silence():
        tflite: bytes = converter.convert()
    require_operators(tflite)
    return tflite


def operators(tflite: bytes) -> dict[str, int]:
    """Return how often each operator is in a `.tflite`."""
    from tflite import BuiltinOperator, Model

    try:
        model = Model.GetRootAs(tflite, 0)
        graph = model.Subgraphs(0)
        names = {value: name for name, value in vars(BuiltinOperator).items() if name.isupper()}
        counted = Counter(
            names.get(
                model.OperatorCodes(graph.Operators(i).OpcodeIndex()).BuiltinCode(), "unknown"
            )
            for i in range(graph.OperatorsLength())
        )
    except Exception as error:  # flatbuffers raises whatever the damage leads it to
        raise ModelError(f"not a .tflite model: {error!r}") from None
    return dict(sorted(counted.items()))


def require_operators(tflite: bytes) -> None:
    """Raise ModelError, with the remedy, if the graph holds an operator of no exact meaning."""
    found = operators(tflite)
    # Those with a known remedy first: what else is in the graph is often their consequence.
    for name in sorted(found, key=lambda name: name not in _REFUSED):
        if name not in ALLOWED_OPERATORS:
            remedy = _REFUSED.get(
                name, f"the export knows {', '.join(sorted(ALLOWED_OPERATORS))} only"
            )
            raise ModelError(f"the exported graph holds {name}: {remedy}")


def quantization_of(tflite: bytes) -> Quantization:
    """Return the quantization of a model's input and output."""
    interpreter = _reference_interpreter(tflite)
    (inputs,), (outputs,) = interpreter.get_input_details(), interpreter.get_output_details()
    return Quantization(*_scale_and_zero(inputs), *_scale_and_zero(outputs))


def verify(tflite: bytes, windows: NDArray[np.int8]) -> Verification:
    """Prove that tflite-micro computes what TFLite's reference kernels compute.

    Parameters
    ----------
    tflite : bytes
        The int8 window model.
    windows : (k, RF, 6) int8
        Recorded windows; saturating and random ones are added.

    Raises
    ------
    ModelError
        As `convert`, or if tflite-micro cannot run the model.
    ParityError
        If a window's output differs.
    """
    from myowave.tflm import run_tflm_windows

    require_operators(tflite)
    all_windows = np.concatenate([windows, saturating_windows(windows.shape[1:])])
    interpreter = _reference_interpreter(tflite)
    (inputs,), (outputs,) = interpreter.get_input_details(), interpreter.get_output_details()
    for index, window in enumerate(all_windows):
        interpreter.set_tensor(inputs["index"], window.reshape(inputs["shape"]))
        interpreter.invoke()
        expected = interpreter.get_tensor(outputs["index"]).ravel()
        got = run_tflm_windows(tflite, window, np.array([len(window) - 1]))[0]
        if not np.array_equal(got, expected):
            raise ParityError(
                f"export refused: window {index} gives {got.tolist()} on tflite-micro, "
                f"{expected.tolist()} on TFLite's reference kernels"
            )
    return Verification(len(all_windows), operators(tflite))


def saturating_windows(shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Return windows of (RF, 6) that drive every sum to its ends: constants, squares, noise."""
    rng = np.random.default_rng(0)
    length = shape[0]
    square = np.where(np.arange(length) // 16 % 2 == 0, 127, -128)[:, None] * np.ones(shape[1])
    return np.stack(
        [
            np.full(shape, -128),
            np.full(shape, 127),
            square,
            -1 - square,
            rng.choice([-128, 127], shape),
            rng.integers(-128, 128, shape),
        ]
    ).astype(np.int8)


def _reference_interpreter(tflite: bytes) -> Any:
    # The default interpreter (XNNPACK) rounds differently, by up to 12 steps through a network.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is to move to a package of its own
        interpreter = tf.lite.Interpreter(
            model_content=tflite,
            experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF,
        )
    interpreter.allocate_tensors()
    return interpreter


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the converter's pages of remarks, which C++ writes past Python, off the terminal."""
    kept = [os.dup(number) for number in (1, 2)]
    with Path(os.devnull).open("w") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stdout.flush()
        for number in (1, 2):
            os.dup2(nowhere.fileno(), number)
        try:
            yield
        finally:
            sys.stdout.flush()
            for number, original in zip((1, 2), kept, strict=True):
                os.dup2(original, number)
                os.close(original)


def _scale_and_zero(details: dict[str, Any]) -> tuple[float, int]:
    scale, zero_point = details["quantization"]
    if details["dtype"] != np.int8 or not scale > 0.0:
        raise ModelError(f"tensor '{details['name']}' is not quantized to int8")
    return float(scale), int(zero_point)
