"""3x3 convolution of stride 1 through Winograd's transforms: exact, with a quarter to a half of the products.

A block of windows is transformed into scratch; every panel of output channels then multiplies it there, position by
position, and transforms its sums back, a row of output tiles at a time. See `winograd_transforms`.
"""

from __future__ import annotations

from typing import Any

from intlower.kernels.compiled import part
from intlower.kernels.dense import fill
from intlower.kernels.movement import share_product
from intlower.kernels.simd import isa_columns, isa_rows, tile
from intlower.kernels.simd_epilogue import requantize_block
from intlower.kernels.simd_packing import convert
from intlower.kernels.simd_winograd import (
    transform_tiles_2,
    transform_tiles_4,
    transform_window_2,
    transform_window_4,
)
from intlower.kernels.table import (
    ACCUMULATORS,
    BIAS,
    BLOCK_ROWS,
    CHANNELS,
    EDGE,
    HEIGHT,
    HIGH,
    HIGH_FLOAT,
    INPUT,
    LINES,
    LOW,
    LOW_FLOAT,
    MULTIPLIER,
    NO_BIAS,
    OUTPUT,
    OUTPUT_BYTES,
    OUTPUT_CHANNELS,
    OUTPUT_HEIGHT,
    OUTPUT_WIDTH,
    OUTPUT_ZERO_POINT,
    PAD_LEFT,
    PAD_TOP,
    PADDED_CHANNELS,
    PANEL,
    RULE,
    SCALE,
    SHIFT,
    WEIGHTS,
    WIDTH,
    WINDOW,
    WORDS,
    ZERO_POINT,
)

Array = Any


@part
def copy_window(isa: Any, row: Array, arena: Array, y: Any, x: Any, scratch: Any) -> None:
    """Copy a window that leaves the image, with the zero point in its place there.

    Args:
        isa: chooses loops or vectors.
        row: the instruction.
        arena: uint8.
        y: the window's first line.
        x: the window's first column.
        scratch: byte offset of the copy, [window][window][channels of the packed rows].
    """
    window, channels = row[EDGE] + 2, row[WORDS] * 2
    before = min(max(-x, 0), window)
    end = max(min(window, row[WIDTH] - x), before)
    for v in range(window):
        line = scratch + v * window * channels
        if not 0 <= y + v < row[HEIGHT]:
            fill(arena, line, window * channels, row[ZERO_POINT])
            continue
        fill(arena, line, before * channels, row[ZERO_POINT])
        for u in range(before, end):
            source = row[INPUT] + ((y + v) * row[WIDTH] + x + u) * row[CHANNELS]
            convert(isa, arena, source, arena, line + u * channels, row[CHANNELS], 0)
        fill(arena, line + end * channels, (window - end) * channels, row[ZERO_POINT])


@part
def transform_block(
    isa: Any, row: Array, arena: Array, first: Any, count: Any, scratch: Any
) -> None:
    """Transform the windows of a block of output tiles into packed rows, [position][tile][words].

    Args:
        isa: chooses loops or vectors.
        row: the instruction.
        arena: uint8.
        first: index of the first output tile.
        count: of output tiles.
        scratch: byte offset of this thread's scratch.
    """
    edge, channels = row[EDGE], row[WORDS] * 2
    window = edge + 2
    tiles = (row[OUTPUT_WIDTH] + edge - 1) // edge
    stride = row[BLOCK_ROWS] * row[WORDS] * 4
    for index in range(count):
        y = (first + index) // tiles * edge - row[PAD_TOP]
        x = (first + index) % tiles * edge - row[PAD_LEFT]
        source = row[INPUT] + (y * row[WIDTH] + x) * row[CHANNELS]
        pixel, line = row[CHANNELS], row[WIDTH] * row[CHANNELS]
        if y < 0 or x < 0 or y + window > row[HEIGHT] or x + window > row[WIDTH]:
            source, pixel, line = scratch + row[WINDOW], channels, window * channels
            copy_window(isa, row, arena, y, x, source)
        target = scratch + row[PANEL] + index * row[WORDS] * 4
        zero = row[ZERO_POINT]
        if edge == 4:
            transform_window_4(arena, source, line, pixel, channels, zero, target, stride)
        else:
            transform_window_2(arena, source, line, pixel, channels, zero, target, stride)


@part
def multiply_block(
    isa: Any,
    row: Array,
    arena: Array,
    constants: Array,
    scratch: Any,
    column: Any,
    columns: Any,
    count: Any,
) -> None:
    """Multiply a block's packed rows with one panel, position by position.

    Args:
        isa: chooses the tile.
        row: the instruction.
        arena: uint8.
        constants: uint8.
        scratch: byte offset of this thread's scratch.
        column: first of the panel.
        columns: of the panel.
        count: of output tiles.
    """
    size, width = row[WORDS] * 4, isa_columns(isa) * 4
    positions = (row[EDGE] + 2) * (row[EDGE] + 2)
    weights = row[WEIGHTS] + column * positions * size
    for position in range(positions):
        start = position * row[BLOCK_ROWS]
        for r in range(0, count, isa_rows(isa)):
            tile(
                isa,
                arena,
                scratch + row[PANEL] + (start + r) * size,
                size,
                constants,
                weights + position * columns * size,
                row[NO_BIAS],
                row[WORDS],
                scratch + row[ACCUMULATORS] + (start + r) * width,
                width,
                min(isa_rows(isa), count - r),
                columns,
                False,
            )


@part
def write_block(
    isa: Any,
    row: Array,
    arena: Array,
    outputs: Array,
    constants: Array,
    scratch: Any,
    column: Any,
    columns: Any,
    first: Any,
    count: Any,
) -> None:
    """Transform one panel's sums back and requantize them.

    Args:
        isa: chooses loops or vectors.
        row: the instruction.
        arena: uint8.
        outputs: the arena as output codes.
        constants: uint8.
        scratch: byte offset of this thread's scratch.
        column: first of the panel.
        columns: of the panel.
        first: index of the first output tile.
        count: of output tiles.
    """
    edge, width = row[EDGE], isa_columns(isa) * 4
    tiles = (row[OUTPUT_WIDTH] + edge - 1) // edge
    line_stride, position_stride = tiles * edge * width, row[BLOCK_ROWS] * width
    lines, bias = scratch + row[LINES], row[BIAS] + column * 4
    offset = column * 4
    done = 0
    while done < count:
        y, x = (first + done) // tiles, (first + done) % tiles
        run = min(count - done, tiles - x)
        sums = scratch + row[ACCUMULATORS] + done * width
        if edge == 4:
            transform_tiles_4(
                isa,
                arena,
                constants,
                sums,
                width,
                position_stride,
                run,
                columns,
                bias,
                lines,
                line_stride,
            )
        else:
            transform_tiles_2(
                isa,
                arena,
                constants,
                sums,
                width,
                position_stride,
                run,
                columns,
                bias,
                lines,
                line_stride,
            )
        for v in range(min(edge, row[OUTPUT_HEIGHT] - y * edge)):
            pixel = (y * edge + v) * row[OUTPUT_WIDTH] + x * edge
            requantize_block(
                isa,
                row[RULE],
                arena,
                lines + v * line_stride,
                width,
                min(run * edge, row[OUTPUT_WIDTH] - x * edge),
                min(columns, row[OUTPUT_CHANNELS] - column),
                constants,
                row[MULTIPLIER] + offset,
                row[SHIFT] + offset,
                row[LOW] + offset,
                row[HIGH] + offset,
                row[SCALE] + offset,
                row[LOW_FLOAT] + offset,
                row[HIGH_FLOAT] + offset,
                row[OUTPUT_ZERO_POINT],
                outputs,
                row[OUTPUT] // row[OUTPUT_BYTES] + pixel * row[OUTPUT_CHANNELS] + column,
                row[OUTPUT_CHANNELS],
            )
        done += run


@part
def winograd(
    isa: Any,
    row: Array,
    arena: Array,
    outputs: Array,
    constants: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run one convolution: transform, multiply, transform back, requantize, block by block.

    Args:
        isa: chooses the tile.
        row: the instruction.
        arena: uint8, all of it.
        outputs: the arena as output codes.
        constants: uint8.
        scratch: byte offset of this thread's scratch.
        thread: which of `threads` this is; see `share_product`, with output tiles for pixels.
        threads: how many work on this instruction.
    """
    edge = row[EDGE]
    tiles = ((row[OUTPUT_HEIGHT] + edge - 1) // edge) * ((row[OUTPUT_WIDTH] + edge - 1) // edge)
    panels = (row[PADDED_CHANNELS] + isa_columns(isa) - 1) // isa_columns(isa)
    first, last, first_panel, last_panel = share_product(
        tiles, panels, tiles * edge <= row[OUTPUT_CHANNELS], thread, threads
    )
    for block in range(first, last, row[BLOCK_ROWS]):
        count = min(row[BLOCK_ROWS], last - block)
        transform_block(isa, row, arena, block, count, scratch)
        for p in range(first_panel, last_panel):
            column = p * isa_columns(isa)
            columns = min(isa_columns(isa), row[PADDED_CHANNELS] - column)
            multiply_block(isa, row, arena, constants, scratch, column, columns, count)
            write_block(
                isa, row, arena, outputs, constants, scratch, column, columns, block, count
            )
