"""Products in C whose sums saturate, or whose weights have a zero point for each channel: one output at a time."""

from __future__ import annotations

from string import Template

from intlower.backends.export.c.elements import c_type, rule_of
from intlower.backends.export.c.literals import c_integer
from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.product_form import bias_type, images_weights
from intlower.backends.export.c.product_texts import CHANNELS, SHAPE, STORE
from intlower.backends.export.c.products import (
    channels_structure,
    conv2d_window,
    gemm_window,
    product_words,
    short,
)
from intlower.backends.export.c.scaling import CLAMP
from intlower.backends.export.c.writer import ModelWriter
from intlower.compiler.planning.columns import number
from intlower.compiler.program import Instruction

_DIRECT = Template("""\
/* convolution, one output at a time, its products in the order rows, columns, channels; weights are
   [outputs, kernel_height, kernel_width, channels of a group]; $what */
static void $name(const $x *x, $y *restrict y, const $w *weights, const $channels *channels,
    const il_product *p, $parameter)
{
    const int32_t depth = p->channels / p->groups;
    const int32_t group_outputs = p->outputs / p->groups;
    int32_t i, j, o, u, v, c;
    for (i = 0; i < p->output_height; ++i) {
        for (j = 0; j < p->output_width; ++j) {
            for (o = 0; o < p->outputs; ++o) {
                const int32_t first = o / group_outputs * depth;
                const $w *filter = weights + o * p->kernel_height * p->kernel_width * depth;
                const int64_t zero_point = $zero_point;
                int64_t sum = $start;
                for (u = 0; u < p->kernel_height; ++u) {
                    const int32_t row = i * p->stride_y + u * p->dilation_y - p->pad_top;
                    for (v = 0; v < p->kernel_width; ++v) {
                        const int32_t column = j * p->stride_x + v * p->dilation_x - p->pad_left;
                        if (row >= 0 && row < p->height && column >= 0 && column < p->width) {
                            const $x *codes = x + (row * p->width + column) * p->channels + first;
                            for (c = 0; c < depth; ++c) {
                                sum += (codes[c] - p->input_zero_point) * (filter[c] - zero_point);$limited
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
_SATURATING = {
    "what": "sums start from the bias and saturate at every product, equation (19)",
    "parameter": "int64_t limit",
    "zero_point": "p->weight_zero_point",
    "start": "channels->bias[o]",
    "limited": "\n                                sum = il_clamp(sum, -limit, limit - 1);",
}
_ASYMMETRIC = {
    "what": "each output's weights have a zero point of their own",
    "parameter": "const int32_t *zero_points",
    "zero_point": "zero_points[o]",
    "start": "0",
    "limited": "",
}


def emit_direct_conv2d(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a convolution whose sums saturate, or with a weight zero point for each channel."""
    _emit(writer, instruction, conv2d_window(writer, instruction))


def emit_direct_gemm(writer: ModelWriter, instruction: Instruction) -> None:
    """Write such a matrix product."""
    _emit(writer, instruction, gemm_window(instruction))


def _emit(writer: ModelWriter, instruction: Instruction, window: dict[str, int]) -> None:
    key, attributes = instruction.kernel, instruction.attributes
    assert key.weight is not None  # the schema of weighted kernels proves it
    saturating = "accumulator_bits" in attributes
    rule = rule_of(instruction)
    bias = bias_type(instruction.constants["bias"].array)
    x, w, y = key.activation.value, key.weight.value, key.output.value
    kind = "saturating" if saturating else "asymmetric"
    words = {
        "name": f"il_{kind}_conv2d_{x}_{w}_{y}_{short(bias)}_{rule.name}",
        "x": c_type(key.activation),
        "w": c_type(key.weight),
        **product_words(instruction, bias, biased_sum=saturating),
        **(_SATURATING if saturating else _ASYMMETRIC),
    }
    constants = Piece(name=words["channels"], text=CHANNELS.substitute(words))
    store = Piece(
        name=words["store"],
        text=STORE.substitute(words),
        needs=(constants, rule.biased or rule.scale, CLAMP),
    )
    fields: dict[str, int | str] = {
        **window,
        "input_zero_point": number(attributes["input_zero_point"]),
        "weight_zero_point": number(attributes.get("weight_zero_point", 0)),
        "output_zero_point": number(attributes["output_zero_point"]),
    }
    weights = images_weights(instruction).transpose(0, 2, 3, 1)
    own: str = (
        c_integer(1 << (number(attributes["accumulator_bits"]) - 1))
        if saturating
        else writer.array(
            "weights_zero_points",
            instruction,
            instruction.constants["weight_zero_points"].array,
            "int32_t",
        )
    )
    writer.call(
        Piece(name=words["name"], text=_DIRECT.substitute(words), needs=(SHAPE, store)),
        [
            writer.tensor(instruction.inputs[0]),
            writer.tensor(instruction.output),
            writer.array("weights", instruction, weights, c_type(key.weight)),
            f"&{channels_structure(writer, instruction, bias, constants)}",
            f"&{writer.structure('shape', SHAPE, instruction, fields)}",
            own,
        ],
    )
