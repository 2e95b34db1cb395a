"""Rows of products of activations, normalizations, quotients, constants and conversions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from intlower.compiler.planning.columns import number, numbers, output_columns, scales
from intlower.compiler.planning.layout import row_major_strides
from intlower.compiler.planning.rows import RowWriter, View, binary_offset
from intlower.compiler.program import Instruction
from intlower.kernels import table as t
from intlower.kernels.signature import ElementType


def write_matmul(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a matrix product, after copies of what does not lie in row-major order."""
    attributes = instruction.attributes
    a, b = (_row_major(writer, instruction, name) for name in instruction.inputs)
    y = writer.view(instruction.output)
    zero_points = numbers(attributes["input_zero_points"])
    offset = binary_offset(instruction.kernel.activation)
    low, high = instruction.kernel.activation.limits
    bound = a.sizes[-1]
    for zero_point in zero_points:
        bound *= max(high - zero_point, zero_point - low)
    columns = {
        **output_columns(instruction),
        **scales(
            writer,
            np.array([number(attributes["multiplier"])]),
            np.array([number(attributes["shift"])]),
        ),
        t.ZERO_POINT: zero_points[0] + offset,
        t.SECOND_ZERO_POINT: zero_points[1] + offset,
        t.OUTER: math.prod(a.sizes[:-2]),
        t.HEIGHT: a.sizes[-2],
        t.WIDTH: a.sizes[-1],
        t.CHANNELS: b.sizes[-1],
        t.VALUE: int(bound > ElementType.INT32.limits[1]),
        t.OUTPUT_STRIDES: y.strides[-3] if len(y.sizes) > 2 else 0,
        t.OUTPUT_STRIDES + 1: y.strides[-2],
        t.OUTPUT_STRIDES + 2: y.strides[-1],
    }
    (columns[t.ACCUMULATORS],) = writer.scratch(b.sizes[-1] * 8)
    places = [(t.INPUT, a), (t.SECOND_INPUT, b)]
    writer.row(instruction.name, t.MATMUL, columns, places, y)


def _row_major(writer: RowWriter, instruction: Instruction, name: str) -> View:
    view = writer.view(name)
    if view.strides == row_major_strides(view.sizes):
        return view
    turned = writer.row_major(view)
    writer.copy(instruction.name, view, turned)
    return turned


def write_normalize(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a normalization."""
    attributes = instruction.attributes
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    multiplier, bias = (instruction.constants[n].array for n in ("multiplier", "bias"))
    rows, count = multiplier.shape
    low, high = instruction.kernel.activation.limits
    columns = {
        **_limits(instruction),
        t.OUTER: x.sizes[0],
        t.LENGTH: x.sizes[1],
        t.STRIDE_Y: count if rows > 1 else 0,
        t.STRIDE_X: int(count > 1),
        t.MULTIPLIER: writer.constants.add(multiplier, "int32"),
        t.BIAS: writer.constants.add(bias, "int32"),
        t.SHIFT: number(attributes["shift"]),
        t.READ_OUT_SHIFT: number(attributes["bias_shift"]),
        t.LEFT_SHIFT: number(attributes["input_shift"]),
        t.VALUE: number(attributes["epsilon"]),
        t.ZERO_POINT: (high - low + 1) // 2,
    }
    writer.row(instruction.name, t.NORMALIZE, columns, [(t.INPUT, x)], y)


def write_lrn(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a local response normalization."""
    attributes = instruction.attributes
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    columns = {
        **_limits(instruction),
        t.LENGTH: x.sizes[1] * x.sizes[2],
        t.CHANNELS: x.sizes[0],
        t.KERNEL_WIDTH: number(attributes["size"]),
        t.LEFT_SHIFT: number(attributes["sum_shift"]),
        t.SHIFT: number(attributes["shift"]),
        t.TABLE: writer.constants.add(instruction.constants["table"].array, "int32"),
    }
    writer.row(instruction.name, t.LRN, columns, [(t.INPUT, x)], y)


def write_divide(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a quotient."""
    attributes = instruction.attributes
    a, b = (writer.view(name) for name in instruction.inputs)
    zero_points = numbers(attributes["input_zero_points"])
    offset = binary_offset(instruction.kernel.activation)
    columns = {
        **_limits(instruction),
        t.LENGTH: a.count,
        t.MULTIPLIER: number(attributes["multiplier"]),
        t.SHIFT: number(attributes["shift"]),
        t.ZERO_POINT: zero_points[0] + offset,
        t.SECOND_ZERO_POINT: zero_points[1] + offset,
    }
    y = writer.view(instruction.output)
    writer.row(instruction.name, t.DIVIDE, columns, [(t.INPUT, a), (t.SECOND_INPUT, b)], y)


def write_constant(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row that writes a constant, in the order in which its tensor lies in memory."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    codes = instruction.constants["codes"].array.astype(np.int64)
    codes = codes + binary_offset(instruction.kernel.output)
    order = sorted(range(codes.ndim), key=lambda axis: (-y.strides[axis], axis))
    signed = codes.transpose(order).astype(np.uint32).view(np.int32)
    columns = {t.LENGTH: y.count, t.TABLE: writer.constants.add(signed, "int32")}
    writer.row(instruction.name, t.LOAD, columns, [(t.INPUT, x)], y)


def write_convert(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a conversion."""
    attributes = instruction.attributes
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    columns = {
        **_limits(instruction),
        t.LENGTH: x.count,
        t.MULTIPLIER: number(attributes["multiplier"]),
        t.SHIFT: number(attributes["shift"]),
    }
    writer.row(instruction.name, t.CONVERT, columns, [(t.INPUT, x)], y)


def write_lookup_interpolated(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a look-up between entries."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    table = instruction.constants["table"].array.astype(np.int64)
    entries = table + binary_offset(instruction.kernel.output)
    columns = {t.LENGTH: x.count, t.TABLE: writer.constants.add(entries, "int32")}
    writer.row(instruction.name, t.INTERPOLATE, columns, [(t.INPUT, x)], y)


def _limits(instruction: Instruction) -> dict[int, int]:
    """Return zero points and limits of an instruction without a requantization rule."""
    key, attributes = instruction.kernel, instruction.attributes
    zero_point = number(attributes["output_zero_point"])
    columns = {
        t.OUTPUT_ZERO_POINT: zero_point + binary_offset(key.output),
        t.LOW: number(attributes["minimum"]) - zero_point,
        t.HIGH: number(attributes["maximum"]) - zero_point,
    }
    if "input_zero_point" in attributes:
        columns[t.ZERO_POINT] = number(attributes["input_zero_point"]) + binary_offset(
            key.activation
        )
    return columns


GENERAL_ROW_WRITERS: dict[str, Callable[[RowWriter, Instruction], None]] = {
    "matmul": write_matmul,
    "normalize": write_normalize,
    "lrn": write_lrn,
    "divide": write_divide,
    "constant": write_constant,
    "convert": write_convert,
    "lookup_interpolated": write_lookup_interpolated,
}
