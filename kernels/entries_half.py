"""The entries of half-precision kernels; `entries.py` says what an entry is and what its arguments are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from intlower.kernels.half_elementwise import (
    half_add,
    half_clip,
    half_dequantize,
    half_max_pool,
    half_quantize,
)
from intlower.kernels.half_products import (
    half_products,
    widen,
)
from intlower.kernels.table import (
    COLUMNS,
    HALF_ADD,
    HALF_CLIP,
    HALF_DENSE,
    HALF_DEPTHWISE,
    HALF_DEQUANTIZE,
    HALF_MAX_POOL,
    HALF_QUANTIZE,
    INPUT_BYTES,
    OUTPUT_BYTES,
    WIDEN,
)


def widen_entry(
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
    """Run a conversion of halves to float32, with a border."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    arena = carray(arena_pointer, arena_bytes)
    widen(row, inputs, arena.view(np.float32), thread, threads)


def half_dense_entry(
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
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    singles = arena.view(np.float32)
    floats = constants.view(np.float32)
    offsets = constants.view(np.int64)
    corners = arena.view(np.int64)
    half_products(
        False,
        False,
        row,
        singles,
        outputs,
        singles,
        corners,
        floats,
        offsets,
        scratch,
        thread,
        threads,
    )


def half_depthwise_entry(
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
    """Run a depthwise convolution or an average pooling."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    singles = arena.view(np.float32)
    floats = constants.view(np.float32)
    offsets = constants.view(np.int64)
    corners = arena.view(np.int64)
    half_products(
        True,
        False,
        row,
        singles,
        outputs,
        singles,
        corners,
        floats,
        offsets,
        scratch,
        thread,
        threads,
    )


def half_add_entry(
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
    half_add(row, inputs, outputs, constants.view(np.float32), thread, threads)


def half_clip_entry(
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
    """Run a standalone activation."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    half_clip(row, inputs, outputs, constants.view(np.float32), thread, threads)


def half_dequantize_entry(
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
    """Run a conversion of integers to halves."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    half_dequantize(row, inputs, outputs, constants.view(np.float32), thread, threads)


def half_quantize_entry(
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
    """Run a conversion of halves to integers."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    half_quantize(row, inputs, outputs, constants.view(np.float32), thread, threads)


def half_max_pool_entry(
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
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    half_max_pool(row, inputs, outputs, thread, threads)


HALF_ENTRIES = {
    WIDEN: widen_entry,
    HALF_DENSE: half_dense_entry,
    HALF_DEPTHWISE: half_depthwise_entry,
    HALF_ADD: half_add_entry,
    HALF_CLIP: half_clip_entry,
    HALF_DEQUANTIZE: half_dequantize_entry,
    HALF_QUANTIZE: half_quantize_entry,
    HALF_MAX_POOL: half_max_pool_entry,
}
