"""Convolutions and matrix products in C: images [height, width, channels], sums that are proved not to overflow.

As in CMSIS-NN (`arm_convolve_s8`, `arm_nn_mat_mult_kernel_s8_s16`) the codes that one output pixel reads are gathered as
16-bit integers, and two pixels meet two filters in one loop: four products of whole vectors for four loads.
"""

from __future__ import annotations

from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.c.elements import c_type, rule_of
from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.product_form import ProductForm, images_weights, product_form
from intlower.backends.export.c.product_texts import (
    CHANNELS,
    CONV2D,
    DEPTHWISE,
    DOTS,
    EXCESS,
    PATCH,
    SHAPE,
    STORE,
)
from intlower.backends.export.c.scaling import CLAMP
from intlower.backends.export.c.writer import ModelWriter, shift_codes
from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.program import Instruction


def emit_conv2d(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a convolution; one that keeps channels apart has a loop of its own."""
    _emit(writer, instruction, conv2d_window(writer, instruction))


def emit_gemm(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a matrix product: a convolution of an image of one pixel."""
    _emit(writer, instruction, gemm_window(instruction))


def conv2d_window(writer: ModelWriter, instruction: Instruction) -> dict[str, int]:
    """Return the geometry of a convolution, as members of a C structure."""
    attributes = instruction.attributes
    strides, dilations, pads = (
        numbers(attributes[key]) for key in ("strides", "dilations", "pads")
    )
    return {
        **_images(
            writer.image(instruction, instruction.inputs[0]),
            writer.image(instruction, instruction.output),
            instruction.constants["weights"].array.shape[2:],
        ),
        "stride_y": strides[0],
        "stride_x": strides[1],
        "dilation_y": dilations[0],
        "dilation_x": dilations[1],
        "pad_top": pads[0],
        "pad_left": pads[1],
        "groups": number(attributes["groups"]),
    }


def gemm_window(instruction: Instruction) -> dict[str, int]:
    """Return the geometry of a matrix product as a convolution of an image of one pixel."""
    outputs, inputs = instruction.constants["weights"].array.shape
    ones = ("stride_y", "stride_x", "dilation_y", "dilation_x", "groups")
    images = _images((inputs, 1, 1), (outputs, 1, 1), (1, 1))
    return {**images, **dict.fromkeys(ones, 1), "pad_top": 0, "pad_left": 0}


def _images(
    image: tuple[int, int, int], output_image: tuple[int, int, int], kernel: tuple[int, ...]
) -> dict[str, int]:
    names = ("channels", "height", "width", "outputs", "output_height", "output_width")
    return {
        **dict(zip(names, (*image, *output_image), strict=True)),
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
    }


def _emit(writer: ModelWriter, instruction: Instruction, window: dict[str, int]) -> None:
    """Write the arrays of a product and its call."""
    key = instruction.kernel
    assert key.weight is not None  # the schema of weighted kernels proves it
    form = product_form(instruction)
    weights = images_weights(instruction)
    zero_points = ("input_zero_point", "weight_zero_point", "output_zero_point")
    fields = {
        **window,
        "patch": form.patch,
        **{name: number(instruction.attributes[name]) for name in zero_points},
    }
    kernel, channels = _kernel(instruction, form)
    arguments = [
        writer.tensor(instruction.inputs[0]),
        writer.tensor(instruction.output),
        writer.array("weights", instruction, _laid(weights, form), c_type(key.weight)),
        f"&{channels_structure(writer, instruction, form.bias, channels)}",
        f"&{writer.structure('shape', SHAPE, instruction, dict(fields))}",
    ]
    if form.patch:
        arguments.append(writer.scratch(instruction, form.code))
    writer.call(kernel, arguments)


def _laid(weights: NDArray[Any], form: ProductForm) -> NDArray[Any]:
    """Return weights as they lie: [kh, kw, O] for depthwise products, else [O, patch], channels fastest."""
    if form.depthwise:
        return weights[:, 0].transpose(1, 2, 0)
    rows = weights.transpose(0, 2, 3, 1).reshape(len(weights), -1)
    return np.pad(rows, ((0, 0), (0, form.patch - rows.shape[1])))


def _kernel(instruction: Instruction, form: ProductForm) -> tuple[Piece, Piece]:
    """Return the function of a product, and the type of its channels' constants."""
    key = instruction.kernel
    assert key.weight is not None  # the schema of weighted kernels proves it
    rule = rule_of(instruction)
    x, w, y = key.activation.value, key.weight.value, key.output.value
    code, weight, total, bias = map(short, (form.code, form.weight, form.total, form.bias))
    patch, excess = f"il_patch_{x}_{code}", f"il_excess_{code}"
    dots = f"il_dots_{code}_{w}_{total}"
    name = f"il_conv2d_{x}_{w}_{y}_{code}_{total}_{bias}_{rule.name}"
    if form.depthwise:
        name = f"il_depthwise_{x}_{w}_{y}_{code}_{weight}_{total}_{bias}_{rule.name}"
    words = {
        **product_words(instruction, form.bias),
        "name": name,
        "x": c_type(key.activation),
        "w": c_type(key.weight),
        "code": form.code,
        "weight": form.weight,
        "total": form.total,
        "patch": patch,
        "excess": excess,
        "dots": dots,
    }

    def piece(name: str, text: Template, *needs: Piece) -> Piece:
        return Piece(name=name, text=text.substitute(words), needs=needs)

    constants = piece(words["channels"], CHANNELS)
    needs = [SHAPE, piece(words["store"], STORE, constants, rule.biased or rule.scale, CLAMP)]
    if form.depthwise:
        return piece(name, DEPTHWISE, *needs), constants
    needs += [
        piece(patch, PATCH, SHAPE),
        piece(excess, EXCESS, SHAPE),
        piece(dots, DOTS),
    ]
    return piece(name, CONV2D, *needs), constants


def product_words(
    instruction: Instruction, bias: str, *, biased_sum: bool = False
) -> dict[str, str]:
    """Return the words of the texts that store a sum.

    Args:
        instruction: a product.
        bias: C type of a bias.
        biased_sum: whether the sum has the bias in it already.
    """
    output = instruction.kernel.output
    rule = rule_of(instruction)
    if biased_sum:
        scaled = f"{rule.scale.name}(sum, multiplier, shift)"
    elif rule.biased is None:
        scaled = f"{rule.scale.name}(sum + channels->bias[o], multiplier, shift)"
    else:
        scaled = f"{rule.biased.name}(sum, channels->bias[o], multiplier, shift)"
    suffix = f"{output.value}_{short(bias)}"
    return {
        "y": c_type(output),
        "bias": bias,
        "channels": f"il_channels_{suffix}",
        "store": f"il_store{'_whole' if biased_sum else ''}_{suffix}_{rule.name}",
        "scaled": scaled,
    }


def short(c: str) -> str:
    """Return a C type as names of functions have it.

    >>> short("int16_t")
    's16'
    """
    return c.replace("int", "s").removesuffix("_t")


def channels_structure(
    writer: ModelWriter, instruction: Instruction, bias: str, kind: Piece
) -> str:
    """Write the constants of the channels: those that are all equal, once."""
    y = c_type(instruction.kernel.output)
    arrays = {name: constant.array for name, constant in instruction.constants.items()}
    arrays["shift"] = shift_codes(arrays["shift"])
    fields: dict[str, int | str] = {
        "bias": writer.array("bias", instruction, arrays["bias"], bias)
    }
    for step, types in (
        ("scale_step", {"multiplier": "int32_t", "shift": "uint8_t"}),
        ("limit_step", {"minimum": y, "maximum": y}),
    ):
        equal = all((arrays[name] == arrays[name][0]).all() for name in types)
        for name, c in types.items():
            values = arrays[name][:1] if equal else arrays[name]
            fields[name] = writer.array(name, instruction, values, c)
        fields[step] = 0 if equal else 1
    return writer.structure("channels", kind, instruction, fields)
