"""The C texts of products of activations, normalizations, quotients, conversions and interpolated tables."""

from __future__ import annotations

from string import Template

from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.scaling import SHIFT_FLOOR, SHIFT_HALF_UP

BIT_LENGTH = Piece(
    name="il_bit_length",
    text="""\
/* equation (G1): the least n with x < 2**n; x in [0, 2**62) */
static int32_t il_bit_length(int64_t x)
{
    int32_t length = 0;
    int32_t step;
    for (step = 32; step > 0; step /= 2) {
        if (x >> (length + step - 1) > 0) {
            length += step;
        }
    }
    return length;
}
""",
)
ROUND_QUOTIENT = Piece(
    name="il_round_quotient",
    text="""\
/* equation (14): numerator / denominator to nearest, ties up; denominator > 0, both below 2**61 */
static int64_t il_round_quotient(int64_t numerator, int64_t denominator)
{
    const int64_t doubled = 2 * numerator + denominator;
    const int64_t whole = doubled / (2 * denominator);
    return doubled % (2 * denominator) < 0 ? whole - 1 : whole;
}
""",
)
_NORMALIZED = Piece(
    name="il_normalized",
    text="""\
/* equation (G2): floor(sqrt(x)) by Newton's iteration; x in [2**60, 2**62) */
static int64_t il_square_root(int64_t x)
{
    int64_t root = (int64_t)1 << 31;
    int32_t i;
    for (i = 0; i < 6; ++i) {
        root = (root + x / root) >> 1;
    }
    return root - (root * root > x);
}

/* equation (G3): a deviation over the root of a variance, which is in [1, 2**62), with 16 fraction bits */
static int64_t il_normalized(int64_t deviation, int64_t root, int32_t even)
{
    return il_round_quotient(deviation * ((int64_t)1 << (even + 16)), root);
}
""",
    needs=(BIT_LENGTH, ROUND_QUOTIENT),
)
INTERPOLATED = Piece(
    name="il_interpolated",
    text="""\
/* equations (G5) and (G7): between two entries of a table, to nearest, ties up; 0 <= fraction < 2**bits */
static int64_t il_interpolated(int64_t first, int64_t following, int64_t fraction, int32_t bits)
{
    return first + il_shift_half_up((following - first) * fraction, bits);
}
""",
    needs=(SHIFT_HALF_UP,),
)
QUOTIENT = Piece(
    name="il_quotient",
    text="""\
/* equation (G6): a * multiplier / (b * 2**shift) to nearest, ties up; over 0, beyond every code */
static int64_t il_quotient(int64_t a, int64_t b, int64_t multiplier, int32_t shift)
{
    const int64_t sign = b < 0 ? -1 : 1;
    if (b == 0) {
        return a == 0 ? 0 : a > 0 ? (int64_t)1 << 40 : -((int64_t)1 << 40);
    }
    return il_round_quotient(a * sign * multiplier, b * sign * ((int64_t)1 << shift));
}
""",
    needs=(ROUND_QUOTIENT,),
)

MATMUL_SHAPE = Piece(
    name="il_matrices",
    text="""\
/* a product of matrices a [rows, depth] and b [depth, columns], `batches` of them; steps are in codes */
typedef struct {
    int32_t batches, rows, depth, columns;
    int32_t a_batch, a_row, a_column;
    int32_t b_batch, b_row, b_column;
    int32_t y_batch, y_row, y_column;
    int32_t multiplier, shift;
    int32_t zero_point_a, zero_point_b, output_zero_point;
    int32_t minimum, maximum;
} il_matrices;
""",
)
MATMUL = Template("""\
/* the matrix product of two tensors: exact sums, scaled once */
static void $name(const $x *a, const $x *b, $y *restrict y, const il_matrices *p)
{
    int32_t batch, m, n, k;
    for (batch = 0; batch < p->batches; ++batch) {
        for (m = 0; m < p->rows; ++m) {
            for (n = 0; n < p->columns; ++n) {
                const $x *row = a + batch * p->a_batch + m * p->a_row;
                const $x *column = b + batch * p->b_batch + n * p->b_column;
                $total sum = 0;
                int64_t code;
                for (k = 0; k < p->depth; ++k) {
                    sum += ($total)(row[k * p->a_column] - p->zero_point_a)
                         * (column[k * p->b_row] - p->zero_point_b);
                }
                code = $scale(sum, p->multiplier, p->shift);
                y[batch * p->y_batch + m * p->y_row + n * p->y_column]
                    = ($y)il_clamp(code + p->output_zero_point, p->minimum, p->maximum);
            }
        }
    }
}
""")

NORMALIZE_SHAPE = Piece(
    name="il_normalization",
    text="""\
/* rows of `count` codes; multipliers and biases lie `row_step` and `column_step` apart */
typedef struct {
    const int32_t *multiplier;
    const int32_t *bias;
    int64_t epsilon;
    int32_t rows, count;
    int32_t row_step, column_step;
    int32_t middle, input_shift;
    int32_t bias_shift, shift;
    int32_t output_zero_point, minimum, maximum;
} il_normalization;
""",
    needs=(_NORMALIZED,),
)
NORMALIZE = Template("""\
/* each row less its mean, over its standard deviation, scaled and shifted: equations (G3) and (G4) */
static void $name(const $x *x, $y *restrict y, const il_normalization *p)
{
    const int64_t count = p->count;
    int32_t r, i;
    for (r = 0; r < p->rows; ++r) {
        int64_t total = 0;
        int64_t squares = 0;
        int64_t variance, root;
        int32_t even;
        for (i = 0; i < p->count; ++i) {
            const int64_t number = il_shift_floor(x[i] - p->middle, p->input_shift);
            total += number;
            squares += number * number;
        }
        variance = count * squares - total * total + p->epsilon;
        even = (62 - il_bit_length(variance)) / 2;
        root = il_square_root(variance * ((int64_t)1 << (2 * even)));
        for (i = 0; i < p->count; ++i) {
            const int64_t number = il_shift_floor(x[i] - p->middle, p->input_shift);
            const int64_t normal = il_normalized(count * number - total, root, even);
            const int32_t at = r * p->row_step + i * p->column_step;
            const int64_t code = il_shift_half_up(
                normal * p->multiplier[at] + p->bias[at] * ((int64_t)1 << p->bias_shift), p->shift);
            y[i] = ($y)il_clamp(code + p->output_zero_point, p->minimum, p->maximum);
        }
        x += p->count;
        y += p->count;
    }
}
""")
NORMALIZE_NEEDS = (SHIFT_FLOOR, SHIFT_HALF_UP)

LRN_SHAPE = Piece(
    name="il_response",
    text="""\
typedef struct {
    int32_t pixels, channels;
    int32_t size, sum_shift, shift;
    int32_t input_zero_point, output_zero_point;
    int32_t minimum, maximum;
} il_response;
""",
)
LRN = Template("""\
/* each number times a tabled function of the sum of squares over `size` neighbouring channels, equation (G5) */
static void $name(const $x *x, $y *restrict y, const int32_t *table, const il_response *p)
{
    const int32_t before = (p->size - 1) / 2;
    const int32_t after = p->size / 2;
    int32_t pixel, c, i;
    for (pixel = 0; pixel < p->pixels; ++pixel) {
        for (c = 0; c < p->channels; ++c) {
            const int32_t first = c - before > 0 ? c - before : 0;
            const int32_t last = c + after < p->channels ? c + after : p->channels - 1;
            const int64_t number = (int64_t)x[c] - p->input_zero_point;
            int64_t sum = 0;
            int64_t factor, code;
            int32_t length, place, index;
            for (i = first; i <= last; ++i) {
                sum += ((int64_t)x[i] - p->input_zero_point) * ((int64_t)x[i] - p->input_zero_point);
            }
            sum >>= p->sum_shift;
            length = il_bit_length(sum);
            place = length > 6 ? length - 6 : 0;
            index = 32 * place + (int32_t)(sum >> place);
            factor = il_interpolated(table[index], table[index + 1], sum & (((int64_t)1 << place) - 1), place);
            code = il_scale_single_rounding(number, factor, p->shift);
            y[c] = ($y)il_clamp(code + p->output_zero_point, p->minimum, p->maximum);
        }
        x += p->channels;
        y += p->channels;
    }
}
""")

DIVISION_SHAPE = Piece(
    name="il_division",
    text="""\
typedef struct {
    int32_t count;
    int32_t multiplier, shift;
    int32_t zero_point_a, zero_point_b, output_zero_point;
    int32_t minimum, maximum;
} il_division;
""",
)
DIVIDE = Template("""\
/* one tensor over another */
static void $name(const $x *a, const $x *b, $y *restrict y, const il_division *p)
{
    int32_t i;
    for (i = 0; i < p->count; ++i) {
        const int64_t code
            = il_quotient(a[i] - p->zero_point_a, b[i] - p->zero_point_b, p->multiplier, p->shift);
        y[i] = ($y)il_clamp(code + p->output_zero_point, p->minimum, p->maximum);
    }
}
""")
CONSTANT = Template("""\
/* the same codes for every sample */
static void $name(const $y *codes, $y *restrict y, int32_t count)
{
    memcpy(y, codes, (size_t)count * sizeof *y);
}
""")
CONVERT = Template("""\
/* codes on another grid, of any widths */
static void $name(const $x *x, $y *restrict y, const il_rescaling *p)
{
    int32_t i;
    for (i = 0; i < p->count; ++i) {
        const int64_t number = (int64_t)x[i] - p->input_zero_point;
        const int64_t code = il_scale_single_rounding(number, p->multiplier, p->shift);
        y[i] = ($y)il_clamp(code + p->output_zero_point, p->minimum, p->maximum);
    }
}
""")
LOOKUP_INTERPOLATED = Template("""\
/* a function of every code, linear between 513 of its values, equation (G7) */
static void $name(const $x *x, $y *restrict y, const int32_t *table, int32_t count)
{
    int32_t i;
    for (i = 0; i < count; ++i) {
        const int32_t place = (int32_t)x[i] - $least;
        const int32_t first = place / 128;
        y[i] = ($y)il_interpolated(table[first], table[first + 1], place % 128, 7);
    }
}
""")
