"""The integer arithmetic of tflite-micro's reference kernels, in Python integers.

What the compiler computes ahead of time (multipliers, tables, activation ranges) is defined here
and only here; what runs per sample has its twin in `firmware/engine/mw_engine.c`. Sources:
tflite-micro `kernels/internal/quantization_util.cc` and `common.h`, `kernels/kernel_util.cc`, the
int8 kernels in `kernels/internal/reference/integer_ops`, and gemmlowp `fixedpoint/fixedpoint.h`.

"Multiplier" means the pair (m, shift) that stands for m * 2**(shift - 31).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

INT8_MIN, INT8_MAX = -128, 127
INT32_MAX = 2**31 - 1
ADD_LEFT_SHIFT = 20

Activation = Literal["NONE", "RELU", "RELU_N1_TO_1", "RELU6"]


@dataclass(frozen=True)
class Multiplier:
    """A positive real factor in fixed point: mantissa * 2**(shift - 31).

    Attributes
    ----------
    mantissa : int
        0, or 2**30 to 2**31 - 1.
    shift : int
        -31 or more; a positive one shifts left before the product.
    """

    mantissa: int
    shift: int

    def apply(self, value: int) -> int:
        """Return `value` times the factor, rounded twice as the reference kernels do."""
        left = max(self.shift, 0)
        right = max(-self.shift, 0)
        return rounding_shift(high_multiply(wrap32(value << left), self.mantissa), right)


def wrap32(value: int) -> int:
    """Return `value` modulo 2**32 as a signed 32-bit integer."""
    return (value + 2**31) % 2**32 - 2**31


def high_multiply(a: int, b: int) -> int:
    """Saturating rounding doubling high multiply: round(a * b / 2**31), ties up."""
    return min((a * b + (1 << 30)) >> 31, INT32_MAX)


def rounding_shift(value: int, exponent: int) -> int:
    """Divide by 2**exponent, rounding half away from zero (gemmlowp RoundingDivideByPOT)."""
    if exponent == 0:
        return value
    mask = (1 << exponent) - 1
    remainder = value & mask
    threshold = (mask >> 1) + (1 if value < 0 else 0)
    return (value >> exponent) + (1 if remainder > threshold else 0)


def _round_half_away(value: float) -> int:
    """C's round(): Python's own rounds half to even."""
    magnitude = math.floor(abs(value))
    # The difference is exact: both are below 2**53 or `value` is already an integer.
    magnitude += 1 if abs(value) - magnitude >= 0.5 else 0
    return int(math.copysign(magnitude, value))


def quantize_multiplier(factor: float) -> Multiplier:
    """Return the fixed-point form of a real factor (tflite QuantizeMultiplier).

    Parameters
    ----------
    factor : float
        Zero or positive and finite, in double precision as the kernel computes it.
    """
    if factor == 0.0:
        return Multiplier(0, 0)
    fraction, shift = math.frexp(factor)
    mantissa = _round_half_away(fraction * 2**31)
    if mantissa == 2**31:
        mantissa //= 2
        shift += 1
    if shift < -31:
        return Multiplier(0, 0)
    return Multiplier(mantissa, shift)


def activation_range(activation: Activation, scale: float, zero_point: int) -> tuple[int, int]:
    """Return the int8 clamp of a fused activation (tflite CalculateActivationRangeQuantized).

    The bound of the activation is quantized in float32, as the kernel does.
    """

    def quantized(real: float) -> int:
        # float32 division, then C's roundf.
        return zero_point + _round_half_away(float(np.float32(real) / np.float32(scale)))

    if activation == "NONE":
        return INT8_MIN, INT8_MAX
    low = quantized(-1.0 if activation == "RELU_N1_TO_1" else 0.0)
    if activation == "RELU":
        return max(INT8_MIN, low), INT8_MAX
    high = quantized(1.0 if activation == "RELU_N1_TO_1" else 6.0)
    return max(INT8_MIN, low), min(INT8_MAX, high)


def clamp8(value: int) -> int:
    """Saturate to the range of int8."""
    return max(INT8_MIN, min(INT8_MAX, value))


# --- gemmlowp fixed point: a value with `i` integer bits is raw * 2**(i - 31) -------------------


def _multiply_by_power(value: int, exponent: int) -> int:
    """Saturating rounding multiply by 2**exponent."""
    if exponent <= 0:
        return rounding_shift(value, -exponent)
    return max(-(2**31), min(INT32_MAX, value << exponent))


def _exp_of_negative(a: int, integer_bits: int) -> int:
    """exp(a) with 0 integer bits, for a <= 0 with `integer_bits` (4 or 5) integer bits."""
    if a == 0:
        return INT32_MAX
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    # a = -(multiple of 1/4) + (remainder in [-1/4, 0)): Taylor for the second ...
    minus = (a & (quarter - 1)) - quarter
    x = wrap32(_multiply_by_power(minus, integer_bits) + (1 << 28))
    x2 = high_multiply(x, x)
    x3 = high_multiply(x2, x)
    x4 = high_multiply(x2, x2)
    third = 715827883
    inner = high_multiply(wrap32(_multiply_by_power(x4, -2) + x3), third)
    series = _multiply_by_power(wrap32(inner + x2), -1)
    exp_eighth = 1895147668  # exp(-1/8)
    result = wrap32(exp_eighth + high_multiply(exp_eighth, wrap32(x + series)))
    # ... and a product of exp(-2**k) for the bits of the first.
    remainder = wrap32(minus - a)
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for exponent, factor in zip(range(-2, 5), factors, strict=True):
        if integer_bits > exponent and remainder & (1 << (fraction_bits + exponent)):
            result = high_multiply(result, factor)
    return result


def _reciprocal_of_one_plus(a: int) -> int:
    """2 / (1 + a) with 2 integer bits, for a in [0, 1] with 0 integer bits, by Newton's method."""
    total = a + INT32_MAX
    half_denominator = (total + (1 if total >= 0 else -1)) // 2  # non-negative: // truncates
    x = wrap32(1515870810 + high_multiply(half_denominator, -1010580540))
    for _ in range(3):
        error = wrap32((1 << 29) - high_multiply(half_denominator, x))
        x = wrap32(x + _multiply_by_power(high_multiply(x, error), 2))
    return x


def fixed_point_logistic(a: int) -> int:
    """1 / (1 + exp(-a)) with 0 integer bits, for a with 4 integer bits (gemmlowp::logistic)."""
    if a == 0:
        return 1 << 30
    positive = _multiply_by_power(_reciprocal_of_one_plus(_exp_of_negative(-abs(a), 4)), 1)
    return positive if a > 0 else INT32_MAX - positive


def fixed_point_tanh(a: int) -> int:
    """tanh(a) with 0 integer bits, for a with 4 integer bits (gemmlowp::tanh)."""
    if a == 0:
        return 0
    # exp(-2|a|): the same bits read with one more integer bit.
    x = _reciprocal_of_one_plus(_exp_of_negative(-abs(a), 5))
    t = _multiply_by_power(wrap32(x - (1 << 29)), 2)
    return t if a > 0 else -t


# --- 256-entry tables, indexed by q + 128 --------------------------------------------------------

Table = tuple[int, ...]


def _input_multiplier(scale: float) -> tuple[Multiplier, int]:
    """Multiplier from q to a value with 4 integer bits, and the |q| from which it saturates."""
    fraction, shift = math.frexp(scale * 2.0**27)
    mantissa = _round_half_away(fraction * 2**31)
    # CalculateInputRadius: 15 * 2**27 / 2**shift.
    radius = math.floor(15.0 * 2.0**27 / 2.0**shift)
    # A mantissa that rounds up to 2**31 wraps in the kernel; float32 scales have 24 bits, none do.
    return Multiplier(mantissa, shift), radius


def tanh_table(scale: float, zero_point: int) -> Table:
    """TANH on int8 with the given input quantization; the output is fixed at 1/128 and 0."""
    multiplier, radius = _input_multiplier(scale)

    def value(q: int) -> int:
        x = q - zero_point
        if x <= -radius:
            return INT8_MIN
        if x >= radius:
            return INT8_MAX
        return clamp8(rounding_shift(fixed_point_tanh(multiplier.apply(x)), 24))

    return tuple(value(q) for q in range(INT8_MIN, INT8_MAX + 1))


def logistic_table(scale: float, zero_point: int) -> Table:
    """LOGISTIC on int8 with the given input quantization; the output is fixed at 1/256 and -128."""
    multiplier, radius = _input_multiplier(scale)

    def value(q: int) -> int:
        x = q - zero_point
        if x <= -radius:
            return INT8_MIN
        if x >= radius:
            return INT8_MAX
        return clamp8(rounding_shift(fixed_point_logistic(multiplier.apply(x)), 23) - 128)

    return tuple(value(q) for q in range(INT8_MIN, INT8_MAX + 1))


def requantize_table(
    scale_in: float, zero_in: int, scale_out: float, zero_out: int, low: int = INT8_MIN
) -> Table:
    """QUANTIZE from int8 to int8, or RELU when `low` is the output's zero point."""
    multiplier = quantize_multiplier(scale_in / scale_out)
    return tuple(
        max(low, min(INT8_MAX, multiplier.apply(q - zero_in) + zero_out))
        for q in range(INT8_MIN, INT8_MAX + 1)
    )


def relu6_table(scale: float, zero_point: int) -> Table:
    """RELU6 on int8: a clamp in the input's quantization, whatever the output's."""
    low, high = activation_range("RELU6", scale, zero_point)
    return tuple(min(max(q, low), high) for q in range(INT8_MIN, INT8_MAX + 1))


@dataclass(frozen=True)
class AddParameters:
    """The multipliers of an int8 ADD whose first operand has the larger scale; none shifts left.

    The first operand's own factor is scale / (2 * scale): exactly one half, mantissa 2**30.
    """

    narrow: Multiplier
    output: Multiplier


def add_parameters(wide: float, narrow: float, scale_out: float) -> AddParameters | None:
    """Return the multipliers of ADD, or None where tflite-micro would abort.

    The kernel scales both operands to twice the larger scale with 20 extra bits and needs every
    factor below one; only an output scale a million times too fine breaks that.

    Parameters
    ----------
    wide, narrow : float
        Scales of the operands, the larger first.
    scale_out : float
        Scale of the result.
    """
    assert wide >= narrow
    twice = 2.0 * wide
    factors = (narrow / twice, twice / ((1 << ADD_LEFT_SHIFT) * scale_out))
    if any(not 0.0 < factor < 1.0 for factor in factors):
        return None
    multipliers = [quantize_multiplier(factor) for factor in factors]
    if any(multiplier.shift > 0 for multiplier in multipliers):
        return None
    return AddParameters(*multipliers)
