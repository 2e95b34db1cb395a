"""Convolutions and matrix products in C: images [height, width, channels], int32_t sums that are proved to fit."""

from __future__ import annotations

from string import Template

import numpy as np

from intlower.backends.export.c.elements import c_type, no_c_form, require_int32, rule_of
from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.rules import CLAMP
from intlower.backends.export.c.writer import ModelWriter, shift_codes
from intlower.compiler.accumulation import product_bounds
from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.program import Instruction

_CHANNELS = Template("""\
/* how the sums of each output channel become codes */
typedef struct {
    const int32_t *bias;
    const int32_t *multiplier;
    const uint8_t *shift;
    const $y *minimum;
    const $y *maximum;
} il_channels_$output;
""")
_STORE = Template("""\
/* the code of a sum */
static $y il_store_${output}_$rule(int32_t sum, const il_channels_$output *channels, int32_t o,
                             int32_t zero_point)
{
    const int64_t code = $scale(sum, channels->multiplier[o], channels->shift[o]) + zero_point;
    return ($y)il_clamp(code, channels->minimum[o], channels->maximum[o]);
}
""")
_CONV2D_SHAPE = Piece(
    name="il_conv2d_shape",
    text="""\
/* images are [height, width, channels]; pads are of real zeros */
typedef struct {
    int32_t height, width, channels;
    int32_t output_height, output_width, outputs;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t groups;
    int32_t input_zero_point, weight_zero_point, output_zero_point;
} il_conv2d_shape;
""",
)
_CONV2D = Template("""\
/* convolution; weights are [outputs, kernel_height, kernel_width, channels / groups] */
static void $name(const $x *x, $y *y, const $w *weights, const il_channels_$output *channels,
    const il_conv2d_shape *p)
{
    const int32_t depth = p->channels / p->groups;
    const int32_t group_outputs = p->outputs / p->groups;
    int32_t i, j, o, u, v, c;
    for (i = 0; i < p->output_height; ++i) {
        for (j = 0; j < p->output_width; ++j) {
            const $w *filter = weights;
            for (o = 0; o < p->outputs; ++o) {
                const $x *group = x + o / group_outputs * depth;
                int32_t sum = channels->bias[o];
                for (u = 0; u < p->kernel_height; ++u) {
                    const int32_t row = i * p->stride_y + u * p->dilation_y - p->pad_top;
                    if (row < 0 || row >= p->height) {
                        filter += p->kernel_width * depth;
                        continue;
                    }
                    for (v = 0; v < p->kernel_width; ++v) {
                        const int32_t column = j * p->stride_x + v * p->dilation_x - p->pad_left;
                        if (column >= 0 && column < p->width) {
                            const $x *pixel = group + (row * p->width + column) * p->channels;
                            for (c = 0; c < depth; ++c) {
                                sum += (pixel[c] - p->input_zero_point)
                                     * (filter[c] - p->weight_zero_point);
                            }
                        }
                        filter += depth;
                    }
                }
                *y++ = $store(sum, channels, o, p->output_zero_point);
            }
        }
    }
}
""")
_DEPTHWISE = Template("""\
/* convolution of each channel by itself; weights are [kernel_height, kernel_width, outputs] */
static void $name(const $x *x, $y *y, const $w *weights, const il_channels_$output *channels,
    const il_conv2d_shape *p)
{
    const int32_t group_outputs = p->outputs / p->channels;
    int32_t i, j, o, u, v;
    for (i = 0; i < p->output_height; ++i) {
        const int32_t top = i * p->stride_y - p->pad_top;
        for (j = 0; j < p->output_width; ++j) {
            const int32_t left = j * p->stride_x - p->pad_left;
            for (o = 0; o < p->outputs; ++o) {
                const $x *channel = x + o / group_outputs;
                const $w *filter = weights + o;
                int32_t sum = channels->bias[o];
                for (u = 0; u < p->kernel_height; ++u) {
                    const int32_t row = top + u * p->dilation_y;
                    if (row < 0 || row >= p->height) {
                        filter += p->kernel_width * p->outputs;
                        continue;
                    }
                    for (v = 0; v < p->kernel_width; ++v) {
                        const int32_t column = left + v * p->dilation_x;
                        if (column >= 0 && column < p->width) {
                            sum += (channel[(row * p->width + column) * p->channels]
                                    - p->input_zero_point)
                                 * (*filter - p->weight_zero_point);
                        }
                        filter += p->outputs;
                    }
                }
                *y++ = $store(sum, channels, o, p->output_zero_point);
            }
        }
    }
}
""")
_GEMM_SHAPE = Piece(
    name="il_gemm_shape",
    text="""\
typedef struct {
    int32_t inputs, outputs;
    int32_t input_zero_point, weight_zero_point, output_zero_point;
} il_gemm_shape;
""",
)
_GEMM = Template("""\
/* product of a matrix and a vector; weights are [outputs, inputs] */
static void $name(const $x *x, $y *y, const $w *weights, const il_channels_$output *channels,
    const il_gemm_shape *p)
{
    int32_t o, c;
    for (o = 0; o < p->outputs; ++o) {
        int32_t sum = channels->bias[o];
        for (c = 0; c < p->inputs; ++c) {
            sum += (x[c] - p->input_zero_point) * (*weights++ - p->weight_zero_point);
        }
        y[o] = $store(sum, channels, o, p->output_zero_point);
    }
}
""")


def emit_conv2d(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a convolution; one whose groups are single channels has a loop of its own."""
    channels, height, width = writer.image(instruction, instruction.inputs[0])
    outputs, output_height, output_width = writer.image(instruction, instruction.output)
    weights = instruction.constants["weights"].array
    attributes = instruction.attributes
    strides, dilations, pads = (
        numbers(attributes[key]) for key in ("strides", "dilations", "pads")
    )
    groups = number(attributes["groups"])
    depthwise = groups == channels and weights.shape[1] == 1
    laid = weights[:, 0].transpose(1, 2, 0) if depthwise else weights.transpose(0, 2, 3, 1)
    shape = writer.structure(
        "shape",
        _CONV2D_SHAPE,
        instruction,
        {
            "height": height,
            "width": width,
            "channels": channels,
            "output_height": output_height,
            "output_width": output_width,
            "outputs": outputs,
            "kernel_height": weights.shape[2],
            "kernel_width": weights.shape[3],
            "stride_y": strides[0],
            "stride_x": strides[1],
            "dilation_y": dilations[0],
            "dilation_x": dilations[1],
            "pad_top": pads[0],
            "pad_left": pads[1],
            "groups": groups,
            **_zero_points(instruction),
        },
    )
    template, name = (_DEPTHWISE, "depthwise") if depthwise else (_CONV2D, "conv2d")
    _emit(writer, instruction, template, name, _CONV2D_SHAPE, laid, shape)


def emit_gemm(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a matrix product."""
    weights = instruction.constants["weights"].array
    shape = writer.structure(
        "shape",
        _GEMM_SHAPE,
        instruction,
        {
            "inputs": weights.shape[1],
            "outputs": weights.shape[0],
            **_zero_points(instruction),
        },
    )
    _emit(writer, instruction, _GEMM, "gemm", _GEMM_SHAPE, weights, shape)


def _zero_points(instruction: Instruction) -> dict[str, int]:
    keys = ("input_zero_point", "weight_zero_point", "output_zero_point")
    return {key: number(instruction.attributes[key]) for key in keys}


def _emit(
    writer: ModelWriter,
    instruction: Instruction,
    template: Template,
    operator: str,
    shape_type: Piece,
    weights: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
    shape: str,
) -> None:
    """Write the arrays of a product and its call."""
    key = instruction.kernel
    assert key.weight is not None  # the schema of weighted kernels proves it
    _check_sums(instruction)
    rule = rule_of(instruction)
    output, y = key.output.value, c_type(key.output)
    rule_name = rule.scale.name.removeprefix("il_scale_")
    channels_type = Piece(
        name=f"il_channels_{output}", text=_CHANNELS.substitute(output=output, y=y)
    )
    store = Piece(
        name=f"il_store_{output}_{rule_name}",
        text=_STORE.substitute(output=output, y=y, rule=rule_name, scale=rule.scale.name),
        needs=(channels_type, rule.scale, CLAMP),
    )
    name = f"il_{operator}_{key.activation.value}_{key.weight.value}_{output}_{rule_name}"
    kernel = Piece(
        name=name,
        text=template.substitute(
            name=name,
            x=c_type(key.activation),
            w=c_type(key.weight),
            y=y,
            output=output,
            store=store.name,
        ),
        needs=(shape_type, store),
    )
    arrays = {name: constant.array for name, constant in instruction.constants.items()}
    types = {"bias": "int32_t", "multiplier": "int32_t", "minimum": y, "maximum": y}
    fields: dict[str, int | str] = {
        kind: writer.array(kind, instruction, arrays[kind], c) for kind, c in types.items()
    }
    fields["shift"] = writer.array(
        "shift", instruction, shift_codes(arrays["shift"]), "uint8_t"
    )
    codes = writer.array("weights", instruction, weights, c_type(key.weight))
    channels = writer.structure("channels", channels_type, instruction, fields)
    writer.call(
        kernel,
        [
            writer.tensor(instruction.inputs[0]),
            writer.tensor(instruction.output),
            codes,
            f"&{channels}",
            f"&{shape}",
        ],
    )


def _check_sums(instruction: Instruction) -> None:
    """Prove that every partial sum is an int32, whatever the codes are."""
    key, constants = instruction.kernel, instruction.constants
    assert key.weight is not None  # the schema of weighted kernels proves it
    for element in (key.activation, key.weight):
        if element.value[1:] not in ("8", "16"):
            raise no_c_form(instruction, f"codes of type {element.dtype_name}")
    zero_point = number(instruction.attributes["input_zero_point"])
    lowest, highest = product_bounds(
        constants["weights"].array,
        number(instruction.attributes["weight_zero_point"]),
        *(limit - zero_point for limit in key.activation.limits),
    )
    bias = constants["bias"].array
    if bias.dtype != np.int32:
        raise no_c_form(instruction, f"a bias of type {bias.dtype}")
    wide = bias.astype(np.int64)
    require_int32(
        instruction, np.maximum(highest + np.maximum(wide, 0), -lowest - np.minimum(wide, 0))
    )
