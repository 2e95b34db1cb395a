"""The rules that turn an accumulator into a code, in standard integer ONNX.

Independent of `kernels/numerics.py`: the same equations (its numbers are cited), other algorithms. Signed rules work in
int64; the single-precision rules work on uint64 magnitudes, for round-half-even is symmetric about zero. No float tensor
is used: a float32 is a magnitude of at most 24 significant bits.
"""

from __future__ import annotations

from intlower.compiler.onnx_functions.body import Value
from intlower.kernels.signature import Requantize


def scale(rule: Requantize, accumulator: Value, multiplier: Value, shift: Value) -> Value:
    """Return an accumulator times multiplier / 2**shift, rounded as the rule says.

    Args:
        rule: the requantization.
        accumulator: int64, holding an int32.
        multiplier: int64, broadcasting against the accumulator.
        shift: int64 in [1, 62], alike.

    Returns:
        int64.
    """
    match rule:
        case Requantize.F32EVEN | Requantize.F32BIAS:
            return scale_float32(accumulator, multiplier, shift)
        case Requantize.MUL31DOUBLE:
            return scale_double_rounding(accumulator, multiplier, shift)
        case Requantize.MUL31SINGLE:
            return scale_single_rounding(accumulator, multiplier, shift)
        case Requantize.POWERUP | Requantize.POWERAWAY | Requantize.POWEREVEN:
            return shift_right(rule, accumulator * multiplier, shift)


def scale_float32_biased(
    accumulator: Value, bias: Value, multiplier: Value, shift: Value
) -> Value:
    """Return the product in single precision after the bias is added in it, equation (15).

    The accumulator has at most 32 bits, also with the bias.
    """
    single = with_sign_of(
        accumulator, _float32(abs(accumulator).cast("uint64"), bits=32).cast("int64")
    )
    total = single + bias
    magnitude = _float32(abs(total).cast("uint64"), bits=32)
    product = _float32(magnitude * multiplier.cast("uint64"), bits=55)
    return with_sign_of(total, _half_even(product, shift).cast("int64"))


def shift_right(rule: Requantize, x: Value, shift: Value) -> Value:
    """Return x / 2**shift rounded as a POWER rule says, for a shift in [0, 62], equations (2) to (4).

    By the remainder r = x mod 2**shift: the floor, plus one where r is past the half, or at it and the rule says so.

    Args:
        rule: POWERUP, POWERAWAY or POWEREVEN.
        x: int64, |x| < 2**62.
        shift: int64.
    """
    divisor = power_of_two(shift)
    remainder = x & (divisor - 1)
    quotient = (x - remainder) // divisor
    twice = remainder * 2
    reached = (twice < divisor).cast("int64") * -1 + 1
    if rule is Requantize.POWERUP:
        return quotient + reached
    past = (divisor < twice).cast("int64")
    positive, odd = (x < 0).cast("int64") * -1 + 1, quotient & 1
    up = positive if rule is Requantize.POWERAWAY else odd  # which ties go up
    return quotient + (past + (reached - past) * up)


def scale_float32(accumulator: Value, multiplier: Value, shift: Value) -> Value:
    """Return the product in single precision as an integer, equation (8).

    |accumulator| has at most 32 bits and the product of its 24 leading bits with a 24-bit multiplier at most 55.
    """
    magnitude = _float32(abs(accumulator).cast("uint64"), bits=32)
    product = _float32(magnitude * multiplier.cast("uint64"), bits=55)
    return with_sign_of(accumulator, _half_even(product, shift).cast("int64"))


def sum_float32(
    a: Value, multiplier_a: Value, shift_a: Value, b: Value, multiplier_b: Value, shift_b: Value
) -> Value:
    """Return two scaled codes and their sum, all in single precision, as an integer, equation (9).

    Args:
        a: int64 of at most 17 bits; b alike.
        multiplier_a: int64 scalar below 2**24; multiplier_b alike.
        shift_a: int64 scalar; shift_b alike, at most 14 apart.
        b: see a.
        multiplier_b: see multiplier_a.
        shift_b: see shift_a.
    """
    shift = shift_a.maximum(shift_b)

    def aligned(x: Value, multiplier: Value, own_shift: Value) -> Value:
        product = _float32(abs(x).cast("uint64") * multiplier.cast("uint64"), bits=41)
        return with_sign_of(x, product.cast("int64")) * power_of_two(shift - own_shift)

    total = aligned(a, multiplier_a, shift_a) + aligned(b, multiplier_b, shift_b)
    magnitude = _float32(abs(total).cast("uint64"), bits=55)
    return with_sign_of(total, _half_even(magnitude, shift).cast("int64"))


def scale_double_rounding(accumulator: Value, multiplier: Value, shift: Value) -> Value:
    """Return the Q31 product, rounded half up and then half away from zero, equation (11)."""
    left = power_of_two((shift * -1 + 31).maximum(0))
    right = power_of_two((shift - 31).maximum(0))
    high = floor_divide(accumulator * left * multiplier + (1 << 30), 1 << 31)
    return with_sign_of(high, (abs(high) + right // 2) // right)


def scale_single_rounding(accumulator: Value, multiplier: Value, shift: Value) -> Value:
    """Return the Q31 product, rounded half up once, equation (12)."""
    divisor = power_of_two(shift)
    return floor_divide(accumulator * multiplier + divisor // 2, divisor)


def sum_double_rounding(
    a: Value, b: Value, multipliers: Value, shifts: Value, left_shift: Value
) -> Value:
    """Return the sum of two scaled codes in Q31 arithmetic, equation (13).

    Args:
        a: int64; b alike.
        b: see a.
        multipliers: int64 [3]: of a, of b, of the sum.
        shifts: int64 [3], in [31, 62].
        left_shift: int64 scalar.
    """
    fraction = power_of_two(left_shift)
    total = scale_double_rounding(
        a * fraction, multipliers.part(0), shifts.part(0)
    ) + scale_double_rounding(b * fraction, multipliers.part(1), shifts.part(1))
    return scale_double_rounding(total, multipliers.part(2), shifts.part(2))


def sum_single_rounding(a: Value, b: Value, multipliers: Value, shifts: Value) -> Value:
    """Return the sum of two scaled codes, each rounded half up and their sum again, equation (17).

    Args:
        a: int64; b alike.
        b: see a.
        multipliers: int64 [2].
        shifts: int64 [3]: of a, of b, of the sum.
    """
    up = Requantize.POWERUP
    total = shift_right(up, a * multipliers.part(0), shifts.part(0)) + shift_right(
        up, b * multipliers.part(1), shifts.part(1)
    )
    return shift_right(up, total, shifts.part(2))


def sum_power(rule: Requantize, a: Value, b: Value, powers: Value, shift: Value) -> Value:
    """Return the sum of two codes shifted to one binary point, rounded once, equation (18).

    Args:
        rule: POWERUP, POWERAWAY or POWEREVEN.
        a: int64; b alike.
        b: see a.
        powers: int64 [2], powers of two.
        shift: int64 [1].
    """
    return shift_right(rule, a * powers.part(0) + b * powers.part(1), shift.part(0))


def divide_half_up(numerator: Value, denominator: Value) -> Value:
    """Return a quotient of non-negative integers rounded to nearest, ties up, equation (14)."""
    return (numerator * 2 + denominator) // (denominator * 2)


def power_of_two(exponent: Value) -> Value:
    """Return 2**exponent in int64, for an exponent in [0, 62]."""
    one = exponent.body.constant(1, "uint64")
    return (one << exponent.cast("uint64")).cast("int64")


def floor_divide(x: Value, power: Value | int) -> Value:
    """Return floor(x / power) for a signed x and a power of two.

    In two's complement, x & (power - 1) is what x lies above a multiple of the power, whatever its sign.
    """
    return (x - (x & (power - 1))) // power


def clamp(x: Value, low: Value, high: Value) -> Value:
    """Return x limited to [low, high], equation (5), for |x| < 2**62.

    Compared as unsigned numbers, after 2**62 is added to all three; see `Value.minimum`.
    """
    offset = 1 << 62
    least, greatest = ((bound + offset).cast("uint64") for bound in (low, high))
    limited = (x + offset).cast("uint64").maximum(least).minimum(greatest)
    return limited.cast("int64") - offset


def with_sign_of(x: Value, magnitude: Value) -> Value:
    """Return the magnitude, negated where x is negative."""
    negative = (x < 0).cast("int64")
    return magnitude * (negative * -2 + 1)


def _float32(magnitude: Value, bits: int) -> Value:
    """Return a magnitude rounded to 24 significant bits, ties to even, equation (7).

    With e bits too many, the unit in the last place is 2**e, and every bit below it is set in `below` = 2**e - 1, found
    by smearing the excess bits to the right. Adding 2**(e-1) - 1, and 1 more where the kept part is odd, carries into
    the unit exactly when the magnitude rounds up.

    Args:
        magnitude: uint64.
        bits: that it has at most.
    """
    below = magnitude >> 24
    step = 1
    while step < bits - 24:
        below = below | (below >> step)
        step *= 2
    odd = (magnitude & (below + 1)).minimum(below & 1)  # nothing to round where below is 0
    return (magnitude + (below >> 1) + odd) & ~below


def _half_even(magnitude: Value, shift: Value) -> Value:
    """Return a uint64 magnitude over 2**shift, ties to even, equation (4); shift is at least 1."""
    bits = shift.cast("uint64")
    half = magnitude.body.constant(1, "uint64") << (bits - 1)
    odd = (magnitude >> bits) & 1
    return (magnitude + (half - 1) + odd) >> bits
