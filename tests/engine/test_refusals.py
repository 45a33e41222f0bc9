"""What cannot stream is refused in one line that names operator or tensor and the remedy.

Every case is a `.tflite` file that `myowave compile` is given, as a user would.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tflite

from myowave.cli import main
from myowave.compiler import load_plan
from myowave.compiler.graph import (
    FILE_BYTES_MAX,
    Graph,
    Operator,
    Quantization,
    Tensor,
    read_graph,
    write_graph,
)
from myowave.compiler.reference import NetworkBuilder, reference_network
from myowave.errors import ModelError

CORPUS = Path(__file__).with_name("corpus")
Net = NetworkBuilder


def refusal(content: bytes, folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Compile a file as a user does; return the one line it is refused with."""
    path, out = folder / "model.tflite", folder / "out"
    path.write_bytes(content)
    assert main(["compile", str(path), "-o", str(out), *options]) == 2
    printed = capsys.readouterr()
    assert not out.exists()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    start = f"myowave: error: {path}: "
    assert line.startswith(start)
    message = line.removeprefix(start)
    assert len(message) < 400
    return message


def network(window: int = 8, channels: int = 4) -> Net:
    return NetworkBuilder(window, channels, 0.05, 3)


def conv(net: Net, source: int, taps: int = 2, dilation: int = 1, rows: int = 4) -> int:
    weights = np.ones((rows, taps, net.channels(source)), np.int8)
    scales = np.full(rows, 0.01, np.float32)
    return net.conv(
        source,
        weights,
        np.zeros(rows, np.int32),
        filter_scales=scales,
        scale=0.05,
        zero_point=0,
        dilation=dilation,
    )


def operator(net: Net, kind: str, source: int, length: int, **options: int) -> list[int]:
    """Append an operator of any kind whose result has `length` samples."""
    output = net.like(source, "result", length, net.channels(source))
    net.operators.append(Operator(kind, (source,), (output,), options))
    return [output]


def edit(net: Net, index: int, **changes: object) -> None:
    net.tensors[index] = replace(net.tensors[index], **changes)  # type: ignore[arg-type]


def change_options(net: Net, **options: int) -> None:
    last = net.operators[-1]
    net.operators[-1] = replace(last, options={**last.options, **options})


def space_to_batch(net: Net) -> list[int]:
    return operator(net, "SPACE_TO_BATCH_ND", net.input, 8)


def pad(net: Net) -> list[int]:
    return operator(net, "PAD", net.input, 9)


def unknown(net: Net) -> list[int]:
    return operator(net, "COS", net.input, 8)


def dequantize(net: Net) -> list[int]:
    return operator(net, "DEQUANTIZE", net.input, 8)


def same_padding(net: Net) -> list[int]:
    result = conv(net, net.input)
    change_options(net, Padding=0)
    return [result]


def strided(net: Net) -> list[int]:
    result = conv(net, net.input)
    change_options(net, StrideH=2)
    return [result]


def window_too_short(net: Net) -> list[int]:
    return [conv(net, net.input, 3, 4)]


def newest_cropped(net: Net) -> list[int]:
    return [net.cut(net.input, 0, 7, 0, 4)]


def unequal_lengths(net: Net) -> list[int]:
    shorter = conv(net, net.input)
    output = net.value("sum", 7, 4, 0.05, 0)
    net.operators.append(Operator("ADD", (net.input, shorter), (output,)))
    return [output]


def broadcast(net: Net) -> list[int]:
    one = net.cut(net.input, 0, 8, 0, 1)
    output = net.value("product", 8, 4, 0.05, 0)
    net.operators.append(Operator("MUL", (net.input, one), (output,)))
    return [output]


def constant_operand(net: Net) -> list[int]:
    other = net.constant("c", np.zeros((1, 8, 1, 4), np.int8), Quantization((0.05,), (0,)))
    output = net.value("sum", 8, 4, 0.05, 0)
    net.operators.append(Operator("ADD", (net.input, other), (output,)))
    return [output]


def float_tensor(net: Net) -> list[int]:
    edit(net, net.input, type="FLOAT32", quantization=None)
    return [conv(net, net.input)]


def int16_tensor(net: Net) -> list[int]:
    edit(net, net.input, type="INT16")
    return [conv(net, net.input)]


def batch_of_two(net: Net) -> list[int]:
    edit(net, net.input, shape=(2, 8, 1, 4))
    return [conv(net, net.input)]


def two_axes(net: Net) -> list[int]:
    edit(net, net.input, shape=(1, 8, 3, 4))
    return [conv(net, net.input)]


def no_quantization(net: Net) -> list[int]:
    edit(net, net.input, quantization=None)
    return [conv(net, net.input)]


def zero_scale(net: Net) -> list[int]:
    edit(net, net.input, quantization=Quantization((0.0,), (0,)))
    return [conv(net, net.input)]


def denormal_scale(net: Net) -> list[int]:
    edit(net, net.input, quantization=Quantization((1e-42,), (0,)))
    return [conv(net, net.input)]


def infinite_scale(net: Net) -> list[int]:
    edit(net, net.input, quantization=Quantization((float("inf"),), (0,)))
    return [conv(net, net.input)]


def zero_point_out_of_range(net: Net) -> list[int]:
    edit(net, net.input, quantization=Quantization((0.1,), (128,)))
    return [conv(net, net.input)]


def filter_of(net: Net) -> int:
    return net.operators[-1].inputs[1]


def wrong_number_of_scales(net: Net) -> list[int]:
    result = conv(net, net.input)
    edit(net, filter_of(net), quantization=Quantization((0.1,) * 3, (0,) * 3))
    return [result]


def scales_on_another_axis(net: Net) -> list[int]:
    result = conv(net, net.input)
    edit(net, filter_of(net), quantization=Quantization((0.1,) * 4, (0,) * 4, 3))
    return [result]


def asymmetric_filter(net: Net) -> list[int]:
    result = conv(net, net.input)
    edit(net, filter_of(net), quantization=Quantization((0.1,) * 4, (1,) * 4))
    return [result]


def grouped(net: Net) -> list[int]:
    result = conv(net, net.input)
    edit(net, filter_of(net), shape=(4, 2, 1, 2), data=b"\1" * 16)
    return [result]


def accumulator_overflow(net: Net) -> list[int]:
    result = conv(net, net.input)
    bias = np.full(4, 2**31 - 1, np.int32)
    edit(net, net.operators[-1].inputs[2], data=bias.tobytes())
    return [result]


def far_apart(net: Net) -> list[int]:
    result = conv(net, net.input)
    edit(net, result, quantization=Quantization((1e-30,), (0,)))
    return [result]


def unusual_activation(net: Net) -> list[int]:
    result = conv(net, net.input)
    change_options(net, FusedActivationFunction=4)
    return [result]


def tanh_elsewhere(net: Net) -> list[int]:
    return [net.unary("TANH", net.input, 1 / 100, 0)]


def flatten(net: Net) -> list[int]:
    return [net.reshape(net.input, (1, 32))]


def concatenation_of_scales(net: Net) -> list[int]:
    other = net.unary("QUANTIZE", net.input, 0.06, 3)
    return [net.concatenation([net.input, other])]


def split_over_time(net: Net) -> list[int]:
    axis = net.constant("axis", np.array(1, np.int32))
    outputs = [net.value("half", 4, 4, 0.05, 3) for _ in range(2)]
    net.operators.append(Operator("SPLIT", (axis, net.input), tuple(outputs), {"NumSplits": 2}))
    return outputs


def strided_crop(net: Net) -> list[int]:
    output = net.cut(net.input, 0, 8, 0, 4)
    strides = net.operators[-1].inputs[3]
    edit(net, strides, data=np.array([1, 2, 1, 1], np.int32).tobytes())
    edit(net, output, shape=(1, 4, 1, 4))
    return [output]


def add_out_of_range(net: Net) -> list[int]:
    return [net.binary("ADD", net.input, net.input, scale=1e-8, zero_point=0)]


def shapeless_value(net: Net) -> list[int]:
    """tflite-micro would give it one byte and write eight samples."""
    between = net.tanh(net.input)
    result = net.newest(net.unary("QUANTIZE", between, 0.02, 0), 1)
    edit(net, between, shape=())
    return [result]


def fully_connected(net: Net, scale: float = 0.01) -> tuple[int, int]:
    """Append a dense layer; return its weights and its result."""
    source = net.reshape(net.cut(net.input, 7, 1, 0, 4), (1, 4))
    weights = net.constant("weights", np.ones((2, 4), np.int8), Quantization((scale,), (0,)))
    output = net.tensor(replace(net.tensors[source], name="dense", shape=(1, 2)))
    net.operators.append(Operator("FULLY_CONNECTED", (source, weights), (output,), {}, 4))
    return weights, output


def scaled(net: Net, index: int, scale: float) -> None:
    edit(net, index, quantization=Quantization((scale,), (0,)))


def dense_of_infinite_scale(net: Net) -> list[int]:
    """The product of two float32 scales is beyond float32."""
    _, output = fully_connected(net, 3e38)
    for index in range(net.input, len(net.tensors)):
        if net.tensors[index].type == "INT8" and not net.tensors[index].constant:
            scaled(net, index, 3e38)
    scaled(net, output, 1.0)
    return [output]


def shuffled_weights(net: Net) -> list[int]:
    _, output = fully_connected(net)
    change_options(net, WeightsFormat=1)
    return [output]


def negative_scale(net: Net) -> list[int]:
    scaled(net, net.input, -0.05)
    return [conv(net, net.input)]


def nan_scale(net: Net) -> list[int]:
    result = conv(net, net.input)
    scaled(net, result, float("nan"))
    return [result]


def zero_scale_of_filter(net: Net) -> list[int]:
    result = conv(net, net.input)
    edit(net, filter_of(net), quantization=Quantization((0.1, 0.1, 0.0, 0.1), (0,) * 4))
    return [result]


def denormal_scale_of_result(net: Net) -> list[int]:
    result = conv(net, net.input)
    scaled(net, result, 1e-40)
    return [result]


def scales_of_a_value(net: Net) -> list[int]:
    edit(net, net.input, quantization=Quantization((0.1,) * 4, (0,) * 4, 3))
    return [conv(net, net.input)]


def scales_without_zero_points(net: Net) -> list[int]:
    """tflite-micro takes such a tensor for one without quantization."""
    edit(net, net.input, quantization=Quantization((0.1,), ()))
    return [conv(net, net.input)]


def filter_without_zero_points(net: Net) -> list[int]:
    result = conv(net, net.input)
    edit(net, filter_of(net), quantization=Quantization((0.1,) * 4, (0,) * 3))
    return [result]


def scales_on_the_input_channels(net: Net) -> list[int]:
    """As many scales as input channels, of which there are fewer than output channels."""
    result = conv(net, net.input, rows=6)
    edit(net, filter_of(net), quantization=Quantization((0.1,) * 4, (0,) * 4, 0))
    return [result]


def relu6_of_too_fine_a_scale(net: Net) -> list[int]:
    scaled(net, net.input, 1e-20)
    result = net.unary("RELU6", net.input, 1e-20, 0)
    return [result]


def fused_relu6_of_too_fine_a_scale(net: Net) -> list[int]:
    result = conv(net, net.input)
    for index in (net.input, result):
        scaled(net, index, 1.5e-38)
    change_options(net, FusedActivationFunction=3)
    return [result]


def slice_of_the_past(net: Net) -> list[int]:
    begin = net.constant("begin", np.array([0, 0, 0, 0], np.int32))
    size = net.constant("size", np.array([1, 5, 1, 4], np.int32))
    output = net.like(net.input, "slice", 5, 4)
    net.operators.append(Operator("SLICE", (net.input, begin, size), (output,)))
    return [output]


def ends_relative_to_the_begin(net: Net) -> list[int]:
    output = net.cut(net.input, 4, 4, 0, 4)
    change_options(net, Offset=1)
    return [output]


def dynamic_window(net: Net) -> list[int]:
    result = conv(net, net.input)
    edit(net, net.input, shape=(1, -1, 1, 4))
    return [result]


def huge_tensor(net: Net) -> list[int]:
    edit(net, net.input, shape=(1, 2**31 - 1, 1, 4))
    return [conv(net, net.input)]


def many_axes(net: Net) -> list[int]:
    edit(net, net.input, shape=(1,) * 200)
    return [conv(net, net.input)]


def too_many_channels(net: Net) -> list[int]:
    parts = [net.input] * 20_000
    output = net.like(net.input, "wide", 8, 80_000)
    net.operators.append(Operator("CONCATENATION", tuple(parts), (output,), {"Axis": 3}))
    return [output]


def kernel_over_both_axes(net: Net) -> list[int]:
    result = conv(net, net.input)
    edit(net, filter_of(net), shape=(4, 1, 2, 4))
    return [result]


def dense_over_samples(net: Net) -> list[int]:
    weights, output = fully_connected(net)
    edit(net, weights, shape=(1, 8))
    return [output]


def tanh_of_too_fine_a_scale(net: Net) -> list[int]:
    scaled(net, net.input, 1e-9)
    return [net.tanh(net.input)]


def concatenation_with_activation(net: Net) -> list[int]:
    result = net.concatenation([net.input, net.input])
    change_options(net, FusedActivationFunction=1)
    return [result]


def concatenation_of_lengths(net: Net) -> list[int]:
    return [net.concatenation([net.input, net.newest(net.input, 3)])]


def split_that_does_not_add_up(net: Net) -> list[int]:
    axis = net.constant("axis", np.array(3, np.int32))
    widths = net.constant("widths", np.array([1, 2], np.int32))
    parts = tuple(net.like(net.input, "part", 8, width) for width in (1, 2))
    net.operators.append(Operator("SPLIT_V", (net.input, widths, axis), parts, {"NumSplits": 2}, 2))
    return list(parts)


def too_many_rows(net: Net) -> list[int]:
    return [conv(net, net.input, 1, rows=66_000)]


def endless_axis(net: Net) -> list[int]:
    axis = net.constant("axis", np.zeros(20_000, np.int32))
    part = net.like(net.input, "part", 8, 4)
    net.operators.append(Operator("SPLIT", (axis, net.input), (part,), {"NumSplits": 1}))
    return [part]


def too_wide_together(net: Net) -> list[int]:
    wide = conv(net, net.input, 1, rows=40_000)
    return [net.binary("ADD", wide, wide, scale=0.1, zero_point=0)]


def too_many_steps(net: Net) -> list[int]:
    x = net.input
    for _ in range(70):
        x = net.concatenation([x] * 60)
        x = net.cut(x, 0, 8, 0, 4)
    return [x]


def too_many_multiplications(net: Net) -> list[int]:
    x = conv(net, net.input, 1, rows=2000)
    return [conv(net, x, 1, rows=2000)]


def too_many_outputs(net: Net) -> list[int]:
    return [net.input] * 20_000


def long_kernel(net: Net) -> list[int]:
    edit(net, net.input, shape=(1, 70_000, 1, 4))
    return [conv(net, net.input, 2, 69_999)]


def no_output(net: Net) -> list[int]:
    conv(net, net.input)
    return []


def output_without_input(net: Net) -> list[int]:
    return [net.constant("c", np.zeros((1, 1, 1, 4), np.int8), Quantization((0.05,), (0,)))]


@pytest.mark.parametrize(
    ("make", "place", "remedy"),
    [
        # Operators.
        (space_to_batch, "SPACE_TO_BATCH_ND that computes 'result_1'", "native dilation"),
        (pad, "PAD that computes 'result_1'", "use VALID"),
        (unknown, "COS that computes 'result_1'", "supported are ADD"),
        (dequantize, "DEQUANTIZE that computes 'result_1'", "set inference_input_type"),
        (unusual_activation, "CONV_2D that computes 'conv_3'", "expected NONE, RELU or RELU6"),
        (grouped, "CONV_2D that computes 'conv_3'", "use one group"),
        (strided, "CONV_2D that computes 'conv_3': stride 2", "expected 1"),
        (strided_crop, "STRIDED_SLICE that computes 'slice_4': stride 2", "expected 1"),
        (ends_relative_to_the_begin, "STRIDED_SLICE that computes 'slice_4'", "write every axis"),
        (unequal_lengths, "ADD that computes 'sum_4'", "crop the oldest"),
        (broadcast, "MUL that computes 'product_5'", "1x1 CONV_2D"),
        (constant_operand, "ADD that computes 'sum_2': operand 1 ('c_1')", "bias"),
        (flatten, "RESHAPE that computes 'reshape_2'", "crop to the newest sample"),
        (split_over_time, "SPLIT that computes 'half_2'", "expected the channels"),
        (concatenation_of_scales, "CONCATENATION that computes 'concat_2'", "QUANTIZE"),
        (split_that_does_not_add_up, "SPLIT_V that computes 'part_3'", "widths add up"),
        (concatenation_with_activation, "CONCATENATION that computes 'concat_1'", "of its own"),
        (concatenation_of_lengths, "CONCATENATION that computes 'concat_5'", "crop the oldest"),
        (kernel_over_both_axes, "CONV_2D that computes 'conv_3'", "expected (k, 1) along time"),
        (dense_over_samples, "FULLY_CONNECTED that computes 'dense'", "use CONV_2D over time"),
        (shuffled_weights, "FULLY_CONNECTED that computes 'dense'", "export it again"),
        # Look-ahead, windows, shapes.
        (same_padding, "CONV_2D that computes 'conv_3'", "expected VALID"),
        (newest_cropped, "STRIDED_SLICE that computes 'slice_4'", "crop only the oldest"),
        (slice_of_the_past, "SLICE that computes 'slice_3'", "crop only the oldest"),
        (window_too_short, "CONV_2D that computes 'conv_3'", "export with a longer window"),
        (dynamic_window, "tensor 'input_0' has a dynamic shape", "a fixed window"),
        (batch_of_two, "input 'input_0'", "static batch of 1"),
        (two_axes, "input 'input_0'", "move the other into the channels"),
        (shapeless_value, "TANH that computes 'tanh_1': output shape ()", "export it again"),
        (many_axes, "tensor 'input_0' has 200 axes", "expected (1, time, 1, channels)"),
        (no_output, "the network has no output", "export a model that returns"),
        (output_without_input, "output 'c_1'", "leave it out"),
        # Types and quantization.
        (float_tensor, "tensor 'input_0' is FLOAT32", "export with full integer quantization"),
        (int16_tensor, "tensor 'input_0' is INT16", "export with full integer quantization"),
        (no_quantization, "tensor 'input_0'", "export with full integer quantization"),
        (zero_scale, "tensor 'input_0' has scale 0.0", "calibrate"),
        (denormal_scale, "tensor 'input_0' has scale 1.0", "calibrate"),
        (denormal_scale_of_result, "tensor 'conv_3' has scale 9.99", "calibrate"),
        (infinite_scale, "tensor 'input_0' has scale inf", "calibrate"),
        (negative_scale, "tensor 'input_0' has scale -0.05", "calibrate"),
        (nan_scale, "tensor 'conv_3' has scale nan", "calibrate"),
        (zero_scale_of_filter, "tensor 'filter_1' has scale 0.0", "calibrate"),
        (zero_point_out_of_range, "tensor 'input_0' has zero point 128", "export with full"),
        (wrong_number_of_scales, "filter 'filter_1' has 3 scales", "per output channel"),
        (scales_on_another_axis, "filter 'filter_1' has 4 scales on axis 3", "per output channel"),
        (scales_on_the_input_channels, "filter 'filter_1' has 4 scales", "per output channel"),
        (scales_of_a_value, "tensor 'input_0' has 4 scales", "expected one of each"),
        (scales_without_zero_points, "tensor 'input_0' has 1 scales and 0", "expected one of each"),
        (filter_without_zero_points, "filter 'filter_1' has 4 scales and 3", "export it again"),
        (asymmetric_filter, "filter 'filter_1' has a zero point", "symmetric"),
        (accumulator_overflow, "CONV_2D that computes 'conv_3': the accumulator", "calibrate"),
        (far_apart, "CONV_2D that computes 'conv_3': its scales differ", "calibrate"),
        (dense_of_infinite_scale, "FULLY_CONNECTED that computes 'dense'", "calibrate"),
        (add_out_of_range, "ADD that computes 'add_1': its scales", "calibrate"),
        (tanh_of_too_fine_a_scale, "TANH that computes 'tanh_1': 'input_0'", "calibrate"),
        (tanh_elsewhere, "TANH that computes 'tanh_1': output scale", "expected 0.0078125"),
        (relu6_of_too_fine_a_scale, "RELU6 that computes 'relu6_1': 'input_0'", "calibrate"),
        (fused_relu6_of_too_fine_a_scale, "CONV_2D that computes 'conv_3'", "calibrate"),
        # Sizes that would take this machine's memory or time.
        (huge_tensor, "tensor 'input_0'", "a window as short as the receptive field"),
        (long_kernel, "CONV_2D that computes 'conv_3'", "a smaller dilation"),
        (too_many_rows, "CONV_2D that computes 'conv_3': 66000 channels", "use fewer"),
        (endless_axis, "SPLIT that computes 'part_2': operand 'axis_1'", "export it again"),
        (too_many_channels, "tensor 'wide_1' needs a vector of 80000", "fewer channels"),
        (too_wide_together, "the vectors of one sample up to tensor 'add_4'", "fewer channels"),
        (too_many_steps, "tensor 'concat_", "fewer layers"),
        (too_many_multiplications, "CONV_2D that computes 'conv_6'", "fewer channels or layers"),
        (too_many_outputs, "the outputs up to 'input_0'", "use fewer"),
    ],
)
def test_network_that_cannot_stream(
    make: Callable[[Net], list[int]],
    place: str,
    remedy: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = network()
    message = refusal(net.build(make(net)), tmp_path, capsys)
    assert place in message
    assert remedy in message


@pytest.mark.parametrize(
    ("name", "place", "remedy"),
    [
        ("refused_float", "tensor 'serving_default_x:0' is FLOAT32", "full integer quantization"),
        (
            "refused_dynamic_batch",
            "tensor 'serving_default_x:0' has a dynamic shape",
            "static batch of 1",
        ),
        ("refused_keras_causal", "PAD that computes 'Pad'", "use VALID"),
    ],
)
def test_what_the_converter_writes(
    name: str, place: str, remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal((CORPUS / f"{name}.tflite").read_bytes(), tmp_path, capsys)
    assert place in message
    assert remedy in message


def test_more_state_than_the_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = reference_network("R")
    needed = load_plan(content).state_bytes
    message = refusal(content, tmp_path, capsys, "--state-limit", str(needed - 1))
    assert f"needs {needed} bytes of state, the limit is {needed - 1}" in message
    largest = max(load_plan(content).steps, key=lambda step: step.state_bytes)
    assert f"that of '{largest.name}' is the largest with {16 * 256}" in message
    assert "use fewer channels, smaller dilations or a higher limit" in message
    out = ["-o", str(tmp_path / "out"), "--state-limit", str(needed)]
    assert main(["compile", str(tmp_path / "model.tflite"), *out]) == 0


def test_more_state_than_any_board_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = NetworkBuilder(60_000, 300, 0.05, 3)
    content = net.build([conv(net, net.input, 2, 59_999, rows=1)])
    assert "the limit is 16777216" in refusal(content, tmp_path, capsys)
    assert load_plan(content, state_limit_bytes=2**25).line_bytes == 59_999 * 300


def extra_input(graph: Graph) -> tuple[tuple[Tensor, ...], int]:
    return (*graph.tensors, replace(graph.tensors[0], name="second")), len(graph.tensors)


def changed(graph: Graph, position: int, **changes: object) -> Graph:
    """Return `graph` with one operator changed."""
    operators = list(graph.operators)
    operators[position] = replace(operators[position], **changes)  # type: ignore[arg-type]
    return replace(graph, operators=tuple(operators))


def backwards(graph: Graph) -> Graph:
    return replace(graph, operators=graph.operators[::-1])


def cyclic(graph: Graph) -> Graph:
    return changed(graph, 1, inputs=graph.operators[1].outputs)


def cycle_of_two(graph: Graph) -> Graph:
    return changed(graph, 0, inputs=(graph.operators[1].outputs[0], *graph.operators[0].inputs[1:]))


def dangling_input(graph: Graph) -> Graph:
    return changed(graph, 1, inputs=(999,))


def dangling_output(graph: Graph) -> Graph:
    return changed(graph, 1, outputs=(-1,))


def written_twice(graph: Graph) -> Graph:
    return changed(graph, 1, outputs=(0,))


def absent_output(graph: Graph) -> Graph:
    return replace(graph, outputs=(2**31 - 1,))


def output_of_nobody(graph: Graph) -> Graph:
    tensors, index = extra_input(graph)
    return replace(graph, tensors=tensors, outputs=(index,))


def two_inputs(graph: Graph) -> Graph:
    tensors, index = extra_input(graph)
    return replace(graph, tensors=tensors, inputs=(0, index))


def constant_input(graph: Graph) -> Graph:
    return replace(graph, inputs=(graph.operators[0].inputs[1],))


def short_constant(graph: Graph) -> Graph:
    tensors = list(graph.tensors)
    tensors[1] = replace(tensors[1], shape=(4, 3, 1, 4))
    return replace(graph, tensors=tuple(tensors))


@pytest.mark.parametrize(
    ("change", "place", "remedy"),
    [
        (backwards, "operator 0 (TANH) reads 'conv_3' before", "in the order they run in"),
        (cyclic, "operator 1 (TANH) reads 'tanh_4' before", "without cycles"),
        (cycle_of_two, "operator 0 (CONV_2D) reads 'tanh_4' before", "without cycles"),
        (dangling_input, "operator 1 (TANH) reads tensor 999", "export it again"),
        (dangling_output, "operator 1 (TANH) writes tensor -1", "export it again"),
        (written_twice, "operator 1 (TANH) writes 'input_0'", "computed once"),
        (absent_output, "its output is tensor 2147483647", "export it again"),
        (output_of_nobody, "output 'second' is computed by no operator", "export it again"),
        (two_inputs, "2 input tensors ('input_0', 'second')", "give all channels as one input"),
        (constant_input, "input 'filter_1' holds a constant", "export it again"),
        (short_constant, "constant 'filter_1' of shape (4, 3, 1, 4)", "export it again"),
    ],
)
def test_references_that_contradict(
    change: Callable[[Graph], Graph],
    place: str,
    remedy: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = network()
    graph = net.graph([net.tanh(conv(net, net.input))])
    message = refusal(write_graph(change(graph)), tmp_path, capsys)
    assert place in message
    assert remedy in message


# --- Bytes ---------------------------------------------------------------------------------------


def small_file() -> bytes:
    net = network()
    x = conv(net, net.input)
    left, right = net.split(x, 2)
    y = net.binary("MUL", net.tanh(left), net.logistic(right), scale=1 / 128, zero_point=0)
    return net.build([net.newest(y, 1)])


def test_file_round_trip() -> None:
    content = small_file()
    graph = read_graph(content)
    assert read_graph(write_graph(graph)) == graph


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0" * 64, b"\x1c\0\0\0TFL4" + b"\0" * 90])
def test_other_files(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(content, tmp_path, capsys)
    assert "not a .tflite file: expected the identifier b'TFL3'" in message
    assert "give the file that TFLite's converter wrote" in message


def test_truncated_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = small_file()
    message = refusal(content[: len(content) // 2], tmp_path, capsys)
    assert "truncated or corrupt: " in message
    assert "copy the file again" in message
    for size in range(len(content) - 4):
        with pytest.raises(ModelError, match=r"truncated or corrupt|not a \.tflite"):
            load_plan(content[:size])


def place_of(content: bytes, table: str, index: int) -> int:
    """Return the offset of a table, where the offset of its vtable lies."""
    model = tflite.Model.GetRootAs(content, 0)
    owner = model if table in ("OperatorCodes", "Buffers") else model.Subgraphs(0)
    return int(getattr(owner, table)(index)._tab.Pos)


@pytest.mark.parametrize(
    ("table", "index", "place"),
    [
        ("Tensors", 2, "tensor 2 leads"),
        ("Operators", 1, "operator 1 leads"),
        ("OperatorCodes", 0, "operator code 0 leads"),
        ("Buffers", 3, "buffer 3 leads"),
    ],
)
def test_offset_out_of_range(
    table: str, index: int, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(small_file())
    at = place_of(bytes(content), table, index)
    for offset in (0x7FFFFFFF, -0x80000000, 0x10000):
        content[at : at + 4] = offset.to_bytes(4, "little", signed=True)
        message = refusal(bytes(content), tmp_path, capsys)
        assert place in message
        assert "copy the file again, or export it again" in message


@pytest.mark.parametrize("field", [4, 12])
def test_vector_out_of_range(
    field: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shape (vtable field 4) or a quantization (12) that lies beyond the file's end."""
    content = bytearray(small_file())
    tensor = tflite.Model.GetRootAs(bytes(content), 0).Subgraphs(0).Tensors(3)
    at = tensor._tab.Pos + tensor._tab.Offset(field)
    content[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    assert "tensor 'conv_3' leads outside" in refusal(bytes(content), tmp_path, capsys)


def test_index_out_of_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Indices of an operator code and of a buffer that the file does not have."""
    subgraph = tflite.Model.GetRootAs(small_file(), 0).Subgraphs(0)
    for table, field, place in (
        (subgraph.Tensors(3)._tab, 8, "tensor 'conv_3' is in buffer 77"),
        (subgraph.Operators(1)._tab, 4, "operator 1 uses operator code 77"),
    ):
        content = bytearray(small_file())
        at = table.Pos + table.Offset(field)
        content[at : at + 4] = (77).to_bytes(4, "little")
        message = refusal(bytes(content), tmp_path, capsys)
        assert place in message
        assert "export it again" in message


@pytest.mark.parametrize(
    ("number", "name"), [(32, "CUSTOM without a name"), (9999, "operator number 9999")]
)
def test_operator_of_another_kind(
    number: int, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = network()
    content = bytearray(net.build(unknown(net)))
    code = tflite.Model.GetRootAs(bytes(content), 0).OperatorCodes(0)._tab
    at = code.Pos + code.Offset(10)  # builtin_code
    content[at : at + 4] = number.to_bytes(4, "little")
    content[code.Pos + code.Offset(4)] = 0  # deprecated_builtin_code
    message = refusal(bytes(content), tmp_path, capsys)
    assert f"{name} that computes 'result_1'" in message
    assert "supported are ADD" in message


def test_operator_in_the_new_field_only() -> None:
    """As TFLite reads it, whatever the deprecated field says of a lower number."""
    net = network()
    product = net.binary("MUL", net.input, net.input, scale=0.05, zero_point=0)
    content = bytearray(net.build([product]))
    code = tflite.Model.GetRootAs(bytes(content), 0).OperatorCodes(0)._tab
    content[code.Pos + code.Offset(4)] = 0  # ADD
    assert read_graph(bytes(content)).operators[0].kind == "MUL"


def test_file_larger_than_any_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = small_file() + b"\0" * FILE_BYTES_MAX
    message = refusal(content, tmp_path, capsys)
    assert "more than 16 MiB" in message
    assert "expected the int8 .tflite of a small model" in message


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="has no /dev/zero")
def test_file_without_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "/dev/zero", "-o", str(tmp_path / "out")]) == 2
    assert "/dev/zero: the file holds more than 16 MiB" in capsys.readouterr().err


def repeated_buffer(copies: int) -> bytes:
    """Return a file of 64 KB that claims `copies` constants of 64 KB each."""
    builder = flatbuffers.Builder(1 << 17)
    data = builder.CreateByteVector(bytes(1 << 16))
    tflite.BufferStart(builder)
    tflite.BufferAddData(builder, data)
    buffer = tflite.BufferEnd(builder)
    tflite.SubGraphStart(builder)
    subgraph = tflite.SubGraphEnd(builder)
    vectors = []
    for entries in ([subgraph], [buffer] * copies):
        builder.StartVector(4, len(entries), 4)
        for entry in entries:
            builder.PrependUOffsetTRelative(entry)
        vectors.append(builder.EndVector())
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddSubgraphs(builder, vectors[0])
    tflite.ModelAddBuffers(builder, vectors[1])
    builder.Finish(tflite.ModelEnd(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_small_file_that_claims_to_be_huge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refusal(repeated_buffer(10_000), tmp_path, capsys)
    assert "buffer 3 shares its bytes with others" in message
    assert "export it again" in message
    message = refusal(repeated_buffer(100_000), tmp_path, capsys)
    assert "it claims 100000 buffers" in message


def test_names_cannot_upset_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Newlines, escape sequences and the table's own markup in a tensor's name."""
    name = "a\nb\x1b[31m [/bold] [red]" + "x" * 5000
    net = network()
    result = conv(net, net.input)
    edit(net, result, name=name)
    path = tmp_path / "model.tflite"
    path.write_bytes(net.build([net.newest(result, 1)]))
    assert main(["compile", str(path), "-o", str(tmp_path / "tables")]) == 0
    printed = capsys.readouterr().out
    assert "[/bold]" in printed
    assert "\x1b" not in printed
    edit(net, result, name=name, quantization=None)
    message = refusal(net.build([result]), tmp_path, capsys)
    assert "tensor 'a?b?[31m [/bold] [red]x" in message
    assert "export with full integer quantization" in message


def test_window_that_tflite_micro_cannot_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its runtime crashes on such an arena."""
    net = NetworkBuilder(2**23, 4, 0.05, 3)
    x = net.input
    for _ in range(40):
        x = net.tanh(x)
    model, samples, out = (str(tmp_path / name) for name in ("m.tflite", "x.npy", "y.npy"))
    Path(model).write_bytes(net.build([net.newest(x, 1)]))
    np.save(samples, np.zeros((3, 4), np.int8))
    assert main(["run", model, "-i", samples, "-o", out, "--on", "tflm"]) == 2
    assert "export with a shorter window" in capsys.readouterr().err
    assert not Path(out).exists()


def test_card_nested_without_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.json").write_text("[" * 100_000)
    (tmp_path / "model.tflite").write_bytes(small_file())
    out = ["-o", str(tmp_path / "out")]
    assert main(["compile", str(tmp_path), *out]) == 2
    assert f"{tmp_path / 'model.json'}: not JSON" in capsys.readouterr().err
    # Beside a lone file only the card that belongs to it counts.
    assert main(["compile", str(tmp_path / "model.tflite"), *out]) == 0


def test_field_that_only_tflite_micro_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name of the subgraph, which the compiler has no use for."""
    content = bytearray((CORPUS / "converter.tflite").read_bytes())
    subgraph = tflite.Model.GetRootAs(bytes(content), 0).Subgraphs(0)
    at = subgraph._tab.Pos + subgraph._tab.Offset(12)  # name
    content[at : at + 4] = (0x7FFFFFF0).to_bytes(4, "little")
    model, samples, out = (str(tmp_path / name) for name in ("m.tflite", "x.npy", "y.npy"))
    Path(model).write_bytes(content)
    np.save(samples, np.zeros((9, 2), np.int8))
    run = ["run", model, "-i", samples, "-o", out, "--on"]
    assert main([*run, "tflm"]) == 2
    assert "tflite-micro cannot read the .tflite file" in capsys.readouterr().err
    assert main([*run, "native"]) == 0
