"""The compiled walk over an instruction table: every layer of a program in one call from Python."""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import compiled
from intlower.kernels.dense import dense
from intlower.kernels.depthwise import depthwise
from intlower.kernels.elementwise import add, softmax
from intlower.kernels.movement import copy_codes, fill_codes, look_up
from intlower.kernels.pooling import average_pool, max_pool
from intlower.kernels.table import (
    ADD,
    AVERAGE_POOL,
    COPY,
    DENSE,
    DEPTHWISE,
    FILL,
    INPUT_BYTES,
    LOOKUP,
    MAX_POOL,
    OPCODE,
    OUTPUT_BYTES,
    SOFTMAX,
)

Array = Any


@compiled
def step(
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
    """Run one row.

    Args:
        isa: chooses instructions.
        row: the instruction.
        arena: uint8.
        inputs: the arena as input codes, uint8 or uint16.
        outputs: the arena as output codes, uint8 or uint16.
        constants: uint8.
        scratch: byte offset of this thread's scratch.
        thread: which of `threads` this is.
        threads: how many work on this instruction.
    """
    sums, integers = arena.view(np.int32), constants.view(np.int32)
    floats = constants.view(np.float32)
    opcode, width = row[OPCODE], row[INPUT_BYTES]
    if opcode == DENSE:
        dense(isa, row, arena, inputs, outputs, constants, scratch, thread, threads)
    elif opcode == DEPTHWISE:
        weights = constants.view(np.int16)
        depthwise(
            row, inputs, outputs, sums, weights, integers, floats, scratch, thread, threads
        )
    elif opcode == ADD:
        add(row, inputs, outputs, integers, floats, thread, threads)
    elif opcode == AVERAGE_POOL:
        average_pool(
            row, inputs, outputs, sums, integers, floats, scratch, thread, threads
        )
    elif opcode == MAX_POOL:
        max_pool(row, inputs, width, thread, threads)
    elif opcode == LOOKUP:
        look_up(row, inputs, outputs, integers, thread, threads)
    elif opcode == COPY:
        copy_codes(row, inputs, width, thread, threads)
    elif opcode == FILL and thread == 0:
        fill_codes(row, inputs, width)
    elif opcode == SOFTMAX and thread == 0:
        softmax(row, inputs, width, integers)


@compiled
def walk_bytes(
    isa: Any,
    table: Array,
    arena: Array,
    constants: Array,
    scratch: Any,
    scratch_bytes: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run every row of a table whose codes are all 8-bit.

    Args:
        isa: chooses instructions.
        table: int64 [rows, COLUMNS], every number of it proved by the planner.
        arena: uint8; activations, then each thread's scratch.
        constants: uint8; weights and requantization constants.
        scratch: byte offset of the first thread's scratch.
        scratch_bytes: of one thread.
        thread: which of `threads` this is, from 0.
        threads: how many walk this table together.
    """
    mine = scratch + thread * scratch_bytes
    for index in range(table.shape[0]):
        step(isa, table[index], arena, arena, arena, constants, mine, thread, threads)


@compiled
def walk_words(
    isa: Any,
    table: Array,
    arena: Array,
    constants: Array,
    scratch: Any,
    scratch_bytes: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run every row of a table with 16-bit codes: as `walk_bytes`, which compiles in a quarter of the time."""
    words = arena.view(np.uint16)
    mine = scratch + thread * scratch_bytes
    for index in range(table.shape[0]):
        row = table[index]
        if row[INPUT_BYTES] == 1:
            if row[OUTPUT_BYTES] == 1:
                step(isa, row, arena, arena, arena, constants, mine, thread, threads)
            else:
                step(isa, row, arena, arena, words, constants, mine, thread, threads)
        elif row[OUTPUT_BYTES] == 1:
            step(isa, row, arena, words, arena, constants, mine, thread, threads)
        else:
            step(isa, row, arena, words, words, constants, mine, thread, threads)
