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
from myowave.compiler.plan import Lookup
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
