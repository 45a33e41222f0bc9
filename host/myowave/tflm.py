"""The oracle: what tflite-micro's reference kernels compute for a window model."""

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myowave.compiler.derive import Derivation, derive
from myowave.compiler.graph import Graph, write_graph
from myowave.compiler.widen import widened
from myowave.errors import ModelError, ParityError, ToolError

OUTPUTS_PER_CALL = 1024
VERIFIED_WINDOWS = 8
ARENA_BASE = 1 << 16
ARENA_A_ROW = 64
ARENA_MAX = 1 << 27
# tflite-micro crashes on an arena of 2 GiB; half of it is far more than any window takes.
ARENA_LIMIT = 1 << 30


def run_tflm(
    tflite: bytes,
    x: NDArray[np.int8],
    *,
    verify: int = VERIFIED_WINDOWS,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.int8]:
    """Run every window of `x` through tflite-micro.

    The graph is widened (see `compiler.widen`) so that one call gives many outputs, and compared
    with the model as it is on some windows.

    Parameters
    ----------
    tflite : bytes
        The int8 window model.
    x : (n, channels) int8 array
        Quantized input samples.
    verify : int
        How many windows, spread over `x`, to run through the original model as well.
    progress : callable, optional
        Called with (samples done, n).

    Returns
    -------
    (n, outputs) int8 array
        Row t is the output for the window that ends with sample t. The first RF - 1 rows, for
        which there is no window, hold the output's zero point.

    Raises
    ------
    ModelError, UnsupportedModelError
        If the model cannot be read or streamed, or tflite-micro refuses it.
    ParityError
        If widening changed a value (it never should).
    ToolError
        If tflite-micro is not installed.
    """
    derivation = derive(tflite)
    plan = derivation.plan
    x = check_input(x, plan.n_inputs)
    result = np.empty((len(x), plan.n_outputs), np.int8)
    result[:] = [scale.zero_point for scale in plan.output_scales]
    first = plan.receptive_field - 1
    count = len(x) - first
    if count <= 0:
        return result
    # A window longer than the receptive field has samples no output depends on.
    padded = np.vstack([np.zeros((plan.window - 1 - first, plan.n_inputs), np.int8), x])
    extra = min(count, OUTPUTS_PER_CALL) - 1
    wide = widened(derivation, extra)
    runner = _Runner(write_graph(wide), derivation, wide)
    for start in range(0, count, extra + 1):
        # The last block starts earlier instead of being shorter.
        begin = min(start, count - extra - 1)
        window = padded[begin : begin + plan.window + extra]
        result[first + begin : first + begin + extra + 1] = runner.newest(window, extra + 1)
        if progress is not None:
            progress(first + begin + extra + 1, len(x))
    if verify:
        ends = np.unique(np.linspace(first, len(x) - 1, verify).astype(np.intp))
        for end, expected in zip(ends, run_tflm_windows(tflite, x, ends), strict=True):
            if not np.array_equal(expected, result[end]):
                raise ParityError(
                    f"widened model differs from the window model at sample {end}: "
                    f"{result[end]}, expected {expected}"
                )
    return result


def run_tflm_windows(
    tflite: bytes, x: NDArray[np.int8], ends: NDArray[np.intp]
) -> NDArray[np.int8]:
    """Run single windows of `x` through tflite-micro and the model exactly as it is.

    Parameters
    ----------
    tflite : bytes
        The int8 window model.
    x : (n, channels) int8 array
        Quantized input samples.
    ends : (k,) array
        Index of the newest sample of each window, RF - 1 or more.

    Returns
    -------
    (k, outputs) int8 array

    Raises
    ------
    ModelError, UnsupportedModelError, ToolError
        As `run_tflm`, or if a window would begin before `x`.
    """
    derivation = derive(tflite)
    plan = derivation.plan
    x = check_input(x, plan.n_inputs)
    first = plan.receptive_field - 1
    for end in ends:
        if not first <= end < len(x):
            raise ModelError(
                f"no window ends at sample {end}: expected {first} to {len(x) - 1} for "
                f"{len(x)} samples and a receptive field of {plan.receptive_field}"
            )
    spare = plan.window - 1 - first
    padded = np.vstack([np.zeros((spare, plan.n_inputs), np.int8), x])
    original = _Runner(tflite, derivation, derivation.graph)
    return np.array(
        [original.newest(padded[end - first : end - first + plan.window], 1)[0] for end in ends],
        np.int8,
    ).reshape(len(ends), plan.n_outputs)


def check_input(x: NDArray[np.int8], channels: int) -> NDArray[np.int8]:
    """Return `x` if it is an (n, channels) int8 array; raise ModelError otherwise."""
    if x.dtype != np.int8 or x.ndim != 2 or x.shape[1] != channels:
        raise ModelError(
            f"input is {x.dtype} of shape {x.shape}, expected int8 of shape (n, {channels})"
        )
    return np.ascontiguousarray(x)


class _Runner:
    """One loaded model."""

    def __init__(self, tflite: bytes, derivation: Derivation, graph: Graph) -> None:
        self.interpreter = _interpreter(tflite, graph)
        self.channels = [derivation.sequences[index].channels for index in graph.outputs]
        self.shape = graph.tensors[graph.inputs[0]].shape

    def newest(self, window: NDArray[np.int8], count: int) -> NDArray[np.int8]:
        """Return the newest `count` outputs, (count, outputs)."""
        self.interpreter.set_input(np.ascontiguousarray(window.reshape(self.shape)), 0)
        try:
            self.interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(f"tflite-micro failed to run the model: {error}") from error
        parts = []
        for position, channels in enumerate(self.channels):
            output = self.interpreter.get_output(position).reshape(-1, channels)
            parts.append(output[-count:])
        return np.hstack(parts)


def _interpreter(tflite: bytes, graph: Graph) -> Any:
    """Load a model with an arena that is large enough."""
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError as error:
        raise ToolError(
            "running tflite-micro needs its package: pip install '.[train]' in the clone"
        ) from error
    # All tensors at once and generous bookkeeping: more than the runtime's planner ever needs.
    tensors = sum(math.prod(tensor.shape) for tensor in graph.tensors if not tensor.constant)
    # Scales and the like of each row are copied; where they have no room the runtime crashes.
    rows = sum(len(t.quantization.scales) for t in graph.tensors if t.quantization is not None)
    bookkeeping = 4096 * (len(graph.operators) + len(graph.tensors)) + ARENA_A_ROW * rows
    arena = ARENA_BASE + tensors + bookkeeping
    if arena > ARENA_LIMIT:
        raise ModelError(
            f"tflite-micro would need {arena >> 20} MiB for one window of the network: run it on "
            "native, or export with a shorter window"
        )
    while True:
        try:
            return runtime.Interpreter.from_bytes(tflite, arena_size=arena)
        except RuntimeError as error:
            # The runtime gives one error for every failure; only a larger arena tells them apart.
            if arena >= ARENA_MAX:
                raise ModelError(f"tflite-micro refuses the model: {error}") from error
            arena *= 4
        except (struct.error, IndexError, TypeError, ValueError, AttributeError) as error:
            # Its Python side reads every field of the file, also those the compiler has no use for.
            raise ModelError(
                f"tflite-micro cannot read the .tflite file, a part of it is corrupt ({error}): "
                "export it again"
            ) from error
