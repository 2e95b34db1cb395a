"""The entries of `extended.py`'s kernels; `entries.py` says what their arguments are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from intlower.kernels.extended import gather, look_up_channels, multiply, resample
from intlower.kernels.table import (
    COLUMNS,
    GATHER,
    INPUT_BYTES,
    LOOKUP_CHANNELS,
    MULTIPLY,
    OUTPUT_BYTES,
    RESAMPLE,
)


def lookup_channels_entry(
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
    """Run a look-up with a table for each channel."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    integers = constants.view(np.int32)
    look_up_channels(row, inputs, outputs, integers, thread, threads)


def gather_entry(
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
    """Run a gathering."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    integers = constants.view(np.int32)
    gather(row, inputs, integers, row[INPUT_BYTES], thread, threads)


def multiply_entry(
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
    """Run a product of two tensors."""
    row = carray(row_pointer, COLUMNS)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    integers = constants.view(np.int32)
    floats = constants.view(np.float32)
    multiply(row, inputs, outputs, integers, floats, thread, threads)


def resample_entry(
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
    """Run a resampling."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    inputs = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    sums = arena.view(np.int32)
    integers = constants.view(np.int32)
    floats = constants.view(np.float32)
    resample(row, inputs, outputs, sums, integers, floats, scratch, thread, threads)


EXTENDED_ENTRIES = {
    LOOKUP_CHANNELS: lookup_channels_entry,
    GATHER: gather_entry,
    MULTIPLY: multiply_entry,
    RESAMPLE: resample_entry,
}
