"""Pooling in C."""

from __future__ import annotations

from string import Template

from intlower.backends.export.c.elements import c_type, require_int32, rule_of
from intlower.backends.export.c.literals import c_integer
from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.rules import CLAMP
from intlower.backends.export.c.writer import ModelWriter, shift_codes
from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.program import Instruction

_WINDOW = Piece(
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
_AVERAGE_POOL = Template("""\
/* means over windows: the exact sum, scaled once; padding is of real zeros */
static void $name(const $x *x, $y *y, const il_window *p, const il_mean *mean)
{
    int32_t i, j, c, u, v;
    int32_t position = 0;
    for (i = 0; i < p->output_height; ++i) {
        for (j = 0; j < p->output_width; ++j) {
            for (c = 0; c < p->channels; ++c) {
                int32_t sum = 0;
                int64_t code;
                for (u = 0; u < p->kernel_height; ++u) {
                    const int32_t row = i * p->stride_y + u * p->dilation_y - p->pad_top;
                    if (row < 0 || row >= p->height) {
                        continue;
                    }
                    for (v = 0; v < p->kernel_width; ++v) {
                        const int32_t column = j * p->stride_x + v * p->dilation_x - p->pad_left;
                        if (column >= 0 && column < p->width) {
                            sum += x[(row * p->width + column) * p->channels + c]
                                 - mean->input_zero_point;
                        }
                    }
                }
                code = $scale(sum, mean->multiplier[position], mean->shift[position]);
                *y++ = ($y)il_clamp(code + mean->output_zero_point, mean->minimum, mean->maximum);
            }
            position += mean->step;
        }
    }
}
""")
_MAX_POOL = Template("""\
/* maxima over windows; padding never wins */
static void $name(const $x *x, $x *y, const il_window *p)
{
    int32_t i, j, c, u, v;
    for (i = 0; i < p->output_height; ++i) {
        for (j = 0; j < p->output_width; ++j) {
            for (c = 0; c < p->channels; ++c) {
                $x greatest = $least;
                for (u = 0; u < p->kernel_height; ++u) {
                    const int32_t row = i * p->stride_y + u * p->dilation_y - p->pad_top;
                    if (row < 0 || row >= p->height) {
                        continue;
                    }
                    for (v = 0; v < p->kernel_width; ++v) {
                        const int32_t column = j * p->stride_x + v * p->dilation_x - p->pad_left;
                        if (column >= 0 && column < p->width) {
                            const $x code = x[(row * p->width + column) * p->channels + c];
                            greatest = code > greatest ? code : greatest;
                        }
                    }
                }
                *y++ = greatest;
            }
        }
    }
}
""")


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
    rule = rule_of(instruction)
    suffix = rule.scale.name.removeprefix("il_scale_")
    name = f"il_average_pool_{key.activation.value}_{key.output.value}_{suffix}"
    text = _AVERAGE_POOL.substitute(
        name=name, x=c_type(key.activation), y=c_type(key.output), scale=rule.scale.name
    )
    multiplier = constants["multiplier"].array
    window = _window(writer, instruction, (1, 1))
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
    writer.call(
        Piece(name=name, text=text, needs=(_WINDOW, _MEAN, rule.scale, CLAMP)),
        [
            writer.tensor(instruction.inputs[0]),
            writer.tensor(instruction.output),
            f"&{window}",
            f"&{mean}",
        ],
    )


def emit_max_pool(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a maximum over windows."""
    element = instruction.kernel.activation
    name = f"il_max_pool_{element.value}"
    text = _MAX_POOL.substitute(
        name=name, x=c_type(element), least=c_integer(element.limits[0])
    )
    dilations = numbers(instruction.attributes["dilations"])
    window = _window(writer, instruction, (dilations[0], dilations[1]))
    writer.call(
        Piece(name=name, text=text, needs=(_WINDOW,)),
        [
            writer.tensor(instruction.inputs[0]),
            writer.tensor(instruction.output),
            f"&{window}",
        ],
    )


def _window(writer: ModelWriter, instruction: Instruction, dilations: tuple[int, int]) -> str:
    channels, height, width = writer.image(instruction, instruction.inputs[0])
    _, output_height, output_width = writer.image(instruction, instruction.output)
    kernel, strides, pads = (
        numbers(instruction.attributes[key]) for key in ("kernel_shape", "strides", "pads")
    )
    return writer.structure(
        "shape",
        _WINDOW,
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
