"""Random causal networks, drawn straight as flatbuffers with drawn quantization."""

import numpy as np
from numpy.typing import NDArray

from myowave.compiler.reference import NetworkBuilder

Rng = np.random.Generator


def random_network(rng: Rng) -> bytes:
    """Draw a gated WaveNet or a ReLU TCN of any shape the compiler promises to take."""
    return _Draw(rng).network()


def random_input(rng: Rng, samples: int, channels: int) -> NDArray[np.int8]:
    """Draw input samples: noise over the whole range, extremes, constants and slow drifts mixed."""
    kind = rng.integers(4)
    if kind == 0:
        x = rng.integers(-128, 128, (samples, channels))
    elif kind == 1:
        x = rng.choice([-128, 127], (samples, channels))
    elif kind == 2:
        x = np.repeat(rng.integers(-128, 128, (1, channels)), samples, axis=0)
    else:
        x = np.clip(np.cumsum(rng.integers(-9, 10, (samples, channels)), axis=0), -128, 127)
    return x.astype(np.int8)


def awkward_network(seed: int) -> bytes:
    """Draw what suits no kernel: odd widths, parts that begin anywhere, extremes of everything.

    Weights are all -128, -127 or 127, zero points -128 or 127, and the rows of a convolution have
    every shift from -31 to -1 (whose short form is exact) or from 0 to 30 (which have none).
    """
    rng = np.random.default_rng(seed)
    net = NetworkBuilder(4, 3, 1.0, int(rng.choice([-128, 127])))

    def conv(source: int, exponents: NDArray[np.int64], taps: int = 1) -> int:
        rows, columns = len(exponents), net.channels(source)
        scales = (2.0**exponents * rng.uniform(0.5, 0.999, rows)).astype(np.float32)
        return net.conv(
            source,
            rng.choice([-128, -127, 127], (rows, taps, columns)).astype(np.int8),
            rng.integers(-(2**18), 2**18, rows).astype(np.int32),
            filter_scales=scales,
            scale=1.0,
            zero_point=int(rng.choice([-128, 127])),
            dilation=3 if taps == 2 else 1,
        )

    left = conv(net.input, rng.permutation(np.arange(-31, 0)), taps=2)
    right = conv(net.input, np.arange(31), taps=2)
    outputs = []
    for source in (left, right):
        # Parts of odd widths at odd places, as sources of convolutions, sums and products.
        a = net.cut(source, 0, 1, 1, 7)
        b = net.cut(source, 0, 1, 10, 7)
        c = net.cut(source, 0, 1, 22, 9)
        total = net.binary("ADD", a, b, scale=1.3, zero_point=-128, activation=3)
        product = net.binary("MUL", b, total, scale=70.0, zero_point=127)
        outputs += [conv(c, np.full(5, -12)), conv(product, np.full(3, -10)), total, b]
    return net.build(outputs)


class _Draw:
    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.net: NetworkBuilder

    def integer(self, low: int, high: int) -> int:
        """Draw from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def scale(self, middle: float = 1 / 32) -> float:
        return float(middle * 2.0 ** self.rng.uniform(-2, 2))

    def zero_point(self) -> int:
        return int(self.rng.choice([-128, 127, 0, self.integer(-128, 127)], p=[0.1, 0.1, 0.1, 0.7]))

    def conv(self, source: int, rows: int, taps: int = 1, dilation: int = 1, relu: int = 0) -> int:
        """Draw a convolution, now and then one whose weights, bias or scales saturate."""
        net, rng = self.net, self.rng
        columns = net.channels(source)
        if self.chance(0.15):
            weights = rng.choice([-128, -127, 127], (rows, taps, columns)).astype(np.int8)
        else:
            weights = rng.integers(-127, 128, (rows, taps, columns)).astype(np.int8)
        bias: NDArray[np.int32] | None = None
        if self.chance(0.9):
            limit = 2**30 if self.chance(0.1) else 2 ** self.integer(4, 14)
            bias = rng.integers(-limit, limit + 1, rows).astype(np.int32)
        scale = self.scale()
        quantization = net.tensors[source].quantization
        assert quantization is not None
        sums = 74.0 * 73.0 * np.sqrt(taps * columns) * quantization.scales[0]
        # Exponents reach from results that vanish to results that saturate everywhere.
        spread = 2.0 ** (rng.uniform(-8, 12) if self.chance(0.1) else rng.uniform(-1, 1.5))
        count = rows if self.chance(0.9) else 1
        filter_scales = rng.uniform(0.5, 2.0, count) * spread * 40.0 * scale / sums
        return net.conv(
            source,
            weights,
            bias,
            filter_scales=filter_scales.astype(np.float32),
            scale=scale,
            zero_point=self.zero_point(),
            dilation=dilation,
            activation=relu,
        )

    def binary(self, kind: str, a: int, b: int) -> int:
        relu = int(self.rng.choice([0, 1, 3], p=[0.8, 0.1, 0.1]))
        middle = 1 / 32 if kind == "ADD" else 1 / 128
        return self.net.binary(
            kind, a, b, scale=self.scale(middle), zero_point=self.zero_point(), activation=relu
        )

    def gate(self, x: int, width: int, taps: int, dilation: int) -> int:
        """Draw a gated activation from two convolutions, or one whose channels are split."""
        net = self.net
        form = self.integer(0, 2)
        if form == 0:
            left = self.conv(x, width, taps, dilation)
            right = self.conv(x, width, taps, dilation)
        else:
            both = self.conv(x, 2 * width, taps, dilation)
            if form == 1:
                left, right = net.split(both, 2)
            else:
                length = net.length(both)
                left = net.cut(both, 0, length, 0, width)
                right = net.cut(both, 0, length, width, width)
        return self.binary("MUL", net.tanh(left), net.logistic(right))

    def plain(self, x: int, width: int, taps: int, dilation: int) -> int:
        """Draw a ReLU layer: fused, separate, or RELU6."""
        net = self.net
        form = self.integer(0, 3)
        if form == 0:
            return self.conv(x, width, taps, dilation, relu=int(self.rng.choice([1, 3])))
        y = self.conv(x, width, taps, dilation)
        quantization = net.tensors[y].quantization
        assert quantization is not None
        if form == 1:
            return net.unary("RELU", y, self.scale(), self.zero_point())
        if form == 2:
            return net.unary("RELU6", y, quantization.scales[0], quantization.zero_points[0])
        return net.unary("QUANTIZE", y, self.scale(), self.zero_point())

    def network(self) -> bytes:
        rng = self.rng
        layers = self.integer(1, 5)
        taps = [self.integer(2, 5) for _ in range(layers)]
        dilations = [int(rng.choice([1, 2, 3, 4, 7, 8, 16])) for _ in range(layers)]
        field = 1 + sum((k - 1) * d for k, d in zip(taps, dilations, strict=True))
        window = field + (self.integer(1, 9) if self.chance(0.2) else 0)
        inputs = self.integer(1, 9)
        net = NetworkBuilder(window, inputs, self.scale(), self.zero_point(), self.integer(1, 2))
        self.net = net
        gated, residual, skip = self.chance(0.65), self.chance(0.6), self.chance(0.6)
        width = self.integer(1, 32)
        x = net.input
        if self.chance(0.2):
            x = net.unary("QUANTIZE", x, self.scale(), self.zero_point())
        if residual or self.chance(0.5):
            x = self.conv(x, width)
        skips: list[int] = []
        for k, d in zip(taps, dilations, strict=True):
            inner = width if residual else self.integer(1, 32)
            y = self.gate(x, inner, k, d) if gated else self.plain(x, inner, k, d)
            if skip:
                skips.append(self.conv(net.newest(y, 1), width))
            if residual:
                y = self.binary("ADD", x, self.conv(y, width) if self.chance(0.8) else y)
            x = y
        if skips:
            total = skips[0]
            for one in skips[1:]:
                total = self.binary("ADD", total, one)
            x = total
        # Where the window is longer than the receptive field the rest is cropped here or there.
        x = net.newest(x, 1)
        return net.build(self.heads(x))

    def heads(self, x: int) -> list[int]:
        """Draw the output: one tensor of one to four channels, or several tensors."""
        net = self.net
        count = self.integer(1, 4)
        form = self.integer(0, 3)
        if form == 0:
            return [self.conv(x, 1) for _ in range(count)]
        y = self.conv(x, count)
        if form == 1:
            return [net.reshape(y, (1, count))]
        if form == 2:
            hidden = self.conv(x, 3)
            return (
                [net.concatenation([y, hidden, y])] if self.same_scale(y, hidden) else [hidden, y]
            )
        return [y]

    def same_scale(self, a: int, b: int) -> bool:
        return self.net.tensors[a].quantization == self.net.tensors[b].quantization
