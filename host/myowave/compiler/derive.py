"""From a TFLite graph over a window of samples to the plan of the work for one sample.

Every tensor of a causal network is a sequence: a time axis whose last entry belongs to the newest
sample of the window, and a channel axis. A valid convolution shortens the sequence at its old end,
a crop of the oldest samples does too, everything else keeps it. So the newest entry of every
tensor is a function of the newest entries of its inputs and of past entries of convolution inputs,
which is what the plan computes. Whatever does not fit that picture is refused by name.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from myowave.compiler import arithmetic
from myowave.compiler.arithmetic import Activation, Multiplier, Table
from myowave.compiler.graph import ENTRIES_MAX, Graph, Operator, Tensor, read_graph
from myowave.compiler.optimize import Optimize, optimized, without_dead_steps
from myowave.compiler.plan import (
    Add,
    Conv,
    Copy,
    Lookup,
    Mul,
    Plan,
    Step,
    Taps,
    TensorScale,
    View,
)
from myowave.errors import UnsupportedModelError

FLOAT32_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
SMALLEST_BOUNDED_SCALE = 2.0**-28  # 6 divided by it, RELU6's bound, still fits 32 bits
PADDING_SAME = 0
_ACTIVATIONS: dict[int, Activation] = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}
# mw_step, mw_taps and mw_conv hold these in uint16_t.
FIELD_MAX = 0xFFFF
# Of a vector's values: uint16_t less the room that kernels take to read whole blocks.
WIDTH_MAX = 0xFF00
# Limits that no network for a microcontroller comes near: the reference network R has 95 steps,
# 14,192 multiply-accumulates and 9 KB of state. They bound what any file can cost this machine.
STEPS_MAX = 4096
MACS_MAX = 1 << 21
STATE_BYTES_MAX = 1 << 24

_CALIBRATE = "calibrate with representative samples and export again"
_EXPORT = "export it again with TFLite's converter"

_REMEDIES = {
    "SPACE_TO_BATCH_ND": "tflite-micro computes wrong values for it (issues 1629, 2319); export "
    "the convolution with native dilation: tf.nn.conv2d(..., padding='VALID', dilations=(d, 1)) "
    "and a static batch of 1",
    "PAD": "a streaming network takes its past from delay lines; use VALID convolutions on a "
    "window as long as the receptive field",
    "DEQUANTIZE": "the network must be int8 from input to output; set inference_input_type and "
    "inference_output_type to tf.int8",
    "DEPTHWISE_CONV_2D": "use CONV_2D",
    "CONV_3D": "use CONV_2D",
    "TRANSPOSE": "keep time before channels: (1, time, 1, channels)",
    "AVERAGE_POOL_2D": "use a CONV_2D over time",
    "MEAN": "a mean over the window is no function of a fixed small past; use convolutions",
    "SUB": "use ADD with the second operand's sign in the weights before it",
    "SOFTMAX": "use LOGISTIC, or apply it on the host",
    "LEAKY_RELU": "use RELU",
    "PRELU": "use RELU",
    "WHILE": "unroll the loop; a recurrent network has no fixed receptive field",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "a recurrent network has no fixed receptive field",
}
_REMEDIES["BATCH_TO_SPACE_ND"] = _REMEDIES["SPACE_TO_BATCH_ND"]
_REMEDIES["PADV2"] = _REMEDIES["MIRROR_PAD"] = _REMEDIES["PAD"]


@dataclass(frozen=True)
class Sequence:
    """What one run-time tensor is in a streaming network.

    Attributes
    ----------
    view : View
        Where its newest vector lies.
    time_axis : int
        Axis of time in the tensor's shape; channels are the last axis.
    length : int
        Samples along it.
    lookback : int
        How many samples before the newest its newest vector depends on.
    """

    view: View
    time_axis: int
    length: int
    lookback: int

    @property
    def channels(self) -> int:
        """Width of one vector."""
        return self.view.width


@dataclass(frozen=True)
class Derivation:
    """A plan together with the time axes it was derived from, which widening needs."""

    graph: Graph
    sequences: dict[int, Sequence]
    plan: Plan


def load_plan(
    tflite: bytes, *, optimize: Optimize = True, state_limit_bytes: int | None = None
) -> Plan:
    """Return the streaming plan of an int8 `.tflite` window model.

    Parameters
    ----------
    tflite : bytes
        The whole file.
    optimize : bool or collection of str
        Which exact rewritings of `optimize.py` to apply: all, none, or those named.
    state_limit_bytes : int, optional
        The most state the network may need, by default `STATE_BYTES_MAX`.

    Raises
    ------
    ModelError
        If the bytes are not a well-formed `.tflite` file.
    UnsupportedModelError
        If the network is not one the engine can stream; the message names operator and tensor.
        Also if it needs more state than the limit; the message names the largest delay line.
    """
    return derive(tflite, optimize=optimize, state_limit_bytes=state_limit_bytes).plan


def derive(
    tflite: bytes, *, optimize: Optimize = True, state_limit_bytes: int | None = None
) -> Derivation:
    """Return the plan with the graph and its sequences; raises as `load_plan` does."""
    graph = read_graph(tflite)
    derivation = _Deriver(graph)
    plan = derivation.run(hashlib.sha256(tflite).hexdigest())
    plan = without_dead_steps(plan)
    plan = optimized(plan, optimize)
    _check_state(plan, STATE_BYTES_MAX if state_limit_bytes is None else state_limit_bytes)
    return Derivation(graph, derivation.sequences, plan)


def _check_state(plan: Plan, limit: int) -> None:
    if plan.state_bytes <= limit:
        return
    parts = f"{plan.scratch_bytes} for the vectors of one sample"
    lines = [step for step in plan.steps if isinstance(step, Taps)]
    if lines:
        line = max(lines, key=lambda line: line.state_bytes)
        parts += (
            f", {plan.line_bytes} for {len(lines)} delay lines, of which that of '{line.name}' is "
            f"the largest with {line.state_bytes} (dilation {line.dilation}, {line.taps} taps, "
            f"{line.src.width} channels)"
        )
    raise UnsupportedModelError(
        f"the network needs {plan.state_bytes} bytes of state, the limit is {limit}: {parts}; use "
        "fewer channels, smaller dilations or a higher limit"
    )


class _Deriver:
    """Walks the operators once; `sequences` and `steps` grow as it goes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sequences: dict[int, Sequence] = {}
        self.steps: list[Step] = []
        self.macs = 0
        self.vectors: list[int] = []
        # Convolutions of one tensor with the same taps share one delay line.
        self.lines: dict[tuple[View, int, int], View] = {}
        self.time_axis_4d: int | None = None
        self.handlers: dict[str, Callable[[Operator], None]] = {
            "CONV_2D": self.conv_2d,
            "FULLY_CONNECTED": self.fully_connected,
            "ADD": self.add,
            "MUL": self.mul,
            "TANH": self.lookup,
            "LOGISTIC": self.lookup,
            "RELU": self.lookup,
            "RELU6": self.lookup,
            "QUANTIZE": self.lookup,
            "RESHAPE": self.rename,
            "EXPAND_DIMS": self.rename,
            "SQUEEZE": self.rename,
            "STRIDED_SLICE": self.strided_slice,
            "SLICE": self.slice,
            "SPLIT": self.split,
            "SPLIT_V": self.split_v,
            "CONCATENATION": self.concatenation,
        }

    # --- the whole graph ---------------------------------------------------------------------

    def run(self, sha256: str) -> Plan:
        graph = self.graph
        # Names first: a reader who exported the wrong network wants to hear of the operator.
        for operator in graph.operators:
            if operator.kind not in self.handlers:
                self.refuse_kind(operator)
        window = self.take_input()
        for operator in graph.operators:
            self.handlers[operator.kind](operator)
        if not graph.outputs:
            raise UnsupportedModelError(
                "the network has no output: export a model that returns its prediction"
            )
        outputs: list[Sequence] = []
        scales: list[TensorScale] = []
        for index in graph.outputs:
            tensor = graph.tensors[index]
            if index not in self.sequences:
                raise UnsupportedModelError(
                    f"output '{tensor.name}' does not depend on the network's input: leave it out"
                )
            sequence = self.sequences[index]
            scale, zero_point = self.scale_of(tensor)
            outputs.append(sequence)
            if len(scales) + sequence.channels > WIDTH_MAX:
                raise UnsupportedModelError(
                    f"the outputs up to '{tensor.name}' have more than {WIDTH_MAX} channels: use "
                    "fewer"
                )
            scales += [TensorScale(tensor.name, scale, zero_point)] * sequence.channels
        source = graph.tensors[graph.inputs[0]]
        input_scale, input_zero = self.scale_of(source)
        output = self.side_by_side("output", [sequence.view for sequence in outputs])
        return Plan(
            steps=tuple(self.steps),
            vectors=tuple(self.vectors),
            input=self.sequences[graph.inputs[0]].view,
            output=output,
            input_scale=TensorScale(source.name, input_scale, input_zero),
            output_scales=tuple(scales),
            receptive_field=1 + max(sequence.lookback for sequence in outputs),
            window=window,
            sha256=sha256,
        )

    def take_input(self) -> int:
        """Register the graph's input; return the window's length in samples."""
        if len(self.graph.inputs) != 1:
            names = ", ".join(f"'{self.graph.tensors[i].name}'" for i in self.graph.inputs[:2])
            raise UnsupportedModelError(
                f"{len(self.graph.inputs)} input tensors ({names or 'none'}), expected one of "
                "shape (1, window, channels): give all channels as one input"
            )
        index = self.graph.inputs[0]
        tensor = self.graph.tensors[index]
        shape = tensor.shape
        described = f"input '{tensor.name}' of shape {shape}"
        if len(shape) not in (2, 3, 4) or math.prod(shape) == 0:
            raise UnsupportedModelError(
                f"{described}: expected (1, window, channels) or (1, window, 1, channels); export "
                "with a static batch of 1"
            )
        if shape[0] != 1:
            raise UnsupportedModelError(
                f"{described}: batch {shape[0]}, expected 1; export with a static batch of 1"
            )
        if len(shape) == 4:
            if shape[1] != 1 and shape[2] != 1:
                raise UnsupportedModelError(
                    f"{described}: two axes beside channels, expected time only: move the other "
                    "into the channels"
                )
            self.time_axis_4d = 2 if shape[2] != 1 else 1
            axis = self.time_axis_4d
        else:
            axis = len(shape) - 2
        self.scale_of(tensor)
        view = self.new_vector(shape[-1], tensor.name)
        self.sequences[index] = Sequence(view, axis, shape[axis], 0)
        return shape[axis]

    # --- refusals and checks -----------------------------------------------------------------

    def refuse(self, operator: Operator, reason: str) -> UnsupportedModelError:
        """Return the error for `operator`, named by the tensor it computes."""
        name = self.graph.tensors[operator.outputs[0]].name if operator.outputs else "nothing"
        return UnsupportedModelError(f"{operator.kind} that computes '{name}': {reason}")

    def refuse_kind(self, operator: Operator) -> None:
        supported = ", ".join(sorted(self.handlers))
        remedy = _REMEDIES.get(operator.kind, f"supported are {supported}")
        raise self.refuse(operator, f"operator not supported; {remedy}")

    def scale_of(self, tensor: Tensor) -> tuple[float, int]:
        """Return scale and zero point of an int8 tensor; refuse any other."""
        if tensor.type != "INT8":
            raise UnsupportedModelError(
                f"tensor '{tensor.name}' is {tensor.type}, expected INT8: export with full integer "
                "quantization and int8 input and output"
            )
        quantization = tensor.quantization
        if quantization is None:
            raise UnsupportedModelError(
                f"tensor '{tensor.name}' has no quantization: export with full integer quantization"
            )
        if len(quantization.scales) != 1 or len(quantization.zero_points) != 1:
            raise UnsupportedModelError(
                f"tensor '{tensor.name}' has {len(quantization.scales)} scales and "
                f"{len(quantization.zero_points)} zero points, expected one of each: only filters "
                "are quantized per channel; export with full integer quantization"
            )
        scale, zero_point = quantization.scales[0], quantization.zero_points[0]
        _check_scale(tensor, scale)
        if not arithmetic.INT8_MIN <= zero_point <= arithmetic.INT8_MAX:
            raise UnsupportedModelError(
                f"tensor '{tensor.name}' has zero point {zero_point}, expected -128 to 127: "
                "export with full integer quantization to int8"
            )
        return scale, zero_point

    def expect(self, operator: Operator, inputs: int, outputs: int = 1) -> None:
        """Check how many tensors the operator reads (at least) and writes (exactly)."""
        if len(operator.inputs) < inputs or len(operator.outputs) != outputs:
            raise self.refuse(
                operator,
                f"{len(operator.inputs)} inputs and {len(operator.outputs)} outputs, "
                f"expected {inputs} and {outputs}; {_EXPORT}",
            )

    def sequence(self, operator: Operator, position: int) -> Sequence:
        """Return the run-time operand at `position`."""
        index = operator.inputs[position]
        if index < 0 or index not in self.sequences:
            name = self.graph.tensors[index].name if index >= 0 else "absent"
            raise self.refuse(
                operator,
                f"operand {position} ('{name}') does not depend on the network's input: put "
                "constants into a convolution's weights or bias",
            )
        return self.sequences[index]

    def constant(self, operator: Operator, position: int, kind: str) -> Tensor:
        """Return the constant operand at `position`, of type `kind`."""
        index = operator.inputs[position] if position < len(operator.inputs) else -1
        tensor = self.graph.tensors[index] if index >= 0 else None
        if tensor is None or not tensor.constant:
            raise self.refuse(
                operator,
                f"operand {position} is no constant: export with fixed weights and shapes",
            )
        if tensor.type != kind:
            raise self.refuse(
                operator,
                f"operand '{tensor.name}' is {tensor.type}, expected {kind}: export with full "
                "integer quantization to int8",
            )
        return tensor

    def integers(self, operator: Operator, position: int) -> list[int]:
        """Return a constant vector of INT32 or INT64, such as a slice's begin."""
        index = operator.inputs[position] if position < len(operator.inputs) else -1
        kind = self.graph.tensors[index].type if index >= 0 else "INT32"
        tensor = self.constant(operator, position, "INT64" if kind == "INT64" else "INT32")
        if math.prod(tensor.shape) > ENTRIES_MAX:
            raise self.refuse(operator, f"operand '{tensor.name}' is too long; {_EXPORT}")
        return [int(value) for value in tensor.array().ravel()]

    def activation(self, operator: Operator) -> Activation:
        code = operator.option("FusedActivationFunction")
        if code not in _ACTIVATIONS:
            raise self.refuse(
                operator,
                f"fused activation number {code} not supported, expected NONE, RELU or RELU6",
            )
        return _ACTIVATIONS[code]

    def new_vector(self, width: int, name: str) -> View:
        if not 1 <= width <= WIDTH_MAX:
            raise UnsupportedModelError(
                f"tensor '{name}' needs a vector of {width} values, expected 1 to {WIDTH_MAX}: use "
                "fewer channels or shorter kernels"
            )
        self.vectors.append(width)
        return View(len(self.vectors) - 1, 0, width)

    def append(self, step: Step) -> None:
        if len(self.steps) == STEPS_MAX:
            raise UnsupportedModelError(
                f"tensor '{step.name}' needs one step more than the {STEPS_MAX} a sample may have: "
                "use fewer layers"
            )
        self.steps.append(step)

    def define(self, operator: Operator, position: int, sequence: Sequence) -> None:
        """Register what output `position` is, after checking that the file's shape agrees."""
        index = operator.outputs[position]
        tensor = self.graph.tensors[index]
        shape = [1] * max(len(tensor.shape), sequence.time_axis + 2)
        shape[sequence.time_axis] = sequence.length
        shape[-1] = sequence.channels
        if tuple(shape) != tensor.shape:
            raise self.refuse(
                operator,
                f"output shape {tensor.shape}, expected {sequence.length} samples of "
                f"{sequence.channels} channels; {_EXPORT}",
            )
        self.scale_of(tensor)
        self.sequences[index] = sequence

    def side_by_side(self, name: str, views: list[View]) -> View:
        """Return one view of all `views` in order, copying only where they are apart."""
        first = views[0]
        end = first.offset + first.width
        for view in views[1:]:
            if view.vector != first.vector or view.offset != end:
                break
            end += view.width
        else:
            return View(first.vector, first.offset, end - first.offset)
        whole = self.new_vector(sum(view.width for view in views), name)
        offset = 0
        for view in views:
            self.append(Copy(name, whole.part(offset, view.width), view))
            offset += view.width
        return whole

    # --- convolutions ------------------------------------------------------------------------

    def conv_2d(self, operator: Operator) -> None:
        self.expect(operator, 2)
        source = self.sequence(operator, 0)
        filters = self.constant(operator, 1, "INT8")
        shape = self.graph.tensors[operator.inputs[0]].shape
        if len(shape) != 4 or len(filters.shape) != 4 or math.prod(filters.shape) == 0:
            raise self.refuse(
                operator,
                f"input shape {shape}, filter shape {filters.shape}, expected four axes "
                "each: (1, time, 1, channels) and (rows, kernel, 1, channels)",
            )
        rows, channels = filters.shape[0], filters.shape[3]
        if channels != source.channels:
            raise self.refuse(
                operator,
                f"filter for {channels} channels on an input of {source.channels}: "
                "grouped convolutions are not supported, use one group",
            )
        along_time = source.time_axis
        across = 3 - along_time
        taps = filters.shape[along_time]
        if filters.shape[across] != 1:
            raise self.refuse(
                operator,
                f"kernel {filters.shape[1:3]} spans both axes, expected (k, 1) along time",
            )
        time_letter = "H" if along_time == 1 else "W"
        stride = operator.option(f"Stride{time_letter}")
        dilation = operator.option(f"Dilation{time_letter}Factor")
        if stride != 1:
            raise self.refuse(
                operator, f"stride {stride} over time, expected 1: every sample gives an output"
            )
        if dilation < 1:
            raise self.refuse(operator, f"dilation {dilation}, expected 1 or more; {_EXPORT}")
        if taps > 1 and operator.option("Padding") == PADDING_SAME:
            raise self.refuse(
                operator,
                "SAME padding looks ahead of the newest sample, expected VALID on a window as long "
                "as the receptive field",
            )
        past = (taps - 1) * dilation
        if past >= source.length:
            raise self.refuse(
                operator,
                f"kernel {taps} with dilation {dilation} needs {past + 1} samples, the window "
                f"leaves {source.length}: it is shorter than the receptive field; export with a "
                "longer window",
            )
        self.check_size(operator, rows, taps * channels)
        scale_in, zero_in = self.scale_of(self.graph.tensors[operator.inputs[0]])
        scale_out, _ = self.scale_of(self.graph.tensors[operator.outputs[0]])
        scales = self.filter_scales(operator, filters)
        factors = [scale_in * scale / scale_out for scale in scales] * (rows // len(scales))
        # OHWI, one of H and W is 1: rows of taps from old to new with the channels of each.
        weights = filters.array().astype(np.int8, copy=False).reshape(rows, taps * channels)
        column = self.gather(operator, source.view, taps, dilation, zero_in)
        view = self.matrix(operator, column, weights, zero_in, factors)
        self.define(
            operator,
            0,
            Sequence(view, along_time, source.length - past, source.lookback + past),
        )

    def fully_connected(self, operator: Operator) -> None:
        self.expect(operator, 2)
        source = self.sequence(operator, 0)
        filters = self.constant(operator, 1, "INT8")
        if len(filters.shape) != 2 or filters.shape[1] != source.channels or not filters.shape[0]:
            raise self.refuse(
                operator,
                f"weights of shape {filters.shape} on vectors of {source.channels} channels: a "
                "layer over several samples is a convolution, use CONV_2D over time",
            )
        if operator.option("WeightsFormat") != 0:
            raise self.refuse(operator, f"shuffled weights are not supported; {_EXPORT}")
        rows = filters.shape[0]
        self.check_size(operator, rows, source.channels)
        scale_in, zero_in = self.scale_of(self.graph.tensors[operator.inputs[0]])
        output = self.graph.tensors[operator.outputs[0]]
        scale_out, _ = self.scale_of(output)
        scales = self.filter_scales(operator, filters)
        if len(scales) == 1:
            # The per-tensor kernel multiplies the two scales in float32.
            with np.errstate(over="ignore", under="ignore"):
                product = np.float32(scale_in) * np.float32(scales[0])
            factors = [float(product) / scale_out] * rows
        else:
            factors = [scale_in * scale / scale_out for scale in scales]
        weights = filters.array().astype(np.int8, copy=False)
        view = self.matrix(operator, source.view, weights, zero_in, factors)
        axis = self.renamed_axis(operator, output, source.length)
        self.define(operator, 0, Sequence(view, axis, source.length, source.lookback))

    def check_size(self, operator: Operator, rows: int, columns: int) -> None:
        """Refuse a matrix that is too large before anything of its size is made."""
        if rows > WIDTH_MAX:
            raise self.refuse(operator, f"{rows} channels, at most {WIDTH_MAX}: use fewer")
        self.macs += rows * columns
        if self.macs > MACS_MAX:
            raise self.refuse(
                operator,
                f"with it a sample takes {self.macs} multiply-accumulates, at most {MACS_MAX}: use "
                "fewer channels or layers",
            )

    def filter_scales(self, operator: Operator, filters: Tensor) -> list[float]:
        """Return one scale for the filter, or one for each of its rows."""
        quantization = filters.quantization
        if quantization is None:
            raise self.refuse(
                operator,
                f"filter '{filters.name}' has no quantization: export with full integer "
                "quantization",
            )
        scales = list(quantization.scales)
        rows = filters.shape[0]
        if len(scales) not in (1, rows) or (len(scales) > 1 and quantization.axis != 0):
            raise self.refuse(
                operator,
                f"filter '{filters.name}' has {len(scales)} scales on axis {quantization.axis}, "
                f"expected 1, or {rows} on axis 0: quantize filters per tensor or per output "
                "channel",
            )
        if len(quantization.zero_points) not in (1, len(scales)):
            raise self.refuse(
                operator,
                f"filter '{filters.name}' has {len(scales)} scales and "
                f"{len(quantization.zero_points)} zero points, expected as many; {_EXPORT}",
            )
        for scale in scales:
            _check_scale(filters, scale)
        if any(quantization.zero_points):
            raise self.refuse(
                operator,
                f"filter '{filters.name}' has a zero point other than 0: export with symmetric "
                "int8 weights",
            )
        return scales

    def gather(
        self, operator: Operator, newest: View, taps: int, dilation: int, zero_point: int
    ) -> View:
        """Return the view of past and present side by side, adding a delay line if needed."""
        if taps == 1:
            return newest
        key = (newest, taps, dilation)
        if key not in self.lines:
            name = self.graph.tensors[operator.inputs[0]].name
            if taps > FIELD_MAX or dilation > FIELD_MAX:
                raise self.refuse(
                    operator,
                    f"kernel {taps} with dilation {dilation}, at most {FIELD_MAX} each: use a "
                    "shorter kernel or a smaller dilation",
                )
            column = self.new_vector(taps * newest.width, name)
            self.append(Taps(name, column, newest, taps, dilation, zero_point))
            self.lines[key] = column
        return self.lines[key]

    def matrix(
        self,
        operator: Operator,
        column: View,
        weights: np.ndarray[tuple[int, ...], np.dtype[np.int8]],
        zero_in: int,
        factors: list[float],
    ) -> View:
        """Append a Conv step and return the view of its result."""
        rows = weights.shape[0]
        bias = np.zeros(rows, np.int64)
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            tensor = self.constant(operator, 2, "INT32")
            if tensor.shape != (rows,):
                raise self.refuse(
                    operator,
                    f"bias '{tensor.name}' of shape {tensor.shape}, expected ({rows},); {_EXPORT}",
                )
            bias = tensor.array().astype(np.int64)
        # |x - zero_point| is at most 255. With this bound the folded sums cannot overflow either.
        total = np.abs(weights.astype(np.int64)).sum(axis=1)
        worst = int((np.abs(bias) + 256 * total).max())
        if worst > arithmetic.INT32_MAX:
            raise self.refuse(
                operator,
                f"the accumulator can reach {worst}, more than 32 bits hold: its bias or its "
                f"input's scale is wrong; {_CALIBRATE}",
            )
        folded = bias - zero_in * weights.astype(np.int64).sum(axis=1)
        output = self.graph.tensors[operator.outputs[0]]
        zero_out = self.scale_of(output)[1]
        multipliers = tuple(self.multiplier(operator, factor) for factor in factors)
        view = self.new_vector(rows, output.name)
        self.append(
            Conv(
                output.name,
                view,
                column,
                weights,
                folded.astype(np.int32),
                multipliers,
                (zero_out,) * rows,
                (None,) * rows,
            )
        )
        return self.activated(operator, view)

    def activated(self, operator: Operator, view: View) -> View:
        """Append the fused activation of `operator`, if it has one, as a table."""
        output = self.graph.tensors[operator.outputs[0]]
        activation = self.activation(operator)
        self.check_bound(operator, output, activation)
        limits = arithmetic.activation_range(activation, *self.scale_of(output))
        if limits == (arithmetic.INT8_MIN, arithmetic.INT8_MAX):
            return view
        result = self.new_vector(view.width, output.name)
        self.append(Lookup(output.name, result, view, arithmetic.clamp_table(*limits)))
        return result

    def check_bound(self, operator: Operator, tensor: Tensor, activation: Activation) -> None:
        """Refuse a scale at which the bound of an activation leaves the kernel's 32 bits."""
        scale, _ = self.scale_of(tensor)
        if activation in ("RELU6", "RELU_N1_TO_1") and scale < SMALLEST_BOUNDED_SCALE:
            raise self.refuse(
                operator,
                f"'{tensor.name}' has scale {scale:.3g}, too fine for the bound of {activation}; "
                f"{_CALIBRATE}",
            )

    def multiplier(self, operator: Operator, factor: float) -> Multiplier:
        # 2**30 is the largest shift; the comparison also stops a product that became infinite.
        if factor >= 2.0**30 or (multiplier := arithmetic.quantize_multiplier(factor)).shift > 30:
            raise self.refuse(
                operator,
                f"its scales differ by a factor of {factor:.3g}, more than the kernel's 2**30; "
                f"{_CALIBRATE}",
            )
        return multiplier

    # --- elementwise -------------------------------------------------------------------------

    def pair(self, operator: Operator) -> tuple[Sequence, Sequence]:
        """Return two operands of one shape, whose newest samples coincide."""
        a, b = self.sequence(operator, 0), self.sequence(operator, 1)
        if a.channels != b.channels:
            raise self.refuse(
                operator,
                f"operands of {a.channels} and {b.channels} channels, expected as many: widen one "
                "by a 1x1 CONV_2D",
            )
        if a.length != b.length:
            raise self.refuse(
                operator,
                f"operands of {a.length} and {b.length} samples, expected equal lengths: crop the "
                "oldest samples of the longer",
            )
        return a, b

    def elementwise(self, operator: Operator) -> tuple[TensorScale, TensorScale, TensorScale]:
        """Return the quantization of both operands and of the result."""
        indices = (operator.inputs[0], operator.inputs[1], operator.outputs[0])
        tensors = [self.graph.tensors[index] for index in indices]
        a, b, out = (TensorScale(tensor.name, *self.scale_of(tensor)) for tensor in tensors)
        return a, b, out

    def add(self, operator: Operator) -> None:
        self.expect(operator, 2)
        qa, qb, out = self.elementwise(operator)
        a, b = self.pair(operator)
        if qa.scale < qb.scale:
            a, b, qa, qb = b, a, qb, qa
        parameters = arithmetic.add_parameters(qa.scale, qb.scale, out.scale)
        if parameters is None:
            raise self.refuse(
                operator,
                f"its scales {qa.scale:.3g}, {qb.scale:.3g} and {out.scale:.3g} differ by more "
                f"than the kernel's 2**19; {_CALIBRATE}",
            )
        view = self.new_vector(a.channels, out.name)
        self.append(
            Add(
                out.name,
                view,
                a.view,
                b.view,
                -qa.zero_point,
                -qb.zero_point,
                out.zero_point,
                parameters,
            )
        )
        view = self.activated(operator, view)
        lookback = max(a.lookback, b.lookback)
        self.define(operator, 0, Sequence(view, a.time_axis, a.length, lookback))

    def mul(self, operator: Operator) -> None:
        self.expect(operator, 2)
        qa, qb, out = self.elementwise(operator)
        multiplier = self.multiplier(operator, qa.scale * qb.scale / out.scale)
        a, b = self.pair(operator)
        view = self.new_vector(a.channels, out.name)
        self.append(
            Mul(
                out.name,
                view,
                a.view,
                b.view,
                -qa.zero_point,
                -qb.zero_point,
                out.zero_point,
                multiplier,
            )
        )
        view = self.activated(operator, view)
        lookback = max(a.lookback, b.lookback)
        self.define(operator, 0, Sequence(view, a.time_axis, a.length, lookback))

    def lookup(self, operator: Operator) -> None:
        self.expect(operator, 1)
        source = self.sequence(operator, 0)
        tensor_in = self.graph.tensors[operator.inputs[0]]
        tensor_out = self.graph.tensors[operator.outputs[0]]
        scale, zero_point = self.scale_of(tensor_in)
        scale_out, zero_out = self.scale_of(tensor_out)
        table: Table
        if operator.kind in ("TANH", "LOGISTIC"):
            # The kernels compute for these outputs, whatever the file says.
            expected = (1 / 128, 0) if operator.kind == "TANH" else (1 / 256, -128)
            if (scale_out, zero_out) != expected:
                raise self.refuse(
                    operator,
                    f"output scale {scale_out} and zero point {zero_out}, expected {expected[0]} "
                    f"and {expected[1]}, the kernel's own; {_EXPORT}",
                )
            if not 2.0**-27 <= scale <= 2.0**27:
                raise self.refuse(
                    operator,
                    f"'{tensor_in.name}' has scale {scale:.3g}, expected 2**-27 to 2**27; "
                    f"{_CALIBRATE}",
                )
            make = arithmetic.tanh_table if operator.kind == "TANH" else arithmetic.logistic_table
            table = make(scale, zero_point)
        elif operator.kind == "RELU6":
            if (scale, zero_point) != (scale_out, zero_out):
                raise self.refuse(
                    operator,
                    "output quantization differs from the input's, which the kernel ignores; "
                    f"{_EXPORT}",
                )
            self.check_bound(operator, tensor_in, "RELU6")
            table = arithmetic.relu6_table(scale, zero_point)
        else:
            self.multiplier(operator, scale / scale_out)
            low = zero_out if operator.kind == "RELU" else arithmetic.INT8_MIN
            table = arithmetic.requantize_table(scale, zero_point, scale_out, zero_out, low)
        view = self.new_vector(source.channels, tensor_out.name)
        self.append(Lookup(tensor_out.name, view, source.view, table))
        self.define(operator, 0, Sequence(view, source.time_axis, source.length, source.lookback))

    # --- renaming ----------------------------------------------------------------------------

    def renamed_axis(self, operator: Operator, tensor: Tensor, length: int) -> int:
        """Return the time axis of a tensor whose axes an operator renamed."""
        shape = tensor.shape
        if len(shape) == 4:
            if self.time_axis_4d is None:
                self.time_axis_4d = 2 if shape[2] != 1 else 1
            return self.time_axis_4d
        if len(shape) not in (2, 3):
            raise self.refuse(
                operator, f"output shape {shape}, expected 2 to 4 axes with channels last"
            )
        return len(shape) - 2

    def rename(self, operator: Operator) -> None:
        self.expect(operator, 1)
        source = self.sequence(operator, 0)
        tensor = self.graph.tensors[operator.outputs[0]]
        axis = self.renamed_axis(operator, tensor, source.length)
        if tensor.shape[-1] != source.channels:
            raise self.refuse(
                operator,
                f"from {self.graph.tensors[operator.inputs[0]].shape} to {tensor.shape} mixes time "
                "and channels; only renaming axes is supported: crop to the newest "
                "sample before flattening",
            )
        self.define(operator, 0, Sequence(source.view, axis, source.length, source.lookback))

    def cut(self, operator: Operator, ranges: list[tuple[int, int]], dropped: list[bool]) -> None:
        """Take the half-open `ranges` of every axis; `dropped` axes disappear from the shape."""
        source = self.sequence(operator, 0)
        shape = self.graph.tensors[operator.inputs[0]].shape
        tensor = self.graph.tensors[operator.outputs[0]]
        begin, end = ranges[source.time_axis]
        if end != source.length:
            raise self.refuse(
                operator,
                f"it drops the {source.length - end} newest samples, so what is beside it looks "
                "ahead; crop only the oldest",
            )
        first, stop = ranges[-1]
        if begin >= end or first >= stop:
            raise self.refuse(operator, f"it takes nothing of shape {shape}: keep a sample or more")
        if dropped[-1]:
            raise self.refuse(operator, "it drops the channel axis; keep it with length 1")
        view = source.view.part(first, stop - first)
        axis = source.time_axis
        if any(dropped):
            axis = self.renamed_axis(operator, tensor, end - begin)
        self.define(operator, 0, Sequence(view, axis, end - begin, source.lookback))

    def strided_slice(self, operator: Operator) -> None:
        self.expect(operator, 4)
        self.sequence(operator, 0)
        shape = self.graph.tensors[operator.inputs[0]].shape
        begin, end, strides = (self.integers(operator, i) for i in (1, 2, 3))
        if not len(begin) == len(end) == len(strides) == len(shape):
            raise self.refuse(
                operator, f"its ranges do not cover the axes of shape {shape}: give one for each"
            )
        if any(operator.option(name) for name in ("EllipsisMask", "NewAxisMask", "Offset")):
            raise self.refuse(
                operator,
                "ellipsis, new axes and ends relative to the begin are not supported: write every "
                "axis' range out",
            )
        ranges, dropped = [], []
        for axis, size in enumerate(shape):
            bit = 1 << axis
            drop = bool(operator.option("ShrinkAxisMask") & bit)
            first = _position(begin[axis], size)
            stop = _position(end[axis], size)
            if operator.option("BeginMask") & bit and not drop:
                first = 0
            if operator.option("EndMask") & bit:
                stop = size
            if drop:
                stop = first + 1
            elif strides[axis] != 1:
                raise self.refuse(
                    operator, f"stride {strides[axis]}, expected 1: keep every sample"
                )
            ranges.append((first, stop))
            dropped.append(drop)
        self.cut(operator, ranges, dropped)

    def slice(self, operator: Operator) -> None:
        self.expect(operator, 3)
        self.sequence(operator, 0)
        shape = self.graph.tensors[operator.inputs[0]].shape
        begin, sizes = self.integers(operator, 1), self.integers(operator, 2)
        if not len(begin) == len(sizes) == len(shape):
            raise self.refuse(
                operator, f"its ranges do not cover the axes of shape {shape}: give one for each"
            )
        ranges = []
        for axis, length in enumerate(shape):
            stop = length if sizes[axis] == -1 else begin[axis] + sizes[axis]
            if not 0 <= begin[axis] < stop <= length:
                raise self.refuse(
                    operator,
                    f"it takes {begin[axis]}:{stop} of axis {axis}, expected a part of 0:{length}",
                )
            ranges.append((begin[axis], stop))
        self.cut(operator, ranges, [False] * len(shape))

    def split_widths(
        self, operator: Operator, data: int, axis_operand: int, widths: list[int] | None
    ) -> None:
        source = self.sequence(operator, data)
        shape = self.graph.tensors[operator.inputs[data]].shape
        axes = self.integers(operator, axis_operand)
        count = len(operator.outputs)
        if len(axes) != 1 or axes[0] not in (-1, len(shape) - 1):
            found = axes[0] if len(axes) == 1 else f"list of {len(axes)}"
            raise self.refuse(operator, f"it splits axis {found}, expected the channels (-1)")
        if widths is None:
            widths = [source.channels // count] * count
        elif -1 in widths:
            rest = source.channels - sum(width for width in widths if width != -1)
            widths = [rest if width == -1 else width for width in widths]
        if len(widths) != count or sum(widths) != source.channels or min(widths) < 1:
            raise self.refuse(
                operator,
                f"{source.channels} channels do not split into its {count} parts: make the parts' "
                "widths add up",
            )
        offset = 0
        for position, width in enumerate(widths):
            view = source.view.part(offset, width)
            self.define(
                operator,
                position,
                Sequence(view, source.time_axis, source.length, source.lookback),
            )
            offset += width

    def split(self, operator: Operator) -> None:
        self.expect(operator, 2, max(1, len(operator.outputs)))
        self.split_widths(operator, 1, 0, None)

    def split_v(self, operator: Operator) -> None:
        self.expect(operator, 3, max(1, len(operator.outputs)))
        self.split_widths(operator, 0, 2, self.integers(operator, 1))

    def concatenation(self, operator: Operator) -> None:
        self.expect(operator, 1)
        parts = [self.sequence(operator, i) for i in range(len(operator.inputs))]
        tensor = self.graph.tensors[operator.outputs[0]]
        if operator.option("Axis") not in (-1, len(tensor.shape) - 1):
            raise self.refuse(
                operator, f"it joins axis {operator.option('Axis')}, expected the channels (-1)"
            )
        if self.activation(operator) != "NONE":
            raise self.refuse(
                operator, "a fused activation is not supported: apply it as an operator of its own"
            )
        expected = self.scale_of(tensor)
        for index in operator.inputs:
            part = self.graph.tensors[index]
            if self.scale_of(part) != expected:
                raise self.refuse(
                    operator,
                    f"'{part.name}' has another quantization than the result: parts must share "
                    "one; requantize them with QUANTIZE",
                )
        if len({part.length for part in parts}) != 1:
            raise self.refuse(
                operator, "its parts differ in length: crop the oldest samples of the longer"
            )
        view = self.side_by_side(tensor.name, [part.view for part in parts])
        first = parts[0]
        lookback = max(part.lookback for part in parts)
        self.define(operator, 0, Sequence(view, first.time_axis, first.length, lookback))


def _position(value: int, size: int) -> int:
    """Return a slice's bound as Python resolves it: negative from the end, kept inside."""
    return max(0, min(size, value + size if value < 0 else value))


def _check_scale(tensor: Tensor, scale: float) -> None:
    if not math.isfinite(scale) or scale < FLOAT32_SMALLEST_NORMAL:
        raise UnsupportedModelError(
            f"tensor '{tensor.name}' has scale {scale}: expected a positive, finite, normal "
            f"number; {_CALIBRATE}"
        )
