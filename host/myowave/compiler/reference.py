"""Networks built straight as flatbuffers, without TensorFlow: the benchmarks' R, S and M.

`NetworkBuilder` adds one operator at a time to a window model in the form the exporter gives:
(1, samples, 1, channels), VALID convolutions, crops of the oldest samples. Tests draw their random
networks with it too.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from myowave.compiler.graph import Graph, Operator, Quantization, Tensor, write_graph
from myowave.errors import ConfigError

VALID = 1
RELU = 1


class NetworkBuilder:
    """Grows a graph; methods return the index of the tensor they add.

    Parameters
    ----------
    window : int
        Samples of the input.
    channels : int
        Channels of the input.
    scale, zero_point : float, int
        Quantization of the input.
    time_axis : int
        1 for (1, time, 1, channels), 2 for (1, 1, time, channels).
    """

    def __init__(
        self, window: int, channels: int, scale: float, zero_point: int, time_axis: int = 1
    ) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.time_axis = time_axis
        self.input = self.value("input", window, channels, scale, zero_point)

    def length(self, index: int) -> int:
        """Return the samples of a tensor."""
        return self.tensors[index].shape[self.time_axis]

    def channels(self, index: int) -> int:
        """Return the channels of a tensor."""
        return self.tensors[index].shape[-1]

    def value(self, name: str, length: int, channels: int, scale: float, zero_point: int) -> int:
        """Add a tensor computed at run time."""
        shape = (1, length, 1, channels) if self.time_axis == 1 else (1, 1, length, channels)
        return self.tensor(
            Tensor(
                f"{name}_{len(self.tensors)}",
                shape,
                "INT8",
                Quantization((float(np.float32(scale)),), (zero_point,)),
            )
        )

    def constant(
        self,
        name: str,
        array: NDArray[np.int8] | NDArray[np.int32],
        quantization: Quantization | None = None,
    ) -> int:
        """Add a constant tensor."""
        kind = "INT8" if array.dtype == np.int8 else "INT32"
        return self.tensor(
            Tensor(f"{name}_{len(self.tensors)}", array.shape, kind, quantization, array.tobytes())
        )

    def tensor(self, tensor: Tensor) -> int:
        """Add any tensor."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def conv(
        self,
        source: int,
        weights: NDArray[np.int8],
        bias: NDArray[np.int32] | None,
        *,
        filter_scales: NDArray[np.float32],
        scale: float,
        zero_point: int,
        dilation: int = 1,
        activation: int = 0,
    ) -> int:
        """Add a VALID CONV_2D over time; weights (out, taps, in)."""
        rows, taps, columns = weights.shape
        shape = (rows, taps, 1, columns) if self.time_axis == 1 else (rows, 1, taps, columns)
        filters = self.constant(
            "filter",
            weights.reshape(shape),
            Quantization(tuple(float(s) for s in filter_scales), (0,) * len(filter_scales), 0),
        )
        inputs = [source, filters]
        if bias is not None:
            inputs.append(self.constant("bias", bias))
        length = self.length(source) - (taps - 1) * dilation
        output = self.value("conv", length, rows, scale, zero_point)
        along = "H" if self.time_axis == 1 else "W"
        self.operators.append(
            Operator(
                "CONV_2D",
                tuple(inputs),
                (output,),
                {
                    "Padding": VALID,
                    "FusedActivationFunction": activation,
                    f"Dilation{along}Factor": dilation,
                },
                3,
            )
        )
        return output

    def binary(
        self,
        kind: str,
        a: int,
        b: int,
        *,
        scale: float,
        zero_point: int,
        activation: int = 0,
    ) -> int:
        """Add ADD or MUL; the longer operand loses its oldest samples first."""
        length = min(self.length(a), self.length(b))
        a, b = self.newest(a, length), self.newest(b, length)
        output = self.value(kind.lower(), length, self.channels(a), scale, zero_point)
        self.operators.append(
            Operator(kind, (a, b), (output,), {"FusedActivationFunction": activation}, 2)
        )
        return output

    def unary(self, kind: str, source: int, scale: float, zero_point: int) -> int:
        """Add TANH, LOGISTIC, RELU, RELU6 or QUANTIZE."""
        output = self.value(
            kind.lower(), self.length(source), self.channels(source), scale, zero_point
        )
        self.operators.append(Operator(kind, (source,), (output,), {}, 2))
        return output

    def tanh(self, source: int) -> int:
        """Add TANH with the only output quantization it has."""
        return self.unary("TANH", source, 1 / 128, 0)

    def logistic(self, source: int) -> int:
        """Add LOGISTIC with the only output quantization it has."""
        return self.unary("LOGISTIC", source, 1 / 256, -128)

    def newest(self, source: int, length: int) -> int:
        """Crop the oldest samples so that `length` remain."""
        drop = self.length(source) - length
        return source if drop == 0 else self.cut(source, drop, length, 0, self.channels(source))

    def cut(self, source: int, first: int, length: int, channel: int, channels: int) -> int:
        """Add a STRIDED_SLICE over time and channels."""
        begin, end = np.zeros(4, np.int32), np.ones(4, np.int32)
        begin[self.time_axis], end[self.time_axis] = first, first + length
        begin[3], end[3] = channel, channel + channels
        inputs = (
            source,
            self.constant("begin", begin),
            self.constant("end", end),
            self.constant("strides", np.ones(4, np.int32)),
        )
        output = self.like(source, "slice", length, channels)
        self.operators.append(Operator("STRIDED_SLICE", inputs, (output,), {}, 1))
        return output

    def split(self, source: int, parts: int) -> list[int]:
        """Add a SPLIT over channels into equal parts."""
        axis = self.constant("axis", np.array(3, np.int32))
        width = self.channels(source) // parts
        outputs = [self.like(source, "split", self.length(source), width) for _ in range(parts)]
        self.operators.append(
            Operator("SPLIT", (axis, source), tuple(outputs), {"NumSplits": parts}, 1)
        )
        return outputs

    def concatenation(self, sources: list[int]) -> int:
        """Add a CONCATENATION over channels."""
        channels = sum(self.channels(source) for source in sources)
        output = self.like(sources[0], "concat", self.length(sources[0]), channels)
        self.operators.append(Operator("CONCATENATION", tuple(sources), (output,), {"Axis": 3}, 1))
        return output

    def like(self, source: int, name: str, length: int, channels: int) -> int:
        """Add a value with the quantization of `source`."""
        quantization = self.tensors[source].quantization
        assert quantization is not None
        return self.value(
            name, length, channels, quantization.scales[0], quantization.zero_points[0]
        )

    def reshape(self, source: int, shape: tuple[int, ...]) -> int:
        """Add a RESHAPE to any shape."""
        target = self.constant("shape", np.array(shape, np.int32))
        output = self.tensor(
            replace(self.tensors[source], name=f"reshape_{len(self.tensors)}", shape=shape)
        )
        self.operators.append(Operator("RESHAPE", (source, target), (output,), {}, 1))
        return output

    def graph(self, outputs: list[int]) -> Graph:
        """Return what was built."""
        return Graph(
            tuple(self.tensors), tuple(self.operators), (self.input,), tuple(outputs), "MyoWave"
        )

    def build(self, outputs: list[int]) -> bytes:
        """Return what was built as a `.tflite` file."""
        return write_graph(self.graph(outputs))


@dataclass(frozen=True)
class WaveNetShape:
    """Size of a gated WaveNet: kernel 2, dilation doubling from block to block."""

    channels: int
    blocks: int
    outputs: int
    inputs: int = 6


REFERENCES = {
    "R": WaveNetShape(16, 9, 1),
    "S": WaveNetShape(8, 8, 1),
    "M": WaveNetShape(24, 10, 2),
}


def reference_network(name: str) -> bytes:
    """Return the benchmark network R, S or M; see `random_network`.

    Raises
    ------
    ConfigError
        If `name` is not R, S or M.
    """
    if name not in REFERENCES:
        raise ConfigError(f"unknown reference network '{name}', expected R, S or M")
    return random_network(REFERENCES[name])


def random_network(shape: WaveNetShape) -> bytes:
    """Return a network with fixed random weights as a `.tflite` file.

    Input convolution of width 1; each block two gate convolutions of kernel 2, tanh times
    sigmoid, a residual and a skip convolution of width 1; the skips and the last residual stream
    are summed; the head is ReLU, convolution of width 1 with ReLU, convolution of width 1.
    """
    width = shape.channels
    rng = np.random.default_rng(20251117)

    def conv(
        net: NetworkBuilder, source: int, rows: int, taps: int, scale: float, **options: int
    ) -> int:
        columns = net.channels(source)
        weights = rng.integers(-127, 128, (rows, taps, columns)).astype(np.int8)
        bias = rng.integers(-2000, 2001, rows).astype(np.int32)
        # Scales that give sums of uncorrelated full-range inputs about a third of the range.
        source_scale = net.tensors[source].quantization
        assert source_scale is not None
        spread = 74.0 * 73.0 * np.sqrt(taps * columns) * source_scale.scales[0]
        filter_scales = (rng.uniform(0.7, 1.4, rows) * 40.0 * scale / spread).astype(np.float32)
        return net.conv(
            source,
            weights,
            bias,
            filter_scales=filter_scales,
            scale=scale,
            zero_point=-3,
            **options,
        )

    net = NetworkBuilder(2**shape.blocks, shape.inputs, 4.0 / 127, -1)
    x = conv(net, net.input, width, 1, 4.0 / 127)
    skips: list[int] = []
    for block in range(shape.blocks):
        dilation = 2**block
        gate_tanh = net.tanh(conv(net, x, width, 2, 3.0 / 127, dilation=dilation))
        gate_sigmoid = net.logistic(conv(net, x, width, 2, 5.0 / 127, dilation=dilation))
        gated = net.binary("MUL", gate_tanh, gate_sigmoid, scale=1 / 128, zero_point=0)
        # Crop before the skip convolution: it then works on one sample only.
        skips.append(conv(net, net.newest(gated, 1), width, 1, 2.0 / 127))
        residual = conv(net, gated, width, 1, 3.0 / 127)
        x = net.binary("ADD", x, residual, scale=5.0 / 127, zero_point=4)
    total = x
    for skip in skips:
        total = net.binary("ADD", total, skip, scale=6.0 / 127, zero_point=2)
    head = conv(net, net.unary("RELU", total, 6.0 / 127, -128), width, 1, 5 / 127, activation=RELU)
    return net.build([conv(net, head, shape.outputs, 1, 1.2 / 127)])
