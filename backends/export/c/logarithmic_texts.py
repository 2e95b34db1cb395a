"""The C texts of logarithmic arithmetic, equations (L1) to (L9) of `kernels/numerics_log.py`."""

from __future__ import annotations

from string import Template

from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.scaling import CLAMP, SHIFT_FLOOR, SHIFT_HALF_UP

LOG_WINDOW = Piece(
    name="il_log_window",
    text="""\
/* a convolution of logarithmic codes, or a matrix product as one of an image of one pixel; images are
   [height, width, channels], pads are of exact zeros */
typedef struct {
    int32_t channels, height, width;
    int32_t outputs, output_height, output_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t groups;
} il_log_window;
""",
)
LOG_SCALE = Piece(
    name="il_log_scale",
    text="""\
/* how products and sums of logarithmic codes are formed; limits are one for each output channel or (limit_step 0)
   one for all */
typedef struct {
    const int64_t *bias;
    const uint16_t *mantissas;
    const int32_t *minimum;
    const int32_t *maximum;
    int32_t limit_step;
    int32_t step_bits, magnitude_bits, product_shift;
    int32_t mantissa, shift;
} il_log_scale;
""",
)
LOG_PRODUCT = Piece(
    name="il_log_product",
    text="""\
/* equation (L3): the product of two codes; magnitudes add, signs multiply, a sole sign bit is zero */
static int64_t il_log_product(int32_t a, int32_t w, const il_log_scale *p)
{
    const int32_t sign = 1 << p->magnitude_bits;
    const int32_t magnitudes = (a & (sign - 1)) + (w & (sign - 1));
    const int32_t octave = (magnitudes >> p->step_bits) - p->product_shift;
    const int64_t mantissa = p->mantissas[magnitudes & ((1 << p->step_bits) - 1)];
    const int64_t product = octave >= 0 ? mantissa << octave : mantissa >> -octave;
    if ((a & (2 * sign - 1)) == sign || (w & (2 * sign - 1)) == sign) {
        return 0;
    }
    return ((a ^ w) & sign) != 0 ? -product : product;
}
""",
    needs=(LOG_SCALE,),
)
READ_OUT = Piece(
    name="il_read_out",
    text="""\
/* equation (L4): half_up(accumulator * mantissa / 2**shift), saturated to int32;
   |accumulator| < 2**62, mantissa in [2**13, 2**15), shift in [-18, 79] */
static int64_t il_read_out(int64_t accumulator, int64_t mantissa, int32_t shift)
{
    int64_t linear;
    if (shift > 16) {
        /* floor(accumulator * mantissa / 2**16) in 64 bits, by the accumulator's high and low bits */
        const int64_t high = il_shift_floor(accumulator, 16);
        const int64_t low = accumulator - high * 65536;
        const int64_t product = high * mantissa + ((low * mantissa) >> 16);
        linear = il_shift_floor(il_shift_floor(product, shift - 17) + 1, 1);
    } else {
        /* a greater sum saturates, and so does this limit */
        const int64_t limit = (int64_t)1 << (shift + 18);
        const int64_t product = il_clamp(accumulator, -limit, limit) * mantissa;
        linear = shift < 0 ? product * ((int64_t)1 << -shift) : il_shift_half_up(product, shift);
    }
    return il_clamp(linear, INT32_MIN, INT32_MAX);
}
""",
    needs=(SHIFT_FLOOR, SHIFT_HALF_UP, CLAMP),
)
LOG_CONV2D = Template("""\
/* convolution of logarithmic codes, as linear numbers; weights are [outputs, kernel_height, kernel_width,
   channels / groups] */
static void $name(const $x *x, int32_t *restrict y, const $x *weights, const il_log_scale *scale,
    const il_log_window *p)
{
    const int32_t depth = p->channels / p->groups;
    const int32_t group_outputs = p->outputs / p->groups;
    int32_t i, j, o, u, v, c;
    for (i = 0; i < p->output_height; ++i) {
        for (j = 0; j < p->output_width; ++j) {
            const $x *filter = weights;
            for (o = 0; o < p->outputs; ++o) {
                const $x *group = x + o / group_outputs * depth;
                const int32_t limits = o * scale->limit_step;
                int64_t sum = scale->bias[o];
                for (u = 0; u < p->kernel_height; ++u) {
                    const int32_t row = i * p->stride_y + u * p->dilation_y - p->pad_top;
                    for (v = 0; v < p->kernel_width; ++v) {
                        const int32_t column = j * p->stride_x + v * p->dilation_x - p->pad_left;
                        if (row >= 0 && row < p->height && column >= 0 && column < p->width) {
                            const $x *pixel = group + (row * p->width + column) * p->channels;
                            for (c = 0; c < depth; ++c) {
                                sum += il_log_product(pixel[c], filter[c], scale);
                            }
                        }
                        filter += depth;
                    }
                }
                *y++ = (int32_t)il_clamp(il_read_out(sum, scale->mantissa, scale->shift), scale->minimum[limits],
                    scale->maximum[limits]);
            }
        }
    }
}
""")
LOG_ENCODE = Template("""\
/* equation (L6): logarithmic codes of linear numbers, by the thresholds of the magnitudes' codes */
static void $name(const int32_t *x, $y *restrict y, int32_t count, const int32_t *thresholds, int32_t magnitudes,
    int32_t negative_threshold)
{
    int32_t i;
    for (i = 0; i < count; ++i) {
        const int64_t magnitude = x[i] < 0 ? -(int64_t)x[i] : x[i];
        int32_t k = 0;
        int32_t step;
        for (step = magnitudes / 2; step > 0; step /= 2) {
            if (magnitude >= thresholds[k + step]) {
                k += step;
            }
        }
        if (x[i] >= 0) {
            y[i] = ($y)(magnitude >= thresholds[0] ? k : magnitudes);
        } else {
            y[i] = ($y)(magnitude >= negative_threshold ? magnitudes + (k > 1 ? k : 1) : magnitudes);
        }
    }
}
""")
LOG_DECODE = Template("""\
/* equation (L7): the linear number of each code, by a table of all of them */
static void $name(const $x *x, int32_t *restrict y, int32_t count, const int32_t *levels, int32_t codes)
{
    int32_t i;
    for (i = 0; i < count; ++i) {
        y[i] = levels[x[i] & (codes - 1)];
    }
}
""")
LINEAR_ADD = Piece(
    name="il_linear_add",
    text="""\
/* equation (L8): the saturated sum of linear numbers, clamped */
static void il_linear_add(const int32_t *a, const int32_t *b, int32_t *restrict y, int32_t count, int32_t minimum,
    int32_t maximum)
{
    int32_t i;
    for (i = 0; i < count; ++i) {
        y[i] = (int32_t)il_clamp((int64_t)a[i] + b[i], minimum, maximum);
    }
}
""",
    needs=(CLAMP,),
)
LINEAR_CLAMP = Piece(
    name="il_linear_clamp",
    text="""\
/* linear numbers, clamped */
static void il_linear_clamp(const int32_t *x, int32_t *restrict y, int32_t count, int32_t minimum, int32_t maximum)
{
    int32_t i;
    for (i = 0; i < count; ++i) {
        y[i] = (int32_t)il_clamp(x[i], minimum, maximum);
    }
}
""",
    needs=(CLAMP,),
)
LINEAR_AVERAGE_POOL = """\
/* means over windows of linear numbers, ties away from zero, equation (L9); padding is of zeros; one count for each
   position, or (step 0) one for all */
static void il_linear_average_pool(const int32_t *x, int32_t *restrict y, const il_window *p, const int32_t *counts,
    int32_t step, int32_t minimum, int32_t maximum)
{
    int32_t i, j, c, u, v;
    for (i = 0; i < p->output_height; ++i) {
        for (j = 0; j < p->output_width; ++j) {
            for (c = 0; c < p->channels; ++c) {
                int64_t sum = 0;
                int64_t mean;
                for (u = 0; u < p->kernel_height; ++u) {
                    const int32_t row = i * p->stride_y + u * p->dilation_y - p->pad_top;
                    for (v = 0; v < p->kernel_width; ++v) {
                        const int32_t column = j * p->stride_x + v * p->dilation_x - p->pad_left;
                        if (row >= 0 && row < p->height && column >= 0 && column < p->width) {
                            sum += x[(row * p->width + column) * p->channels + c];
                        }
                    }
                }
                mean = il_divide_half_up(sum < 0 ? -sum : sum, *counts);
                *y++ = (int32_t)il_clamp(sum < 0 ? -mean : mean, minimum, maximum);
            }
            counts += step;
        }
    }
}
"""
