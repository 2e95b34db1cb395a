"""The entries of quicker ways to do the same: products of proved bytes, transforms, images; see `entries`."""

from __future__ import annotations

from typing import Any

from numba.np.numpy_support import carray

from intlower.kernels.dense_bytes import dense_bytes
from intlower.kernels.interleave import interleave
from intlower.kernels.table import COLUMNS, DENSE_BYTES, INTERLEAVE, OUTPUT_BYTES, WINOGRAD
from intlower.kernels.winograd import winograd


def dense_bytes_entry(
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
    """Run a convolution or matrix product of bytes."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    dense_bytes(isa, row, arena, outputs, constants, scratch, thread, threads)


def winograd_entry(
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
    """Run a convolution through its transforms."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    outputs = carray(outputs_pointer, arena_bytes // row[OUTPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    winograd(isa, row, arena, outputs, constants, scratch, thread, threads)


def interleave_entry(
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
    """Run the copy of an image."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    interleave(isa, row, arena, thread, threads)


QUICK_ENTRIES = {
    DENSE_BYTES: dense_bytes_entry,
    WINOGRAD: winograd_entry,
    INTERLEAVE: interleave_entry,
}
