"""The entries of minifloat kernels; `entries.py` says what an entry is and what its arguments are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from intlower.kernels.half_products import half_products
from intlower.kernels.minifloat import minifloat_add, minifloat_clip, minifloat_widen
from intlower.kernels.table import (
    COLUMNS,
    INPUT_BYTES,
    MINIFLOAT_ADD,
    MINIFLOAT_CLIP,
    MINIFLOAT_DENSE,
    MINIFLOAT_DEPTHWISE,
    MINIFLOAT_WIDEN,
    OUTPUT_BYTES,
)


def minifloat_widen_entry(
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
    """Run a conversion of minifloats to float32, with a border."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    arena = carray(arena_pointer, arena_bytes)
    minifloat_widen(row, inputs, arena.view(np.float32), thread, threads)


def minifloat_dense_entry(
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
        True,
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


def minifloat_depthwise_entry(
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
        True,
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


def minifloat_add_entry(
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
    minifloat_add(row, inputs, outputs, constants.view(np.float32), thread, threads)


def minifloat_clip_entry(
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
    """Run a standalone activation, or a change of the exponent bias."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    minifloat_clip(row, inputs, outputs, constants.view(np.float32), thread, threads)


MINIFLOAT_ENTRIES = {
    MINIFLOAT_WIDEN: minifloat_widen_entry,
    MINIFLOAT_DENSE: minifloat_dense_entry,
    MINIFLOAT_DEPTHWISE: minifloat_depthwise_entry,
    MINIFLOAT_ADD: minifloat_add_entry,
    MINIFLOAT_CLIP: minifloat_clip_entry,
}
