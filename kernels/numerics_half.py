"""The rules of half precision as integer arithmetic, each stated once as a numbered equation (H1), (H2), ...

A binary32 is s * m * 2**e, with m of at most 24 bits; so is a binary16, with m of at most 11 bits and e of at least -24.
The functions take and return bit patterns in integer arrays and use no floating-point operation, so that they do not
depend on how a machine rounds. The oracle (`reference_half.py`) rounds by NumPy's float16 instead, the kernels by integer
arithmetic of their own (`half.py`), the ONNX witness by Cast.

Source of formats and rounding: IEEE 754-2019, sections 3.4, 4.3.1 and 7.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels.half_rule import HalfRule, Subnormals
from intlower.kernels.numerics import shift_half_even

Bits = NDArray[np.int64]

# Bit patterns of binary16.
HALF_SIGN = 0x8000
HALF_INFINITY = 0x7C00
HALF_GREATEST = 0x7BFF  # 65504
HALF_LEAST_NORMAL = 0x0400  # 2**-14
HALF_NAN = 0x7E00  # what every NaN result is: its sign and payload are not fixed by IEEE 754

_INFINITY = 0xFF << 23
_LEAST_NORMAL = 113 << 23


def half_of_float32(bits: Any, rule: HalfRule) -> Bits:
    """Return the binary16 nearest to a binary32, ties to even, equation (H1).

        u = 2**max(floor(log2 |x|) - 10, -24)     the unit in the last place of the result
        r = half_even(|x| / u) * u
        r >= 65536  ->  infinity, or 65504 where the rule saturates

    With the exponent field f of |x| and its significand m (the hidden bit included), |x| = m * 2**(f - 150). A normal
    result keeps 11 of 24 bits, a subnormal one fewer: the shift is n = 13 + max(113 - f, 0). The rounded significand is
    added to the exponent field, into which a carry runs by itself.

    (H2), the flush: a result below 2**-14 becomes zero of its sign; FLUSHED asks the rounded number, FLUSHED_FIRST the
    number before. NaN becomes the one NaN, 0x7E00, in every case.

    Args:
        bits: of binary32, any shape, as integers in [0, 2**32).
        rule: of subnormals and overflow.

    >>> one_tenth = int(np.float32(0.1).view(np.uint32))
    >>> hex(int(half_of_float32(one_tenth, HalfRule())))
    '0x2e66'
    """
    pattern = np.asarray(bits, np.int64)
    sign = (pattern >> 16) & HALF_SIGN
    magnitude = pattern & 0x7FFFFFFF
    field = magnitude >> 23
    significand = (magnitude & 0x7FFFFF) | np.where(field > 0, 1 << 23, 0)
    shift = np.minimum(13 + np.maximum(113 - field, 0), 62)
    rounded = shift_half_even(significand, shift)
    result = rounded + (np.maximum(field - 113, 0) << 10)
    overflow = HALF_GREATEST if rule.saturate else HALF_INFINITY
    result = np.where((magnitude >= _INFINITY) | (result >= HALF_INFINITY), overflow, result)
    match rule.subnormals:  # (H2)
        case Subnormals.FLUSHED:
            result = np.where(result < HALF_LEAST_NORMAL, 0, result)
        case Subnormals.FLUSHED_FIRST:
            result = np.where(magnitude < _LEAST_NORMAL, 0, result)
        case Subnormals.KEPT:
            pass
    return np.where(magnitude > _INFINITY, HALF_NAN, sign | result)


def quantize_half(values: Any, rule: HalfRule) -> NDArray[np.float16]:
    """Return real numbers as float16, equation (H1) on each float32."""
    x = np.asarray(values, np.float32)
    halves: NDArray[np.float16] = half_of_float32(x.view(np.uint32), rule).astype(np.uint16)
    return halves.view(np.float16)


def total_order(codes: NDArray[np.float16]) -> NDArray[np.int32]:
    """Return integers that are ordered as binary16 numbers are, equation (H3).

        k(b) = b                for b < 2**15
        k(b) = 2**15 - 1 - b    otherwise

    -0 lies below +0, the one NaN above infinity. Source: IEEE 754-2019, 5.10, totalOrder.

    >>> total_order(np.array([-1.0, -0.0, 0.0, 1.0], np.float16)).tolist()
    [-15361, -1, 0, 15360]
    """
    b = codes.view(np.uint16).astype(np.int32)
    return np.where(b < HALF_SIGN, b, HALF_SIGN - 1 - b)


def from_total_order(keys: NDArray[np.int32]) -> NDArray[np.float16]:
    """Return the numbers of ordered integers: the inverse of equation (H3)."""
    b = np.where(keys >= 0, keys, HALF_SIGN - 1 - keys).astype(np.uint16)
    return b.view(np.float16)
