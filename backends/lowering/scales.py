"""Real factors as integers: multiplier / 2**shift."""

from __future__ import annotations

import math

import numpy as np

from intlower.compiler.errors import ScaleOutOfRange
from intlower.kernels.numerics import Rounding, shift_half_even
from intlower.kernels.signature import Requantize

# The shifts that every rule of `numerics` accepts.
LEAST_SHIFT, GREATEST_SHIFT = 1, 62

# How far the shifts of two single-precision summands may lie apart, equation (9).
GREATEST_SHIFT_DIFFERENCE = 14


def factor_of(rule: Requantize, numerator: tuple[float, ...], denominator: float) -> float:
    """Return the product of scales over a scale, in the precision in which the rule's target takes it.

    F32EVEN: float32 products and a float32 quotient, each rounded, in this order (onnxruntime's QLinearConv).
    Others: float64 throughout (TFLite's QuantizeMultiplier takes a double).
    """
    if rule is Requantize.F32EVEN:
        product = np.float32(1)
        for scale in numerator:
            product = np.float32(product * np.float32(scale))
        return float(np.float32(product / np.float32(denominator)))
    return math.prod(numerator) / denominator


def integer_scale(rule: Requantize, factor: float, where: str) -> tuple[int, int]:
    """Return (multiplier, shift) of a positive real factor under a requantization rule.

    Raises:
        ScaleOutOfRange: the factor is not finite and positive, or too large for the rule.
    """
    if not (math.isfinite(factor) and factor > 0):
        raise ScaleOutOfRange(f"{where}: a scale of {factor} cannot be multiplied by")
    if rule is Requantize.F32EVEN:
        return _float32_scale(factor, where)
    return _q31_scale(factor, where)


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


def _q31_scale(factor: float, where: str) -> tuple[int, int]:
    """Return TFLite's Q31 multiplier (ties away from zero) and the shift, equation (11).

    Source: QuantizeMultiplier, tensorflow/lite/kernels/internal/quantization_util.cc.
    """
    fraction, exponent = math.frexp(factor)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, exponent = 1 << 30, exponent + 1
    shift = 31 - exponent
    if shift < LEAST_SHIFT:
        raise _too_large(factor, where)
    if shift > GREATEST_SHIFT:  # TFLite: an exponent below -31 multiplies by 0
        return 0, 31
    return multiplier, shift


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
