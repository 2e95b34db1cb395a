"""Pooling in C."""

from __future__ import annotations

from string import Template

from intlower.backends.export.c.calls import call_scaled
from intlower.backends.export.c.elements import c_type, require_int32
from intlower.backends.export.c.literals import c_integer
from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.scaling import CLAMP
from intlower.backends.export.c.writer import ModelWriter, shift_codes
from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.program import Instruction

WINDOW = Piece(
    name="il_window",
    text="""\
/* windows over an image [height, width, channels] */
typedef struct {
    int32_t height, width, channels;
    int32_t output_height, output_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
} il_window;
""",
)
_MEAN = Piece(
    name="il_mean",
    text="""\
/* how the sum of a window becomes a code; one scale for each position, or (step 0) one for all */
typedef struct {
    const int32_t *multiplier;
    const uint8_t *shift;
    int32_t step;
    int32_t input_zero_point, output_zero_point;
    int32_t minimum, maximum;
} il_mean;
""",
)
# Channels are innermost: neighbours in memory, so that compilers compute several of them at once.
_AVERAGE_POOL = Template("""\
/* means over windows, 64 channels at a time: the exact sum, scaled once; padding is of real zeros */
static void $name(const $x *x, $y *restrict y, const il_window *p, const il_mean *mean)
{
    const int32_t zero_point = mean->input_zero_point;
    int32_t sums[64];
    int32_t i, j, u, v, c, first;
    int32_t position = 0;
    for (i = 0; i < p->output_height; ++i) {
        for (j = 0; j < p->output_width; ++j) {
            for (first = 0; first < p->channels; first += 64) {
                const int32_t count = p->channels - first < 64 ? p->channels - first : 64;
                for (c = 0; c < count; ++c) {
                    sums[c] = 0;
                }
                for (u = 0; u < p->kernel_height; ++u) {
                    const int32_t row = i * p->stride_y + u * p->dilation_y - p->pad_top;
                    if (row < 0 || row >= p->height) {
                        continue;
                    }
                    for (v = 0; v < p->kernel_width; ++v) {
                        const int32_t column = j * p->stride_x + v * p->dilation_x - p->pad_left;
                        if (column >= 0 && column < p->width) {
                            const $x *codes = x + (row * p->width + column) * p->channels + first;
                            for (c = 0; c < count; ++c) {
                                sums[c] += codes[c] - zero_point;
                            }
                        }
                    }
                }
                for (c = 0; c < count; ++c) {
                    const int64_t code = $scale(sums[c], mean->multiplier[position], mean->shift[position]);
                    *y++ = ($y)il_clamp(code + mean->output_zero_point, mean->minimum, mean->maximum);
                }
            }
            position += mean->step;
        }
    }
}
""")
_MAX_POOL = Template("""\
/* maxima over windows; padding never wins */
static void $name(const $x *x, $x *restrict y, const il_window *p)
{
    const int32_t channels = p->channels;
    int32_t i, j, c, u, v;
    for (i = 0; i < p->output_height; ++i) {
        for (j = 0; j < p->output_width; ++j) {
            for (c = 0; c < channels; ++c) {
                y[c] = $least;
            }
            for (u = 0; u < p->kernel_height; ++u) {
                const int32_t row = i * p->stride_y + u * p->dilation_y - p->pad_top;
                if (row < 0 || row >= p->height) {
                    continue;
                }
                for (v = 0; v < p->kernel_width; ++v) {
                    const int32_t column = j * p->stride_x + v * p->dilation_x - p->pad_left;
                    if (column >= 0 && column < p->width) {
                        const $x *codes = x + (row * p->width + column) * channels;
                        for (c = 0; c < channels; ++c) {
                            y[c] = codes[c] > y[c] ? codes[c] : y[c];
                        }
                    }
                }
            }
            y += channels;
        }
    }
}
""")
_MEAN_POOL = Template("""\
/* the mean code of each window, ties away from code 0; padding is neither summed nor counted */
static void $name(const $x *x, $x *y, const il_window *p, int32_t minimum, int32_t maximum)
{
    int32_t i, j, c, u, v;
    for (i = 0; i < p->output_height; ++i) {
        for (j = 0; j < p->output_width; ++j) {
            for (c = 0; c < p->channels; ++c) {
                int32_t sum = 0;
                int32_t count = 0;
                int32_t mean;
                for (u = 0; u < p->kernel_height; ++u) {
                    const int32_t row = i * p->stride_y + u - p->pad_top;
                    if (row < 0 || row >= p->height) {
                        continue;
                    }
                    for (v = 0; v < p->kernel_width; ++v) {
                        const int32_t column = j * p->stride_x + v - p->pad_left;
                        if (column >= 0 && column < p->width) {
                            sum += x[(row * p->width + column) * p->channels + c];
                            ++count;
                        }
                    }
                }
                mean = sum > 0 ? (sum + count / 2) / count : -((count / 2 - sum) / count);
                *y++ = ($x)il_clamp(mean, minimum, maximum);
            }
        }
    }
}
""")


def emit_mean_pool(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a mean of codes."""
    element, attributes = instruction.kernel.activation, instruction.attributes
    kernel = numbers(attributes["kernel_shape"])
    reach = max(abs(limit) for limit in element.limits)
    require_int32(instruction, kernel[0] * kernel[1] * (reach + 1))  # half the count on top
    name = f"il_mean_pool_{element.value}"
    window = write_window(writer, instruction, (1, 1))
    writer.call(
        Piece(
            name=name,
            text=_MEAN_POOL.substitute(name=name, x=c_type(element)),
            needs=(WINDOW, CLAMP),
        ),
        [
            writer.tensor(instruction.inputs[0]),
            writer.tensor(instruction.output),
            f"&{window}",
            number(attributes["minimum"]),
            number(attributes["maximum"]),
        ],
    )


def emit_average_pool(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a mean over windows."""
    key, attributes, constants = (
        instruction.kernel,
        instruction.attributes,
        instruction.constants,
    )
    zero_point = number(attributes["input_zero_point"])
    reach = max(abs(limit - zero_point) for limit in key.activation.limits)
    kernel = numbers(attributes["kernel_shape"])
    require_int32(instruction, kernel[0] * kernel[1] * reach)
    multiplier = constants["multiplier"].array
    window = write_window(writer, instruction, (1, 1))
    mean = writer.structure(
        "channels",
        _MEAN,
        instruction,
        {
            "multiplier": writer.array("multiplier", instruction, multiplier, "int32_t"),
            "shift": writer.array(
                "shift", instruction, shift_codes(constants["shift"].array), "uint8_t"
            ),
            "step": 0 if multiplier.shape == (1, 1) else 1,
            "input_zero_point": zero_point,
            "output_zero_point": number(attributes["output_zero_point"]),
            "minimum": number(attributes["minimum"]),
            "maximum": number(attributes["maximum"]),
        },
    )
    call_scaled(
        writer,
        instruction,
        "average_pool",
        _AVERAGE_POOL,
        (WINDOW, _MEAN),
        [f"&{window}", f"&{mean}"],
    )


def emit_max_pool(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a maximum over windows."""
    element = instruction.kernel.activation
    name = f"il_max_pool_{element.value}"
    text = _MAX_POOL.substitute(
        name=name, x=c_type(element), least=c_integer(element.limits[0])
    )
    dilations = numbers(instruction.attributes["dilations"])
    window = write_window(writer, instruction, (dilations[0], dilations[1]))
    writer.call(
        Piece(name=name, text=text, needs=(WINDOW,)),
        [
            writer.tensor(instruction.inputs[0]),
            writer.tensor(instruction.output),
            f"&{window}",
        ],
    )


def write_window(
    writer: ModelWriter, instruction: Instruction, dilations: tuple[int, int]
) -> str:
    """Define the structure of a pooling's windows; return its identifier."""
    channels, height, width = writer.image(instruction, instruction.inputs[0])
    _, output_height, output_width = writer.image(instruction, instruction.output)
    kernel, strides, pads = (
        numbers(instruction.attributes[key]) for key in ("kernel_shape", "strides", "pads")
    )
    return writer.structure(
        "shape",
        WINDOW,
        instruction,
        {
            "height": height,
            "width": width,
            "channels": channels,
            "output_height": output_height,
            "output_width": output_width,
            "kernel_height": kernel[0],
            "kernel_width": kernel[1],
            "stride_y": strides[0],
            "stride_x": strides[1],
            "dilation_y": dilations[0],
            "dilation_x": dilations[1],
            "pad_top": pads[0],
            "pad_left": pads[1],
        },
    )
