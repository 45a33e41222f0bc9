"""Every integer of the ahead-of-time arithmetic equals what tflite-micro computes."""

import numpy as np
import pytest

from myowave.compiler import load_plan
from myowave.compiler.arithmetic import (
    Multiplier,
    high_multiply,
    quantize_multiplier,
    rounding_shift,
)
from myowave.compiler.plan import Add, Lookup, Mul
from myowave.compiler.reference import NetworkBuilder
from myowave.engine import NativeEngine
from myowave.tflm import run_tflm

EVERY_BYTE = np.arange(-128, 128, dtype=np.int8).reshape(-1, 1)
EVERY_PAIR = np.stack(np.meshgrid(EVERY_BYTE, EVERY_BYTE), axis=-1).reshape(-1, 2)


def assert_table(kind: str, source: tuple[float, int], result: tuple[float, int]) -> None:
    net = NetworkBuilder(1, 1, *source)
    tflite = net.build([net.unary(kind, net.input, *result)])
    step = load_plan(tflite).steps[0]
    assert isinstance(step, Lookup)
    expected = run_tflm(tflite, EVERY_BYTE)[:, 0]
    np.testing.assert_array_equal(step.table, expected, err_msg=f"{kind} {source} {result}")


@pytest.mark.parametrize("kind", ["TANH", "LOGISTIC"])
def test_tanh_and_logistic_tables(kind: str) -> None:
    rng = np.random.default_rng(0)
    result = (1 / 128, 0) if kind == "TANH" else (1 / 256, -128)
    exponents = [*range(-26, 6), *rng.uniform(-10, 2, 120)]
    for exponent in exponents:
        assert_table(kind, (2.0**exponent, int(rng.integers(-128, 128))), result)
    for zero_point in (-128, 127):
        assert_table(kind, (0.03, zero_point), result)


@pytest.mark.parametrize("kind", ["RELU", "QUANTIZE"])
def test_requantizing_tables(kind: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(150):
        scales = 2.0 ** rng.uniform(-8, 0, 2)
        zeros = rng.choice([-128, 127, *rng.integers(-128, 128, 6)], 2)
        assert_table(kind, (scales[0], int(zeros[0])), (scales[1], int(zeros[1])))


def test_relu6_table() -> None:
    rng = np.random.default_rng(2)
    for _ in range(60):
        quantization = (float(2.0 ** rng.uniform(-6, -2)), int(rng.integers(-128, 128)))
        assert_table("RELU6", quantization, quantization)


@pytest.mark.parametrize("kind", ["ADD", "MUL"])
@pytest.mark.parametrize("seed", range(6))
def test_every_pair_of_operands(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    zeros = [int(z) for z in rng.integers(-128, 128, 3)]
    scales = 2.0 ** rng.uniform(-6, -2, 3)
    net = NetworkBuilder(1, 2, 1.0, 0)
    left, right = net.split(net.input, 2)
    # A requantization in front gives the operands scales of their own.
    a = net.unary("QUANTIZE", left, scales[0], zeros[0])
    b = net.unary("QUANTIZE", right, scales[1] if seed else scales[0], zeros[1])
    middle = scales[2] * (1.0 if kind == "ADD" else 0.1)
    output = net.binary(
        kind, a, b, scale=middle, zero_point=zeros[2], activation=int(rng.choice([0, 1, 3]))
    )
    tflite = net.build([output])
    np.testing.assert_array_equal(
        NativeEngine(tflite).run(EVERY_PAIR), run_tflm(tflite, EVERY_PAIR)
    )


def rescaled(net: NetworkBuilder, source: int, scale: float) -> int:
    """Give a tensor another scale and leave its integers: a convolution with 1, factor 1."""
    quantization = net.tensors[source].quantization
    assert quantization is not None
    ratio = np.float32(scale) / np.float32(quantization.scales[0])
    return net.conv(
        source,
        np.ones((1, 1, 1), np.int8),
        None,
        filter_scales=np.full(1, ratio, np.float32),
        scale=scale,
        zero_point=quantization.zero_points[0],
    )


def assert_every_pair(tflite: bytes, kind: type[Add | Mul]) -> None:
    """Compare all pairs of operands with tflite-micro, in the short forms and in the general."""
    expected = run_tflm(tflite, EVERY_PAIR, verify=0)
    for optimize in (True, False):
        engine = NativeEngine(tflite, optimize=optimize)
        np.testing.assert_array_equal(engine.run(EVERY_PAIR), expected, err_msg=f"{optimize=}")
    steps = [step for step in load_plan(tflite).steps if isinstance(step, kind)]
    short = [step.linear is not None if isinstance(step, Add) else step.folded for step in steps]
    assert {True, False} <= set(short)


@pytest.mark.parametrize("zero_point", [-128, -3, 127])
def test_products_of_every_shift_and_every_pair(zero_point: int) -> None:
    rng = np.random.default_rng(zero_point + 128)
    net = NetworkBuilder(1, 2, 1.0, zero_point)
    left, right = net.split(net.input, 2)
    outputs = [
        net.binary(
            "MUL",
            left,
            right,
            scale=1.0 / (2.0**shift * rng.uniform(0.51, 0.99)),
            zero_point=int(rng.choice([-128, 127, int(rng.integers(-127, 127))])),
        )
        for shift in range(-31, 31)
    ]
    tflite = net.build(outputs)
    products = [s for s in load_plan(tflite).steps if isinstance(s, Mul)]
    assert {step.multiplier.shift for step in products} == set(range(-31, 31))
    assert_every_pair(tflite, Mul)


@pytest.mark.parametrize("zero_point", [-128, -3, 127])
def test_sums_of_every_ratio_and_every_pair(zero_point: int) -> None:
    """One operand down to 2**-31 of the other, the result from the finest scale to the coarsest."""
    rng = np.random.default_rng(zero_point + 128)
    net = NetworkBuilder(1, 2, 1.0, zero_point)
    left, right = net.split(net.input, 2)

    def add(narrower: int, finer: int) -> int:
        operands = [left, rescaled(net, right, 2.0**-narrower * rng.uniform(0.51, 0.99))]
        return net.binary(
            "ADD",
            *(operands if rng.random() < 0.5 else operands[::-1]),
            scale=2.0**-finer * rng.uniform(1.01, 1.99),
            zero_point=int(rng.choice([-128, 127, int(rng.integers(-127, 127))])),
        )

    outputs = [add(narrower, int(rng.integers(-1, 2))) for narrower in range(32)]
    outputs += [add(int(rng.integers(0, 3)), finer) for finer in range(-10, 20)]
    assert_every_pair(net.build(outputs), Add)


def test_convolution_shifts_from_lowest_to_highest() -> None:
    """Effective scales from 2**-40 (rounds to nothing) to 2**30 (the kernel's last)."""
    exponents = np.arange(-40, 31)
    rows = len(exponents)
    rng = np.random.default_rng(3)
    for bias_bits in (0, 12, 30):
        net = NetworkBuilder(1, 3, 1.0, -128)
        weights = rng.choice([-128, -1, 0, 1, 127], (rows, 1, 3)).astype(np.int8)
        bias = rng.integers(-(2**bias_bits), 2**bias_bits, rows).astype(np.int32)
        scales = (2.0**exponents * rng.uniform(0.5, 0.999, rows)).astype(np.float32)
        output = net.conv(net.input, weights, bias, filter_scales=scales, scale=1.0, zero_point=127)
        tflite = net.build([output])
        shifts = {m.shift for m in load_plan(tflite).steps[0].multipliers}  # type: ignore[attr-defined]
        assert shifts >= set(range(-31, 31))
        x = rng.integers(-128, 128, (300, 3)).astype(np.int8)
        np.testing.assert_array_equal(NativeEngine(tflite).run(x), run_tflm(tflite, x))


def test_rounding_shift_is_half_away_from_zero() -> None:
    """The engine's shorter form, (((x - (x < 0)) >> (e - 1)) + 1) >> 1, is the same function."""
    values = [
        *range(-70, 71),
        *(s * (2**k + d) for s in (-1, 1) for k in range(6, 31) for d in (-1, 0, 1)),
        2**31 - 2,
        -(2**31) + 1,
    ]
    for exponent in range(1, 32):
        for x in values:
            twice = 2 * abs(x) + 2**exponent
            expected = (twice // 2 ** (exponent + 1)) * (1 if x >= 0 else -1)
            assert rounding_shift(x, exponent) == expected
            assert (((x - (x < 0)) >> (exponent - 1)) + 1) >> 1 == expected


def test_high_multiply_never_reaches_what_the_engine_excludes() -> None:
    extremes = [-(2**31), -(2**31) + 1, -1, 0, 1, 2**31 - 1]
    for x in extremes:
        for mantissa in (0, 2**30, 2**31 - 1):
            assert -(2**31) + 1 <= high_multiply(x, mantissa) <= 2**31 - 2


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (0.0, Multiplier(0, 0)),
        (0.5, Multiplier(2**30, 0)),
        (1.0, Multiplier(2**30, 1)),
        # The mantissa rounds up to 2**31 and is halved.
        (1.0 - 2.0**-40, Multiplier(2**30, 1)),
        (2.0**-32, Multiplier(2**30, -31)),
        # One step below the smallest shift: nothing is left.
        (2.0**-33, Multiplier(0, 0)),
    ],
)
def test_quantize_multiplier_corner_cases(factor: float, expected: Multiplier) -> None:
    assert quantize_multiplier(factor) == expected
