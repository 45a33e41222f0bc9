"""What the networks that CI draws reach: every operator, form, shift, width and extreme."""

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import pytest

from myowave.compiler import load_plan
from myowave.compiler.graph import Graph, read_graph
from myowave.compiler.plan import Add, Conv, Copy, Lookup, Mul, Plan, Step, Taps
from tests.engine.networks import (
    CI_CORE_SEEDS,
    CI_SEEDS,
    NONE,
    RELU,
    RELU6,
    RELU_N1_TO_1,
    TAILS_INPUTS,
    awkward_network,
    drawn_network,
    drawn_plan,
    expected_output,
    tails_network,
)

S = TypeVar("S", bound=Step)
EVERY_SHIFT = set(range(-31, 31))
TO_THE_RIGHT = set(range(-31, 0))
EXTREME_ZEROS = {-128, 127, 0}


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return [drawn_plan(seed) for seed in CI_SEEDS]


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    return [read_graph(drawn_network(seed)) for seed in CI_SEEDS]


def of_kind(plans: Iterable[Plan], kind: type[S]) -> list[S]:
    return [step for plan in plans for step in plan.steps if isinstance(step, kind)]


def short(step: Step) -> bool | None:
    """Return whether a step has its short form; None for kinds that have one form only."""
    if isinstance(step, Add):
        return step.linear is not None
    return step.folded if isinstance(step, Conv | Mul) else None


def forms(plans: Iterable[Plan]) -> set[tuple[type[Step], bool | None]]:
    return {(type(step), short(step)) for plan in plans for step in plan.steps}


EVERY_FORM = {
    *((kind, form) for kind in (Conv, Add, Mul) for form in (True, False)),
    *((kind, None) for kind in (Taps, Lookup, Copy)),
}


def conv_shifts(plans: Iterable[Plan], folded: bool) -> set[int]:
    return {
        multiplier.shift
        for conv in of_kind(plans, Conv)
        if conv.folded == folded
        for multiplier in conv.multipliers
        if multiplier.mantissa
    }


def test_at_least_five_hundred_networks_have_an_output_that_moves() -> None:
    """A constant output would prove little; saturated ones are among them all the same."""
    moving = 0
    values: set[int] = set()
    for seed in CI_SEEDS:
        y = expected_output(seed)
        moving += bool((y != y[0]).any())
        values.update(np.unique(y).tolist())
    assert moving >= 500
    assert values == set(range(-128, 128))


def test_every_kind_of_step_in_both_its_forms(plans: list[Plan]) -> None:
    assert forms(plans) == EVERY_FORM
    tables = {conv.folded for conv in of_kind(plans, Conv) if any(conv.tables)}
    assert tables == {True, False}


def test_every_shift_of_a_convolution(plans: list[Plan]) -> None:
    assert conv_shifts(plans, folded=False) == EVERY_SHIFT
    assert conv_shifts(plans, folded=True) >= TO_THE_RIGHT


def test_shifts_of_products_and_sums(plans: list[Plan]) -> None:
    """`test_arithmetic.py` goes through every one of them, for every pair of operands."""
    products = of_kind(plans, Mul)
    assert len({mul.multiplier.shift for mul in products if mul.folded}) >= 12
    general = {mul.multiplier.shift for mul in products if not mul.folded}
    assert min(general) <= 2
    assert max(general) >= 12
    sums = of_kind(plans, Add)
    assert len({add.parameters.narrow.shift for add in sums}) >= 8
    assert len({add.parameters.output.shift for add in sums}) >= 20


def test_zero_points(plans: list[Plan]) -> None:
    for kind in (Add, Mul):
        steps = of_kind(plans, kind)
        for zeros in (
            {-step.a_offset for step in steps},
            {-step.b_offset for step in steps},
            {step.zero_point for step in steps},
        ):
            assert zeros >= EXTREME_ZEROS
            assert any(-128 < zero < 0 for zero in zeros)
    assert {conv.zero_points[0] for conv in of_kind(plans, Conv)} >= EXTREME_ZEROS
    assert {taps.fill for taps in of_kind(plans, Taps)} >= EXTREME_ZEROS
    assert {plan.input_scale.zero_point for plan in plans} >= EXTREME_ZEROS


def test_widths(plans: list[Plan]) -> None:
    """Rows, columns and elements from one to more than four vectors of 16; see `test_tails`."""
    convs = of_kind(plans, Conv)
    for folded in (True, False):
        rows = {conv.weights.shape[0] for conv in convs if conv.folded == folded}
        columns = {conv.weights.shape[1] for conv in convs if conv.folded == folded}
        assert rows >= set(range(1, 17))
        assert len(columns & set(range(1, 17))) >= 14
        assert max(columns) >= 200
    assert max(conv.weights.shape[0] for conv in convs) >= 65
    for kind in (Add, Mul, Lookup, Taps, Copy):
        widths = {step.dst.width for step in of_kind(plans, kind)}
        assert {width % 16 for width in widths} == set(range(16))
        assert 1 in widths or kind is Taps


def test_parts_that_begin_anywhere(plans: list[Plan]) -> None:
    for kinds in ((Conv,), (Add, Mul), (Lookup,), (Taps,), (Copy,)):
        steps = [step for kind in kinds for step in of_kind(plans, kind)]
        begins = {view.offset % 4 for step in steps for view in step.sources}
        assert begins == {0, 1, 2, 3}, kinds


def test_delay_lines(plans: list[Plan]) -> None:
    lines = of_kind(plans, Taps)
    assert {line.taps for line in lines} == set(range(2, 9))
    assert {line.dilation for line in lines} >= {1, 2, 3, 4, 5, 7, 8, 16}
    assert max(line.dilation for line in lines) >= 200
    assert max(line.src.width for line in lines) >= 65
    assert 1 in {line.src.width for line in lines}
    fields = [plan.receptive_field for plan in plans]
    assert min(fields) == 1
    assert max(fields) >= 400


def test_inputs_outputs_and_windows(plans: list[Plan]) -> None:
    assert {plan.n_inputs for plan in plans} >= {*range(1, 10), 16, 17}
    assert {plan.n_outputs for plan in plans} >= {1, 2, 3, 4, 8, 16}
    assert any(len({scale.name for scale in plan.output_scales}) > 1 for plan in plans)
    assert any(plan.window > plan.receptive_field for plan in plans)
    assert any(plan.window == plan.receptive_field > 1 for plan in plans)


def test_operators_of_the_files(graphs: list[Graph]) -> None:
    operators = [operator for graph in graphs for operator in graph.operators]
    assert {operator.kind for operator in operators} == {
        *("CONV_2D", "FULLY_CONNECTED", "ADD", "MUL"),
        *("TANH", "LOGISTIC", "RELU", "RELU6", "QUANTIZE"),
        *("SPLIT", "SPLIT_V", "CONCATENATION", "STRIDED_SLICE", "RESHAPE"),
    }
    for kind in ("CONV_2D", "ADD", "MUL"):
        fused = {o.option("FusedActivationFunction") for o in operators if o.kind == kind}
        assert fused == {NONE, RELU, RELU_N1_TO_1, RELU6}
    chains = 0
    for graph in graphs:
        requantized = {o.outputs[0] for o in graph.operators if o.kind == "QUANTIZE"}
        chains += sum(o.kind == "QUANTIZE" and o.inputs[0] in requantized for o in graph.operators)
    assert chains >= 10


def test_scales_and_biases_of_the_files(graphs: list[Graph]) -> None:
    per_tensor = per_row = without_bias = zero_rows = saturated = 0
    for graph in graphs:
        for operator in graph.operators:
            if operator.kind != "CONV_2D":
                continue
            filters = graph.tensors[operator.inputs[1]]
            weights = filters.array().astype(np.int64).reshape(filters.shape[0], -1)
            assert filters.quantization is not None
            if len(weights) > 1:
                per_row += len(filters.quantization.scales) > 1
                per_tensor += len(filters.quantization.scales) == 1
            without_bias += len(operator.inputs) == 2
            zero_rows += bool((weights == 0).all(axis=1).any())
            saturated += bool((np.abs(weights) >= 127).all())
    assert min(per_tensor, per_row, without_bias, zero_rows, saturated) >= 20


def test_operands_of_sums_in_any_order(graphs: list[Graph]) -> None:
    ratios = []
    twice = 0
    for graph in graphs:
        for operator in graph.operators:
            if operator.kind == "ADD":
                first, second = (graph.tensors[i].quantization for i in operator.inputs)
                assert first is not None
                assert second is not None
                ratios.append(np.log2(first.scales[0] / second.scales[0]))
                twice += operator.inputs[0] == operator.inputs[1]
    assert min(ratios) < -8
    assert max(ratios) > 8
    assert 0.0 in ratios
    assert twice >= 1


def test_tails() -> None:
    """Every remainder of every vector width up to 16, on both sides of a convolution."""
    plans = [load_plan(tails_network(seed)) for seed in range(2)]
    for folded in (True, False):
        convs = [conv for conv in of_kind(plans, Conv) if conv.folded == folded]
        assert {conv.weights.shape[1] for conv in convs} == set(range(1, TAILS_INPUTS + 1))
        assert {conv.weights.shape[0] % 4 for conv in convs} == set(range(4))
        assert {conv.src.offset % 16 for conv in convs} == set(range(16))
    for kind in (Add, Mul):
        assert {step.dst.width % 4 for step in of_kind(plans, kind)} == set(range(4))


def test_networks_of_the_emulated_cores() -> None:
    """The first of them and the two made by hand: each core has kernels of its own to prove."""
    plans = [drawn_plan(seed) for seed in CI_CORE_SEEDS]
    assert len(plans) >= 40
    plans += [load_plan(make(seed)) for make in (awkward_network, tails_network) for seed in (0, 1)]
    assert forms(plans) == EVERY_FORM
    assert conv_shifts(plans, folded=False) == EVERY_SHIFT
    assert conv_shifts(plans, folded=True) >= TO_THE_RIGHT
    for folded in (True, False):
        convs = [conv for conv in of_kind(plans, Conv) if conv.folded == folded]
        assert any(conv.weights.shape[1] > TAILS_INPUTS for conv in convs)
    assert {taps.taps for taps in of_kind(plans, Taps)} == set(range(2, 9))
    for kind in (Add, Mul):
        zeros = {step.zero_point for step in of_kind(plans, kind)}
        assert {-128, 127} <= zeros
