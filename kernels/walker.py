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
def typed_run(
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
    """Run one kernel that requantizes, whose input and output codes have widths of their own.

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
    integers, floats = constants.view(np.int32), constants.view(np.float32)
    opcode = row[OPCODE]
    if opcode == DENSE:
        dense(isa, row, arena, inputs, outputs, constants, scratch, thread, threads)
    elif opcode == DEPTHWISE:
        depthwise(
            row,
            inputs,
            outputs,
            arena.view(np.int32),
            constants.view(np.int16),
            integers,
            floats,
            scratch,
            thread,
            threads,
        )
    elif opcode == ADD:
        add(row, inputs, outputs, integers, floats, thread, threads)
    elif opcode == AVERAGE_POOL:
        average_pool(
            row,
            inputs,
            outputs,
            arena.view(np.int32),
            integers,
            floats,
            scratch,
            thread,
            threads,
        )
    elif opcode == LOOKUP:
        look_up(row, inputs, outputs, integers, thread, threads)


@compiled
def walk(
    isa: Any,
    table: Array,
    arena: Array,
    constants: Array,
    scratch: Any,
    scratch_bytes: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run every row of a table.

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
    words = arena.view(np.uint16)
    integers = constants.view(np.int32)
    mine = scratch + thread * scratch_bytes
    for index in range(table.shape[0]):
        row = table[index]
        opcode = row[OPCODE]
        wide_input, wide_output = row[INPUT_BYTES] == 2, row[OUTPUT_BYTES] == 2
        if opcode == COPY:
            if wide_input:
                copy_codes(row, words, 2, thread, threads)
            else:
                copy_codes(row, arena, 1, thread, threads)
        elif opcode == FILL:
            if thread == 0:
                if wide_input:
                    fill_codes(row, words, 2)
                else:
                    fill_codes(row, arena, 1)
        elif opcode == MAX_POOL:
            if wide_input:
                max_pool(row, words, 2, thread, threads)
            else:
                max_pool(row, arena, 1, thread, threads)
        elif opcode == SOFTMAX:
            if thread == 0:
                if wide_input:
                    softmax(row, words, 2, integers)
                else:
                    softmax(row, arena, 1, integers)
        elif wide_input:
            if wide_output:
                typed_run(isa, row, arena, words, words, constants, mine, thread, threads)
            else:
                typed_run(isa, row, arena, words, arena, constants, mine, thread, threads)
        elif wide_output:
            typed_run(isa, row, arena, arena, words, constants, mine, thread, threads)
        else:
            typed_run(isa, row, arena, arena, arena, constants, mine, thread, threads)
