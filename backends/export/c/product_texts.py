"""The C texts of convolutions and matrix products."""

from __future__ import annotations

from string import Template

from intlower.backends.export.c.pieces import Piece

CHANNELS = Template("""\
/* how the sums of each output channel become codes; multipliers and shifts are one for each channel or (scale_step 0)
   one for all, minima and maxima alike (limit_step) */
typedef struct {
    const $bias *bias;
    const int32_t *multiplier;
    const uint8_t *shift;
    const $y *minimum;
    const $y *maximum;
    int32_t scale_step, limit_step;
} $channels;
""")
STORE = Template("""\
/* the code of a sum of products */
static $y $store(int64_t sum, const $channels *channels, int32_t o, int32_t zero_point)
{
    const int32_t multiplier = channels->multiplier[o * channels->scale_step];
    const int32_t shift = channels->shift[o * channels->scale_step];
    const int32_t limits = o * channels->limit_step;
    const int64_t code = $scaled + zero_point;
    return ($y)il_clamp(code, channels->minimum[limits], channels->maximum[limits]);
}
""")
SHAPE = Piece(
    name="il_product",
    text="""\
/* a convolution, or a matrix product as one of an image of one pixel; images are [height, width, channels], pads are
   of real zeros; `patch` is the number of codes that one output reads, in a whole number of vectors */
typedef struct {
    int32_t channels, height, width;
    int32_t outputs, output_height, output_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t groups;
    int32_t patch;
    int32_t input_zero_point, weight_zero_point, output_zero_point;
} il_product;
""",
)
PATCH = Template("""\
/* gathers what one output pixel reads of one group, without the zero point; padding and what fills the patch are 0 */
static void $patch(const $x *group, $code *restrict patch, const il_product *p, int32_t pixel)
{
    const int32_t top = pixel / p->output_width * p->stride_y - p->pad_top;
    const int32_t left = pixel % p->output_width * p->stride_x - p->pad_left;
    /* the taps of a row that lie side by side, none of them outside, are copied as one */
    const int32_t joined = p->groups == 1 && p->dilation_x == 1 && left >= 0 && left + p->kernel_width <= p->width;
    const int32_t taps = joined ? 1 : p->kernel_width;
    const int32_t depth = p->channels / p->groups * (joined ? p->kernel_width : 1);
    int32_t at = 0;
    int32_t u, v, c;
    for (u = 0; u < p->kernel_height; ++u) {
        const int32_t row = top + u * p->dilation_y;
        for (v = 0; v < taps; ++v) {
            const int32_t column = left + v * p->dilation_x;
            if (row >= 0 && row < p->height && column >= 0 && column < p->width) {
                const $x *codes = group + (row * p->width + column) * p->channels;
                for (c = 0; c < depth; ++c) {
                    patch[at + c] = ($code)(codes[c] - p->input_zero_point);
                }
            } else {
                for (c = 0; c < depth; ++c) {
                    patch[at + c] = 0;
                }
            }
            at += depth;
        }
    }
    for (; at < p->patch; ++at) {
        patch[at] = 0;
    }
}
""")
DOTS = Template("""\
/* the products of patches a and b with filters f and g: af, ag, bf, bg */
static void $dots(const $code *a, const $code *b, const $w *f, const $w *g, int32_t count, $total *totals)
{
    $total af = 0;
    $total ag = 0;
    $total bf = 0;
    $total bg = 0;
    int32_t c;
    for (c = 0; c < count; ++c) {
        af += ($total)a[c] * f[c];
        ag += ($total)a[c] * g[c];
        bf += ($total)b[c] * f[c];
        bg += ($total)b[c] * g[c];
    }
    totals[0] = af;
    totals[1] = ag;
    totals[2] = bf;
    totals[3] = bg;
}
""")
EXCESS = Template("""\
/* by how much products with weight codes exceed those with weights: the weights' zero point times the sum of a patch */
static int64_t $excess(const $code *patch, const il_product *p)
{
    int64_t sum = 0;
    int32_t c;
    if (p->weight_zero_point != 0) {
        for (c = 0; c < p->patch; ++c) {
            sum += patch[c];
        }
    }
    return sum * p->weight_zero_point;
}
""")
CONV2D = Template("""\
/* convolution; weights are [outputs, patch]; two output pixels and two filters at a time, where a last one without
   a neighbour is its own */
static void $name(const $x *x, $y *restrict y, const $w *weights, const $channels *channels,
    const il_product *p, $code *patch)
{
    const int32_t depth = p->channels / p->groups;
    const int32_t group_outputs = p->outputs / p->groups;
    const int32_t pixels = p->output_height * p->output_width;
    int32_t pixel, group, o;
    for (pixel = 0; pixel < pixels; pixel += 2) {
        const int32_t next = pixel + 1 < pixels ? pixel + 1 : pixel;
        $code *other = next == pixel ? patch : patch + p->patch;
        for (group = 0; group < p->groups; ++group) {
            const int32_t end = (group + 1) * group_outputs;
            int64_t excess, other_excess;
            $patch(x + group * depth, patch, p, pixel);
            if (other != patch) {
                $patch(x + group * depth, other, p, next);
            }
            excess = $excess(patch, p);
            other_excess = $excess(other, p);
            for (o = group * group_outputs; o < end; o += 2) {
                const int32_t last = o + 1 < end ? o + 1 : o;
                $y *codes = y + pixel * p->outputs;
                $y *other_codes = y + next * p->outputs;
                $total totals[4];
                $dots(patch, other, weights + o * p->patch, weights + last * p->patch, p->patch, totals);
                codes[o] = $store(totals[0] - excess, channels, o, p->output_zero_point);
                codes[last] = $store(totals[1] - excess, channels, last, p->output_zero_point);
                other_codes[o] = $store(totals[2] - other_excess, channels, o, p->output_zero_point);
                other_codes[last] = $store(totals[3] - other_excess, channels, last, p->output_zero_point);
            }
        }
    }
}
""")
DEPTHWISE = Template("""\
/* convolution of each channel by itself, 64 at a time; weights are [kernel_height, kernel_width, channels] */
static void $name(const $x *x, $y *restrict y, const $w *weights, const $channels *channels,
    const il_product *p)
{
    const int32_t input_zero_point = p->input_zero_point;
    const int32_t weight_zero_point = p->weight_zero_point;
    $total sums[64];
    int32_t i, j, u, v, c, first;
    for (i = 0; i < p->output_height; ++i) {
        const int32_t top = i * p->stride_y - p->pad_top;
        for (j = 0; j < p->output_width; ++j) {
            const int32_t left = j * p->stride_x - p->pad_left;
            for (first = 0; first < p->channels; first += 64) {
                const int32_t count = p->channels - first < 64 ? p->channels - first : 64;
                for (c = 0; c < count; ++c) {
                    sums[c] = 0;
                }
                for (u = 0; u < p->kernel_height; ++u) {
                    const int32_t row = top + u * p->dilation_y;
                    if (row < 0 || row >= p->height) {
                        continue;
                    }
                    for (v = 0; v < p->kernel_width; ++v) {
                        const int32_t column = left + v * p->dilation_x;
                        if (column >= 0 && column < p->width) {
                            const $x *codes = x + (row * p->width + column) * p->channels + first;
                            const $w *filter = weights + (u * p->kernel_width + v) * p->channels + first;
                            for (c = 0; c < count; ++c) {
                                sums[c] += ($total)($code)(codes[c] - input_zero_point)
                                         * ($weight)(filter[c] - weight_zero_point);
                            }
                        }
                    }
                }
                for (c = 0; c < count; ++c) {
                    *y++ = $store(sums[c], channels, first + c, p->output_zero_point);
                }
            }
        }
    }
}
""")
