"""Rows of convolutions and matrix products."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.errors import IntlowerError
from intlower.compiler.planning.columns import (
    channel_limits,
    number,
    numbers,
    output_columns,
    scales,
)
from intlower.compiler.planning.rows import RowWriter, View, binary_offset
from intlower.compiler.planning.winograd import transform_for, write_winograd
from intlower.compiler.program import Instruction
from intlower.kernels import table as t
from intlower.kernels.packing import pack_dense, wrapped
from intlower.kernels.packing_bytes import pack_bytes
from intlower.kernels.signature import Requantize
from intlower.kernels.simd_bytes import ROWS

# Bytes of packed rows and accumulators worked on at a time: they should stay in the second-level cache.
BLOCK_BYTES = 1 << 17
MOST_BLOCK_ROWS = 48


# strides, pads and dilations of a matrix product
_NO_WINDOW: tuple[tuple[int, ...], ...] = ((1, 1), (0, 0, 0, 0), (1, 1))


def write_products(writer: RowWriter, instruction: Instruction) -> None:
    """Append the row of a conv2d or gemm: DEPTHWISE where every channel has one filter of its own, else DENSE."""
    attributes = instruction.attributes
    x, y = writer.view(instruction.inputs[0]), writer.view(instruction.output)
    weights = _weights(instruction)
    if weights.ndim == 2:
        weights = weights[:, :, None, None]
        groups = 1
        strides, pads, dilations = _NO_WINDOW
        height, width, output_height, output_width = 1, 1, 1, 1
        channels = x.sizes[0]
    else:
        strides, pads, dilations = (
            numbers(attributes[name]) for name in ("strides", "pads", "dilations")
        )
        groups = number(attributes["groups"])
        channels, height, width = x.sizes
        _, output_height, output_width = y.sizes
    outputs, depth, kernel_height, kernel_width = weights.shape
    constants = {name: c.array for name, c in instruction.constants.items()}
    sums_bias = constants["bias"]
    columns = {
        **output_columns(instruction),
        **scales(writer, constants["multiplier"], constants["shift"]),
        **channel_limits(writer, instruction),
        t.HEIGHT: height,
        t.WIDTH: width,
        t.CHANNELS: channels,
        t.OUTPUT_HEIGHT: output_height,
        t.OUTPUT_WIDTH: output_width,
        t.OUTPUT_CHANNELS: outputs,
        t.KERNEL_HEIGHT: kernel_height,
        t.KERNEL_WIDTH: kernel_width,
        t.STRIDE_Y: strides[0],
        t.STRIDE_X: strides[1],
        t.PAD_TOP: pads[0],
        t.PAD_LEFT: pads[1],
        t.DILATION_Y: dilations[0],
        t.DILATION_X: dilations[1],
        t.GROUPS: groups,
        t.DEPTH: depth,
    }
    ordered = weights.transpose(0, 2, 3, 1)
    if "accumulator_bits" in attributes:
        columns[t.VALUE] = (1 << (number(attributes["accumulator_bits"]) - 1)) - 1
        _saturating(writer, instruction, columns, ordered, x, y)
        return
    rule = instruction.kernel.requantize
    narrow = int(weights.min()) >= -(1 << 15) and int(weights.max()) < 1 << 15
    integer = rule is Requantize.MUL31SINGLE or (rule is not None and rule.power_of_two)
    if sums_bias.dtype == np.int64 or (integer and not narrow):
        _wide(writer, instruction, columns, ordered, x, y)
        return
    if instruction.kernel.requantize is Requantize.F32BIAS:  # added later, in single precision
        columns[t.MULTIPLIER] = writer.constants.add(sums_bias, "int32")
        sums_bias = np.zeros_like(sums_bias)
    if not narrow:
        raise IntlowerError(f"{instruction.name}: its weights do not fit 16 bits")
    if groups == channels == outputs and groups > 1:
        taps = ordered.reshape(outputs, -1).T
        _depthwise(writer, instruction, columns, taps, sums_bias, x, y)
        return
    transform = transform_for(columns, ordered, x.width, writer.isa)
    if transform is not None:
        write_winograd(writer, instruction.name, transform, columns, ordered, sums_bias, x, y)
        return
    if writer.isa.bytes_through_halves and _write_bytes(
        writer, instruction, columns, ordered, sums_bias, x, y
    ):
        return
    packed = pack_dense(
        ordered.reshape(outputs, -1),
        groups=groups,
        isa=writer.isa,
        code_bytes=x.width,
        zero_point=columns[t.ZERO_POINT],
    )
    bias = np.zeros((groups, packed.columns), np.int64)
    bias[:, : outputs // groups] = wrapped(sums_bias + packed.correction).reshape(groups, -1)
    block = min(MOST_BLOCK_ROWS, max(BLOCK_BYTES // (packed.words * 4), 1))
    block = -(-min(block, output_height * output_width) // writer.isa.rows) * writer.isa.rows
    columns[t.PANEL], columns[t.ACCUMULATORS] = writer.scratch(
        block * packed.words * 4, block * writer.isa.columns * 4
    )
    columns |= {
        t.WEIGHTS: writer.constants.add(packed.data, "uint8"),
        t.GROUP_BYTES: packed.group_bytes,
        t.BIAS: writer.constants.add(bias, "int32"),
        t.WORDS: packed.words,
        t.OPERAND_BYTES: packed.operand_bytes,
        t.CENTER: packed.center,
        t.PAD_VALUE: packed.pad_value,
        t.BLOCK_ROWS: block,
        t.PADDED_CHANNELS: packed.columns,
    }
    writer.row(instruction.name, t.DENSE, columns, [(t.INPUT, x)], y)


def _write_bytes(
    writer: RowWriter,
    instruction: Instruction,
    columns: dict[int, int],
    ordered: NDArray[np.int64],
    bias: NDArray[np.int32],
    x: View,
    y: View,
) -> bool:
    """Append the row of a product of bytes through 16-bit sums, and return True, where it pays.

    Args:
        writer: of the table.
        instruction: of the product.
        columns: of the row, so far.
        ordered: [O, kh, kw, depth], zero point removed.
        bias: [O].
        x: input.
        y: output.
    """
    isa, outputs, groups = writer.isa, len(ordered), columns[t.GROUPS]
    if x.width > 1 or ordered.min() < -128 or ordered.max() > 127:
        return False
    offset, zero_point = binary_offset(instruction.kernel.activation), columns[t.ZERO_POINT]
    low, high = (code + offset for code in writer.ranges[instruction.inputs[0]])
    flat = ordered.reshape(outputs, -1)
    pack = partial(
        pack_bytes,
        isa=isa,
        low=min(low, zero_point),  # padding holds the zero point
        high=max(high, zero_point),
        zero_point=zero_point,
    )
    pairs = -(-flat.shape[1] // 2)  # multiplications of a panel of 16-bit pairs
    if pack(flat[: min(isa.columns, outputs // groups)], groups=1).cost > pairs:
        return False
    packed = pack(flat, groups=groups)
    if packed.cost > pairs * packed.places.size:
        return False
    folded = np.zeros((groups, packed.columns), np.int64)
    folded[:, : outputs // groups] = wrapped(bias + packed.correction).reshape(groups, -1)
    pixels = columns[t.OUTPUT_HEIGHT] * columns[t.OUTPUT_WIDTH]
    block = min(MOST_BLOCK_ROWS, max(BLOCK_BYTES // (packed.words * 4), 1))
    block = -(-min(block, pixels) // ROWS) * ROWS
    columns[t.PANEL], columns[t.ACCUMULATORS] = writer.scratch(
        block * packed.words * 4, block * isa.columns * 4
    )
    columns |= {
        t.WEIGHTS: writer.constants.add(packed.data, "uint8"),
        t.TABLE: writer.constants.add(packed.places, "int64"),
        t.BIAS: writer.constants.add(folded, "int32"),
        t.WORDS: packed.words,
        t.OPERAND_BYTES: 1,
        t.CENTER: packed.center,
        t.PAD_VALUE: zero_point - packed.center,
        t.BLOCK_ROWS: block,
        t.PADDED_CHANNELS: packed.columns,
    }
    writer.row(instruction.name, t.DENSE_BYTES, columns, [(t.INPUT, x)], y)
    return True


def _weights(instruction: Instruction) -> NDArray[np.int64]:
    """Return weight codes less their zero point, or less that of their output channel."""
    codes = instruction.constants["weights"].array.astype(np.int64)
    zero_points = instruction.constants.get("weight_zero_points")
    if zero_points is None:
        return codes - number(instruction.attributes["weight_zero_point"])
    return np.asarray(codes - zero_points.array.reshape(-1, *(1,) * (codes.ndim - 1)))


def _wide(
    writer: RowWriter,
    instruction: Instruction,
    columns: dict[int, int],
    ordered: NDArray[np.int64],
    x: View,
    y: View,
) -> None:
    """Append the row of a product with 64-bit sums; `ordered` is [O, kh, kw, depth], zero point removed."""
    groups, outputs = columns[t.GROUPS], len(ordered)
    grouped = ordered.reshape(groups, outputs // groups, -1, columns[t.DEPTH])
    (columns[t.ACCUMULATORS],) = writer.scratch(outputs * 8)
    columns[t.WEIGHTS] = writer.constants.add(grouped.transpose(2, 0, 3, 1), "int32")
    columns[t.BIAS] = writer.constants.add(instruction.constants["bias"].array, "int64")
    writer.row(instruction.name, t.WIDE, columns, [(t.INPUT, x)], y)


def _saturating(
    writer: RowWriter,
    instruction: Instruction,
    columns: dict[int, int],
    ordered: NDArray[np.int64],
    x: View,
    y: View,
) -> None:
    """Append the row of a product whose sums saturate; `ordered` is [O, kh, kw, depth], zero point removed."""
    groups, outputs = columns[t.GROUPS], len(ordered)
    grouped = ordered.reshape(groups, outputs // groups, -1, columns[t.DEPTH])
    (columns[t.ACCUMULATORS],) = writer.scratch(outputs * 4)
    columns[t.WEIGHTS] = writer.constants.add(grouped.transpose(2, 0, 3, 1), "int16")
    columns[t.BIAS] = writer.constants.add(instruction.constants["bias"].array, "int32")
    writer.row(instruction.name, t.SATURATING, columns, [(t.INPUT, x)], y)


def _depthwise(
    writer: RowWriter,
    instruction: Instruction,
    columns: dict[int, int],
    taps: NDArray[np.int64],
    bias: NDArray[np.int32],
    x: View,
    y: View,
) -> None:
    """Append the row of a depthwise convolution; `taps` is [kh * kw, C], zero point removed."""
    count, channels = taps.shape
    if writer.isa.name == "portable" or x.width > 1:
        (columns[t.ACCUMULATORS],) = writer.scratch(channels * 4)
        columns[t.WEIGHTS] = writer.constants.add(taps, "int16")
        columns[t.BIAS] = writer.constants.add(bias, "int32")
        writer.row(instruction.name, t.DEPTHWISE, columns, [(t.INPUT, x)], y)
        return
    pairs, padded = -(-count // 2), -(-channels // 8) * 8
    packed = np.zeros((pairs * 2, padded), np.int16)
    packed[:count, :channels] = taps
    folded = np.zeros(padded, np.int64)
    folded[:channels] = wrapped(
        bias.astype(np.int64) - columns[t.ZERO_POINT] * taps.sum(axis=0)
    )
    window = np.arange(pairs * 2).clip(max=count - 1)
    rows, places = np.divmod(window, columns[t.KERNEL_WIDTH])
    offsets = (
        rows * columns[t.DILATION_Y] * columns[t.WIDTH] + places * columns[t.DILATION_X]
    ) * channels
    block = max(BLOCK_BYTES // 4 // (padded * 4), 1)
    columns[t.ACCUMULATORS], columns[t.BORDER_TAPS], columns[t.PAD_ROW] = writer.scratch(
        block * padded * 4, pairs * 16, padded
    )
    columns |= {
        t.WEIGHTS: writer.constants.add(
            packed.reshape(pairs, 2, padded).transpose(0, 2, 1), "int16"
        ),
        t.BIAS: writer.constants.add(folded, "int32"),
        t.TAPS: writer.constants.add(offsets, "int64"),
        t.PADDED_CHANNELS: padded,
        t.BLOCK_ROWS: block,
    }
    writer.row(instruction.name, t.DEPTHWISE_PAIRS, columns, [(t.INPUT, x)], y)
