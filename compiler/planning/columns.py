"""What the rows of several kernels share: requantization columns and their constants."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.planning.rows import RowWriter, View, binary_offset
from intlower.compiler.program import Instruction
from intlower.kernels import table as t
from intlower.kernels.signature import Requantize

RULES = {
    Requantize.F32EVEN: t.F32EVEN,
    Requantize.MUL31DOUBLE: t.MUL31DOUBLE,
    Requantize.MUL31SINGLE: t.MUL31SINGLE,
    Requantize.F32BIAS: t.F32BIAS,
    Requantize.POWERUP: t.POWERUP,
    Requantize.POWERAWAY: t.POWERAWAY,
    Requantize.POWEREVEN: t.POWEREVEN,
}


def number(value: int | tuple[int, ...]) -> int:
    """Return an attribute that is a number."""
    assert isinstance(value, int)  # check_instruction proved it
    return value


def numbers(value: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return an attribute that is a list of numbers."""
    assert isinstance(value, tuple)  # check_instruction proved it
    return value


def output_columns(instruction: Instruction) -> dict[int, int]:
    """Return the requantization rule, zero points and uniform limits of an instruction that has them."""
    key, attributes = instruction.kernel, instruction.attributes
    assert key.requantize is not None  # every caller's operator requantizes
    columns = {
        t.RULE: RULES[key.requantize],
        t.OUTPUT_ZERO_POINT: number(attributes["output_zero_point"])
        + binary_offset(key.output),
    }
    if "input_zero_point" in attributes:
        columns[t.ZERO_POINT] = number(attributes["input_zero_point"]) + binary_offset(
            key.activation
        )
    if "minimum" in attributes:
        for column, name in ((t.LOW, "minimum"), (t.HIGH, "maximum")):
            columns[column] = number(attributes[name]) - number(attributes["output_zero_point"])
    return columns


def scales(writer: RowWriter, multiplier: NDArray[Any], shift: NDArray[Any]) -> dict[int, int]:
    """Return offsets of multipliers, shifts and their quotients, which float32 holds exactly up to 24 bits."""
    if multiplier.shape == shift.shape:
        quotient = np.ldexp(multiplier.astype(np.float64), -shift.astype(np.int64))
    else:  # a sum whose terms share a shift: no single-precision rule
        quotient = np.zeros(1)
    return {
        t.MULTIPLIER: writer.constants.add(multiplier, "int32"),
        t.SHIFT: writer.constants.add(shift, "int32"),
        t.SCALE: writer.constants.add(quotient, "float32"),
    }


def channel_limits(writer: RowWriter, instruction: Instruction) -> dict[int, int]:
    """Return offsets of each channel's limits, without the zero point."""
    zero_point = number(instruction.attributes["output_zero_point"])
    columns = {}
    for name, integers, floats in (
        ("minimum", t.LOW, t.LOW_FLOAT),
        ("maximum", t.HIGH, t.HIGH_FLOAT),
    ):
        limits = instruction.constants[name].array.astype(np.int64) - zero_point
        columns[integers] = writer.constants.add(limits, "int32")
        columns[floats] = writer.constants.add(limits, "float32")
    return columns


def window_columns(instruction: Instruction, x: View, y: View) -> dict[int, int]:
    """Return the sizes of a pooling's images and its window.

    Args:
        instruction: of a pooling.
        x: its input, [C, H, W].
        y: its output.
    """
    attributes = instruction.attributes
    kernel, strides, pads = (
        numbers(attributes[name]) for name in ("kernel_shape", "strides", "pads")
    )
    return {
        t.HEIGHT: x.sizes[1],
        t.WIDTH: x.sizes[2],
        t.CHANNELS: x.sizes[0],
        t.OUTPUT_HEIGHT: y.sizes[1],
        t.OUTPUT_WIDTH: y.sizes[2],
        t.KERNEL_HEIGHT: kernel[0],
        t.KERNEL_WIDTH: kernel[1],
        t.STRIDE_Y: strides[0],
        t.STRIDE_X: strides[1],
        t.PAD_TOP: pads[0],
        t.PAD_LEFT: pads[1],
    }
