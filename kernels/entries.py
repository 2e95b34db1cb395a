"""The entries: one function for each opcode, which the walk calls by its address.

All take the same arguments, so that one call serves every row: `isa` (a null pointer; its type chooses instructions),
the row, the arena (as bytes, as input codes, as output codes), the constants, the sizes of both in bytes, the byte
offset of the thread's scratch, and which of how many threads it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.np.numpy_support import carray

from intlower.kernels.dense import dense
from intlower.kernels.depthwise import depthwise, depthwise_pairs
from intlower.kernels.elementwise import add, softmax
from intlower.kernels.entries_extended import EXTENDED_ENTRIES
from intlower.kernels.entries_fixed import mean_pool_entry, softmax_fixed_entry
from intlower.kernels.entries_general import GENERAL_ENTRIES
from intlower.kernels.entries_half import HALF_ENTRIES
from intlower.kernels.entries_log import LOG_ENTRIES
from intlower.kernels.isa import Isa, IsaType
from intlower.kernels.movement import copy_codes, fill_codes, look_up
from intlower.kernels.pooling import average_pool, max_pool
from intlower.kernels.saturating import saturating_product
from intlower.kernels.table import (
    ADD,
    AVERAGE_POOL,
    COLUMNS,
    COPY,
    DENSE,
    DEPTHWISE,
    DEPTHWISE_PAIRS,
    FILL,
    INPUT_BYTES,
    LOOKUP,
    MAX_POOL,
    MEAN_POOL,
    OUTPUT_BYTES,
    SATURATING,
    SOFTMAX,
    SOFTMAX_FIXED,
    WIDE,
)
from intlower.kernels.wide import wide_product


def entry_signature(isa: Isa, input_bytes: int, output_bytes: int) -> Any:
    """Return the Numba signature of entries for an instruction set and widths of codes."""
    codes = {1: types.uint8, 2: types.uint16, 4: types.uint32}
    return types.void(
        IsaType(isa),
        types.CPointer(types.int64),
        types.CPointer(types.uint8),
        types.CPointer(codes[input_bytes]),
        types.CPointer(codes[output_bytes]),
        types.CPointer(types.uint8),
        *[types.int64] * 5,
    )


def dense_entry(
    isa: Any,
    row_pointer: Any,
    arena_pointer: Any,
    inputs_pointer: Any,
    outputs_pointer: Any,
    constants_pointer: Any,
    arena_bytes: Any,
    constants_bytes: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a convolution or matrix product."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    dense(isa, row, arena, inputs, outputs, constants, scratch, thread, threads)


def depthwise_entry(
    isa: Any,
    row_pointer: Any,
    arena_pointer: Any,
    inputs_pointer: Any,
    outputs_pointer: Any,
    constants_pointer: Any,
    arena_bytes: Any,
    constants_bytes: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a depthwise convolution by plain loops."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    sums = arena.view(np.int32)
    weights = constants.view(np.int16)
    integers = constants.view(np.int32)
    floats = constants.view(np.float32)
    depthwise(row, inputs, outputs, sums, weights, integers, floats, scratch, thread, threads)


def depthwise_pairs_entry(
    isa: Any,
    row_pointer: Any,
    arena_pointer: Any,
    inputs_pointer: Any,
    outputs_pointer: Any,
    constants_pointer: Any,
    arena_bytes: Any,
    constants_bytes: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a depthwise convolution with vectors."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    depthwise_pairs(isa, row, arena, outputs, constants, scratch, thread, threads)


def add_entry(
    isa: Any,
    row_pointer: Any,
    arena_pointer: Any,
    inputs_pointer: Any,
    outputs_pointer: Any,
    constants_pointer: Any,
    arena_bytes: Any,
    constants_bytes: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run an addition."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    integers = constants.view(np.int32)
    floats = constants.view(np.float32)
    add(row, inputs, outputs, integers, floats, thread, threads)


def average_pool_entry(
    isa: Any,
    row_pointer: Any,
    arena_pointer: Any,
    inputs_pointer: Any,
    outputs_pointer: Any,
    constants_pointer: Any,
    arena_bytes: Any,
    constants_bytes: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run an average pooling."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    sums = arena.view(np.int32)
    integers = constants.view(np.int32)
    floats = constants.view(np.float32)
    average_pool(row, inputs, outputs, sums, integers, floats, scratch, thread, threads)


def max_pool_entry(
    isa: Any,
    row_pointer: Any,
    arena_pointer: Any,
    inputs_pointer: Any,
    outputs_pointer: Any,
    constants_pointer: Any,
    arena_bytes: Any,
    constants_bytes: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a maximum pooling."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    max_pool(row, inputs, row[INPUT_BYTES], thread, threads)


def lookup_entry(
    isa: Any,
    row_pointer: Any,
    arena_pointer: Any,
    inputs_pointer: Any,
    outputs_pointer: Any,
    constants_pointer: Any,
    arena_bytes: Any,
    constants_bytes: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a look-up."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    integers = constants.view(np.int32)
    look_up(row, inputs, outputs, integers, thread, threads)


def copy_entry(
    isa: Any,
    row_pointer: Any,
    arena_pointer: Any,
    inputs_pointer: Any,
    outputs_pointer: Any,
    constants_pointer: Any,
    arena_bytes: Any,
    constants_bytes: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a copy."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    copy_codes(row, inputs, row[INPUT_BYTES], thread, threads)


def fill_entry(
    isa: Any,
    row_pointer: Any,
    arena_pointer: Any,
    inputs_pointer: Any,
    outputs_pointer: Any,
    constants_pointer: Any,
    arena_bytes: Any,
    constants_bytes: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a filling."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    fill_codes(row, inputs, row[INPUT_BYTES], thread)


def softmax_entry(
    isa: Any,
    row_pointer: Any,
    arena_pointer: Any,
    inputs_pointer: Any,
    outputs_pointer: Any,
    constants_pointer: Any,
    arena_bytes: Any,
    constants_bytes: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a softmax."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    integers = constants.view(np.int32)
    softmax(row, inputs, row[INPUT_BYTES], integers, thread)


def wide_entry(
    isa: Any,
    row_pointer: Any,
    arena_pointer: Any,
    inputs_pointer: Any,
    outputs_pointer: Any,
    constants_pointer: Any,
    arena_bytes: Any,
    constants_bytes: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a convolution or matrix product with 64-bit sums."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    sums = arena.view(np.int64)
    integers = constants.view(np.int32)
    biases = constants.view(np.int64)
    floats = constants.view(np.float32)
    wide_product(
        row, inputs, outputs, sums, integers, biases, integers, floats, scratch, thread, threads
    )


def saturating_entry(
    isa: Any,
    row_pointer: Any,
    arena_pointer: Any,
    inputs_pointer: Any,
    outputs_pointer: Any,
    constants_pointer: Any,
    arena_bytes: Any,
    constants_bytes: Any,
    scratch: Any,
    thread: Any,
    threads: Any,
) -> None:
    """Run a convolution or matrix product whose sums saturate."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    sums = arena.view(np.int32)
    weights = constants.view(np.int16)
    integers = constants.view(np.int32)
    floats = constants.view(np.float32)
    saturating_product(
        row, inputs, outputs, sums, weights, integers, floats, scratch, thread, threads
    )


ENTRIES = {
    DENSE: dense_entry,
    DEPTHWISE: depthwise_entry,
    DEPTHWISE_PAIRS: depthwise_pairs_entry,
    ADD: add_entry,
    AVERAGE_POOL: average_pool_entry,
    MAX_POOL: max_pool_entry,
    LOOKUP: lookup_entry,
    COPY: copy_entry,
    FILL: fill_entry,
    SOFTMAX: softmax_entry,
    WIDE: wide_entry,
    SATURATING: saturating_entry,
    MEAN_POOL: mean_pool_entry,
    SOFTMAX_FIXED: softmax_fixed_entry,
    **EXTENDED_ENTRIES,
    **GENERAL_ENTRIES,
    **LOG_ENTRIES,
    **HALF_ENTRIES,
}
