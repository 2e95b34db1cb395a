"""Rows of kernels that move codes: concatenation, padding, slices, shapes. Each is a few strided copies."""

from __future__ import annotations

from intlower.compiler.operators import Slice
from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.planning.layout import inner_strides, row_major_strides, same_order
from intlower.compiler.planning.rows import RowWriter, View, binary_offset
from intlower.compiler.program import Instruction
from intlower.kernels import table as t


def write_concat(writer: RowWriter, instruction: Instruction) -> None:
    """Append one copy for each input."""
    y = writer.view(instruction.output)
    axis = number(instruction.attributes["axis"]) - 1
    position = 0
    for name in instruction.inputs:
        x = writer.view(name)
        start = position * y.strides[axis]
        part = View(y.buffer, start, x.sizes, y.strides, y.width)
        writer.copy(instruction.name, x, part)
        position += x.sizes[axis]


def write_pad(writer: RowWriter, instruction: Instruction) -> None:
    """Append a filling and the copy into its middle."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    begins = numbers(instruction.attributes["pads"])[1 : len(x.sizes) + 1]
    value = number(instruction.attributes["value"]) + binary_offset(
        instruction.kernel.activation
    )
    if y.count > x.count:
        writer.row(instruction.name, t.FILL, {t.LENGTH: y.count, t.VALUE: value}, [], y)
    start = sum(b * s for b, s in zip(begins, y.strides, strict=True))
    writer.copy(instruction.name, x, View(y.buffer, start, x.sizes, y.strides, y.width))


def write_slice(writer: RowWriter, instruction: Instruction) -> None:
    """Append the copy of a part, by strides."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    starts, ends, axes, steps = (
        numbers(instruction.attributes[name]) for name in ("starts", "ends", "axes", "steps")
    )
    selections = Slice(starts=starts, ends=ends, axes=axes, steps=steps).selections(
        len(x.sizes) + 1
    )
    first, strides = x.start, list(x.strides)
    for axis, selection in selections.items():
        begin, _, step = selection.indices(x.sizes[axis - 1])
        first += begin * x.strides[axis - 1]
        strides[axis - 1] *= step
    writer.copy(instruction.name, View(x.buffer, first, y.sizes, tuple(strides), x.width), y)


def write_reshape(writer: RowWriter, instruction: Instruction) -> None:
    """Append up to two copies: through row-major order, where either shape lies otherwise."""
    x = writer.view(instruction.inputs[0])
    sizes = writer.sizes(instruction.output)
    plain = same_order(x.sizes, x.strides, row_major_strides(x.sizes))
    if not plain:
        flat = writer.row_major(x)
        writer.copy(instruction.name, x, flat)
        x = flat
    if same_order(sizes, inner_strides(sizes), row_major_strides(sizes)):
        writer.alias(instruction.output, x)
        return
    reshaped = View(x.buffer, x.start, sizes, row_major_strides(sizes), x.width)
    writer.copy(instruction.name, reshaped, writer.view(instruction.output))
