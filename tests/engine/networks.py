"""Random causal networks, drawn straight as flatbuffers with drawn quantization.

CI draws the same `NETWORKS` networks every time and proves of them what they reach
(`test_coverage.py`). A longer hunt, over networks never drawn before:

    MYOWAVE_NETWORKS=20000 MYOWAVE_SEED=1000 .venv/bin/python -m pytest tests/engine/test_parity.py

`MYOWAVE_NETWORKS` is how many, `MYOWAVE_SEED` the first one's seed; `test_cortex.py` takes one
in fourteen on each emulated core. A failure names its seed.
"""

import functools
import os
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from myowave.compiler import load_plan
from myowave.compiler.graph import Operator, Quantization
from myowave.compiler.plan import Plan
from myowave.compiler.reference import NetworkBuilder
from myowave.tflm import run_tflm

CI_SEEDS = range(600)
NETWORKS = int(os.environ.get("MYOWAVE_NETWORKS", len(CI_SEEDS)))
_FIRST = int(os.environ.get("MYOWAVE_SEED", "0"))
SEEDS = range(_FIRST, _FIRST + NETWORKS)
CI_CORE_SEEDS = CI_SEEDS[: -(-len(CI_SEEDS) // 14)]
CORE_SEEDS = SEEDS[: -(-NETWORKS // 14)]

# What keeps one network affordable: multiply-accumulates and samples of past.
MACS_MAX = 16_000
PAST_MAX = 400
# Base-2 logarithm of the scales drawn: within it no factor of two scales leaves what kernels take.
SCALE_BITS = 20.0
TAILS_INPUTS = 80

NONE, RELU, RELU_N1_TO_1, RELU6 = range(4)

Rng = np.random.Generator


@functools.cache
def drawn_network(seed: int) -> bytes:
    """Return network number `seed`, the same every time."""
    return random_network(np.random.default_rng(seed))


@functools.cache
def drawn_plan(seed: int) -> Plan:
    """Return the plan of network number `seed`."""
    return load_plan(drawn_network(seed))


@functools.cache
def drawn_input(seed: int) -> NDArray[np.int8]:
    """Return an input for network number `seed`: long enough for every delay line to wrap twice."""
    plan = drawn_plan(seed)
    rng = np.random.default_rng([seed, 1])
    return random_signal(rng, 2 * plan.receptive_field + 180, plan.n_inputs)


@functools.cache
def expected_output(seed: int) -> NDArray[np.int8]:
    """Return what tflite-micro gives for network number `seed`, from the first whole window on."""
    first = drawn_plan(seed).receptive_field - 1
    return run_tflm(drawn_network(seed), drawn_input(seed), verify=2)[first:]


def random_network(rng: Rng) -> bytes:
    """Draw a gated WaveNet, a ReLU TCN or a tangle of operators the compiler promises to take."""
    while True:
        draw = _Draw(rng)
        tflite = draw.network()
        if draw.macs <= MACS_MAX:
            return tflite


def random_input(rng: Rng, samples: int, channels: int) -> NDArray[np.int8]:
    """Draw input samples: noise over the whole range, extremes, constants or a slow drift."""
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


def random_signal(rng: Rng, samples: int, channels: int) -> NDArray[np.int8]:
    """Draw stretches of `random_input` one after another."""
    parts: list[NDArray[np.int8]] = []
    while sum(map(len, parts)) < samples:
        parts.append(random_input(rng, int(rng.integers(8, 97)), channels))
    return np.concatenate(parts)[:samples]


def awkward_network(seed: int) -> bytes:
    """Draw what suits no kernel: odd widths, parts that begin anywhere, extremes of everything.

    Weights are all -128, -127 or 127, zero points -128 or 127, and the rows of a convolution have
    every shift from -31 to -1 (whose short form is exact) or from 0 to 30 (which have none). There
    is a product for every other shift from -31 to 30, and a sum for every scale of one operand from
    its neighbour's down to what rounds to nothing, and of the result from the finest to the
    coarsest.
    """
    rng = np.random.default_rng(seed)
    net = NetworkBuilder(4, 3, 1.0, int(rng.choice([-128, 127])))

    def extreme() -> int:
        return int(rng.choice([-128, 127]))

    def conv(source: int, exponents: NDArray[np.int64], taps: int = 1) -> int:
        rows, columns = len(exponents), net.channels(source)
        scales = (2.0**exponents * rng.uniform(0.5, 0.999, rows)).astype(np.float32)
        return net.conv(
            source,
            rng.choice([-128, -127, 127], (rows, taps, columns)).astype(np.int8),
            rng.integers(-(2**18), 2**18, rows).astype(np.int32),
            filter_scales=scales,
            scale=1.0,
            zero_point=extreme(),
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
        total = net.binary("ADD", a, b, scale=1.3, zero_point=-128, activation=RELU6)
        product = net.binary("MUL", b, total, scale=70.0, zero_point=127)
        outputs += [conv(c, np.full(5, -12)), conv(product, np.full(3, -10)), total, b]
    a, b = net.cut(left, 0, 1, 0, 5), net.cut(right, 0, 1, 5, 5)
    for shift in range(-31 + seed % 2, 31, 2):
        scale = 1.0 / (2.0**shift * rng.uniform(0.51, 0.99))
        outputs.append(net.binary("MUL", a, b, scale=scale, zero_point=extreme()))
    for exponent in range(seed % 2, 29, 2):
        fine = net.unary("QUANTIZE", b, 2.0**-exponent * rng.uniform(0.51, 0.99), extreme())
        pair = (a, fine) if rng.random() < 0.5 else (fine, a)
        scale = 2.0 ** (exponent - 18) * rng.uniform(0.51, 0.99)
        outputs.append(net.binary("ADD", *pair, scale=scale, zero_point=extreme()))
    return net.build(outputs)


def tails_network(seed: int) -> bytes:
    """Draw convolutions of 1 to 80 columns from parts that begin anywhere, and elementwise steps.

    Every remainder of every vector width is among them. With an even seed convolutions of even
    columns have a row without a short form, with an odd seed those of odd columns.
    """
    draw = _Draw(np.random.default_rng(seed))
    draw.net = net = NetworkBuilder(1, TAILS_INPUTS, 1 / 32, draw.zero_point())
    rng = draw.rng

    def part(width: int) -> int:
        return net.cut(net.input, 0, 1, draw.integer(0, TAILS_INPUTS - width), width)

    outputs = []
    for columns in range(1, TAILS_INPUTS + 1):
        rows = 1 + 5 * columns % 9
        factors = 2.0 ** rng.integers(-9, -5, rows) / np.sqrt(columns)
        if columns % 2 == seed % 2:
            factors[rng.integers(rows)] = 2.0 ** rng.uniform(0, 3)
        weights = rng.integers(-127, 128, (rows, 1, columns)).astype(np.int8)
        y = net.conv(
            part(columns),
            weights,
            rng.integers(-999, 999, rows).astype(np.int32),
            filter_scales=factors.astype(np.float32),
            scale=1 / 32,
            zero_point=draw.zero_point(),
        )
        outputs.append(net.tanh(y) if columns % 3 == 0 else y)
    for width in range(1, 20, 3):
        outputs.append(draw.binary("ADD", part(width), part(width)))
        outputs.append(draw.binary("MUL", part(width), part(width)))
        outputs.append(net.logistic(part(width)))
    return net.build(outputs)


class _Draw:
    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.net: NetworkBuilder
        self.macs = 0

    def integer(self, low: int, high: int) -> int:
        """Draw from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one_of(self, values: list[int]) -> int:
        return values[self.integer(0, len(values) - 1)]

    def power(self, low: float, high: float) -> float:
        return float(2.0 ** self.rng.uniform(low, high))

    def scale(self, middle: float = 1 / 32) -> float:
        if self.chance(0.06):
            return self.power(-12, 12)
        return self.bounded(middle * self.power(-2, 2))

    @staticmethod
    def bounded(scale: float) -> float:
        return float(np.clip(scale, 2.0**-SCALE_BITS, 2.0**SCALE_BITS))

    def scale_of(self, index: int) -> float:
        quantization = self.net.tensors[index].quantization
        assert quantization is not None
        return quantization.scales[0]

    def zero_point_of(self, index: int) -> int:
        quantization = self.net.tensors[index].quantization
        assert quantization is not None
        return quantization.zero_points[0]

    def zero_point(self, activation: int = NONE) -> int:
        anywhere = self.integer(-128, 127)
        if activation != NONE:
            # Little is left above a high one.
            return int(self.rng.choice([-128, anywhere, self.integer(-128, 0)], p=[0.3, 0.2, 0.5]))
        return int(self.rng.choice([-128, 127, 0, anywhere], p=[0.08, 0.08, 0.1, 0.74]))

    def width(self) -> int:
        """Draw a count of channels: mostly of the usual sizes, now and then one or many."""
        usual, round_one, many = self.integer(1, 32), 4 * self.integer(1, 8), self.integer(33, 70)
        return int(self.rng.choice([1, usual, round_one, many], p=[0.1, 0.45, 0.25, 0.2]))

    def activation(self, probability: float) -> int:
        return self.integer(RELU, RELU6) if self.chance(probability) else NONE

    # --- convolutions ---------------------------------------------------------------------------

    def weights(self, shape: tuple[int, int, int]) -> NDArray[np.int8]:
        """Draw weights: of any value, or saturated, sparse, or of one sign."""
        rng = self.rng
        kind = rng.choice(4, p=[0.7, 0.15, 0.08, 0.07])
        if kind == 1:
            return rng.choice([-128, -127, 127], shape).astype(np.int8)
        values = rng.integers(-127, 128, shape)
        if kind == 2:
            values[rng.random(shape) < 0.7] = 0
        elif kind == 3:
            values = np.abs(values)
        return values.astype(np.int8)

    def factors(self, rows: int, columns: int) -> NDArray[np.float64]:
        """Draw how many steps of the result one step of each row's sum is."""
        rng = self.rng
        kind = rng.choice(4, p=[0.76, 0.08, 0.06, 0.1])
        if kind < 2:
            # Sums of uncorrelated inputs then spread over a third of the range, or from results
            # that vanish to results that saturate everywhere.
            spread = self.power(-1, 1.5) if kind == 0 else self.power(-4, 9)
            middle = 40.0 * spread / (74.0 * 73.0 * np.sqrt(columns))
            return np.asarray(middle * rng.uniform(0.5, 2.0, rows))
        # Every other row a shift of its own: to the right only, or either way as far as kernels go.
        usual = -7.0 - 0.5 * np.log2(columns)
        shifts = rng.integers(-33, 0 if kind == 2 else 31, rows)
        exponents = np.where(rng.random(rows) < 0.5, shifts, np.floor(usual))
        return np.asarray(2.0**exponents * rng.uniform(0.501, 0.999, rows))

    def conv(
        self, source: int, rows: int, taps: int = 1, dilation: int = 1, activation: int = NONE
    ) -> int:
        """Draw a convolution, now and then one whose weights, bias or scales saturate."""
        net = self.net
        columns = taps * net.channels(source)
        self.macs += rows * columns
        weights = self.weights((rows, taps, net.channels(source)))
        bias = self.bias(weights, self.zero_point_of(source)) if self.chance(0.88) else None
        scale = self.scale()
        factors = self.factors(rows if self.chance(0.85) else 1, columns)
        return net.conv(
            source,
            weights,
            bias,
            filter_scales=(factors * scale / self.scale_of(source)).astype(np.float32),
            scale=scale,
            zero_point=self.zero_point(activation),
            dilation=dilation,
            activation=activation,
        )

    def bias(self, weights: NDArray[np.int8], zero_point: int) -> NDArray[np.int32]:
        """Draw biases; with most of them the sums of inputs around 0 lie around 0."""
        rows = len(weights)
        limits = np.full(rows, 2 ** self.integer(4, 14))
        if self.chance(0.1):
            limits[self.rng.random(rows) < 0.3] = 2**30
        bias = self.rng.integers(-limits, limits + 1)
        if self.chance(0.8):
            bias += zero_point * weights.sum(axis=(1, 2), dtype=np.int64)
        return bias.astype(np.int32)

    def taps_within(self, past: int) -> tuple[int, int]:
        """Draw taps and dilation that reach back `past` samples at most, which is 1 or more."""
        taps = self.integer(2, min(8, past + 1))
        most = past // (taps - 1)
        near = self.one_of([1, 1, 2, 3, 4, 5, 7, 8, 16])
        return taps, self.integer(1, most) if self.chance(0.15) else min(near, most)

    # --- elementwise ----------------------------------------------------------------------------

    def binary(self, kind: str, a: int, b: int) -> int:
        if self.chance(0.5):
            a, b = b, a
        first, second = self.scale_of(a), self.scale_of(b)
        if kind == "ADD":
            # The kernel takes results down to 2**-19 of the larger operand's scale.
            ratio = self.power(-18.9, 10) if self.chance(0.2) else self.power(-1, 2)
            scale = max(first, second) * ratio
        else:
            factor = self.power(-20, 29.9) if self.chance(0.2) else self.power(-9, -5)
            scale = max(self.bounded(first * second / factor), first * second * 2.0**-29.9)
        activation = self.activation(0.2)
        zero_point = self.zero_point(activation)
        return self.net.binary(
            kind, a, b, scale=scale, zero_point=zero_point, activation=activation
        )

    def requantized(self, kind: str, source: int) -> int:
        """Draw a QUANTIZE or RELU, whose factor the kernel takes up to 2**30."""
        scale = max(self.scale(self.scale_of(source)), self.scale_of(source) * 2.0**-29.9)
        zero_point = self.zero_point(RELU if kind == "RELU" else NONE)
        return self.net.unary(kind, source, scale, zero_point)

    def unary(self, source: int) -> int:
        net = self.net
        form = self.integer(0, 4)
        if form == 0:
            return net.tanh(source)
        if form == 1:
            return net.logistic(source)
        if form == 2:
            return self.requantized("RELU", source)
        if form == 3:
            return net.unary("RELU6", source, self.scale_of(source), self.zero_point_of(source))
        for _ in range(self.integer(1, 3)):
            source = self.requantized("QUANTIZE", source)
        return source

    # --- the whole network ----------------------------------------------------------------------

    def network(self) -> bytes:
        return self.tangle() if self.chance(0.35) else self.layers()

    def start(self, window: int) -> int:
        inputs = self.integer(1, 20) if self.chance(0.15) else self.integer(1, 9)
        self.net = NetworkBuilder(
            window, inputs, self.scale(), self.zero_point(), self.integer(1, 2)
        )
        return self.net.input

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
        """Draw a layer with any activation: fused, or a table of its own."""
        if self.chance(0.4):
            return self.conv(x, width, taps, dilation, activation=self.integer(RELU, RELU6))
        return self.unary(self.conv(x, width, taps, dilation))

    def layers(self) -> bytes:
        """Draw a stack of layers: gated or not, with residual and skip connections or without."""
        past = 0
        shapes = []
        for _ in range(self.integer(1, 5)):
            if past < PAST_MAX:
                taps, dilation = self.taps_within(PAST_MAX - past)
                shapes.append((taps, dilation))
                past += (taps - 1) * dilation
        x = self.start(1 + past + (self.integer(1, 9) if self.chance(0.2) else 0))
        net = self.net
        gated, residual, skip = self.chance(0.65), self.chance(0.6), self.chance(0.6)
        width = self.width()
        if self.chance(0.2):
            x = self.requantized("QUANTIZE", x)
        if residual or self.chance(0.5):
            x = self.conv(x, width)
        skips: list[int] = []
        for taps, dilation in shapes:
            inner = width if residual else self.width()
            y = (self.gate if gated else self.plain)(x, inner, taps, dilation)
            if skip:
                skips.append(self.conv(net.newest(y, 1), width))
            if residual:
                y = self.binary("ADD", x, self.conv(y, width) if self.chance(0.8) else y)
            x = y
        if skips:
            x = functools.reduce(lambda a, b: self.binary("ADD", a, b), skips)
        # Where the window is longer than the receptive field the rest is cropped here or there.
        return net.build(self.heads(net.newest(x, 1)) + self.taken(0.5))

    def taken(self, probability: float) -> list[int]:
        """Draw tensors from inside the network as outputs more: what hides behind others shows."""
        if not self.chance(probability):
            return []
        inside = [index for operator in self.net.operators for index in operator.outputs]
        return [self.one_of(inside) for _ in range(self.integer(1, 3))]

    def heads(self, x: int) -> list[int]:
        """Draw the output: one tensor of one to four channels, or several tensors."""
        net = self.net
        count = self.integer(1, 4)
        form = self.integer(0, 4)
        if form == 0:
            return [self.conv(x, 1) for _ in range(count)]
        if form == 1:
            return [self.dense(x, count)]
        y = self.conv(x, count)
        if form == 2:
            return [net.reshape(y, (1, count))]
        if form == 3:
            return [self.conv(x, 3), y]
        return [y]

    def dense(self, x: int, rows: int) -> int:
        """Draw a FULLY_CONNECTED layer of the newest sample, whose kernel has its own factor."""
        net = self.net
        columns = net.channels(x)
        self.macs += rows * columns
        source = net.reshape(net.newest(x, 1), (1, columns))
        scale = self.scale()
        scales = self.factors(self.one_of([1, rows]), columns) * scale / self.scale_of(x)
        quantization = Quantization(
            tuple(float(s) for s in scales.astype(np.float32)), (0,) * len(scales)
        )
        filters = net.constant("filter", self.weights((rows, 1, columns))[:, 0], quantization)
        bias = net.constant(
            "bias",
            self.rng.integers(-(2**12), 2**12, rows).astype(np.int32),
            # tflite-micro refuses another one with a filter of one scale.
            replace(quantization, scales=tuple(s * self.scale_of(x) for s in quantization.scales)),
        )
        output = net.value("dense", 1, rows, scale, self.zero_point())
        net.tensors[output] = replace(net.tensors[output], shape=(1, rows))
        options = {"FusedActivationFunction": self.activation(0.3)}
        net.operators.append(
            Operator("FULLY_CONNECTED", (source, filters, bias), (output,), options, 4)
        )
        return output

    # --- a tangle -------------------------------------------------------------------------------

    def tangle(self) -> bytes:
        """Draw operators one by one, each on what any before it gave."""
        net_input = self.start(self.one_of([self.integer(1, 60), self.integer(60, PAST_MAX)]))
        pool = [net_input]
        for _ in range(self.integer(3, 12)):
            source = self.recent(pool)
            pool += self.one_of_operators(source, pool)
        outputs = [self.recent(pool[1:]) for _ in range(self.integer(1, 3))]
        if self.chance(0.2):
            outputs.append(self.dense(self.recent(pool), self.integer(1, 4)))
        return self.net.build(list(dict.fromkeys(outputs + self.taken(0.7))))

    def recent(self, pool: list[int]) -> int:
        """Draw one tensor, the later the likelier."""
        return pool[-min(int(self.rng.geometric(0.4)), len(pool))]

    def one_of_operators(self, source: int, pool: list[int]) -> list[int]:
        """Draw one operator on `source` and return what it gives."""
        net = self.net
        length, width = net.length(source), net.channels(source)
        form = self.rng.choice(7, p=[0.15, 0.2, 0.2, 0.2, 0.1, 0.1, 0.05])
        if form == 0 or (form == 1 and length == 1):
            return [self.conv(source, self.width(), activation=self.activation(0.2))]
        if form == 1:
            taps, dilation = self.taps_within(length - 1)
            rows = min(self.width(), max(1, MACS_MAX // (4 * taps * width)))
            return [self.conv(source, rows, taps, dilation, self.activation(0.2))]
        if form == 2:
            return [self.unary(source)]
        if form == 3:
            other = self.one_of([x for x in pool if net.channels(x) == width])
            if other == source and self.chance(0.7):
                other = self.conv(self.recent(pool), width)
            return [self.binary(["ADD", "MUL"][self.integer(0, 1)], source, other)]
        if form == 4:
            return self.parts(source)
        if form == 5:
            return [self.joined([source, *(self.recent(pool) for _ in range(2))])]
        return [net.newest(source, self.integer(1, length))]

    def parts(self, source: int) -> list[int]:
        """Draw SPLIT, SPLIT_V or a part of the channels that begins anywhere."""
        net = self.net
        length, width = net.length(source), net.channels(source)
        if width % 2 == 0 and self.chance(0.3):
            return net.split(source, 2)
        if width > 1 and self.chance(0.4):
            first = self.integer(1, width - 1)
            widths = net.constant("widths", np.array([first, width - first], np.int32))
            axis = net.constant("axis", np.array(3, np.int32))
            outputs = [net.like(source, "part", length, w) for w in (first, width - first)]
            net.operators.append(
                Operator("SPLIT_V", (source, widths, axis), tuple(outputs), {"NumSplits": 2}, 2)
            )
            return outputs
        first = self.integer(0, width - 1)
        return [net.cut(source, 0, length, first, self.integer(1, width - first))]

    def joined(self, sources: list[int]) -> int:
        """Draw a CONCATENATION of tensors brought to one quantization and length."""
        net = self.net
        length = min(net.length(x) for x in sources)
        scale = max(self.scale_of(sources[0]), *(2.0**-29.9 * self.scale_of(x) for x in sources))
        zero_point = self.zero_point_of(sources[0])
        alike = [
            x
            if (self.scale_of(x), self.zero_point_of(x)) == (scale, zero_point)
            else net.unary("QUANTIZE", x, scale, zero_point)
            for x in sources
        ]
        return net.concatenation([net.newest(x, length) for x in alike])
