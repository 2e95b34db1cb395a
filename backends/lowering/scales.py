"""Real factors as integers: multiplier / 2**shift."""

from __future__ import annotations

import math

import numpy as np

from intlower.compiler.errors import ScaleOutOfRange
from intlower.kernels.numerics import Rounding, shift_half_even, shift_half_up
from intlower.kernels.signature import Requantize

# The shifts that every rule of `numerics` accepts.
LEAST_SHIFT, GREATEST_SHIFT = 1, 62

# The shift to the left that equation (16) accepts.
GREATEST_LEFT_SHIFT = 30

# How far the shifts of two single-precision summands may lie apart, equation (9).
GREATEST_SHIFT_DIFFERENCE = 14


def factor_of(rule: Requantize, numerator: tuple[float, ...], denominator: float) -> float:
    """Return the product of scales over a scale, in the precision in which the rule's target takes it.

    F32EVEN: float32 products and a float32 quotient, each rounded, in this order (onnxruntime's QLinearConv).
    Others: float64 throughout (TFLite's QuantizeMultiplier takes a double).
    """
    if rule.single_precision:
        product = np.float32(1)
        for scale in numerator:
            product = np.float32(product * np.float32(scale))
        return float(np.float32(product / np.float32(denominator)))
    return math.prod(numerator) / denominator


def integer_scale(
    rule: Requantize,
    factor: float,
    where: str,
    *,
    bits: int = 31,
    truncate: bool = False,
    divided: bool = False,
    reduced: bool = False,
) -> tuple[int, int]:
    """Return (multiplier, shift) of a positive real factor under a requantization rule.

    Args:
        rule: of the requantization.
        factor: the ratio of scales.
        where: for messages.
        bits: of the multiplier, where the rule has an integer one; see `MultiplierSpec`.
        truncate: whether its fraction is cut off.
        divided: the factor holds the divisor of a mean, so that it is no power of two under any rule.
        reduced: whether it is rounded to 31 bits first; see `MultiplierSpec`.

    Raises:
        ScaleOutOfRange: the factor is not finite and positive, too large for the rule, or no power of two where it must be.
    """
    if not (math.isfinite(factor) and factor > 0):
        raise ScaleOutOfRange(f"{where}: a scale of {factor} cannot be multiplied by")
    if rule.single_precision:
        return _float32_scale(factor, where)
    if rule.power_of_two and not divided:
        return _power_scale(factor, where)
    if reduced:
        return _reduced_scale(factor, where, bits)
    return _multiplier_scale(factor, where, bits, truncate)


def _float32_scale(factor: float, where: str) -> tuple[int, int]:
    """Return the 24-bit mantissa and the shift of a single-precision factor, equation (8)."""
    fraction, exponent = math.frexp(float(np.float32(factor)))
    mantissa, shift = int(fraction * (1 << 24)), 24 - exponent
    if shift < LEAST_SHIFT:
        raise _too_large(factor, where)
    if (
        shift > GREATEST_SHIFT
    ):  # under 2**-38: fewer bits of mantissa, still a single-precision number
        mantissa = int(shift_half_even(mantissa, min(shift - GREATEST_SHIFT, 30)))
        shift = GREATEST_SHIFT
    return mantissa, shift


def _power_scale(factor: float, where: str) -> tuple[int, int]:
    """Return 2**left and the shift to the right of a power of two, equation (16)."""
    fraction, exponent = math.frexp(factor)
    if fraction != 0.5:
        raise ScaleOutOfRange(f"{where}: the ratio of scales {factor:.6g} is no power of two")
    position = exponent - 1
    if position > GREATEST_LEFT_SHIFT or -position > GREATEST_SHIFT:
        raise _too_large(factor, where)
    return 1 << max(position, 0), max(-position, 0)


def _multiplier_scale(factor: float, where: str, bits: int, truncate: bool) -> tuple[int, int]:
    """Return a multiplier of `bits` bits (the highest one set) and the shift, equations (11) and (12).

    Sources: rounded, ties away from zero: QuantizeMultiplier, tensorflow/lite/kernels/internal/quantization_util.cc;
    truncated: get_quant_scale_int32, ModelTC/NART art/modules/quant/include/art/quant/quant_helper.h.
    """
    fraction, exponent = math.frexp(factor)
    multiplier = math.floor(fraction * (1 << bits) + (0.0 if truncate else 0.5))
    if multiplier == 1 << bits:
        multiplier, exponent = 1 << (bits - 1), exponent + 1
    shift = bits - exponent
    if shift < LEAST_SHIFT:
        raise _too_large(factor, where)
    if shift > GREATEST_SHIFT:  # TFLite: an exponent below -31 multiplies by 0
        return 0, 31
    return multiplier, shift


def _reduced_scale(factor: float, where: str, bits: int) -> tuple[int, int]:
    """Return a 31-bit multiplier rounded to `bits` bits, ties up, at most 2**bits - 1, and the shift.

    Source: MultiplyByQuantizedMultiplier(int64_t, ...), tensorflow/lite/kernels/internal/common.h.
    """
    multiplier, shift = _multiplier_scale(factor, where, 31, truncate=False)
    dropped = 31 - bits
    if shift - dropped < LEAST_SHIFT:
        raise _too_large(factor, where)
    return min(shift_half_up(multiplier, dropped), (1 << bits) - 1), shift - dropped


def prove_left_shift(rule: Requantize, bound: int, shift: int, where: str) -> None:
    """Prove that equation (11)'s left shift keeps an accumulator in 32 bits.

    Args:
        rule: of the requantization.
        bound: the greatest magnitude of the accumulator.
        shift: of the scale.
        where: for the message.

    Raises:
        ScaleOutOfRange: it does not.
    """
    if rule is Requantize.MUL31DOUBLE and bound << max(31 - shift, 0) > (1 << 31) - 1:
        raise ScaleOutOfRange(
            f"{where}: its scale exceeds 1 and its sums, up to {bound:_}, would not fit 32 bits "
            "after the left shift",
            "the output's range is far below what the inputs can produce; check the calibration",
        )


def align_float32_scales(
    scales: tuple[tuple[int, int], tuple[int, int]],
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return two (mantissa, shift) whose shifts are near enough for equation (9).

    Where they lie further apart, the smaller scale is rounded to fewer mantissa bits: it remains a single-precision
    number, and what is lost is below 2**-38 of the greater one.
    """
    nearest = min(shift for _, shift in scales)

    def limited(scale: tuple[int, int]) -> tuple[int, int]:
        mantissa, shift = scale
        excess = shift - nearest - GREATEST_SHIFT_DIFFERENCE
        if excess <= 0:
            return scale
        return int(shift_half_even(mantissa, min(excess, 30))), shift - excess

    return limited(scales[0]), limited(scales[1])


def round_bias(value: float, rounding: Rounding) -> int:
    """Return a real bias, in units of the accumulator, as an integer of any size."""
    match rounding:
        case Rounding.HALF_EVEN:
            return round(value)
        case Rounding.HALF_AWAY:
            return int(math.copysign(math.floor(abs(value) + 0.5), value))
        case Rounding.HALF_UP:
            return math.floor(value + 0.5)
        case Rounding.FLOOR:
            return math.floor(value)


def _too_large(factor: float, where: str) -> ScaleOutOfRange:
    return ScaleOutOfRange(
        f"{where}: the ratio of scales {factor:.3g} is too large for the target's multiplier",
        "the output's range is far below what the inputs can produce; check the calibration",
    )
