"""The entries of logarithmic kernels; `entries.py` says what their arguments are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from intlower.kernels.logarithmic import (
    linear_add,
    linear_average_pool,
    linear_clamp,
    log_dense,
    log_depthwise,
    log_encode,
)
from intlower.kernels.table import (
    COLUMNS,
    INPUT_BYTES,
    LINEAR_ADD,
    LINEAR_AVERAGE_POOL,
    LINEAR_CLAMP,
    LOG_DENSE,
    LOG_DEPTHWISE,
    LOG_ENCODE,
    OUTPUT_BYTES,
)


def log_dense_entry(
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
    """Run a convolution or matrix product of codes."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    arena = carray(arena_pointer, arena_bytes)
    constants = carray(constants_pointer, constants_bytes)
    sums = arena.view(np.int64)
    weights = constants.view(np.int16)
    numbers = constants.view(np.int64)
    limits = constants.view(np.int32)
    log_dense(row, inputs, outputs, sums, weights, numbers, limits, scratch, thread, threads)


def log_depthwise_entry(
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
    """Run a depthwise convolution of codes."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    arena = carray(arena_pointer, arena_bytes)
    constants = carray(constants_pointer, constants_bytes)
    sums = arena.view(np.int64)
    weights = constants.view(np.int16)
    numbers = constants.view(np.int64)
    limits = constants.view(np.int32)
    log_depthwise(
        row, inputs, outputs, sums, weights, numbers, limits, scratch, thread, threads
    )


def log_encode_entry(
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
    """Run an encoding of linear numbers."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    log_encode(row, inputs, outputs, constants.view(np.int32), thread, threads)


def linear_add_entry(
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
    """Run an addition of linear numbers."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    linear_add(row, inputs, outputs, thread, threads)


def linear_average_pool_entry(
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
    """Run an average pooling of linear numbers."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    arena = carray(arena_pointer, arena_bytes)
    constants = carray(constants_pointer, constants_bytes)
    sums = arena.view(np.int64)
    counts = constants.view(np.int32)
    linear_average_pool(row, inputs, outputs, sums, counts, scratch, thread, threads)


def linear_clamp_entry(
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
    """Run a clamp of linear numbers."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    linear_clamp(row, inputs, outputs, thread, threads)


LOG_ENTRIES = {
    LOG_DENSE: log_dense_entry,
    LOG_DEPTHWISE: log_depthwise_entry,
    LOG_ENCODE: log_encode_entry,
    LINEAR_ADD: linear_add_entry,
    LINEAR_AVERAGE_POOL: linear_average_pool_entry,
    LINEAR_CLAMP: linear_clamp_entry,
}
