"""The scalar rules that add two scaled integers; equations of `numerics.py`, in a file of their own."""

from __future__ import annotations

from intlower.kernels.numerics import (
    Integer,
    round_to_float32,
    scale_double_rounding,
    shift_half_away,
    shift_half_even,
    shift_half_up,
)


def sum_float32(
    a: Integer,
    mantissa_a: Integer,
    shift_a: Integer,
    b: Integer,
    mantissa_b: Integer,
    shift_b: Integer,
) -> Integer:
    """Return a sum of two scaled integers in single precision, as an integer, equation (9).

        q = half_even( float32( float32(a * scale_a) + float32(b * scale_b) ) )

    Both products and their sum are rounded to 24 bits, no fused multiply-add.

    Args:
        a: zero-point-removed code, |a| < 2**16; b alike.
        mantissa_a: in [0, 2**24), scale_a = mantissa_a / 2**shift_a; b alike.
        shift_a: in [1, 62], and |shift_a - shift_b| <= 14, so that the aligned sum stays under
            2**55; the smaller scale gives up mantissa bits where they lie further apart.
        b: see a.
        mantissa_b: see mantissa_a.
        shift_b: see shift_a.

    Source: the order of ModelTC/NART art/modules/cuda_quant/src/op/eltwise.cu.

    >>> sum_float32(1, 1 << 23, 24, 2, 1 << 23, 23)      # 0.5 + 2.0: a tie, to even
    2
    """
    shift = shift_a + (shift_b - shift_a) * (shift_b > shift_a)
    aligned_a = round_to_float32(a * mantissa_a) << (shift - shift_a)
    aligned_b = round_to_float32(b * mantissa_b) << (shift - shift_b)
    return shift_half_even(round_to_float32(aligned_a + aligned_b), shift)


def sum_double_rounding(
    a: Integer,
    multiplier_a: Integer,
    shift_a: Integer,
    b: Integer,
    multiplier_b: Integer,
    shift_b: Integer,
    multiplier: Integer,
    shift: Integer,
    left_shift: Integer,
) -> Integer:
    """Return a sum of two scaled integers in Q31 arithmetic, equation (13).

        q = scale(scale(a * 2**left_shift, M_a) + scale(b * 2**left_shift, M_b), M)

    with `scale` of equation (11); the left shift keeps fraction bits until the last rounding.

    Args:
        a: zero-point-removed code, |a| * 2**left_shift <= 2**30; b alike.
        multiplier_a: in [2**30, 2**31) or 0, with M_a = s_a / (2 * max(s_a, s_b)); b alike.
        shift_a: in [31, 62], so that M_a < 1.
        b: see a.
        multiplier_b: see multiplier_a.
        shift_b: see shift_a.
        multiplier: M = 2 * max(s_a, s_b) / (2**left_shift * s_y).
        shift: in [31, 62].
        left_shift: 20 for 8-bit codes.

    Source: AddElementwise, tensorflow/lite/kernels/internal/reference/integer_ops/add.h.

    >>> sum_double_rounding(3, 1 << 30, 31, 4, 1 << 30, 31, 1 << 30, 49, 20)
    7
    """
    scaled_a = scale_double_rounding(a << left_shift, multiplier_a, shift_a)
    scaled_b = scale_double_rounding(b << left_shift, multiplier_b, shift_b)
    return scale_double_rounding(scaled_a + scaled_b, multiplier, shift)


def sum_single_rounding(
    a: Integer,
    multiplier_a: Integer,
    shift_a: Integer,
    b: Integer,
    multiplier_b: Integer,
    shift_b: Integer,
    shift: Integer,
) -> Integer:
    """Return a sum of two scaled integers by multipliers and shifts, ties up, equation (17).

        q = shift_half_up(shift_half_up(a * M_a, shift_a) + shift_half_up(b * M_b, shift_b), shift)

    Args:
        a: zero-point-removed code, |a| < 2**17; b alike.
        multiplier_a: in [0, 2**31); b alike.
        shift_a: in [0, 62], to the fraction bits that are kept; b alike.
        b: see a.
        multiplier_b: see multiplier_a.
        shift_b: see shift_a.
        shift: in [0, 62], the fraction bits that were kept.

    Source: ModelTC/NART art/modules/quant/src/op/add.c.

    >>> sum_single_rounding(3, 1 << 22, 0, 4, 1 << 22, 0, 23)      # 1.5 + 2.0: a tie, up
    4
    """
    scaled_a = shift_half_up(a * multiplier_a, shift_a)
    scaled_b = shift_half_up(b * multiplier_b, shift_b)
    return shift_half_up(scaled_a + scaled_b, shift)


def sum_power_half_up(
    a: Integer, power_a: Integer, b: Integer, power_b: Integer, shift: Integer
) -> Integer:
    """Return a sum of two integers of different binary points, ties toward +infinity, equation (18) with (2).

        q = round((a * power_a + b * power_b) / 2**shift)

    Nothing is lost before the one rounding: both are shifted left to the finer of their binary points.

    Args:
        a: zero-point-removed code, |a| * power_a < 2**61; b alike.
        power_a: 2**left; b alike.
        b: see a.
        power_b: see power_a.
        shift: in [0, 62].

    Source: our definition; Vitis-AI publishes the bounds of its shifts, not their order.

    >>> sum_power_half_up(-1, 4, 1, 1, 1)      # -1.5: a tie, up
    -1
    """
    return shift_half_up(a * power_a + b * power_b, shift)


def sum_power_half_away(
    a: Integer, power_a: Integer, b: Integer, power_b: Integer, shift: Integer
) -> Integer:
    """Return a sum of two integers of different binary points, ties away from zero, equation (18) with (3).

    Arguments are those of `sum_power_half_up`.

    >>> sum_power_half_away(-1, 4, 1, 1, 1)
    -2
    """
    return shift_half_away(a * power_a + b * power_b, shift)


def sum_power_half_even(
    a: Integer, power_a: Integer, b: Integer, power_b: Integer, shift: Integer
) -> Integer:
    """Return a sum of two integers of different binary points, ties to even, equation (18) with (4).

    Arguments are those of `sum_power_half_up`.

    >>> sum_power_half_even(-1, 4, 1, 1, 1)
    -2
    """
    return shift_half_even(a * power_a + b * power_b, shift)
