"""The equations of `kernels/numerics_sums.py` in C, which add two scaled integers."""

from __future__ import annotations

from string import Template

from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.scaling import (
    ROUND_TO_FLOAT32,
    SCALE_DOUBLE_ROUNDING,
    SETTLED,
    SHIFT_HALF_AWAY,
    SHIFT_HALF_EVEN,
    SHIFT_HALF_UP,
)

_ADDENDS = Piece(
    name="il_addends",
    text="""\
/* the scales of a sum: of both terms and, where the rule has one, of the total */
typedef struct {
    int32_t multiplier_a, shift_a;
    int32_t multiplier_b, shift_b;
    int32_t multiplier, shift;
    int32_t left_shift;
} il_addends;
""",
)
SUM_FLOAT32 = Piece(
    name="il_sum_float32",
    text="""\
/* equation (9): half_even(float32(float32(a * scale_a) + float32(b * scale_b))), in integers;
   |a|, |b| < 2**16, shifts in [1, 62] and at most 14 apart.
   The roundings to 24 bits move the sum by less than 2**-22 of its terms' magnitudes */
static int64_t il_sum_float32(int64_t a, int64_t b, const il_addends *p)
{
    const int32_t shift = p->shift_a > p->shift_b ? p->shift_a : p->shift_b;
    const int64_t unit_a = (int64_t)1 << (shift - p->shift_a);
    const int64_t unit_b = (int64_t)1 << (shift - p->shift_b);
    const int64_t exact_a = a * p->multiplier_a * unit_a;
    const int64_t exact_b = b * p->multiplier_b * unit_b;
    const int64_t magnitude = (exact_a < 0 ? -exact_a : exact_a) + (exact_b < 0 ? -exact_b : exact_b);
    if (il_settled(exact_a + exact_b, (magnitude >> 22) + 1, shift)) {
        return il_shift_half_up(exact_a + exact_b, shift);
    }
    return il_shift_half_even(
        il_round_to_float32(
            il_round_to_float32(a * p->multiplier_a) * unit_a
            + il_round_to_float32(b * p->multiplier_b) * unit_b),
        shift);
}
""",
    needs=(_ADDENDS, ROUND_TO_FLOAT32, SHIFT_HALF_UP, SETTLED),
)
SUM_DOUBLE_ROUNDING = Piece(
    name="il_sum_double_rounding",
    text="""\
/* equation (13): scale(scale(a * 2**left_shift, M_a) + scale(b * 2**left_shift, M_b), M), with equation (11);
   |a| * 2**left_shift and |b| * 2**left_shift < 2**30, shifts in [31, 62] */
static int64_t il_sum_double_rounding(int64_t a, int64_t b, const il_addends *p)
{
    const int64_t unit = (int64_t)1 << p->left_shift;
    return il_scale_double_rounding(
        il_scale_double_rounding(a * unit, p->multiplier_a, p->shift_a)
            + il_scale_double_rounding(b * unit, p->multiplier_b, p->shift_b),
        p->multiplier, p->shift);
}
""",
    needs=(_ADDENDS, SCALE_DOUBLE_ROUNDING),
)
SUM_SINGLE_ROUNDING = Piece(
    name="il_sum_single_rounding",
    text="""\
/* equation (17): both terms scaled to `shift` fraction bits, their sum rounded to an integer, ties toward +infinity;
   |a|, |b| < 2**17, multipliers in [0, 2**31), shifts in [0, 62] */
static int64_t il_sum_single_rounding(int64_t a, int64_t b, const il_addends *p)
{
    return il_shift_half_up(
        il_shift_half_up(a * p->multiplier_a, p->shift_a) + il_shift_half_up(b * p->multiplier_b, p->shift_b),
        p->shift);
}
""",
    needs=(_ADDENDS, SHIFT_HALF_UP),
)
_SUM_POWER = Template("""\
/* equation (18): (a * power_a + b * power_b) / 2**shift, rounded as equation $equation;
   |a * power_a|, |b * power_b| < 2**61, shift in [0, 62] */
static int64_t il_sum_power_$rounding(int64_t a, int64_t b, const il_addends *p)
{
    return il_shift_$rounding(a * p->multiplier_a + b * p->multiplier_b, p->shift);
}
""")


def _sum_power(shift: Piece, equation: str) -> Piece:
    rounding = shift.name.removeprefix("il_shift_")
    return Piece(
        name=f"il_sum_power_{rounding}",
        text=_SUM_POWER.substitute(rounding=rounding, equation=equation),
        needs=(_ADDENDS, shift),
    )


SUM_POWER_UP = _sum_power(SHIFT_HALF_UP, "(2)")
SUM_POWER_AWAY = _sum_power(SHIFT_HALF_AWAY, "(3)")
SUM_POWER_EVEN = _sum_power(SHIFT_HALF_EVEN, "(4)")
