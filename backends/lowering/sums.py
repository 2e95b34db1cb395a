"""The integers of a residual sum: how two scales and that of the sum become multipliers and shifts."""

from __future__ import annotations

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.scales import align_float32_scales, integer_scale
from intlower.compiler.errors import ScaleOutOfRange
from intlower.kernels.signature import Requantize

# Fraction bits kept in a sum of 8-bit codes, equation (13); TFLite's choice for int8. Wider codes keep fewer.
SUM_LEFT_SHIFT = 20

# Codes less zero points, shifted left, stay below 2**30, equation (13).
SUM_BITS = 29

SumScales = tuple[tuple[int, ...], tuple[int, ...], int]


def sum_scales(builder: ProgramBuilder, a: float, b: float, y: float, where: str) -> SumScales:
    """Return (multipliers, shifts, left shift) of a sum under the target's rule.

    Args:
        builder: of the target.
        a: scale of the first summand.
        b: scale of the second.
        y: scale of the sum.
        where: for messages.

    Raises:
        ScaleOutOfRange: the target's arithmetic does not hold the ratio of the scales.
    """
    rule = builder.rule("add")
    if rule.single_precision:
        return _single_precision(builder, a, b, y, where)
    if rule.power_of_two:
        finest = min(a, b, y)
        _, shift = integer_scale(rule, finest / y, where)
        powers = tuple(integer_scale(rule, scale / finest, where)[0] for scale in (a, b))
        return powers, (shift,), 0
    if rule is Requantize.MUL31SINGLE:
        return _single_rounding(builder, a, b, y, where)
    return _double_rounding(builder, a, b, y, where)


def _single_precision(
    builder: ProgramBuilder, a: float, b: float, y: float, where: str
) -> SumScales:
    """Return the two float32 factors of equation (9)."""
    scales = align_float32_scales(
        (builder.scale("add", (a,), y, where), builder.scale("add", (b,), y, where))
    )
    return tuple(m for m, _ in scales), tuple(s for _, s in scales), 0


def _single_rounding(
    builder: ProgramBuilder, a: float, b: float, y: float, where: str
) -> SumScales:
    """Return the factors of equation (17): one fraction bit less than the coarser of the two has is kept."""
    scales = [builder.scale("add", (scale,), y, where) for scale in (a, b)]
    kept = min(shift for _, shift in scales) - 1
    shifts = (*(shift - kept for _, shift in scales), kept)
    return tuple(m for m, _ in scales), shifts, 0


def _double_rounding(
    builder: ProgramBuilder, a: float, b: float, y: float, where: str
) -> SumScales:
    """Return the factors of equation (13)."""
    twice = 2 * max(a, b)
    left_shift = builder.spec.multipliers.sum_fraction
    if left_shift is None:
        left_shift = min(SUM_LEFT_SHIFT, SUM_BITS - builder.spec.activations.bits)
    scales = (
        builder.scale("add", (a,), twice, where),
        builder.scale("add", (b,), twice, where),
        builder.scale("add", (twice,), y * (1 << left_shift), where),
    )
    if scales[2][1] < 31:
        raise ScaleOutOfRange(
            f"{where}: the sum's scale is too small for its summands, in fixed point with "
            f"{left_shift} fraction bits",
            "the output's range is far below what the inputs can produce; check the calibration",
        )
    return tuple(m for m, _ in scales), tuple(s for _, s in scales), left_shift
