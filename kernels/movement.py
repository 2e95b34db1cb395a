"""Kernels that move codes: strided copies, filling, and look-up."""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.kernels.compiled import part
from intlower.kernels.table import (
    INPUT,
    INPUT_BYTES,
    INPUT_STRIDES,
    LENGTH,
    OUTPUT,
    OUTPUT_BYTES,
    OUTPUT_STRIDES,
    SIZES,
    TABLE,
    VALUE,
)

Array = Any


@part
def share(count: Any, thread: Any, threads: Any) -> Any:
    """Return the part [first, last) of `count` things that a thread works on."""
    return count * thread // threads, count * (thread + 1) // threads


@part
def share_product(pixels: Any, panels: Any, few: Any, thread: Any, threads: Any) -> Any:
    """Return the parts [first, last) of pixels and of panels that a thread works on.

    Threads that share pixels all read the weights; threads that share panels all pack the pixels.

    Args:
        pixels: of the output, or tiles of them.
        panels: of weights.
        few: whether weights are the greater part.
        thread: which of `threads` this is.
        threads: how many work on the product.
    """
    if panels >= threads and (few or pixels < threads):
        first, last = share(panels, thread, threads)
        return 0, pixels, first, last
    first, last = share(pixels, thread, threads)
    return first, last, 0, panels


@part
def copy_codes(row: Array, codes: Array, width: Any, thread: Any, threads: Any) -> None:
    """Copy along six loops with strides of their own: layouts, slices, concatenation, padding's inside."""
    flip = codes.dtype.type(row[VALUE])
    inner, inner_in, inner_out = row[SIZES + 5], row[INPUT_STRIDES + 5], row[OUTPUT_STRIDES + 5]
    first, last = share(row[SIZES], thread, threads)
    for i in range(first, last):
        s0 = row[INPUT] // width + i * row[INPUT_STRIDES]
        d0 = row[OUTPUT] // width + i * row[OUTPUT_STRIDES]
        for j in range(row[SIZES + 1]):
            s1 = s0 + j * row[INPUT_STRIDES + 1]
            d1 = d0 + j * row[OUTPUT_STRIDES + 1]
            for k in range(row[SIZES + 2]):
                s2 = s1 + k * row[INPUT_STRIDES + 2]
                d2 = d1 + k * row[OUTPUT_STRIDES + 2]
                for m in range(row[SIZES + 3]):
                    s3 = s2 + m * row[INPUT_STRIDES + 3]
                    d3 = d2 + m * row[OUTPUT_STRIDES + 3]
                    for n in range(row[SIZES + 4]):
                        s4 = s3 + n * row[INPUT_STRIDES + 4]
                        d4 = d3 + n * row[OUTPUT_STRIDES + 4]
                        if inner_in == 1 and inner_out == 1:
                            s, d = np.uint64(s4), np.uint64(d4)
                            for p in range(inner):
                                codes[d + np.uint64(p)] = codes[s + np.uint64(p)] ^ flip
                        else:
                            for p in range(inner):
                                code = codes[np.uint64(s4 + p * inner_in)]
                                codes[np.uint64(d4 + p * inner_out)] = code ^ flip


@part
def fill_codes(row: Array, codes: Array, width: Any, thread: Any) -> None:
    """Set every code of a tensor to one value; the first thread does it alone."""
    if thread > 0:
        return
    d, value = np.uint64(row[OUTPUT] // width), row[VALUE]
    for i in range(row[LENGTH]):
        codes[d + np.uint64(i)] = value


@part
def look_up(
    row: Array,
    inputs: Array,
    outputs: Array,
    table: Array,
    thread: Any,
    threads: Any,
) -> None:
    """Replace each code by its entry in a table of int32: any function of one code."""
    first, last = share(row[LENGTH], thread, threads)
    s, d = (
        np.uint64(row[INPUT] // row[INPUT_BYTES]),
        np.uint64(row[OUTPUT] // row[OUTPUT_BYTES]),
    )
    t = np.uint64(row[TABLE] // 4)
    for i in range(first, last):
        j = np.uint64(i)
        outputs[d + j] = table[t + np.uint64(inputs[s + j])]
