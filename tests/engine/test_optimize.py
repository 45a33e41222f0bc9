"""The compiler's short forms equal the reference arithmetic, integer for integer."""

import numpy as np
import pytest

from myowave.compiler import load_plan
from myowave.compiler.arithmetic import (
    INT32_MAX,
    LinearSum,
    Multiplier,
    Requantization,
    add_parameters,
    clamp8,
    folded,
    linear_sum,
    quantize_multiplier,
    reference_sum,
    wrap32,
)
from myowave.compiler.optimize import REWRITINGS
from myowave.compiler.plan import Add, Conv, Lookup, Mul
from myowave.compiler.reference import RELU, NetworkBuilder, reference_network
from myowave.cortex import count_instructions
from myowave.engine import NativeEngine
from tests.engine.networks import (
    CI_SEEDS,
    SEEDS,
    awkward_network,
    drawn_input,
    drawn_network,
    expected_output,
    random_signal,
    tails_network,
)
from tests.engine.test_cortex import needs_emulator

Rng = np.random.Generator


def in_c(short: Requantization, x: int) -> int:
    """What mw_requantize_folded() does with a sum; every intermediate fits 32 bits."""
    doubled = 2 * x
    high = (doubled * short.mantissa + 2**31) >> 32
    addend = short.offset + (doubled >> 31)
    for value in (doubled, addend, addend + high):
        assert value == wrap32(value)
    return clamp8((addend + high) >> short.shift)


def ties(multiplier: Multiplier, low: int, high: int) -> list[int]:
    """Sums near those whose result lies half way between two integers."""
    step = 2.0 ** (31 - multiplier.shift) / multiplier.mantissa
    halves = np.arange(-140, 140) + 0.5
    near = (halves[:, np.newaxis] * step + np.arange(-2, 3)).ravel()
    return [int(x) for x in near if low <= x <= high]


@pytest.mark.parametrize("shift", range(-31, 0))
def test_folded_requantization(shift: int) -> None:
    rng = np.random.default_rng(-shift)
    found = 0
    for mantissa in (2**30, 2**31 - 1, *rng.integers(2**30, 2**31, 12)):
        multiplier = Multiplier(int(mantissa), shift)
        for zero_point in (-128, 127, int(rng.integers(-128, 128))):
            high = int(2 ** rng.uniform(3, 30.5))
            low = -int(high * rng.uniform(0, 1))
            short = folded(multiplier, zero_point, low, high)
            if short is None:
                continue
            found += 1
            tried = [low, high, -1, 0, 1, *ties(multiplier, low, high)]
            tried += [int(x) for x in rng.integers(low, high, 100)]
            for x in tried:
                if low <= x <= high:
                    expected = clamp8(multiplier.apply(x) + zero_point)
                    assert in_c(short, x) == expected, (multiplier, zero_point, x)
    assert found > 10


@pytest.mark.parametrize("shift", range(-31, 0))
def test_folded_requantization_of_every_sum(shift: int) -> None:
    """All sums of 18 bits, one after the other."""
    rng = np.random.default_rng(-shift)
    x = np.arange(-(2**17), 2**17, dtype=np.int64)
    for mantissa in (2**30, 2**31 - 1, *rng.integers(2**30, 2**31, 3)):
        multiplier = Multiplier(int(mantissa), shift)
        zero_point = int(rng.choice([-128, 127, int(rng.integers(-128, 128))]))
        short = folded(multiplier, zero_point, int(x[0]), int(x[-1]))
        assert short is not None
        high = (2 * x * short.mantissa + 2**31) >> 32
        found = np.clip((short.offset - (x < 0) + high) >> short.shift, -128, 127)
        # Multiplier.apply on an array.
        y = (x * multiplier.mantissa + (1 << 30)) >> 31
        rounded = np.sign(y) * ((2 * np.abs(y) + 2**-shift) >> (1 - shift))
        np.testing.assert_array_equal(found, np.clip(rounded + zero_point, -128, 127))


def test_folding_is_refused_where_it_would_overflow_or_round_once() -> None:
    half = Multiplier(2**30, 0)
    assert folded(half, 0, -5, 5) is None
    assert folded(Multiplier(2**31 - 1, -1), 0, -5, 2**30) is None
    assert folded(Multiplier(2**31 - 1, -24), 100, -(2**30), 2**30 - 1) is None
    # Both ends wrap to 0, what is between does not.
    assert [Multiplier(2**30, 30).apply(x) for x in (-4, 1, 4)] == [0, 2**29, 0]
    assert folded(Multiplier(2**30, 30), 0, -4, 4) is None
    # The result is the zero point whatever the sum, so any shift will do.
    assert folded(Multiplier(2**31 - 1, -31), 100, -1000, 1000) == Requantization(0, 201, 1)


def linear_in_c(form: LinearSum) -> np.ndarray:
    q = np.arange(-128, 128, dtype=np.int64)
    first = form.offset + form.a * q[:, np.newaxis]
    total = first + form.b * q
    assert max(np.abs(first).max(), np.abs(total).max()) <= INT32_MAX
    result: np.ndarray = np.clip(total >> form.shift, -128, 127)
    return result


@pytest.mark.parametrize("seed", range(40))
def test_linear_sum_is_right_for_every_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wide, narrow = sorted(2.0 ** rng.uniform(-6, -3, 2))[::-1]
    scale_out = wide * (1.0 if seed == 0 else 2.0 ** rng.uniform(-2, 2))
    parameters = add_parameters(wide, wide if seed < 3 else narrow, scale_out)
    assert parameters is not None
    zeros = [int(z) for z in rng.choice([-128, 127, *rng.integers(-128, 128, 6)], 3)]
    arguments = (parameters, -zeros[0], -zeros[1], zeros[2])
    form = linear_sum(*arguments)
    assert form is not None
    np.testing.assert_array_equal(linear_in_c(form), reference_sum(*arguments))


def test_reference_sum_is_the_sum_of_the_multipliers() -> None:
    parameters = add_parameters(0.04, 0.03, 0.05)
    assert parameters is not None
    table = reference_sum(parameters, 3, -5, 7)
    rng = np.random.default_rng(0)
    for a, b in rng.integers(-128, 128, (500, 2)):
        wide = (int(a) + 3) << 19
        narrow = parameters.narrow.apply((int(b) - 5) << 20)
        assert table[a + 128, b + 128] == clamp8(parameters.output.apply(wide + narrow) + 7)


def test_no_linear_sum_where_none_fits() -> None:
    """An output a thousand times finer than its operands: the factors leave no bits to shift."""
    parameters = add_parameters(1.0, 0.7, 2.0**-19 * 1.01)
    assert parameters is not None
    assert linear_sum(parameters, 0, 0, 0) is None


def test_reference_networks_have_short_forms_only() -> None:
    for name in ("R", "S", "M"):
        for step in load_plan(reference_network(name)).steps:
            if isinstance(step, Conv | Mul):
                assert step.folded
            elif isinstance(step, Add):
                assert step.linear is not None


def test_tables_in_a_row_become_one() -> None:
    net = NetworkBuilder(1, 3, 0.04, 0)
    weights = np.ones((2, 1, 3), np.int8)
    scales = np.full(2, 0.3, np.float32)
    y = net.conv(
        net.input, weights, None, filter_scales=scales, scale=0.02, zero_point=-9, activation=RELU
    )
    tflite = net.build([net.tanh(y)])
    plain, short = load_plan(tflite, optimize=False).steps, load_plan(tflite).steps
    assert [type(step) for step in plain] == [Conv, Lookup, Lookup]
    assert [type(step) for step in short] == [Conv]
    clamp, tanh, both = plain[1].table, plain[2].table, short[0].tables  # type: ignore[attr-defined]
    assert both == (tuple(tanh[clamp[q] + 128] for q in range(256)),) * 2


def gates_of_one_convolution(width: int) -> bytes:
    net = NetworkBuilder(1, 3, 0.04, 0)
    rng = np.random.default_rng(width)
    weights = rng.integers(-127, 128, (2 * width, 1, 3)).astype(np.int8)
    scales = np.full(2 * width, 0.01, np.float32)
    both = net.conv(net.input, weights, None, filter_scales=scales, scale=0.03, zero_point=4)
    left, right = net.split(both, 2)
    gates = net.tanh(left), net.logistic(right)
    return net.build([net.binary("MUL", *gates, scale=1 / 128, zero_point=0)])


def test_tables_of_halves_go_by_blocks() -> None:
    assert [type(step) for step in load_plan(gates_of_one_convolution(8)).steps] == [Conv, Mul]
    # 5 rows of one table and 5 of another share a block: both stay passes of their own.
    assert [type(step) for step in load_plan(gates_of_one_convolution(5)).steps] == [
        Conv,
        Lookup,
        Lookup,
        Mul,
    ]


def test_convolutions_of_one_vector_become_one() -> None:
    def convs(optimize: bool) -> int:
        steps = load_plan(reference_network("R"), optimize=optimize).steps
        return sum(isinstance(step, Conv) for step in steps)

    # Of each of the nine blocks two gates, residual and skip.
    assert convs(optimize=False) - convs(optimize=True) == 2 * 9


MADE_BY_HAND = [
    gates_of_one_convolution(8),
    gates_of_one_convolution(5),
    reference_network("S"),
    awkward_network(0),
    tails_network(0),
]


@pytest.mark.parametrize("name", REWRITINGS)
@pytest.mark.parametrize("number", range(len(MADE_BY_HAND)))
def test_each_rewriting_alone_changes_nothing(name: str, number: int) -> None:
    tflite = MADE_BY_HAND[number]
    plain = NativeEngine(tflite, optimize=False)
    x = random_signal(np.random.default_rng(number), 400, plain.n_inputs)
    np.testing.assert_array_equal(NativeEngine(tflite, optimize=[name]).run(x), plain.run(x))


# `test_parity.py` has all rewritings together and none, for more networks.
@pytest.mark.parametrize("name", REWRITINGS)
@pytest.mark.parametrize("seed", SEEDS[7::40])
def test_each_rewriting_alone_and_all_others_on_drawn_networks(name: str, seed: int) -> None:
    tflite, x = drawn_network(seed), drawn_input(seed)
    others = [other for other in REWRITINGS if other != name]
    for chosen in ([name], others):
        engine = NativeEngine(tflite, optimize=chosen)
        found = engine.run(x)[engine.receptive_field - 1 :]
        np.testing.assert_array_equal(found, expected_output(seed), err_msg=str(chosen))


@pytest.mark.parametrize("name", REWRITINGS)
def test_each_rewriting_happens_on_drawn_networks(name: str) -> None:
    changed = 0
    for seed in CI_SEEDS[7::20]:
        plain = load_plan(drawn_network(seed), optimize=False)
        one = load_plan(drawn_network(seed), optimize=[name])
        changed += str(plain) != str(one)
    assert changed >= 3


@needs_emulator
@pytest.mark.parametrize("name", REWRITINGS)
def test_each_rewriting_brings_something(name: str) -> None:
    """Without it, all others in place, R takes more instructions or more memory."""
    tflite = reference_network("R")
    others = [other for other in REWRITINGS if other != name]
    if load_plan(tflite, optimize=others).state_bytes > load_plan(tflite).state_bytes:
        return
    counts = np.random.default_rng(0).integers(-(2**15), 2**15, (64, 6)).astype(np.int16)
    without = count_instructions(tflite, "cortex-m4", counts, optimize=others)
    assert without > count_instructions(tflite, "cortex-m4", counts)


def test_quantize_multiplier_gives_what_folding_expects() -> None:
    multiplier = quantize_multiplier(0.01)
    assert multiplier.shift < 0
    assert 2**30 <= multiplier.mantissa < 2**31
