"""The equations of `kernels/numerics.py` in C: one function each, on int64_t, without undefined behaviour.

C99 leaves a right shift of a negative number to the compiler and a left shift of one undefined. So the first are
written with complements and the second as multiplications; compilers make one instruction of either.
"""

from __future__ import annotations

from dataclasses import dataclass

from intlower.backends.export.c.pieces import Piece
from intlower.kernels.signature import Requantize

_SHIFT_FLOOR = Piece(
    name="il_shift_floor",
    text="""\
/* equation (1): floor(x / 2**n); n in [0, 62] */
static int64_t il_shift_floor(int64_t x, int32_t n)
{
    return x >= 0 ? x >> n : ~(~x >> n);
}
""",
)
_SHIFT_HALF_UP = Piece(
    name="il_shift_half_up",
    text="""\
/* equation (2): x / 2**n to nearest, ties toward +infinity; n in [0, 62] */
static int64_t il_shift_half_up(int64_t x, int32_t n)
{
    return il_shift_floor(x + (((int64_t)1 << n) >> 1), n);
}
""",
    needs=(_SHIFT_FLOOR,),
)
_SHIFT_HALF_AWAY = Piece(
    name="il_shift_half_away",
    text="""\
/* equation (3): x / 2**n to nearest, ties away from zero; n in [0, 62] */
static int64_t il_shift_half_away(int64_t x, int32_t n)
{
    return il_shift_floor(x + (((int64_t)1 << n) >> 1) - (x < 0 && n > 0), n);
}
""",
    needs=(_SHIFT_FLOOR,),
)
_SHIFT_HALF_EVEN = Piece(
    name="il_shift_half_even",
    text="""\
/* equation (4): x / 2**n to nearest, ties to even; n in [0, 62] */
static int64_t il_shift_half_even(int64_t x, int32_t n)
{
    const int32_t even = (il_shift_floor(x, n) & 1) == 0 && n > 0;
    return il_shift_floor(x + (((int64_t)1 << n) >> 1) - even, n);
}
""",
    needs=(_SHIFT_FLOOR,),
)
CLAMP = Piece(
    name="il_clamp",
    text="""\
/* equation (5): x limited to [low, high] */
static int64_t il_clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}
""",
)
_ROUND_TO_FLOAT32 = Piece(
    name="il_round_to_float32",
    text="""\
/* equations (6) and (7): x rounded to 24 significant bits, ties to even; |x| < 2**55 */
static int64_t il_round_to_float32(int64_t x)
{
    const int64_t magnitude = x < 0 ? -x : x;
    int32_t excess = 0;
    int32_t step;
    if (magnitude < ((int64_t)1 << 24)) {
        return x;
    }
    for (step = 16; step > 0; step /= 2) {
        if (magnitude >> (excess + step + 23) > 0) {
            excess += step;
        }
    }
    return il_shift_half_even(x, excess) * ((int64_t)1 << excess);
}
""",
    needs=(_SHIFT_HALF_EVEN,),
)
_SCALE_FLOAT32 = Piece(
    name="il_scale_float32",
    text="""\
/* equation (8): half_even(float32(float32(accumulator) * mantissa / 2**shift)), in integers;
   accumulator int32, mantissa in [0, 2**24), shift in [1, 62] */
static int64_t il_scale_float32(int64_t accumulator, int64_t mantissa, int32_t shift)
{
    return il_shift_half_even(
        il_round_to_float32(il_round_to_float32(accumulator) * mantissa), shift);
}
""",
    needs=(_ROUND_TO_FLOAT32,),
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
_SUM_FLOAT32 = Piece(
    name="il_sum_float32",
    text="""\
/* equation (9): half_even(float32(float32(a * scale_a) + float32(b * scale_b))), in integers;
   |a|, |b| < 2**16, shifts in [1, 62] and at most 14 apart */
static int64_t il_sum_float32(int64_t a, int64_t b, const il_addends *p)
{
    const int32_t shift = p->shift_a > p->shift_b ? p->shift_a : p->shift_b;
    const int64_t aligned_a =
        il_round_to_float32(a * p->multiplier_a) * ((int64_t)1 << (shift - p->shift_a));
    const int64_t aligned_b =
        il_round_to_float32(b * p->multiplier_b) * ((int64_t)1 << (shift - p->shift_b));
    return il_shift_half_even(il_round_to_float32(aligned_a + aligned_b), shift);
}
""",
    needs=(_ADDENDS, _ROUND_TO_FLOAT32),
)
_SCALE_DOUBLE_ROUNDING = Piece(
    name="il_scale_double_rounding",
    text="""\
/* equations (10) and (11): accumulator * multiplier / 2**shift, rounded at bit 31, then to an integer;
   accumulator * 2**max(31 - shift, 0) int32, multiplier in [0, 2**31), shift in [1, 62] */
static int64_t il_scale_double_rounding(int64_t accumulator, int64_t multiplier, int32_t shift)
{
    const int32_t left = shift < 31 ? 31 - shift : 0;
    const int32_t right = shift > 31 ? shift - 31 : 0;
    const int64_t scaled = accumulator * ((int64_t)1 << left);
    return il_shift_half_away(il_shift_half_up(scaled * multiplier, 31), right);
}
""",
    needs=(_SHIFT_HALF_UP, _SHIFT_HALF_AWAY),
)
_SCALE_SINGLE_ROUNDING = Piece(
    name="il_scale_single_rounding",
    text="""\
/* equation (12): accumulator * multiplier / 2**shift, rounded once, ties toward +infinity;
   accumulator int32, multiplier in [0, 2**31), shift in [1, 62] */
static int64_t il_scale_single_rounding(int64_t accumulator, int64_t multiplier, int32_t shift)
{
    return il_shift_half_up(accumulator * multiplier, shift);
}
""",
    needs=(_SHIFT_HALF_UP,),
)
_SUM_DOUBLE_ROUNDING = Piece(
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
    needs=(_ADDENDS, _SCALE_DOUBLE_ROUNDING),
)
_SUM_SINGLE_ROUNDING = Piece(
    name="il_sum_single_rounding",
    text="""\
/* equation (17): each term by its multiplier and shift, then their sum by the last shift, ties toward +infinity;
   |a|, |b| < 2**17, multipliers in [0, 2**31), shifts in [0, 62] */
static int64_t il_sum_single_rounding(int64_t a, int64_t b, const il_addends *p)
{
    return il_shift_half_up(
        il_shift_half_up(a * p->multiplier_a, p->shift_a)
            + il_shift_half_up(b * p->multiplier_b, p->shift_b),
        p->shift);
}
""",
    needs=(_ADDENDS, _SHIFT_HALF_UP),
)
DIVIDE_HALF_UP = Piece(
    name="il_divide_half_up",
    text="""\
/* equation (14): numerator / denominator to nearest, ties up; numerator >= 0, denominator > 0 */
static int64_t il_divide_half_up(int64_t numerator, int64_t denominator)
{
    return (2 * numerator + denominator) / (2 * denominator);
}
""",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CRule:
    """A requantization in C.

    Attributes:
        scale: the function (accumulator, multiplier, shift) -> integer.
        total: the function (a, b, scales) -> integer of `add`.
    """

    scale: Piece
    total: Piece


# A rule that is not here has no C form: the emitter refuses it by name.
RULES: dict[Requantize, CRule] = {
    Requantize.F32EVEN: CRule(scale=_SCALE_FLOAT32, total=_SUM_FLOAT32),
    Requantize.MUL31DOUBLE: CRule(scale=_SCALE_DOUBLE_ROUNDING, total=_SUM_DOUBLE_ROUNDING),
    Requantize.MUL31SINGLE: CRule(scale=_SCALE_SINGLE_ROUNDING, total=_SUM_SINGLE_ROUNDING),
}
