"""Convolution and matrix product of bytes through proved 16-bit sums; see `packing_bytes`, and `dense` for the blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.dense import pack_rows
from intlower.kernels.movement import share_product
from intlower.kernels.simd import isa_columns
from intlower.kernels.simd_bytes import ROWS, tile_bytes
from intlower.kernels.simd_epilogue import requantize_block
from intlower.kernels.table import (
    ACCUMULATORS,
    BIAS,
    BLOCK_ROWS,
    GROUPS,
    HIGH,
    HIGH_FLOAT,
    LOW,
    LOW_FLOAT,
    MULTIPLIER,
    OUTPUT,
    OUTPUT_BYTES,
    OUTPUT_CHANNELS,
    OUTPUT_HEIGHT,
    OUTPUT_WIDTH,
    OUTPUT_ZERO_POINT,
    PADDED_CHANNELS,
    PANEL,
    RULE,
    SCALE,
    SHIFT,
    TABLE,
    WEIGHTS,
    WORDS,
)

Array = Any


@part
def dense_bytes(
    isa: Any,
    row: Array,
    arena: Array,
    outputs: Array,
    constants: Array,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run one convolution or matrix product: pack, multiply, requantize, block by block.

    Args:
        isa: chooses the tile.
        row: the instruction; TABLE says where each panel lies after WEIGHTS.
        arena: uint8, all of it.
        outputs: the arena as output codes.
        constants: uint8.
        scratch: byte offset of this thread's scratch.
        thread: which of `threads` this is; see `share_product`.
        threads: how many work on this instruction.
    """
    pixels, size = row[OUTPUT_HEIGHT] * row[OUTPUT_WIDTH], row[WORDS] * 4
    channels, padded = row[OUTPUT_CHANNELS] // row[GROUPS], row[PADDED_CHANNELS]
    packed, sums = scratch + row[PANEL], scratch + row[ACCUMULATORS]
    width = isa_columns(isa)
    panels = (padded + width - 1) // width
    places = constants.view(np.int64)
    first, last, first_panel, last_panel = share_product(
        pixels, panels, pixels <= channels, thread, threads
    )
    for group in range(row[GROUPS]):
        target = row[OUTPUT] // row[OUTPUT_BYTES] + group * channels
        for block in range(first, last, row[BLOCK_ROWS]):
            count = min(row[BLOCK_ROWS], last - block)
            pack_rows(isa, row, arena, arena, packed, group, block, count)
            for p in range(first_panel, last_panel):
                column = p * width
                place = places[np.uint64(row[TABLE] // 8 + group * panels + p)]
                offset = (group * channels + column) * 4
                for r in range(0, count, ROWS):
                    tile_bytes(
                        isa,
                        arena,
                        constants,
                        packed + r * size,
                        size,
                        row[WEIGHTS] + place,
                        row[BIAS] + (group * padded + column) * 4,
                        sums + r * width * 4,
                        width * 4,
                        min(ROWS, count - r),
                        min(width, padded - column),
                    )
                requantize_block(
                    isa,
                    row[RULE],
                    arena,
                    sums,
                    width * 4,
                    count,
                    min(width, channels - column),
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
