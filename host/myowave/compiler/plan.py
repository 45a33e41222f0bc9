"""What the streaming engine does for one sample: steps over small vectors in a scratch area.

`derive.py` makes a `Plan` from a graph, `emit.py` writes it as C tables for `firmware/engine`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from myowave.compiler.arithmetic import AddParameters, Multiplier, Table
from myowave.errors import UnsupportedModelError

ALIGNMENT = 4  # MW_STATE_ALIGNMENT: word loads from every vector
OFFSET_MAX = 0xFFFF  # scratch offsets are uint16_t in mw_step


@dataclass(frozen=True)
class View:
    """`width` bytes from `offset` inside the scratch vector number `vector`."""

    vector: int
    offset: int
    width: int

    def part(self, offset: int, width: int) -> "View":
        """Return the view of `width` bytes from `offset` inside this one."""
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
    low: int
    high: int

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
    zero_point, low, high : int
        Of the result.
    table : Table or None
        Applied to the result.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    multipliers: tuple[Multiplier, ...]
    zero_point: int
    low: int
    high: int
    table: Table | None = None

    @property
    def macs(self) -> int:
        """One for each weight."""
        return int(self.weights.size)


@dataclass(frozen=True)
class Add(Binary):
    """Elementwise sum of two vectors; `a` has the larger scale."""

    parameters: AddParameters


@dataclass(frozen=True)
class Mul(Binary):
    """Elementwise product of two vectors."""

    multiplier: Multiplier


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
        Width in bytes of each scratch vector.
    offsets : tuple of int
        Byte offset of each scratch vector; empty before `placed`.
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
    def scratch_bytes(self) -> int:
        """Bytes of the scratch area."""
        return max(
            (
                _aligned(offset + width)
                for offset, width in zip(self.offsets, self.vectors, strict=True)
            ),
            default=0,
        )

    @property
    def state_bytes(self) -> int:
        """Bytes the caller of the engine provides: positions, scratch, delay lines."""
        lines = sum(isinstance(step, Taps) for step in self.steps)
        return _aligned(4 * lines + self.scratch_bytes + self.line_bytes)

    def address(self, view: View) -> int:
        """Return the byte offset of `view` in the scratch area."""
        return self.offsets[view.vector] + view.offset


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def without_dead_steps(plan: Plan) -> Plan:
    """Drop the steps no output depends on."""
    needed = {plan.output.vector}
    kept: list[Step] = []
    for step in reversed(plan.steps):
        if step.dst.vector in needed:
            needed.update(view.vector for view in step.sources)
            kept.append(step)
    return replace(plan, steps=tuple(reversed(kept)))


def fuse_tables(plan: Plan) -> Plan:
    """Apply a table inside the convolution that alone feeds it.

    Exact: the same two functions of the same accumulator in the same order; it saves a pass over
    the vector and the vector itself.
    """
    readers: dict[int, int] = {plan.output.vector: 1}
    for step in plan.steps:
        for view in step.sources:
            readers[view.vector] = readers.get(view.vector, 0) + 1
    steps: list[Step] = []
    writer: dict[int, int] = {}
    for step in plan.steps:
        if isinstance(step, Lookup):
            at = writer.get(step.src.vector)
            conv = steps[at] if at is not None else None
            if (
                at is not None
                and isinstance(conv, Conv)
                and conv.table is None
                and readers[step.src.vector] == 1
                and conv.dst == step.src
            ):
                steps[at] = replace(conv, dst=step.dst, table=step.table)
                writer[step.dst.vector] = at
                continue
        writer[step.dst.vector] = len(steps)
        steps.append(step)
    return replace(plan, steps=tuple(steps))


def placed(plan: Plan) -> Plan:
    """Give every scratch vector an offset; vectors whose lifetimes do not meet share memory.

    First fit in order of first use. A vector lives from the step that writes it (or the start, for
    the input) to the last step that reads it (or the end, for the output), both included: no step
    overwrites what it reads.

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
        alive = [entry for entry in alive if entry[2] >= first[vector]]
        width = _aligned(plan.vectors[vector])
        offset = 0
        for begin, end, _ in sorted(alive):
            if offset + width <= begin:
                break
            offset = max(offset, end)
        if offset + width > OFFSET_MAX:
            raise UnsupportedModelError(
                f"the vectors of one sample need {offset + width} bytes, at most {OFFSET_MAX}: "
                "use fewer channels"
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
        elif isinstance(step, Conv) and step.table is not None:
            kind += "+table"
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
