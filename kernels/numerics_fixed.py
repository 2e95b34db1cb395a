"""The rules of TFLite's softmax, equations (F1) and (F2), in the terms of `numerics.py`."""

from __future__ import annotations

from intlower.kernels.numerics import (
    Integer,
    clamp,
    doubling_high_multiply,
    excess_bits,
    shift_half_away,
)

# Integer bits of a sum of exponentials: kAccumulationIntegerBits of TFLite's softmax.
SUM_INTEGER_BITS = 12

# 48/17 and -32/17 with two integer bits: the first guess of a reciprocal in [1/2, 1], Newton's method for division.
_GUESS, _GUESS_SLOPE = 1515870810, -1010580540

_LEAST, _GREATEST = -(1 << 31), (1 << 31) - 1


def reciprocal(total: Integer) -> Integer:
    """Return 2**(62 - e) / total as TFLite computes it, where 2**31 <= total * 2**e < 2**32, equation (F1).

        d = floor(total * 2**e / 2): the total's leading bits, in [1/2, 1) of Q31
        x = 48/17 - 32/17 d;   three times x = x + x (1 - d x);   r = min(x / 2, 1)

    Every product is equation (10).

    Args:
        total: in [2**18, 2**31).

    Returns:
        A Q31 number below 2**31, off by less than 8.

    Source: GetReciprocal, tensorflow/lite/kernels/internal/common.h, and one_over_one_plus_x_for_x_in_0_1, google/gemmlowp
    fixedpoint/fixedpoint.h.

    >>> [reciprocal(total) / 2**31 for total in (1 << 19, 3 << 18)]      # 1 and 2/3, nearly
    [0.9999999995343387, 0.6666666651144624]
    """
    leading = total << (31 - excess_bits(total, 1))
    half = leading >> 1  # RoundingHalfSum(leading - 2**31, 2**31 - 1)
    x = _GUESS + doubling_high_multiply(half, _GUESS_SLOPE)
    for _ in range(3):
        rest = (1 << 29) - doubling_high_multiply(half, x)
        x = x + (doubling_high_multiply(x, rest) << 2)
    return clamp(x << 1, _LEAST, _GREATEST)


def share_of_total(exponential: Integer, total: Integer, bits: Integer) -> Integer:
    """Return the share of one exponential in a sum of them, as a code of `bits` bits, equation (F2).

        q = shift_half_away( doubling_high_multiply(exponential, r), e + 31 - bits )

    with r of equation (F1) and e = SUM_INTEGER_BITS less the leading zeros of the total in 32 bits.

    Args:
        exponential: Q31, at most the greatest of the sum.
        total: the sum of shift_half_away(exponential, SUM_INTEGER_BITS), in [2**19, 2**31).
        bits: of a code; 2**bits is 1.

    Returns:
        In [0, 2**bits].

    Source: Softmax, tensorflow/lite/kernels/internal/reference/softmax.h.

    >>> share_of_total((1 << 31) - 1, 1 << 20, 8)      # one of two alike
    128
    """
    over = SUM_INTEGER_BITS - 31 + excess_bits(total, 1)
    return shift_half_away(
        doubling_high_multiply(exponential, reciprocal(total)), over + 31 - bits
    )
