"""Logarithmic arithmetic in C: products of codes as sums of their magnitudes, linear numbers between layers."""

from __future__ import annotations

from string import Template

import numpy as np

from intlower.backends.export.c import logarithmic_texts as texts
from intlower.backends.export.c.elements import c_type, count_of
from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.pooling import WINDOW, write_window
from intlower.backends.export.c.product_form import images_weights
from intlower.backends.export.c.products import conv2d_window, gemm_window
from intlower.backends.export.c.scaling import CLAMP, DIVIDE_HALF_UP
from intlower.backends.export.c.writer import ModelWriter
from intlower.compiler.planning.columns import number
from intlower.compiler.program import Instruction
from intlower.kernels.numerics_log import format_of
from intlower.kernels.reference_log import bias_of
from intlower.kernels.signature import ElementType


def emit_log_conv2d(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a convolution of logarithmic codes."""
    _products(writer, instruction, conv2d_window(writer, instruction))


def emit_log_gemm(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a matrix product of logarithmic codes: a convolution of an image of one pixel."""
    _products(writer, instruction, gemm_window(instruction))


def _products(writer: ModelWriter, instruction: Instruction, window: dict[str, int]) -> None:
    key, attributes = instruction.kernel, instruction.attributes
    layout = format_of(key.activation)
    x = c_type(key.activation)
    arrays = {name: constant.array for name, constant in instruction.constants.items()}
    limits = (arrays["minimum"], arrays["maximum"])
    equal = all((limit == limit[0]).all() for limit in limits)
    low, high = (limit[:1] if equal else limit for limit in limits)
    bias = bias_of(arrays["bias_low"], arrays["bias_high"])
    scale = writer.structure(
        "channels",
        texts.LOG_SCALE,
        instruction,
        {
            "bias": writer.array("bias", instruction, bias, "int64_t"),
            "mantissas": writer.array("table", instruction, arrays["mantissas"], "uint16_t"),
            "minimum": writer.array("minimum", instruction, low, "int32_t"),
            "maximum": writer.array("maximum", instruction, high, "int32_t"),
            "limit_step": 0 if equal else 1,
            "step_bits": layout.step_bits,
            "magnitude_bits": layout.magnitude_bits,
            "product_shift": number(attributes["product_shift"]),
            "mantissa": number(attributes["mantissa"]),
            "shift": number(attributes["shift"]),
        },
    )
    weights = images_weights(instruction).transpose(0, 2, 3, 1)
    name = f"il_log_conv2d_{key.activation.value}"
    needs = (texts.LOG_WINDOW, texts.LOG_PRODUCT, texts.READ_OUT, CLAMP)
    writer.call(
        _piece(name, texts.LOG_CONV2D, key.activation, *needs),
        [
            writer.tensor(instruction.inputs[0]),
            writer.tensor(instruction.output),
            writer.array("weights", instruction, weights, x),
            f"&{scale}",
            f"&{writer.structure('shape', texts.LOG_WINDOW, instruction, dict(window))}",
        ],
    )


def emit_log_encode(writer: ModelWriter, instruction: Instruction) -> None:
    """Write codes of linear numbers."""
    element = instruction.kernel.output
    thresholds = instruction.constants["thresholds"].array
    writer.call(
        _piece(f"il_log_encode_{element.value}", texts.LOG_ENCODE, element),
        [
            *_tensors(writer, instruction),
            writer.array("table", instruction, thresholds, "int32_t"),
            len(thresholds),
            number(instruction.attributes["negative_threshold"]),
        ],
    )


def emit_log_decode(writer: ModelWriter, instruction: Instruction) -> None:
    """Write linear numbers of codes."""
    element = instruction.kernel.activation
    levels = instruction.constants["levels"].array
    writer.call(
        _piece(f"il_log_decode_{element.value}", texts.LOG_DECODE, element),
        [
            *_tensors(writer, instruction),
            writer.array("table", instruction, levels, "int32_t"),
            len(levels),
        ],
    )


def emit_linear_add(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a sum of linear numbers."""
    writer.call(texts.LINEAR_ADD, [*_tensors(writer, instruction), *_limits(instruction)])


def emit_linear_clamp(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a clamp of linear numbers."""
    writer.call(texts.LINEAR_CLAMP, [*_tensors(writer, instruction), *_limits(instruction)])


def emit_linear_average_pool(writer: ModelWriter, instruction: Instruction) -> None:
    """Write means over windows of linear numbers."""
    counts = instruction.constants["counts"].array
    piece = Piece(
        name="il_linear_average_pool",
        text=texts.LINEAR_AVERAGE_POOL,
        needs=(WINDOW, CLAMP, DIVIDE_HALF_UP),
    )
    writer.call(
        piece,
        [
            writer.tensor(instruction.inputs[0]),
            writer.tensor(instruction.output),
            f"&{write_window(writer, instruction, (1, 1))}",
            writer.array("table", instruction, counts.astype(np.int32), "int32_t"),
            0 if counts.shape == (1, 1) else 1,
            *_limits(instruction),
        ],
    )


def _piece(name: str, text: Template, element: ElementType, *needs: Piece) -> Piece:
    words = {"name": name, "x": c_type(element), "y": c_type(element)}
    return Piece(name=name, text=text.substitute(words), needs=needs)


def _tensors(writer: ModelWriter, instruction: Instruction) -> list[str | int]:
    """Return the arguments that all functions of single numbers begin with."""
    names = (*instruction.inputs, instruction.output)
    return [*map(writer.tensor, names), count_of(writer.program.tensors[instruction.output])]


def _limits(instruction: Instruction) -> list[int]:
    return [number(instruction.attributes[name]) for name in ("minimum", "maximum")]
