"""The equations of `kernels/numerics.py` in C: one function each, on int64_t, without undefined behaviour.

Single precision is emulated in integers: three roundings that depend on the length of a number. Most results do not
depend on the first two, and `il_settled` tells which.

C99 leaves a right shift of a negative number to the compiler and a left shift of one undefined. So the first are
written with complements and the second as multiplications; compilers make one instruction of either.
"""

from __future__ import annotations

from string import Template

from intlower.backends.export.c.pieces import Piece

SHIFT_FLOOR = Piece(
    name="il_shift_floor",
    text="""\
/* equation (1): floor(x / 2**n); n in [0, 62] */
static int64_t il_shift_floor(int64_t x, int32_t n)
{
    return x >= 0 ? x >> n : ~(~x >> n);
}
""",
)
SHIFT_HALF_UP = Piece(
    name="il_shift_half_up",
    text="""\
/* equation (2): x / 2**n to nearest, ties toward +infinity; n in [0, 62] */
static int64_t il_shift_half_up(int64_t x, int32_t n)
{
    return il_shift_floor(x + (((int64_t)1 << n) >> 1), n);
}
""",
    needs=(SHIFT_FLOOR,),
)
SHIFT_HALF_AWAY = Piece(
    name="il_shift_half_away",
    text="""\
/* equation (3): x / 2**n to nearest, ties away from zero; n in [0, 62] */
static int64_t il_shift_half_away(int64_t x, int32_t n)
{
    return il_shift_floor(x + (((int64_t)1 << n) >> 1) - (x < 0 && n > 0), n);
}
""",
    needs=(SHIFT_FLOOR,),
)
SHIFT_HALF_EVEN = Piece(
    name="il_shift_half_even",
    text="""\
/* equation (4): x / 2**n to nearest, ties to even; n in [0, 62] */
static int64_t il_shift_half_even(int64_t x, int32_t n)
{
    const int32_t even = (il_shift_floor(x, n) & 1) == 0 && n > 0;
    return il_shift_floor(x + (((int64_t)1 << n) >> 1) - even, n);
}
""",
    needs=(SHIFT_FLOOR,),
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
ROUND_TO_FLOAT32 = Piece(
    name="il_round_to_float32",
    text="""\
/* equations (6) and (7): x rounded to 24 significant bits, ties to even; |x| <= 2**56 */
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
    excess += magnitude >> (excess + 24) > 0;
    return il_shift_half_even(x, excess) * ((int64_t)1 << excess);
}
""",
    needs=(SHIFT_HALF_EVEN,),
)
SETTLED = Piece(
    name="il_settled",
    text="""\
/* whether x / 2**n lies further from a tie than error / 2**n, so that whatever lies within `error` of x
   becomes the same integer, equation (2)'s; n in [0, 62], |x| < 2**61 */
static int32_t il_settled(int64_t x, int64_t error, int32_t n)
{
    const int64_t unit = (int64_t)1 << n;
    const int64_t above_tie = (int64_t)((uint64_t)(x + (unit >> 1)) & (uint64_t)(unit - 1));
    return above_tie > error && unit - above_tie > error;
}
""",
)
SCALE_FLOAT32 = Piece(
    name="il_scale_float32",
    text="""\
/* equation (8): half_even(float32(float32(accumulator) * mantissa / 2**shift)), in integers;
   accumulator int32, mantissa in [0, 2**24), shift in [1, 62].
   A rounding to 24 bits moves a number by at most 2**-24 of it, both together by less than 2**-22 */
static int64_t il_scale_float32(int64_t accumulator, int64_t mantissa, int32_t shift)
{
    const int64_t product = accumulator * mantissa;
    const int64_t error = ((product < 0 ? -product : product) >> 22) + 1;
    if (il_settled(product, error, shift)) {
        return il_shift_half_up(product, shift);
    }
    return il_shift_half_even(
        il_round_to_float32(il_round_to_float32(accumulator) * mantissa), shift);
}
""",
    needs=(ROUND_TO_FLOAT32, SHIFT_HALF_UP, SETTLED),
)
SCALE_FLOAT32_BIASED = Piece(
    name="il_scale_float32_biased",
    text="""\
/* equation (15): half_even(float32(float32(float32(accumulator) + bias) * mantissa / 2**shift)), in integers;
   accumulator and bias int32, their sum too, mantissa in [0, 2**24), shift in [1, 62].
   The three roundings to 24 bits move the product by less than 2**-22 of (|accumulator| + |bias|) * mantissa */
static int64_t il_scale_float32_biased(int64_t accumulator, int64_t bias, int64_t mantissa, int32_t shift)
{
    const int64_t product = (accumulator + bias) * mantissa;
    const int64_t magnitude = (accumulator < 0 ? -accumulator : accumulator) + (bias < 0 ? -bias : bias);
    if (il_settled(product, ((magnitude * mantissa) >> 22) + 1, shift)) {
        return il_shift_half_up(product, shift);
    }
    return il_shift_half_even(
        il_round_to_float32(
            il_round_to_float32(il_round_to_float32(accumulator) + bias) * mantissa), shift);
}
""",
    needs=(ROUND_TO_FLOAT32, SHIFT_HALF_UP, SETTLED),
)
SCALE_DOUBLE_ROUNDING = Piece(
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
    needs=(SHIFT_HALF_UP, SHIFT_HALF_AWAY),
)
SCALE_SINGLE_ROUNDING = Piece(
    name="il_scale_single_rounding",
    text="""\
/* equation (12): accumulator * multiplier / 2**shift, rounded once, ties toward +infinity;
   |accumulator| * multiplier < 2**62, multiplier in [0, 2**31), shift in [1, 62] */
static int64_t il_scale_single_rounding(int64_t accumulator, int64_t multiplier, int32_t shift)
{
    return il_shift_half_up(accumulator * multiplier, shift);
}
""",
    needs=(SHIFT_HALF_UP,),
)
_SCALE_POWER = Template("""\
/* equation (16): accumulator * power / 2**shift, ties $ties;
   |accumulator| * power < 2**62, shift in [0, 62] */
static int64_t il_scale_power_$rounding(int64_t accumulator, int64_t power, int32_t shift)
{
    return il_shift_$rounding(accumulator * power, shift);
}
""")


def _scale_power(shift: Piece, ties: str) -> Piece:
    rounding = shift.name.removeprefix("il_shift_")
    return Piece(
        name=f"il_scale_power_{rounding}",
        text=_SCALE_POWER.substitute(rounding=rounding, ties=ties),
        needs=(shift,),
    )


SCALE_POWER_UP = _scale_power(SHIFT_HALF_UP, "toward +infinity")
SCALE_POWER_AWAY = _scale_power(SHIFT_HALF_AWAY, "away from zero")
SCALE_POWER_EVEN = _scale_power(SHIFT_HALF_EVEN, "to even")
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
