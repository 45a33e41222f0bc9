"""What the streaming engine does for one sample: steps over small vectors in a scratch area.

`derive.py` makes a `Plan` from a graph, `optimize.py` makes it faster, `emit.py` writes it as C
tables for `firmware/engine`. Scratch vectors hold int16 values, so that a core multiplies them in
pairs without unpacking (with Helium, which takes bytes, int8); delay lines, the bulk of the state,
hold int8.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from myowave.compiler.arithmetic import AddParameters, LinearSum, Multiplier, Table
from myowave.errors import UnsupportedModelError

STATE_ALIGNMENT = 4  # MW_STATE_ALIGNMENT, bytes
BLOCK = 4  # MW_BLOCK: kernels read and write vectors this many values at a time
COLUMN_BLOCK = 16  # the largest MW_COLUMN_BLOCK: how far a convolution reads
SCRATCH_BYTES_A_VALUE = 2  # MW_VALUE_BYTES; 1 with Helium
OFFSET_MAX = 0xFFFF  # scratch offsets are uint16_t in mw_step


@dataclass(frozen=True)
class View:
    """`width` values from `offset` inside the scratch vector number `vector`."""

    vector: int
    offset: int
    width: int

    def part(self, offset: int, width: int) -> "View":
        """Return the view of `width` values from `offset` inside this one."""
        return View(self.vector, self.offset + offset, width)


@dataclass(frozen=True)
class Step:
    """What every step has: the tensor it is named after and the vector it writes."""

    name: str
    dst: View

    @property
    def sources(self) -> tuple[View, ...]:
        """Views the step reads."""
        raise NotImplementedError

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample."""
        return 0

    @property
    def state_bytes(self) -> int:
        """Bytes the step keeps from one sample to the next, without bookkeeping."""
        return 0


@dataclass(frozen=True)
class Unary(Step):
    """A step that reads one view."""

    src: View

    @property
    def sources(self) -> tuple[View, ...]:
        """Return the one view."""
        return (self.src,)


@dataclass(frozen=True)
class Binary(Step):
    """An elementwise step on two vectors; offsets are minus the operands' zero points."""

    a: View
    b: View
    a_offset: int
    b_offset: int
    zero_point: int

    @property
    def sources(self) -> tuple[View, ...]:
        """Return both views."""
        return (self.a, self.b)


@dataclass(frozen=True)
class Taps(Unary):
    """Gather the past vectors a dilated convolution needs and keep the newest.

    Attributes
    ----------
    taps, dilation : int
        The line holds (taps - 1) * dilation vectors.
    fill : int
        Zero point of the tensor: what the past holds after a reset.
    """

    taps: int
    dilation: int
    fill: int

    @property
    def state_bytes(self) -> int:
        """Bytes of the delay line."""
        return (self.taps - 1) * self.dilation * self.src.width


@dataclass(frozen=True)
class Conv(Unary):
    """Matrix times vector, requantized per row.

    Attributes
    ----------
    weights : (rows, columns) int8 array
        Columns are taps from old to new, channels within a tap.
    bias : (rows,) int32 array
        With the input's zero point folded in.
    multipliers : tuple of Multiplier
        One a row.
    zero_points : tuple of int
        Of each row's result.
    tables : tuple of (Table or None)
        Applied to each row's result; the same one for the rows of a block (`BLOCK`).
    folded : bool
        Whether `optimize.fold_requantization` found the short form of every row exact.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    multipliers: tuple[Multiplier, ...]
    zero_points: tuple[int, ...]
    tables: tuple[Table | None, ...]
    folded: bool = False

    @property
    def macs(self) -> int:
        """One for each weight."""
        return int(self.weights.size)

    def sum_range(self, row: int) -> tuple[int, int]:
        """Return the lowest and highest sum of a row over all int8 inputs, bias included."""
        weights = self.weights[row].astype(np.int64)
        low, high = (
            np.minimum(-128 * weights, 127 * weights),
            np.maximum(-128 * weights, 127 * weights),
        )
        bias = int(self.bias[row])
        return bias + int(low.sum()), bias + int(high.sum())


@dataclass(frozen=True)
class Add(Binary):
    """Elementwise sum of two vectors; `a` has the larger scale.

    Attributes
    ----------
    parameters : AddParameters
    linear : LinearSum or None
        The short form, where `optimize.linear_sums` found one that is exact.
    """

    parameters: AddParameters
    linear: LinearSum | None = None


@dataclass(frozen=True)
class Mul(Binary):
    """Elementwise product of two vectors; `folded` as in `Conv`."""

    multiplier: Multiplier
    folded: bool = False

    @property
    def product_range(self) -> tuple[int, int]:
        """Lowest and highest product of two int8 operands less their zero points."""
        a = (-128 + self.a_offset, 127 + self.a_offset)
        b = (-128 + self.b_offset, 127 + self.b_offset)
        corners = [x * y for x in a for y in b]
        return min(corners), max(corners)


@dataclass(frozen=True)
class Lookup(Unary):
    """Elementwise function of one vector: TANH, LOGISTIC, RELU, a change of quantization."""

    table: Table


@dataclass(frozen=True)
class Copy(Unary):
    """Place one vector beside others (concatenation)."""


@dataclass(frozen=True)
class TensorScale:
    """Quantization of an input or output tensor: real = scale * (q - zero_point)."""

    name: str
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Plan:
    """A network as the engine runs it.

    Attributes
    ----------
    steps : tuple of Step
        In order of execution.
    vectors : tuple of int
        Width in values of each scratch vector.
    offsets : tuple of int
        Offset in values of each scratch vector; empty before `placed`.
    input, output : View
    input_scale : TensorScale
    output_scales : tuple of TensorScale
        One for each output channel.
    receptive_field : int
        Samples one output depends on; the first `receptive_field - 1` outputs are warm-up.
    window : int
        Samples the window model takes, at least the receptive field.
    sha256 : str
        Hex digest of the `.tflite` file.
    """

    steps: tuple[Step, ...]
    vectors: tuple[int, ...]
    input: View
    output: View
    input_scale: TensorScale
    output_scales: tuple[TensorScale, ...]
    receptive_field: int
    window: int
    sha256: str
    offsets: tuple[int, ...] = field(default=())

    @property
    def n_inputs(self) -> int:
        """Channels of the input."""
        return self.input.width

    @property
    def n_outputs(self) -> int:
        """Channels of the output."""
        return self.output.width

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the convolutions, a sample."""
        return sum(step.macs for step in self.steps if isinstance(step, Conv))

    @property
    def line_bytes(self) -> int:
        """Bytes of all delay lines."""
        return sum(step.state_bytes for step in self.steps)

    @property
    def scratch_values(self) -> int:
        """Values of the scratch area."""
        end = max(
            (
                in_blocks(offset + width)
                for offset, width in zip(self.offsets, self.vectors, strict=True)
            ),
            default=0,
        )
        # Kernels read parts of vectors by whole blocks, and convolutions by blocks of columns.
        reads = (
            self.conv_source(step)[0] + in_blocks(sum(self.conv_source(step)[1:]), COLUMN_BLOCK)
            for step in self.steps
            if isinstance(step, Conv)
        )
        return max((end + BLOCK, *reads))

    @property
    def scratch_bytes(self) -> int:
        """Bytes of the scratch area."""
        return SCRATCH_BYTES_A_VALUE * self.scratch_values

    @property
    def n_lines(self) -> int:
        """Delay lines."""
        return sum(isinstance(step, Taps) for step in self.steps)

    @property
    def state_bytes(self) -> int:
        """Bytes the caller of the engine provides: positions, scratch, delay lines."""
        total = 4 * self.n_lines + self.scratch_bytes + self.line_bytes
        return -(-total // STATE_ALIGNMENT) * STATE_ALIGNMENT

    def conv_source(self, conv: Conv) -> tuple[int, int, int]:
        """Return where a kernel begins to read, the values before the view, the view's width.

        Kernels read from whole blocks; what comes before the view meets weights of 0.
        """
        address = self.address(conv.src)
        begin = address // BLOCK * BLOCK
        return begin, address - begin, conv.src.width

    def address(self, view: View) -> int:
        """Return the offset of `view` in the scratch area, in values."""
        return self.offsets[view.vector] + view.offset


def in_blocks(values: int, block: int = BLOCK) -> int:
    """Round up to whole blocks."""
    return -(-values // block) * block


def placed(plan: Plan, *, reuse: bool = True) -> Plan:
    """Give every scratch vector an offset; vectors whose lifetimes do not meet share memory.

    First fit in order of first use. A vector lives from the step that writes it (or the start, for
    the input) to the last step that reads it (or the end, for the output), both included: no step
    overwrites what it reads. Without `reuse` every vector lives to the end.

    Raises
    ------
    UnsupportedModelError
        If the scratch area needs more than 16-bit offsets.
    """
    first: dict[int, int] = {plan.input.vector: -1}
    last: dict[int, int] = {plan.input.vector: -1, plan.output.vector: len(plan.steps)}
    for position, step in enumerate(plan.steps):
        first.setdefault(step.dst.vector, position)
        last[step.dst.vector] = max(last.get(step.dst.vector, 0), position)
        for view in step.sources:
            last[view.vector] = max(last.get(view.vector, 0), position)
    offsets = [0] * len(plan.vectors)
    alive: list[tuple[int, int, int]] = []  # (offset, end, last use)
    for vector in sorted(first, key=lambda vector: (first[vector], vector)):
        if reuse:
            alive = [entry for entry in alive if entry[2] >= first[vector]]
        width = in_blocks(plan.vectors[vector])
        offset = 0
        for begin, end, _ in sorted(alive):
            if offset + width <= begin:
                break
            offset = max(offset, end)
        if offset + width + BLOCK > OFFSET_MAX:
            name = plan.steps[first[vector]].name if first[vector] >= 0 else plan.input_scale.name
            raise UnsupportedModelError(
                f"the vectors of one sample up to tensor '{name}' need {offset + width} values, at "
                f"most {OFFSET_MAX}: use fewer channels"
            )
        offsets[vector] = offset
        alive.append((offset, offset + width, last[vector]))
    # Vectors that fusion removed have no offset to give: they shrink to nothing.
    vectors = tuple(width if vector in first else 0 for vector, width in enumerate(plan.vectors))
    return replace(plan, vectors=vectors, offsets=tuple(offsets))


def describe(plan: Plan) -> Iterator[tuple[str, str, str, str, int, int]]:
    """Yield the plan's table: step, tensor, inputs, shape, MACs, state bytes."""
    names = {plan.input.vector: "input"}
    for step in plan.steps:
        name = _short(step.name)
        kind = type(step).__name__.lower()
        if isinstance(step, Taps):
            kind += f" {step.taps}x{step.dilation}"
        elif isinstance(step, Conv) and any(table is not None for table in step.tables):
            kind += "+table"
        if (isinstance(step, Conv | Mul) and not step.folded) or (
            isinstance(step, Add) and step.linear is None
        ):
            kind += ", general"
        reads = ", ".join(_part_name(view, names, plan) for view in step.sources)
        names.setdefault(step.dst.vector, name)
        shape = f"({step.dst.width},)"
        if isinstance(step, Conv):
            shape = f"({step.weights.shape[1]},) -> ({step.weights.shape[0]},)"
        elif isinstance(step, Taps):
            shape = f"({step.src.width},) -> ({step.dst.width},)"
        yield kind, name, reads, shape, step.macs, step.state_bytes


def _short(name: str) -> str:
    """Return the layer in a converter's name: of `net/block1/gate/BiasAdd;net/...` block1/gate."""
    parts = name.split(";", maxsplit=1)[0].split("/")
    return "/".join(parts[1:-1] if len(parts) > 2 else parts)


def _part_name(view: View, names: dict[int, str], plan: Plan) -> str:
    name = names.get(view.vector, f"vector {view.vector}")
    if view.width == plan.vectors[view.vector]:
        return name
    return f"{name}[{view.offset}:{view.offset + view.width}]"
