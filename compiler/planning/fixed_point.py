"""Rows of TFLite's means and softmax."""

from __future__ import annotations

from intlower.compiler.planning.columns import number, window_columns
from intlower.compiler.planning.rows import RowWriter, binary_offset
from intlower.compiler.program import Instruction
from intlower.kernels import table as t


def write_mean_pool(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a mean of codes; code 0 is what the engine subtracts."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    columns = {
        **window_columns(instruction, x, y),
        t.LOW: number(instruction.attributes["minimum"]),
        t.HIGH: number(instruction.attributes["maximum"]),
        t.ZERO_POINT: binary_offset(instruction.kernel.activation),
    }
    (columns[t.ACCUMULATORS],) = writer.scratch(x.sizes[0] * 4)
    writer.row(instruction.name, t.MEAN_POOL, columns, [(t.INPUT, x)], y)


def write_softmax_fixed(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a softmax, its axis placed among the dimensions as they lie in memory."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    axis = number(instruction.attributes["axis"]) - 1
    inner, length = x.strides[axis], x.sizes[axis]
    columns = {
        t.OUTER: x.count // (length * inner),
        t.LENGTH: length,
        t.INNER: inner,
        t.TABLE: writer.constants.add(instruction.constants["table"].array, "int32"),
    }
    writer.row(instruction.name, t.SOFTMAX_FIXED, columns, [(t.INPUT, x)], y)
