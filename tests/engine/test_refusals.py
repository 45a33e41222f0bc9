"""What cannot stream is refused in one line that names operator, tensor and remedy."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myowave.compiler import compile_model, load_plan
from myowave.compiler.graph import Graph, Operator, Quantization, Tensor, read_graph, write_graph
from myowave.compiler.reference import NetworkBuilder
from myowave.errors import ModelError, UnsupportedModelError

Net = NetworkBuilder


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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (space_to_batch, "SPACE_TO_BATCH_ND that computes 'result_1'.*native dilation"),
        (pad, "PAD that computes.*VALID"),
        (unknown, "COS that computes.*supported are ADD"),
        (dequantize, "DEQUANTIZE.*inference_input_type"),
        (same_padding, "CONV_2D.*SAME padding looks ahead"),
        (strided, "CONV_2D.*stride 2"),
        (window_too_short, "CONV_2D.*needs 9 samples.*shorter than the receptive field"),
        (newest_cropped, "STRIDED_SLICE.*drops the 1 newest samples.*ahead"),
        (unequal_lengths, "ADD.*8 and 7 samples.*crop the oldest"),
        (broadcast, "MUL.*4 and 1 channels"),
        (constant_operand, "ADD.*does not depend on the network's input"),
        (float_tensor, "'input_0' is FLOAT32, expected INT8"),
        (int16_tensor, "'input_0' is INT16, expected INT8"),
        (batch_of_two, "batch 2, expected 1"),
        (two_axes, "two axes beside channels"),
        (no_quantization, "'input_0' has no quantization"),
        (zero_scale, "'input_0' has scale 0.0"),
        (denormal_scale, "'input_0' has scale 1e-42|'input_0' has scale 1.000"),
        (infinite_scale, "'input_0' has scale inf"),
        (zero_point_out_of_range, "'input_0' has zero point 128"),
        (wrong_number_of_scales, "'filter_1' has 3 scales.*expected 1, or 4"),
        (scales_on_another_axis, "'filter_1' has 4 scales on axis 3"),
        (asymmetric_filter, "'filter_1' has a zero point other than 0"),
        (grouped, "grouped"),
        (accumulator_overflow, "accumulator"),
        (far_apart, "scales differ"),
        (unusual_activation, "activation number 4"),
        (tanh_elsewhere, "TANH.*expected 0.0078125"),
        (flatten, "RESHAPE.*mixes time and channels"),
        (concatenation_of_scales, "CONCATENATION.*another quantization"),
        (split_over_time, "SPLIT.*expected the channels"),
        (strided_crop, "STRIDED_SLICE.*stride 2"),
        (add_out_of_range, "ADD.*2\\*\\*19"),
    ],
)
def test_refused_before_a_byte_is_written(
    make: Callable[[Net], list[int]], message: str, tmp_path: Path
) -> None:
    net = network()
    path = tmp_path / "model.tflite"
    path.write_bytes(net.build(make(net)))
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        compile_model(path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_dynamic_shape_two_inputs_and_no_output() -> None:
    net = network()
    graph = net.graph([conv(net, net.input)])
    with pytest.raises(UnsupportedModelError, match="2 input tensors"):
        load_plan(
            write_graph(
                replace(graph, inputs=(0, extra_input(graph)[1]), tensors=extra_input(graph)[0])
            )
        )
    with pytest.raises(UnsupportedModelError, match="no output"):
        load_plan(write_graph(replace(graph, outputs=())))


def extra_input(graph: Graph) -> tuple[tuple[Tensor, ...], int]:
    return (*graph.tensors, replace(graph.tensors[0], name="second")), len(graph.tensors)


def test_forward_and_dangling_references() -> None:
    net = network()
    graph = net.graph([net.tanh(conv(net, net.input))])
    first, second = graph.operators
    with pytest.raises(ModelError, match="before any operator computes it"):
        load_plan(write_graph(replace(graph, operators=(second, first))))
    cyclic = replace(second, inputs=second.outputs)
    with pytest.raises(ModelError, match="before any operator computes it"):
        load_plan(write_graph(replace(graph, operators=(first, cyclic))))
    with pytest.raises(ModelError, match="does not exist"):
        load_plan(write_graph(replace(graph, operators=(first, replace(second, inputs=(999,))))))
    with pytest.raises(ModelError, match="has a value"):
        load_plan(write_graph(replace(graph, operators=(first, replace(second, outputs=(0,))))))


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
def test_other_files(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"not a \.tflite file"):
        load_plan(content)


def test_truncation_anywhere() -> None:
    content = small_file()
    for size in range(8, len(content) - 1, 7):
        expect_plan_or_model_error(content[:size])


@pytest.mark.parametrize("seed", range(20))
def test_corruption_anywhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = np.frombuffer(small_file(), np.uint8)
    for _ in range(60):
        mutated = content.copy()
        places = rng.integers(0, len(content), rng.integers(1, 6))
        mutated[places] = rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))], len(places))
        expect_plan_or_model_error(mutated.tobytes())


def expect_plan_or_model_error(content: bytes) -> None:
    try:
        plan = load_plan(content)
    except ModelError as error:
        assert str(error)
        assert "\n" not in str(error)
    else:
        assert plan.n_outputs >= 1
