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
from numpy.typing import NDArray

INT8_MIN, INT8_MAX = -128, 127
INT32_MAX = 2**31 - 1
ADD_LEFT_SHIFT = 20
SEARCH_RADIUS = 3  # of linear_sum

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


def clamp_table(low: int, high: int) -> Table:
    """A fused activation: the clamp in the result's quantization."""
    return tuple(min(max(q, low), high) for q in range(INT8_MIN, INT8_MAX + 1))


def relu6_table(scale: float, zero_point: int) -> Table:
    """RELU6 on int8: a clamp in the input's quantization, whatever the output's."""
    return clamp_table(*activation_range("RELU6", scale, zero_point))


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


# --- short forms the engine uses where they are proven equal --------------------------------------


@dataclass(frozen=True)
class Requantization:
    """How the engine turns a sum into a result: see mw_scale in mw_engine.h for the two forms."""

    mantissa: int
    offset: int
    shift: int


def folded(
    multiplier: Multiplier, zero_point: int, lowest: int, highest: int
) -> Requantization | None:
    """Return the short form of `multiplier.apply(x) + zero_point`, or None if it is not exact.

    With y = high_multiply(x, mantissa) and e = -shift, which must be 1 or more, the reference's
    rounding half away from zero is (y - (y < 0) + 2**(e-1)) >> e. The zero point moves under the
    shift as zero_point << e, and x takes y's place in the comparison: they differ in sign only
    where y is 0, and there 0 - 1 + 2**(e-1) and 0 + 2**(e-1) give the same quotient. What is left
    to show is that nothing overflows, which the range of x tells. `x` comes doubled, so that
    high_multiply is the upper half of one product: (2 * x * mantissa + 2**31) >> 32.

    Parameters
    ----------
    multiplier : Multiplier
    zero_point : int
        Of the result, which is clamped to int8 afterwards.
    lowest, highest : int
        Bounds of x.
    """
    # Shifts to the left wrap: what follows is only true without.
    if multiplier.shift <= 0 and multiplier.apply(lowest) == 0 == multiplier.apply(highest):
        # Large shifts, whose offset would not fit. The function is monotonic: 0 everywhere.
        return Requantization(0, 2 * zero_point + 1, 1)
    if multiplier.shift > -1:
        return None
    offset = (zero_point << -multiplier.shift) + (1 << (-multiplier.shift - 1))
    reached = (
        2 * lowest,
        2 * highest,
        offset - 1,
        offset - 1 + high_multiply(lowest, multiplier.mantissa),
        offset + high_multiply(highest, multiplier.mantissa),
    )
    if any(value != wrap32(value) for value in reached):
        return None
    return Requantization(multiplier.mantissa, offset, -multiplier.shift)


@dataclass(frozen=True)
class LinearSum:
    """ADD as clamp8((a * q_a + b * q_b + offset) >> shift), in 32 bits."""

    a: int
    b: int
    offset: int
    shift: int


def reference_sum(
    parameters: AddParameters, a_offset: int, b_offset: int, zero_point: int
) -> NDArray[np.int64]:
    """Return ADD's result for every pair of operands, (256, 256): q_a and q_b from -128."""
    q = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)
    wide = (q + a_offset) << (ADD_LEFT_SHIFT - 1)
    narrow = np.array(
        [parameters.narrow.apply(int(x)) for x in (q + b_offset) << ADD_LEFT_SHIFT], np.int64
    )
    x = wide[:, np.newaxis] + narrow
    # Multiplier.apply for a shift to the right, on an array.
    y = (x * parameters.output.mantissa + (1 << 30)) >> 31
    exponent = -parameters.output.shift
    if exponent > 0:
        y = (((y - (y < 0)) >> (exponent - 1)) + 1) >> 1
    result: NDArray[np.int64] = np.clip(y + zero_point, INT8_MIN, INT8_MAX)
    return result


def linear_sum(
    parameters: AddParameters, a_offset: int, b_offset: int, zero_point: int
) -> LinearSum | None:
    """Return a linear form of ADD that is right for all 65,536 pairs of operands, or None.

    ADD rounds three times with 20 spare bits, so it is linear but for pairs within about 2**-20 of
    a rounding boundary. Factors of 22 bits or so often put every pair on its right side, and
    neighbours of the rounded factors do where those do not: of 400 random sets of scales all
    had a form within a distance of SEARCH_RADIUS.
    """
    expected = reference_sum(parameters, a_offset, b_offset, zero_point)
    output = parameters.output.mantissa * 2.0 ** (parameters.output.shift - 31 + ADD_LEFT_SHIFT)
    factor_a = 0.5 * output
    factor_b = parameters.narrow.mantissa * 2.0 ** (parameters.narrow.shift - 31) * output
    # The most bits for which |a * q_a| + |b * q_b| + |offset| stays below 2**31.
    reach = 256 * (factor_a + factor_b) + abs(factor_a * a_offset + factor_b * b_offset) + 129
    shift = min(31 - math.ceil(math.log2(reach)), 31)
    if shift < 1:
        return None
    q = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)
    # Bounds of the offset that each pair sets; a clamped pair has one only.
    floor = np.where(expected > INT8_MIN, expected << shift, -(2**62))
    ceiling = np.where(expected < INT8_MAX, ((expected + 1) << shift) - 1, 2**62)
    nearest = round(factor_a * 2**shift), round(factor_b * 2**shift)
    steps = range(-SEARCH_RADIUS, SEARCH_RADIUS + 1)
    for da, db in sorted(((i, j) for i in steps for j in steps), key=lambda d: max(map(abs, d))):
        a, b = nearest[0] + da, nearest[1] + db
        products = q[:, np.newaxis] * a + q * b
        low, high = int((floor - products).max()), int((ceiling - products).min())
        offset = (low + high) // 2
        if low <= high and 128 * (abs(a) + abs(b)) + abs(offset) <= INT32_MAX:
            return LinearSum(a, b, offset, shift)
    return None
