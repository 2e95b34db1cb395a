"""Convolution and matrix product: packed rows of one block of output pixels against panels of weights.

No im2col copy of the input is made. A block of a few dozen output pixels is packed into scratch that stays in the
first- or second-level cache; all output channels then read it there, tile by tile.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.movement import share_product
from intlower.kernels.simd import isa_columns, isa_rows, tile
from intlower.kernels.simd_epilogue import requantize_block
from intlower.kernels.simd_packing import convert, convert_windows
from intlower.kernels.table import (
    ACCUMULATORS,
    BIAS,
    BLOCK_ROWS,
    CENTER,
    CHANNELS,
    DEPTH,
    DILATION_X,
    DILATION_Y,
    GROUP_BYTES,
    GROUPS,
    HEIGHT,
    HIGH,
    HIGH_FLOAT,
    INPUT,
    INPUT_BYTES,
    KERNEL_HEIGHT,
    KERNEL_WIDTH,
    LOW,
    LOW_FLOAT,
    MULTIPLIER,
    OPERAND_BYTES,
    OUTPUT,
    OUTPUT_BYTES,
    OUTPUT_CHANNELS,
    OUTPUT_HEIGHT,
    OUTPUT_WIDTH,
    OUTPUT_ZERO_POINT,
    PAD_LEFT,
    PAD_TOP,
    PAD_VALUE,
    PADDED_CHANNELS,
    PANEL,
    RULE,
    SCALE,
    SHIFT,
    STRIDE_X,
    STRIDE_Y,
    WEIGHTS,
    WIDTH,
    WORDS,
)
from intlower.kernels.vectors import variants_of

Array = Any


@part
def fill(packed: Array, target: Any, count: Any, value: Any) -> None:
    """Pack padding."""
    d = np.uint64(target)
    for i in range(count):
        packed[d + np.uint64(i)] = value


@part
def pack_rows(
    isa: Any,
    row: Array,
    codes: Array,
    packed: Array,
    panel: Any,
    group: Any,
    first: Any,
    count: Any,
) -> None:
    """Pack the windows of `count` output pixels from `first` on, in the order [kh][kw][depth].

    Args:
        isa: chooses loops or vectors.
        row: the instruction.
        codes: uint8 or uint16, the arena.
        packed: int16 or uint8, the arena as operands.
        panel: index of the first packed row in `packed`.
        group: of channels.
        first: index of an output pixel.
        count: of output pixels.
    """
    channels, depth, width = row[CHANNELS], row[DEPTH], row[WIDTH]
    kernel_width, center, pad_value = row[KERNEL_WIDTH], row[CENTER], row[PAD_VALUE]
    stride = row[WORDS] * 4 // row[OPERAND_BYTES]
    base = row[INPUT] // row[INPUT_BYTES] + group * depth
    adjacent = row[DILATION_X] == 1 and depth == channels
    if (
        adjacent
        and row[KERNEL_HEIGHT] * kernel_width * row[STRIDE_Y] * row[STRIDE_X] == 1
        and stride == depth
        and row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH] == row[HEIGHT] * width
    ):
        # pixels follow one another in the input as in the packed rows
        convert(isa, codes, base + first * depth, packed, panel, count * depth, center)
        return
    # Windows inside the input, of one line of output pixels, are packed together.
    reach = (kernel_width - 1) * row[DILATION_X]
    depth_of_window = (row[KERNEL_HEIGHT] - 1) * row[DILATION_Y]
    index = 0
    while index < count:
        pixel = first + index
        column = pixel % row[OUTPUT_WIDTH]
        y = pixel // row[OUTPUT_WIDTH] * row[STRIDE_Y] - row[PAD_TOP]
        x = column * row[STRIDE_X] - row[PAD_LEFT]
        target = panel + index * stride
        inside = y >= 0 and x >= 0 and y + depth_of_window < row[HEIGHT] and x + reach < width
        if adjacent and inside:
            run = min(count - index, row[OUTPUT_WIDTH] - column)
            run = min(run, (width - 1 - reach - x) // row[STRIDE_X] + 1)
            convert_windows(
                isa,
                codes,
                base + (y * width + x) * channels,
                row[STRIDE_X] * channels,
                row[DILATION_Y] * width * channels,
                packed,
                target,
                stride,
                run,
                row[KERNEL_HEIGHT],
                kernel_width * depth,
                center,
            )
            index += run
            continue
        index += 1
        for v in range(row[KERNEL_HEIGHT]):
            vertical = y + v * row[DILATION_Y]
            if vertical < 0 or vertical >= row[HEIGHT]:
                fill(packed, target, kernel_width * depth, pad_value)
            elif adjacent:
                before = min(max(-x, 0), kernel_width)
                end = max(min(kernel_width, width - x), before)
                source = base + (vertical * width + x + before) * channels
                if before > 0:
                    fill(packed, target, before * depth, pad_value)
                length = (end - before) * depth
                convert(isa, codes, source, packed, target + before * depth, length, center)
                if end < kernel_width:
                    fill(packed, target + end * depth, (kernel_width - end) * depth, pad_value)
            else:
                for u in range(kernel_width):
                    horizontal = x + u * row[DILATION_X]
                    if 0 <= horizontal < width:
                        source = base + (vertical * width + horizontal) * channels
                        convert(isa, codes, source, packed, target + u * depth, depth, center)
                    else:
                        fill(packed, target + u * depth, depth, pad_value)
            target += kernel_width * depth


def pack_block(
    isa: Any,
    row: Array,
    codes: Array,
    arena: Array,
    panel: Any,
    group: Any,
    first: Any,
    count: Any,
) -> None:
    """Pack output pixels as the row asks, in pairs or in fours; for compiled code.

    Args:
        isa: of which only some have fours; the others need not compile them.
        row: the instruction.
        codes: the arena as input codes.
        arena: uint8.
        panel: byte offset of the first packed row.
        group: see `pack_rows`; first, count alike.
        first: see group.
        count: see group.
    """
    raise NotImplementedError("callable from compiled code only")


@variants_of(pack_block)
def _pack_block(
    isa: Any,
    row: Array,
    codes: Array,
    arena: Array,
    panel: Any,
    group: Any,
    first: Any,
    count: Any,
) -> Any:
    return _pack_pairs_or_fours if isa.isa.fours else _pack_pairs


def _pack_pairs(
    isa: Any,
    row: Array,
    codes: Array,
    arena: Array,
    panel: Any,
    group: Any,
    first: Any,
    count: Any,
) -> None:
    pack_rows(isa, row, codes, arena.view(np.int16), panel // 2, group, first, count)


def _pack_pairs_or_fours(
    isa: Any,
    row: Array,
    codes: Array,
    arena: Array,
    panel: Any,
    group: Any,
    first: Any,
    count: Any,
) -> None:
    if row[OPERAND_BYTES] == 1:
        pack_rows(isa, row, codes, arena, panel, group, first, count)
    else:
        pack_rows(isa, row, codes, arena.view(np.int16), panel // 2, group, first, count)


@part
def dense(
    isa: Any,
    row: Array,
    arena: Array,
    inputs: Array,
    outputs: Array,
    constants: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run one convolution or matrix product: pack, multiply, requantize, block by block.

    Args:
        isa: chooses the tile.
        row: the instruction.
        arena: uint8, all of it.
        inputs: the arena as input codes.
        outputs: the arena as output codes.
        constants: uint8.
        scratch: byte offset of this thread's scratch.
        thread: which of `threads` this is; see `share_product`.
        threads: how many work on this instruction.
    """
    pixels = row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH]
    channels, padded = row[OUTPUT_CHANNELS] // row[GROUPS], row[PADDED_CHANNELS]
    words, fours = row[WORDS], row[OPERAND_BYTES] == 1
    panel = scratch + row[PANEL]
    sums = scratch + row[ACCUMULATORS]
    panels = (padded + isa_columns(isa) - 1) // isa_columns(isa)
    first, last, first_panel, last_panel = share_product(
        pixels, panels, pixels <= channels, thread, threads
    )
    for group in range(row[GROUPS]):
        target = row[OUTPUT] // row[OUTPUT_BYTES] + group * channels
        for block in range(first, last, row[BLOCK_ROWS]):
            count = min(row[BLOCK_ROWS], last - block)
            pack_block(isa, row, inputs, arena, panel, group, block, count)
            for p in range(first_panel, last_panel):
                column = p * isa_columns(isa)
                columns = min(isa_columns(isa), padded - column)
                offset = (group * channels + column) * 4
                for r in range(0, count, isa_rows(isa)):
                    tile(
                        isa,
                        arena,
                        panel + r * words * 4,
                        words * 4,
                        constants,
                        row[WEIGHTS] + group * row[GROUP_BYTES] + column * words * 4,
                        row[BIAS] + (group * padded + column) * 4,
                        words,
                        sums + r * isa_columns(isa) * 4,
                        isa_columns(isa) * 4,
                        min(isa_rows(isa), count - r),
                        columns,
                        fours,
                    )
                requantize_block(
                    isa,
                    row[RULE],
                    arena,
                    sums,
                    isa_columns(isa) * 4,
                    count,
                    min(columns, channels - column),
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
                    target + block * row[OUTPUT_CHANNELS] + column,
                    row[OUTPUT_CHANNELS],
                )
