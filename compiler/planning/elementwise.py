"""Rows of kernels that change codes one by one or by windows: addition, pooling, requantization, softmax."""

from __future__ import annotations

import numpy as np

from intlower.compiler.planning.columns import (
    number,
    numbers,
    output_columns,
    scales,
    window_columns,
)
from intlower.compiler.planning.rows import RowWriter, binary_offset
from intlower.compiler.program import Instruction
from intlower.kernels import table as t
from intlower.kernels.reference import reference_for


def write_add(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of an addition."""
    attributes = instruction.attributes
    a, b = (writer.view(name) for name in instruction.inputs)
    zero_points = numbers(attributes["input_zero_points"])
    offset = binary_offset(instruction.kernel.activation)
    columns = {
        **output_columns(instruction),
        **scales(
            writer,
            np.array(numbers(attributes["multiplier"])),
            np.array(numbers(attributes["shift"])),
        ),
        t.LENGTH: a.count,
        t.ZERO_POINT: zero_points[0] + offset,
        t.SECOND_ZERO_POINT: zero_points[1] + offset,
        t.LEFT_SHIFT: number(attributes["left_shift"]),
    }
    y = writer.view(instruction.output)
    writer.row(instruction.name, t.ADD, columns, [(t.INPUT, a), (t.SECOND_INPUT, b)], y)


def write_pool(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of an average or maximum pooling."""
    attributes = instruction.attributes
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    columns = window_columns(instruction, x, y)
    if instruction.kernel.operator == "max_pool":
        dilations = numbers(attributes["dilations"])
        columns |= {t.DILATION_Y: dilations[0], t.DILATION_X: dilations[1]}
        writer.row(instruction.name, t.MAX_POOL, columns, [(t.INPUT, x)], y)
        return
    multiplier, shift = (instruction.constants[n].array for n in ("multiplier", "shift"))
    columns |= output_columns(instruction) | scales(writer, multiplier, shift)
    (columns[t.ACCUMULATORS],) = writer.scratch(x.sizes[0] * 4)
    columns[t.UNIFORM] = int(multiplier.size == 1)
    writer.row(instruction.name, t.AVERAGE_POOL, columns, [(t.INPUT, x)], y)


def write_requantize(writer: RowWriter, instruction: Instruction) -> None:
    """Append a look-up: a function of one code is a table of its values, which the oracle computes once."""
    key = instruction.kernel
    low, high = key.activation.limits
    codes = np.arange(low, high + 1).astype(key.activation.dtype_name)
    values = reference_for(key)(codes, **instruction.attributes)
    entries = values.astype(np.int64) + binary_offset(key.output)
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    columns = {t.LENGTH: x.count, t.TABLE: writer.constants.add(entries, "int32")}
    writer.row(instruction.name, t.LOOKUP, columns, [(t.INPUT, x)], y)


def write_softmax(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a softmax, its axis placed among the dimensions as they lie in memory."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    axis = number(instruction.attributes["axis"]) - 1
    inner = x.strides[axis]
    length = x.sizes[axis]
    columns = {
        t.OUTER: x.count // (length * inner),
        t.LENGTH: length,
        t.INNER: inner,
        t.TABLE: writer.constants.add(instruction.constants["table"].array, "int32"),
        t.VALUE: number(instruction.attributes["maximum"]),
        t.HIGH: min(
            number(instruction.attributes["maximum"]), instruction.kernel.output.limits[1]
        ),
        t.OUTPUT_ZERO_POINT: binary_offset(instruction.kernel.output),
    }
    writer.row(instruction.name, t.SOFTMAX, columns, [(t.INPUT, x)], y)
