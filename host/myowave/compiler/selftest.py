"""What a board must compute at its self-test: a plan run in numpy on a fixed pseudo-random input.

The plan is run in the reference's general arithmetic, also where the engine takes a short form: a
second way to the same integers, from which the expected outputs come.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from myowave.compiler.arithmetic import (
    ADD_LEFT_SHIFT,
    INT8_MAX,
    INT8_MIN,
    INT32_MAX,
    Multiplier,
    Table,
)
from myowave.compiler.plan import Add, Conv, Copy, Lookup, Mul, Plan, Taps, View

SEED = 0x2545F491
# Work of the self-test: 80 ms of a Cortex-M4 at 64 MHz (R: 23.8 k instructions for 14.2 k MAC).
MAX_MACS = 3_000_000
MIN_SAMPLES = 16

Values = NDArray[np.int64]


@dataclass(frozen=True)
class SelfTest:
    """The self-test of one network.

    Attributes
    ----------
    samples : int
        Number of inputs; past the receptive field where that takes no longer than `MAX_MACS`.
    crc : int
        CRC-32 of all outputs.
    """

    samples: int
    crc: int


def self_test(plan: Plan) -> SelfTest:
    """Return the self-test of a plan."""
    longest = max(MIN_SAMPLES, MAX_MACS // max(plan.macs, 1))
    samples = min(plan.receptive_field + MIN_SAMPLES, longest)
    outputs = run_plan(plan, pseudo_random_input(samples, plan.n_inputs))
    return SelfTest(samples, zlib.crc32(outputs.tobytes()))


@lru_cache
def pseudo_random_input(samples: int, channels: int) -> NDArray[np.int8]:
    """Return (samples, channels) int8 values, as `selftest.c` draws them.

    Marsaglia, Xorshift RNGs, J. Stat. Software 8(14), 2003.
    """
    state = SEED
    values = np.empty(samples * channels, np.uint8)
    for i in range(len(values)):
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        values[i] = state >> 24
    return values.view(np.int8).reshape(samples, channels)


def run_plan(plan: Plan, x: NDArray[np.int8]) -> NDArray[np.int8]:
    """Run a plan from a fresh start.

    Parameters
    ----------
    plan : Plan
    x : (n, inputs) int8 array

    Returns
    -------
    (n, outputs) int8 array
        What the engine gives, warm-up included.
    """
    # All samples at once: what is between two samples lies in delay lines only.
    vectors = [np.zeros((len(x), width), np.int64) for width in plan.vectors]

    def at(view: View) -> Values:
        return vectors[view.vector][:, view.offset : view.offset + view.width]

    at(plan.input)[:] = x
    for step in plan.steps:
        match step:
            case Taps():
                result = _taps(step, at(step.src))
            case Conv():
                result = _conv(step, at(step.src))
            case Add():
                result = _add(step, at(step.a), at(step.b))
            case Mul():
                product = (at(step.a) + step.a_offset) * (at(step.b) + step.b_offset)
                result = _clamp(_apply(step.multiplier, product) + step.zero_point)
            case Lookup():
                result = _look_up(step.table, at(step.src))
            case Copy():
                result = at(step.src)
            case _:
                raise AssertionError(step)
        at(step.dst)[:] = result
    return at(plan.output).astype(np.int8)


def _taps(step: Taps, source: Values) -> Values:
    padded = np.full((len(source) + (step.taps - 1) * step.dilation, source.shape[1]), step.fill)
    padded[len(padded) - len(source) :] = source
    return np.hstack(
        [padded[tap * step.dilation :][: len(source)] for tap in range(step.taps)]
    ).astype(np.int64)


def _conv(step: Conv, source: Values) -> Values:
    sums = source @ step.weights.T.astype(np.int64) + step.bias
    result = np.empty_like(sums)
    for row, (multiplier, zero_point, table) in enumerate(
        zip(step.multipliers, step.zero_points, step.tables, strict=True)
    ):
        scaled = _clamp(_apply(multiplier, sums[:, row]) + zero_point)
        result[:, row] = scaled if table is None else _look_up(table, scaled)
    return result


def _add(step: Add, a: Values, b: Values) -> Values:
    # `a` has the larger scale: half of it is the common one.
    wide = ((a + step.a_offset) << ADD_LEFT_SHIFT) >> 1
    narrow = _apply(step.parameters.narrow, (b + step.b_offset) << ADD_LEFT_SHIFT)
    return _clamp(_apply(step.parameters.output, wide + narrow) + step.zero_point)


def _apply(multiplier: Multiplier, value: Values) -> Values:
    """`Multiplier.apply` over an array."""
    left, right = max(multiplier.shift, 0), max(-multiplier.shift, 0)
    wrapped = _wrap32(value << left)
    high = np.minimum((wrapped * multiplier.mantissa + (1 << 30)) >> 31, INT32_MAX)
    mask = (1 << right) - 1
    threshold = (mask >> 1) + (high < 0)
    rounded: Values = (high >> right) + ((high & mask) > threshold)
    return rounded


def _wrap32(value: Values) -> Values:
    return ((value + 2**31) & 0xFFFFFFFF) - 2**31


def _clamp(value: Values) -> Values:
    return np.clip(_wrap32(value), INT8_MIN, INT8_MAX)


def _look_up(table: Table, value: Values) -> Values:
    result: Values = np.array(table, np.int64)[value - INT8_MIN]
    return result
