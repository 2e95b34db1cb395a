"""Rows of half-precision kernels, and of minifloat ones, which go the same way in binary32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.planning.minifloat import (
    MINIFLOAT_OPCODES,
    code_columns,
    input_columns,
    number_constants,
)
from intlower.compiler.planning.rows import RowWriter, View, binary_offset
from intlower.compiler.program import Instruction
from intlower.kernels import half
from intlower.kernels import table as t
from intlower.kernels.half_rule import HalfRule, Subnormals
from intlower.kernels.simd_half import LANES, PIXELS

_NO_STRIDES: tuple[int, ...] = (1, 1)
_NO_PADS: tuple[int, ...] = (0, 0, 0, 0)


def rule_flags(rule: HalfRule) -> int:
    """Return a rule as the bits that rows hold."""
    flags = half.HALF_SUMS * rule.half_sums | half.SATURATE * rule.saturate
    flags |= half.FLUSH * (rule.subnormals is Subnormals.FLUSHED)
    return flags | half.FLUSH_FIRST * (rule.subnormals is Subnormals.FLUSHED_FIRST)


def write_float_products(writer: RowWriter, instruction: Instruction) -> None:
    """Append the rows of a convolution or matrix product: its input widened, then the sums."""
    attributes = instruction.attributes
    reals = _reals(instruction)
    weights = reals["weights"]
    strides, pads, dilations, groups = _NO_STRIDES, _NO_PADS, _NO_STRIDES, 1
    if weights.ndim == 2:
        weights = weights[:, :, None, None]
    else:
        strides, pads, dilations = (
            numbers(attributes[name]) for name in ("strides", "pads", "dilations")
        )
        groups = number(attributes["groups"])
    wide = _widened(writer, instruction, pads)
    channels, _, width = wide.sizes
    outputs, depth, kernel_height, kernel_width = weights.shape
    columns = {
        **_bounds(writer, instruction),
        **_window(writer.view(instruction.output), strides),
        t.BIAS: writer.constants.add(reals["bias"], "float32"),
        t.WIDTH: width,
        t.CHANNELS: channels,
        t.OUTPUT_CHANNELS: outputs,
        t.GROUPS: groups,
        t.DEPTH: depth,
        t.MULTIPLIER: writer.constants.add(1.0, "float32"),
        t.UNIFORM: 1,
    }
    rows = np.arange(kernel_height)[:, None] * dilations[0] * width
    window = (rows + np.arange(kernel_width) * dilations[1]) * channels
    if groups == channels == outputs:
        columns[t.GROUPS], columns[t.DEPTH] = 1, 0
        _write(writer, instruction, columns, weights.reshape(1, outputs, -1), window, wide)
        return
    places = np.arange(depth)[:, None, None] + window
    filters = weights.reshape(groups, outputs // groups, -1)
    _write(writer, instruction, columns, filters, places, wide, t.HALF_DENSE)


def write_float_average_pool(writer: RowWriter, instruction: Instruction) -> None:
    """Append the rows of an average pooling: its input widened, then sums with filters of ones, divided."""
    kernel, strides, pads = (
        numbers(instruction.attributes[name]) for name in ("kernel_shape", "strides", "pads")
    )
    wide = _widened(writer, instruction, pads)
    channels, _, width = wide.sizes
    window = np.arange(kernel[0])[:, None] * width + np.arange(kernel[1])
    count = instruction.constants["count"].array
    columns = {
        **_bounds(writer, instruction),
        **_window(writer.view(instruction.output), strides),
        t.BIAS: writer.constants.add(np.full(channels, -0.0), "float32"),
        t.WIDTH: width,
        t.CHANNELS: channels,
        t.OUTPUT_CHANNELS: channels,
        t.GROUPS: 1,
        t.MULTIPLIER: writer.constants.add(count, "float32"),
        t.UNIFORM: int(count.size == 1),
    }
    ones = np.ones((1, channels, window.size), np.float32)
    _write(writer, instruction, columns, ones, window * channels, wide)


def _write(
    writer: RowWriter,
    instruction: Instruction,
    columns: dict[int, int],
    filters: NDArray[np.float32],
    offsets: NDArray[np.int64],
    wide: View,
    opcode: int = t.HALF_DEPTHWISE,
) -> None:
    """Append the row of sums of products.

    Args:
        writer: of rows.
        instruction: whose row it is.
        columns: what its operator determines.
        filters: [groups, outputs of a group, taps].
        offsets: of each tap, from a window's first element.
        wide: the input.
        opcode: HALF_DENSE, or HALF_DEPTHWISE where an output reads one channel.
    """
    groups, outputs, taps = filters.shape
    padded = np.zeros((groups, -(-outputs // LANES) * LANES, taps), np.float32)
    padded[:, :outputs] = filters
    packed = padded.reshape(groups, -1, LANES, taps).transpose(0, 1, 3, 2)
    columns |= {
        **_output(instruction),
        t.WEIGHTS: writer.constants.add(packed, "float32"),
        t.TAPS: writer.constants.add(offsets, "int64"),
        t.WORDS: taps,
        t.GROUP_BYTES: packed[0].nbytes,
    }
    columns[t.ACCUMULATORS], columns[t.PANEL] = writer.scratch(PIXELS * LANES * 4, PIXELS * 8)
    y = writer.view(instruction.output)
    writer.row(instruction.name, _opcode(instruction, opcode), columns, [(t.INPUT, wide)], y)


def write_half_max_pool(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a maximum pooling."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    kernel, strides, pads, dilations = (
        numbers(instruction.attributes[name])
        for name in ("kernel_shape", "strides", "pads", "dilations")
    )
    columns = {
        **_window(y, strides),
        t.HEIGHT: x.sizes[1],
        t.WIDTH: x.sizes[2],
        t.CHANNELS: x.sizes[0],
        t.KERNEL_HEIGHT: kernel[0],
        t.KERNEL_WIDTH: kernel[1],
        t.PAD_TOP: pads[0],
        t.PAD_LEFT: pads[1],
        t.DILATION_Y: dilations[0],
        t.DILATION_X: dilations[1],
    }
    writer.row(instruction.name, t.HALF_MAX_POOL, columns, [(t.INPUT, x)], y)


def write_float_add(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of an addition."""
    a, b = (writer.view(name) for name in instruction.inputs)
    columns = {
        **_bounds(writer, instruction),
        **_by_channel(a),
        **_input(instruction),
        **_output(instruction),
    }
    y = writer.view(instruction.output)
    opcode = _opcode(instruction, t.HALF_ADD)
    writer.row(instruction.name, opcode, columns, [(t.INPUT, a), (t.SECOND_INPUT, b)], y)


def write_float_clip(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a standalone activation."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    columns = {
        **_bounds(writer, instruction),
        **_by_channel(x),
        **_input(instruction),
        **_output(instruction),
    }
    opcode = _opcode(instruction, t.HALF_CLIP)
    writer.row(instruction.name, opcode, columns, [(t.INPUT, x)], y)


def write_half_pad(writer: RowWriter, instruction: Instruction) -> None:
    """Append a filling and the copy into its middle."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    begins = numbers(instruction.attributes["pads"])[1 : len(x.sizes) + 1]
    value = int(instruction.constants["value"].array.view(np.uint16)[0])
    if y.count > x.count:
        writer.row(instruction.name, t.FILL, {t.LENGTH: y.count, t.VALUE: value}, [], y)
    start = sum(b * s for b, s in zip(begins, y.strides, strict=True))
    writer.copy(instruction.name, x, View(y.buffer, start, x.sizes, y.strides, y.width))


def write_half_dequantize(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a conversion of int32 codes to halves."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    multiplier, shift = (instruction.constants[name].array for name in ("multiplier", "shift"))
    columns = {
        **_bounds(writer, instruction),
        **_by_channel(x),
        **_output(instruction),
        t.SCALE: _scale(writer, multiplier, shift),
    }
    writer.row(instruction.name, t.HALF_DEQUANTIZE, columns, [(t.INPUT, x)], y)


def write_half_quantize(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a conversion of halves to integers."""
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    attributes = instruction.attributes
    zero_point = number(attributes["output_zero_point"])
    multiplier, shift = (np.array(number(attributes[name])) for name in ("multiplier", "shift"))
    columns = {
        t.OUTER: x.count,
        t.SCALE: _scale(writer, multiplier, shift),
        t.LOW: number(attributes["minimum"]) - zero_point,
        t.HIGH: number(attributes["maximum"]) - zero_point,
        t.OUTPUT_ZERO_POINT: zero_point + binary_offset(instruction.kernel.output),
    }
    writer.row(instruction.name, t.HALF_QUANTIZE, columns, [(t.INPUT, x)], y)


def _opcode(instruction: Instruction, opcode: int) -> int:
    """Return the opcode of half precision, or what minifloats have in its place."""
    return opcode if instruction.kernel.minifloat is None else MINIFLOAT_OPCODES[opcode]


def _output(instruction: Instruction) -> dict[int, int]:
    """Return the columns that say how results are rounded."""
    if instruction.kernel.half is not None:
        return {t.RULE: rule_flags(instruction.kernel.half)}
    return code_columns(instruction)


def _input(instruction: Instruction) -> dict[int, int]:
    """Return the columns that say what codes stand for; halves stand for themselves."""
    return {} if instruction.kernel.minifloat is None else input_columns(instruction)


def _reals(instruction: Instruction) -> dict[str, NDArray[np.float32]]:
    """Return weights, bias and limits, those there are, as numbers."""
    if instruction.kernel.minifloat is not None:
        return number_constants(instruction)
    return {
        name: constant.array.astype(np.float32)
        for name, constant in instruction.constants.items()
    }


def _scale(writer: RowWriter, multiplier: NDArray[np.int_], shift: NDArray[np.int_]) -> int:
    scale = np.ldexp(multiplier.astype(np.float64), -shift.astype(np.int64))
    return writer.constants.add(scale, "float32")


def _bounds(writer: RowWriter, instruction: Instruction) -> dict[int, int]:
    reals = _reals(instruction)
    return {
        column: writer.constants.add(reals[name], "float32")
        for column, name in ((t.LOW, "minimum"), (t.HIGH, "maximum"))
    }


def _window(y: View, strides: tuple[int, ...]) -> dict[int, int]:
    height, width = y.sizes[1:] if len(y.sizes) == 3 else (1, 1)
    return {
        t.OUTPUT_HEIGHT: height,
        t.OUTPUT_WIDTH: width,
        t.STRIDE_Y: strides[0],
        t.STRIDE_X: strides[1],
    }


def _by_channel(x: View) -> dict[int, int]:
    """Return a tensor's memory as [OUTER, CHANNELS, INNER]."""
    channels, inner = (x.sizes[0], x.strides[0]) if x.sizes else (1, 1)
    return {t.OUTER: x.count // (channels * inner), t.CHANNELS: channels, t.INNER: inner}


def _widened(writer: RowWriter, instruction: Instruction, pads: tuple[int, ...]) -> View:
    """Append the conversion of an input to float32, padded; return it, [C, H, W]."""
    x = writer.view(instruction.inputs[0])
    channels, height, width = x.sizes if len(x.sizes) == 3 else (x.sizes[0], 1, 1)
    top, left, bottom, right = pads
    sizes = (channels, height + top + bottom, width + left + right)
    wide = writer.temporary(sizes, 4)
    columns = {
        t.HEIGHT: height,
        t.WIDTH: width,
        t.CHANNELS: channels,
        t.OUTPUT_HEIGHT: sizes[1],
        t.OUTPUT_WIDTH: sizes[2],
        t.PAD_TOP: top,
        t.PAD_LEFT: left,
        **_input(instruction),
    }
    writer.row(instruction.name, _opcode(instruction, t.WIDEN), columns, [(t.INPUT, x)], wide)
    return wide
