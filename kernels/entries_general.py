"""The entries of `general.py`'s kernels; `entries.py` says what their arguments are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from intlower.kernels.general import (
    convert,
    divide,
    interpolate,
    load_constant,
    lrn,
    matmul,
    normalize,
)
from intlower.kernels.table import (
    COLUMNS,
    CONVERT,
    DIVIDE,
    INPUT_BYTES,
    INTERPOLATE,
    LOAD,
    LRN,
    MATMUL,
    NORMALIZE,
    OUTPUT_BYTES,
)


def matmul_entry(
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
    """Run a product of two activations."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    narrow, wide = arena.view(np.int32), arena.view(np.int64)
    integers, floats = constants.view(np.int32), constants.view(np.float32)
    matmul(row, inputs, outputs, narrow, wide, integers, floats, scratch, thread, threads)


def normalize_entry(
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
    """Run a normalization."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    normalize(row, inputs, outputs, constants.view(np.int32), thread, threads)


def lrn_entry(
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
    """Run a local response normalization."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    lrn(row, inputs, outputs, constants.view(np.int32), thread, threads)


def divide_entry(
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
    """Run a quotient."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    divide(row, inputs, outputs, thread, threads)


def constant_entry(
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
    """Run the copy of a constant."""
    row = carray(row_pointer, COLUMNS)
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    load_constant(row, outputs, constants.view(np.int32), thread, threads)


def convert_entry(
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
    """Run a conversion."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    convert(row, inputs, outputs, thread, threads)


def interpolate_entry(
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
    """Run a look-up between entries."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    interpolate(row, inputs, outputs, constants.view(np.int32), thread, threads)


GENERAL_ENTRIES = {
    MATMUL: matmul_entry,
    NORMALIZE: normalize_entry,
    LRN: lrn_entry,
    DIVIDE: divide_entry,
    LOAD: constant_entry,
    CONVERT: convert_entry,
    INTERPOLATE: interpolate_entry,
}
