"""Half-precision arithmetic inside compiled loops: conversions and roundings by integer operations on bits.

Numba states no fast-math flag, so that LLVM neither reorders nor fuses: each float operation below is one IEEE operation,
ties to even. Branches are selections, so that loops over channels become vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from intlower.kernels.compiled import part
from intlower.kernels.vectors import FLOAT, WORD, emitter

# Bit patterns of binary32.
SIGN = np.uint32(0x80000000)
INFINITY = np.uint32(0x7F800000)
NAN = np.uint32(0x7FC00000)
OVERFLOW = np.uint32(0x477FF000)  # 65520: from here on, rounding leaves binary16
GREATEST = np.uint32(0x477FE000)  # 65504
LEAST_NORMAL = np.uint32(0x38800000)  # 2**-14
LEAST_NORMAL_SINGLE = np.float32(2.0**-14)
DROPPED = np.uint32(0x1FFF)  # the 13 bits that binary16 lacks
HALF_DROPPED = np.uint32(0x0FFF)  # half a unit of what is kept, less one
REBIAS = np.uint32(112 << 23)  # between the exponents of the formats
HIDDEN = np.uint32(1 << 23)  # the least normal half, its fraction at binary32's place
BEYOND = np.uint32(31 << 23)  # infinity, alike

# Bits of a rule in a row, see `rule_flags`.
HALF_SUMS, FLUSH, FLUSH_FIRST, SATURATE = 1, 2, 4, 8


@emitter
def bits_of(typing_context: Any, number: Any) -> Any:
    """Return the bits of a float32 as uint32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], WORD)

    return types.uint32(types.float32), generate


@emitter
def number_of(typing_context: Any, bits: Any) -> Any:
    """Return the float32 whose bits are a uint32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], FLOAT)

    return types.float32(types.uint32), generate


@part
def thresholds(flags: Any) -> Any:
    """Return the numbers that tell rules apart: below which a number, a rounded number is 0; what overflow gives."""
    before = LEAST_NORMAL if flags & FLUSH_FIRST else np.uint32(0)
    after = LEAST_NORMAL if flags & FLUSH else np.uint32(0)
    over = GREATEST if flags & SATURATE else INFINITY
    return before, after, over


@part
def round_half(value: Any, before: Any, after: Any, over: Any) -> Any:
    """Return a float32 rounded to binary16, as a float32, equations (H1) and (H2).

    A subnormal result is a multiple of 2**-24, which is the unit in the last place of numbers in [1/2, 1): adding 1/2
    rounds to it. (Numba computes in 64 bits; LLVM takes them back where a conversion drops them.)
    """
    bits = bits_of(np.float32(value))
    magnitude, sign = np.uint32(bits & ~SIGN), np.uint32(bits & SIGN)
    odd = np.uint32(np.uint32(magnitude >> 13) & 1)
    normal = np.uint32(np.uint32(magnitude + HALF_DROPPED + odd) & ~DROPPED)
    small = (number_of(magnitude) + np.float32(0.5)) - np.float32(0.5)
    rounded = bits_of(small) if magnitude < LEAST_NORMAL else normal
    rounded = over if magnitude >= OVERFLOW else rounded
    rounded = np.uint32(0) if magnitude < before else rounded
    rounded = np.uint32(0) if rounded < after else rounded
    result = NAN if magnitude > INFINITY else np.uint32(rounded | sign)
    return number_of(result)


@part
def half_bits(value: Any) -> Any:
    """Return the 16 bits of a float32 that is a binary16 number."""
    bits = bits_of(np.float32(value))
    magnitude = np.uint32(bits & ~SIGN)
    sign = np.uint32(np.uint32(bits >> 16) & 0x8000)
    normal = np.uint32(np.uint32(magnitude - REBIAS) >> 13)
    # Past 1/2 the unit in the last place is 2**-24, in which a subnormal half counts.
    small = np.uint32(bits_of(number_of(magnitude) + np.float32(0.5)) & 0x3FF)
    finite = small if magnitude < LEAST_NORMAL else normal
    beyond = np.uint32(np.uint32(np.uint32(magnitude >> 13) & 0x200) | 0x7C00)
    half = beyond if magnitude >= INFINITY else finite
    return np.uint16(half | sign)


@part
def single_of_half(half: Any) -> Any:
    """Return the number of 16 bits, as float32, exactly.

    The exponents of both formats differ by 112; an all-ones exponent becomes all ones. The hidden bit of a subnormal
    half is made and taken away again: m * 2**-24 = (2**-14 + m * 2**-24) - 2**-14.
    """
    bits = np.uint32(half)
    sign = np.uint32(np.uint32(bits & 0x8000) << 16)
    shifted = np.uint32(np.uint32(bits & 0x7FFF) << 13)
    normal = np.uint32(shifted + REBIAS)
    small = number_of(np.uint32(shifted | LEAST_NORMAL)) - LEAST_NORMAL_SINGLE
    finite = bits_of(small) if shifted < HIDDEN else normal
    magnitude = np.uint32(shifted | INFINITY) if shifted >= BEYOND else finite
    return number_of(np.uint32(magnitude | sign))


@part
def limit(value: Any, low: Any, high: Any) -> Any:
    """Return a float32 limited to [low, high]; -0 and NaN pass."""
    value = low if value < low else value
    return high if value > high else value
