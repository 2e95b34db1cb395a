"""Rows of tables, rearrangement, products of tensors and resampling."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from intlower.compiler.planning.columns import number, numbers, output_columns, scales
from intlower.compiler.planning.rows import RowWriter, View, binary_offset
from intlower.compiler.program import Instruction
from intlower.kernels import table as t


def write_lookup(writer: RowWriter, instruction: Instruction) -> None:
    """Append a look-up, or one for each channel."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    table = instruction.constants["table"].array
    entries = table.astype(np.int64) + binary_offset(instruction.kernel.output)
    columns = {t.LENGTH: x.count, t.TABLE: writer.constants.add(entries, "int32")}
    if instruction.kernel.operator == "lookup":
        writer.row(instruction.name, t.LOOKUP, columns, [(t.INPUT, x)], y)
        return
    inner = x.strides[0]
    columns |= {
        t.OUTER: x.count // (x.sizes[0] * inner),
        t.CHANNELS: x.sizes[0],
        t.INNER: inner,
        t.MAGNITUDES: table.shape[1],
    }
    writer.row(instruction.name, t.LOOKUP_CHANNELS, columns, [(t.INPUT, x)], y)


def write_transpose(writer: RowWriter, instruction: Instruction) -> None:
    """Append one copy, whose input's strides are permuted."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    order = [axis - 1 for axis in numbers(instruction.attributes["permutation"])[1:]]
    strides = tuple(x.strides[axis] for axis in order)
    writer.copy(instruction.name, View(x.buffer, x.start, y.sizes, strides, x.width), y)


def write_gather(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a gathering, its axis placed among the dimensions as they lie in memory."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    axis = number(instruction.attributes["axis"]) - 1
    # What lies inside the axis in memory has the same sizes in both tensors.
    inside = [i for i in range(len(x.sizes)) if _within(x, i, axis)]
    inner = math.prod(x.sizes[i] for i in inside)
    columns = {
        t.OUTER: x.count // (x.sizes[axis] * inner),
        t.WIDTH: x.sizes[axis],
        t.LENGTH: y.sizes[axis],
        t.INNER: inner,
        t.TABLE: writer.constants.add(instruction.constants["indices"].array, "int32"),
    }
    writer.row(instruction.name, t.GATHER, columns, [(t.INPUT, x)], y)


def _within(view: View, inner: int, outer: int) -> bool:
    """Return whether one axis of a dense view runs inside another."""
    if len(view.sizes) != 3:
        return inner > outer
    order = (1, 2, 0)  # [C, H, W] lies as [H, W, C]
    return order.index(inner) > order.index(outer)


def write_multiply(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a product: loops over the output, in which an input that is repeated has stride 0."""
    attributes = instruction.attributes
    a, b = (writer.view(name) for name in instruction.inputs)
    y = writer.view(instruction.output)
    zero_points = numbers(attributes["input_zero_points"])
    offset = binary_offset(instruction.kernel.activation)
    columns = {
        **output_columns(instruction),
        **scales(
            writer,
            np.array([number(attributes["multiplier"])]),
            np.array([number(attributes["shift"])]),
        ),
        t.ZERO_POINT: zero_points[0] + offset,
        t.SECOND_ZERO_POINT: zero_points[1] + offset,
    }
    order = sorted(range(len(y.sizes)), key=lambda axis: (-y.strides[axis], axis))
    loops = [
        (y.sizes[axis], *(v.strides[axis] if v.sizes[axis] > 1 else 0 for v in (a, b)))
        for axis in order
        if y.sizes[axis] > 1
    ]
    merged: list[tuple[int, int, int]] = []
    for size, first, second in loops:
        if merged and merged[-1][1:] == (size * first, size * second):
            merged[-1] = (merged[-1][0] * size, first, second)
        else:
            merged.append((size, first, second))
    for i, loop in enumerate((*((1, 0, 0),) * (t.LOOPS - len(merged)), *merged)):
        for base, value in zip((t.SIZES, t.INPUT_STRIDES, t.OUTPUT_STRIDES), loop, strict=True):
            columns[base + i] = value
    writer.row(instruction.name, t.MULTIPLY, columns, [(t.INPUT, a), (t.SECOND_INPUT, b)], y)


def write_resample(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a resampling."""
    attributes = instruction.attributes
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    tables = [array.array for array in instruction.constants.values()]
    columns = {
        **output_columns(instruction),
        **scales(
            writer,
            np.array([number(attributes["multiplier"])]),
            np.array([number(attributes["shift"])]),
        ),
        t.WIDTH: x.sizes[2],
        t.CHANNELS: x.sizes[0],
        t.OUTPUT_HEIGHT: y.sizes[1],
        t.OUTPUT_WIDTH: y.sizes[2],
        t.KERNEL_HEIGHT: tables[0].shape[1],
        t.KERNEL_WIDTH: tables[2].shape[1],
        t.WEIGHTS: writer.constants.add(
            np.concatenate([table.reshape(-1) for table in tables]), "int32"
        ),
    }
    (columns[t.ACCUMULATORS],) = writer.scratch(x.sizes[0] * 4)
    writer.row(instruction.name, t.RESAMPLE, columns, [(t.INPUT, x)], y)


EXTENDED_ROW_WRITERS: dict[str, Callable[[RowWriter, Instruction], None]] = {
    "lookup": write_lookup,
    "lookup_channels": write_lookup,
    "transpose": write_transpose,
    "gather": write_gather,
    "multiply": write_multiply,
    "resample": write_resample,
}
