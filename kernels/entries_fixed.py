"""The entries of TFLite's means and softmax; `entries.py` says what an entry is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.np.numpy_support import carray

from intlower.kernels.fixed_point import mean_pool, softmax_fixed
from intlower.kernels.table import COLUMNS, INPUT_BYTES


def mean_pool_entry(
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
    """Run a mean of codes."""
    row = carray(row_pointer, COLUMNS)
    arena = carray(arena_pointer, arena_bytes)
    codes = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    mean_pool(row, codes, arena.view(np.int32), scratch, thread, threads)


def softmax_fixed_entry(
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
    """Run a softmax in fixed point."""
    row = carray(row_pointer, COLUMNS)
    codes = carray(inputs_pointer, arena_bytes // row[INPUT_BYTES])
    constants = carray(constants_pointer, constants_bytes)
    softmax_fixed(row, codes, constants.view(np.int32), thread)
