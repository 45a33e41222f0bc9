"""The forms exporters give a network: ranks, axes, masks; and the oracle against single windows."""

from dataclasses import replace

import numpy as np
import pytest

from myowave.compiler import load_plan
from myowave.compiler.derive import derive
from myowave.compiler.graph import Operator, Quantization, Tensor
from myowave.compiler.plan import Copy, Taps
from myowave.compiler.reference import NetworkBuilder
from myowave.engine import NativeEngine
from myowave.tflm import _Runner, run_tflm
from tests.engine.networks import random_input, random_network
from tests.engine.test_parity import assert_parity

RNG = np.random.default_rng(11)


def conv(net: NetworkBuilder, source: int, rows: int, taps: int = 1, dilation: int = 1) -> int:
    columns = net.channels(source)
    weights = RNG.integers(-127, 128, (rows, taps, columns)).astype(np.int8)
    bias = RNG.integers(-500, 500, rows).astype(np.int32)
    scales = np.full(rows, 0.01 / np.sqrt(taps * columns), np.float32)
    return net.conv(
        source,
        weights,
        bias,
        filter_scales=scales,
        scale=0.05,
        zero_point=4,
        dilation=dilation,
    )


def value_of_shape(net: NetworkBuilder, source: int, shape: tuple[int, ...]) -> int:
    return net.tensor(replace(net.tensors[source], name=f"shaped_{len(net.tensors)}", shape=shape))


def as_three_axes(net: NetworkBuilder, window: int) -> int:
    """Turn the input into (1, window, channels), as Keras gives it; return the 4-axis tensor."""
    four = value_of_shape(net, net.input, (1, window, 1, 6))
    net.tensors[net.input] = replace(net.tensors[net.input], shape=(1, window, 6))
    axis = net.constant("axis", np.array(2, np.int32))
    net.operators.append(Operator("EXPAND_DIMS", (net.input, axis), (four,)))
    return four


def check(net: NetworkBuilder, outputs: list[int], channels: int = 6) -> None:
    assert_parity(net.build(outputs), random_input(RNG, 300, channels))


def test_three_axes_in_and_squeezed_out() -> None:
    net = NetworkBuilder(9, 6, 0.05, 1)
    y = conv(net, as_three_axes(net, 9), 2, 3, 4)
    squeezed = value_of_shape(net, y, (1, 1, 2))
    net.operators.append(Operator("SQUEEZE", (y,), (squeezed,), {"SqueezeDims": (2,)}))
    check(net, [squeezed])


def test_newest_sample_taken_by_a_negative_index() -> None:
    """`y[:, -1, :]` drops the time axis: begin and end masks, a shrink mask, a negative begin."""
    net = NetworkBuilder(9, 6, 0.05, 1)
    y = conv(net, as_three_axes(net, 9), 4, 2, 3)
    flat = value_of_shape(net, y, (1, 6, 4))
    net.operators.append(Operator("SQUEEZE", (y,), (flat,), {"SqueezeDims": (2,)}))
    last = value_of_shape(net, y, (1, 4))
    ranges = [
        net.constant("range", np.array(values, np.int32))
        for values in ([0, -1, 0], [0, 0, 0], [1, 1, 1])
    ]
    masks = {"BeginMask": 0b101, "EndMask": 0b101, "ShrinkAxisMask": 0b010}
    net.operators.append(Operator("STRIDED_SLICE", (flat, *ranges), (last,), masks))
    tflite = net.build([last])
    plan = load_plan(tflite)
    assert (plan.receptive_field, plan.window) == (4, 9)
    assert_parity(tflite, random_input(RNG, 300, 6))


def test_slice_operator_and_split_of_unequal_parts() -> None:
    net = NetworkBuilder(7, 6, 0.05, 1)
    y = conv(net, net.input, 5, 2, 2)
    begin = net.constant("begin", np.array([0, 3, 0, 1], np.int32))
    size = net.constant("size", np.array([1, 2, 1, 4], np.int32))
    cut = net.like(y, "cut", 2, 4)
    net.operators.append(Operator("SLICE", (y, begin, size), (cut,)))
    widths = net.constant("widths", np.array([1, 3], np.int32))
    axis = net.constant("axis", np.array(3, np.int32))
    parts = [net.like(cut, "part", 2, 1), net.like(cut, "part", 2, 3)]
    net.operators.append(
        Operator("SPLIT_V", (cut, widths, axis), tuple(parts), {"NumSplits": 2}, 2)
    )
    check(net, [net.tanh(parts[1]), parts[0]])


@pytest.mark.parametrize("widths", [[-1, 2], [4, -1]])
def test_split_whose_rest_goes_to_one_part(widths: list[int]) -> None:
    net = NetworkBuilder(2, 6, 0.05, 1)
    sizes = net.constant("widths", np.array(widths, np.int32))
    axis = net.constant("axis", np.array(-1, np.int32))
    parts = [net.like(net.input, "part", 2, 4), net.like(net.input, "part", 2, 2)]
    operator = Operator("SPLIT_V", (net.input, sizes, axis), tuple(parts), {"NumSplits": 2}, 2)
    net.operators.append(operator)
    check(net, [net.newest(part, 1) for part in parts])


@pytest.mark.parametrize("scales", [1, 3])
def test_fully_connected_head(scales: int) -> None:
    net = NetworkBuilder(5, 6, 0.05, 1)
    y = net.reshape(conv(net, net.input, 8, 5), (1, 8))
    quantization = replace(
        net.tensors[y].quantization,  # type: ignore[type-var]
        scales=tuple(float(np.float32(s)) for s in RNG.uniform(0.001, 0.003, scales)),
        zero_points=(0,) * scales,
    )
    weights = net.constant("w", RNG.integers(-127, 128, (3, 8)).astype(np.int8), quantization)
    bias = net.constant("b", RNG.integers(-999, 999, 3).astype(np.int32))
    output = value_of_shape(net, y, (1, 3))
    net.operators.append(
        Operator(
            "FULLY_CONNECTED", (y, weights, bias), (output,), {"FusedActivationFunction": 1}, 4
        )
    )
    check(net, [output])


def test_halves_put_back_together_cost_nothing() -> None:
    net = NetworkBuilder(3, 6, 0.05, 1)
    halves = net.split(conv(net, net.input, 8, 3), 2)
    tflite = net.build([net.concatenation(halves)])
    assert not any(isinstance(step, Copy) for step in load_plan(tflite).steps)
    assert_parity(tflite, random_input(RNG, 100, 6))


def test_gates_share_one_delay_line() -> None:
    net = NetworkBuilder(5, 6, 0.05, 1)
    gates = net.tanh(conv(net, net.input, 4, 3, 2)), net.logistic(conv(net, net.input, 4, 3, 2))
    product = net.binary("MUL", *gates, scale=1 / 128, zero_point=0)
    plan = load_plan(net.build([product]))
    assert sum(isinstance(step, Taps) for step in plan.steps) == 1
    assert plan.line_bytes == 2 * 2 * 6


def test_what_no_output_needs_is_not_computed() -> None:
    net = NetworkBuilder(5, 6, 0.05, 1)
    conv(net, net.input, 30, 5)
    assert load_plan(net.build([conv(net, net.input, 2)])).macs == 12


def test_several_outputs_a_window_give_the_newest() -> None:
    net = NetworkBuilder(12, 6, 0.05, 1)
    tflite = net.build([conv(net, net.input, 2, 3)])
    assert load_plan(tflite).receptive_field == 3
    assert_parity(tflite, random_input(RNG, 200, 6))


@pytest.mark.parametrize("seed", range(6))
def test_oracle_is_the_window_model_at_every_sample(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tflite = random_network(rng)
    derivation = derive(tflite)
    plan = derivation.plan
    x = random_input(rng, plan.window + 40, plan.n_inputs)
    original = _Runner(tflite, derivation, derivation.graph)
    expected = [
        original.newest(x[end - plan.window : end], 1)[0] for end in range(plan.window, len(x) + 1)
    ]
    np.testing.assert_array_equal(run_tflm(tflite, x)[plan.window - 1 :], expected)


def test_oracle_on_less_than_a_window() -> None:
    net = NetworkBuilder(9, 6, 0.05, 1)
    tflite = net.build([conv(net, net.input, 2, 9)])
    y = run_tflm(tflite, random_input(RNG, 8, 6))
    assert y.shape == (8, 2)
    assert np.all(y == 4)
    assert run_tflm(tflite, np.zeros((0, 6), np.int8)).shape == (0, 2)
    assert NativeEngine(tflite).run(np.zeros((0, 6), np.int8)).shape == (0, 2)


def test_network_that_only_picks_channels() -> None:
    net = NetworkBuilder(3, 6, 0.05, 1)
    tflite = net.build([net.cut(net.input, 2, 1, 4, 2)])
    assert load_plan(tflite).steps == ()
    assert_parity(tflite, random_input(RNG, 20, 6))


def test_fully_connected_over_time_keeps_its_axes() -> None:
    """A dense layer on (1, time, channels), as Keras exports it."""
    net = NetworkBuilder(5, 6, 0.05, 1)
    y = net.reshape(conv(net, net.input, 8, 2), (1, 4, 8))
    weights = net.constant(
        "w",
        RNG.integers(-127, 128, (3, 8)).astype(np.int8),
        Quantization((0.002,), (0,)),
    )
    output = value_of_shape(net, y, (1, 4, 3))
    options = {"KeepNumDims": 1}
    net.operators.append(Operator("FULLY_CONNECTED", (y, weights), (output,), options, 5))
    check(net, [output])


def test_names_from_a_file_stay_on_one_line() -> None:
    net = NetworkBuilder(3, 6, 0.05, 1)
    y = conv(net, net.input, 2, 3)
    tensor: Tensor = net.tensors[y]
    net.tensors[y] = replace(tensor, name='a\nb*/ "c" \\ ' + "x" * 500)
    plan = load_plan(net.build([y]))
    assert "\n" not in plan.steps[-1].name
    assert len(plan.steps[-1].name) <= 120
    assert_parity(net.build([y]), random_input(RNG, 20, 6))
