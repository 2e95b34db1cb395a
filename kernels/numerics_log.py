"""The scalar rules of logarithmic arithmetic, as numbered equations (L1) to (L9); no float anywhere.

A *code* is a sign and a magnitude k that stands for 2**((k + z) / S), with S steps in an octave; the sign bit with k = 0
is exact zero. A *linear* number is an int32 with 12 fraction bits ("20.12"). Products of codes are looked up by the sum
of their magnitudes, and their sums are integers of at most 62 bits.

Powers of two with fractional exponents are found by integer square roots, never by a library's `exp2`, so that every
machine has the same tables. Functions that run on tensors are plain arithmetic: one body serves NumPy's int64 arrays
(the oracle) and Numba (the kernels); `read_out` states on Python's integers what `read_out_wide` and `read_out_narrow`
compute in 64 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from intlower.kernels.numerics import Integer, clamp, shift_half_up
from intlower.kernels.signature import ElementType

# Fraction bits of the mantissa table T: 2**14 <= T < 2**15, a signed 16-bit operand.
MANTISSA_BITS = 14
LINEAR_FRACTION_BITS = 12
LINEAR_LOW, LINEAR_HIGH = ElementType.INT32.limits

# Sums of products, bias included, stay below 2**62, so that doubling one does not overflow.
ACCUMULATOR_BITS = 62
# Bits of the roots that are kept; most powers have fewer.
_ROOT_BITS = 62
# The right shifts that a read-out can have; a negative one shifts left.
LEAST_SHIFT, GREATEST_SHIFT = -18, 79


@dataclass(frozen=True, slots=True)
class LogFormat:
    """How the codes of one width are laid out: sign above magnitude, lowest bits of the log2 exponent last.

    Attributes:
        element: the storage type.
        step_bits: log2 of the steps in an octave.
        magnitude_bits: of k.
        product_shift: low bits of a product that the accumulator does not have.
    """

    element: ElementType
    step_bits: int
    magnitude_bits: int
    product_shift: int

    @property
    def steps(self) -> int:
        """Steps in an octave, S."""
        return 1 << self.step_bits

    @property
    def magnitudes(self) -> int:
        """How many magnitudes there are, K; the sign bit has this value, and a sole sign bit is zero."""
        return 1 << self.magnitude_bits

    @property
    def codes(self) -> int:
        """How many codes there are; higher bits of the storage type are ignored."""
        return 2 * self.magnitudes


# Bits of sign, integer and fraction of the log2 exponent: "1.3.4" and "1.5.7" in the mapper's dumps.
FORMATS = {
    8: LogFormat(ElementType.UINT8, step_bits=4, magnitude_bits=7, product_shift=0),
    # A product of 16-bit codes spans 64 octaves; the accumulator has the upper 46 bits of it.
    16: LogFormat(ElementType.UINT16, step_bits=7, magnitude_bits=12, product_shift=32),
}
_BY_ELEMENT = {layout.element: layout for layout in FORMATS.values()}


def format_of(element: ElementType) -> LogFormat:
    """Return the layout of codes that are stored in an element type.

    Raises:
        KeyError: none are.
    """
    return _BY_ELEMENT[element]


def floor_power(numerator: int, denominator_bits: int, fraction_bits: int = 0) -> int:
    """Return floor(2**(numerator / 2**denominator_bits) * 2**fraction_bits), exactly, equation (L1).

    A root of degree 2**d is d square roots, and the floor of a root's floor is the floor of the root. Few fractions
    serve a whole table: their roots are kept with 62 bits, and shifted, which is a floor as well.

    >>> [floor_power(n, 1) for n in (-1, 0, 1, 7)]      # sqrt(2)**n
    [0, 1, 1, 11]
    """
    octave, fraction = divmod(numerator, 1 << denominator_bits)
    bits = octave + fraction_bits
    if bits <= _ROOT_BITS:
        return _root(fraction, denominator_bits, _ROOT_BITS) >> (_ROOT_BITS - bits)
    return _root(fraction, denominator_bits, bits)


@cache
def _root(fraction: int, denominator_bits: int, bits: int) -> int:
    """Return floor(2**(fraction / 2**denominator_bits + bits)) by square roots."""
    root = 1 << (fraction + (bits << denominator_bits))
    for _ in range(denominator_bits):
        root = math.isqrt(root)
    return root


def ceil_power(numerator: int, denominator_bits: int, fraction_bits: int = 0) -> int:
    """Return the least integer not below 2**(numerator / 2**denominator_bits) * 2**fraction_bits.

    The power is rational only where the exponent is an integer, and an integer only where that is not negative.
    """
    floor = floor_power(numerator, denominator_bits, fraction_bits)
    exponent = numerator + (fraction_bits << denominator_bits)
    exact = exponent >= 0 and exponent % (1 << denominator_bits) == 0
    return floor if exact else floor + 1


@cache
def mantissas(layout: LogFormat) -> tuple[int, ...]:
    """Return T[f] = half_away(2**(f / S) * 2**14) for f = 0 .. S - 1, equation (L2).

    >>> mantissas(FORMATS[8])[:4]
    (16384, 17109, 17867, 18658)
    """
    return tuple(
        (floor_power(f, layout.step_bits, MANTISSA_BITS + 1) + 1) // 2
        for f in range(layout.steps)
    )


def product_magnitude(table: tuple[int, ...], k: int, product_shift: int) -> int:
    """Return the magnitude of a product of two codes whose magnitudes sum to k, equation (L3).

        P = floor(T[k mod S] * 2**floor(k / S) / 2**product_shift)

    Its unit is 2**((z_a + z_w) / S - 14 + product_shift). A product with zero is 0, other signs multiply.

    Args:
        table: T, whose length is S.
        k: sum of two magnitudes, from 0.
        product_shift: see `LogFormat`.

    >>> product_magnitude(mantissas(FORMATS[8]), 17, 0)      # 2 * 2**(1/16)
    34218
    """
    return (table[k % len(table)] << (k // len(table))) >> product_shift


def read_out(accumulator: int, mantissa: int, shift: int) -> int:
    """Return a sum of products as a linear number, equation (L4), on Python's integers.

        Y = clamp(half_up(accumulator * mantissa / 2**shift), -2**31, 2**31 - 1)

    With z = z_a + z_w: mantissa = T[z mod S] and shift = 16 - product_shift - floor(z / S).

    Args:
        accumulator: below 2**62 in magnitude.
        mantissa: in [0, 2**15).
        shift: in [-18, 79]; a negative one shifts left.

    >>> read_out(-3, 1 << 14, 15), read_out(1, 1 << 14, -17)      # -1.5: up; saturated
    (-1, 2147483647)
    """
    product = accumulator * mantissa
    scaled = shift_half_up(product, shift) if shift >= 0 else product << -shift
    return int(clamp(scaled, LINEAR_LOW, LINEAR_HIGH))


def read_out_narrow(accumulator: Integer, mantissa: Integer, shift: Integer) -> Integer:
    """Return equation (L4) in 64 bits for a shift in [-18, 16].

    A sum beyond 2**(shift + 18) saturates, and so does that limit itself, since T >= 2**13; up to it the product has at
    most 49 bits.

    Args:
        accumulator: see `read_out`.
        mantissa: 0, or in [2**13, 2**15).
        shift: in [-18, 16].
    """
    limit = 1 << (shift + 18)
    product = clamp(accumulator, -limit, limit) * mantissa
    left = -shift * (shift < 0)
    return clamp(shift_half_up(product << left, shift + left), LINEAR_LOW, LINEAR_HIGH)


def read_out_wide(accumulator: Integer, mantissa: Integer, shift: Integer) -> Integer:
    """Return equation (L4) in 64 bits for a shift in [17, 79].

        accumulator = h * 2**16 + l,   floor(accumulator * T / 2**(shift - 1)) = floor((h * T + floor(l * T / 2**16)) / 2**(shift - 17))

    and half a unit is added before the last bit is shifted out.

    Args:
        accumulator: see `read_out`.
        mantissa: see `read_out`.
        shift: in [17, 79].
    """
    low = accumulator & 0xFFFF
    product = (accumulator >> 16) * mantissa + ((low * mantissa) >> 16)
    return clamp(((product >> (shift - 17)) + 1) >> 1, LINEAR_LOW, LINEAR_HIGH)


def read_out_scale(layout: LogFormat, z: int) -> tuple[int, int]:
    """Return the mantissa and the shift of equation (L4) for z = z_a + z_w."""
    octave, fraction = divmod(z, layout.steps)
    shift = 2 * MANTISSA_BITS - LINEAR_FRACTION_BITS - layout.product_shift - octave
    return mantissas(layout)[fraction], shift


@cache
def encode_thresholds(layout: LogFormat, z: int) -> tuple[tuple[int, ...], int]:
    """Return the thresholds at which linear numbers become codes, equation (L5).

        thresholds[0] = ceil(4096 * 2**(z/S - 1))               the least positive number that is not zero
        thresholds[k] = ceil(4096 * 2**((z + k - 1/2) / S))     the least magnitude whose code is at least k
        negative      = floor(4096 * 2**((z+1)/S - 1)) + 1      the least negative magnitude that is not zero

    The boundaries of zero are linear midpoints, all others midpoints of logarithms. Thresholds past int32 are its
    greatest number; `LogGrid` allows no z where one could matter.

    Returns:
        Thresholds of k = 0 .. K - 1, ascending, and the negative one.
    """
    bits, half = layout.step_bits, layout.steps
    inner = (
        ceil_power(2 * (z + k) - 1, bits + 1, LINEAR_FRACTION_BITS)
        for k in range(1, layout.magnitudes)
    )
    least = ceil_power(z - half, bits, LINEAR_FRACTION_BITS)
    negative = floor_power(z + 1 - half, bits, LINEAR_FRACTION_BITS) + 1
    return tuple(min(t, LINEAR_HIGH) for t in (least, *inner)), min(negative, LINEAR_HIGH)


def encode_one(value: int, thresholds: tuple[int, ...], negative: int) -> int:
    """Return the code of a linear number, equation (L6), on Python's integers.

        k = the greatest for which |value| >= thresholds[k]
        zero, where 0 <= value < thresholds[0] or -negative < value < 0; else k; a negative number has k >= 1

    >>> [encode_one(v, (2, 4, 8, 16), 3) for v in (1, 2, 9, 99, -2, -3, -8)]      # zero is 4
    [4, 0, 2, 3, 4, 5, 6]
    """
    zero = len(thresholds)
    if value >= 0:
        return max((k for k, t in enumerate(thresholds) if value >= t), default=zero)
    if -value < negative:
        return zero
    return zero + max((k for k, t in enumerate(thresholds) if -value >= t and k), default=1)


@cache
def decode_table(layout: LogFormat, z: int) -> tuple[int, ...]:
    """Return the linear number of every code, equation (L7): positive magnitudes, zero, negative magnitudes.

        |Y| = min(half_up(T[(k + z) mod S] / 2**(2 - floor((k + z) / S))), 2**31 - 1)

    >>> table = decode_table(FORMATS[8], -127)      # the greatest level is 1
    >>> table[127], table[128], table[255], table[0]
    (4096, 0, -4096, 17)
    """
    magnitudes = []
    for k in range(layout.magnitudes):
        octave, fraction = divmod(k + z, layout.steps)
        right = MANTISSA_BITS - LINEAR_FRACTION_BITS - octave
        mantissa = mantissas(layout)[fraction]
        level = shift_half_up(mantissa, right) if right >= 0 else mantissa << -right
        magnitudes.append(min(int(level), LINEAR_HIGH))
    return (*magnitudes, 0, *(-level for level in magnitudes[1:]))


def add_saturating(a: Integer, b: Integer) -> Integer:
    """Return the sum of two linear numbers, saturated, equation (L8); in 64 bits.

    >>> add_saturating(2**31 - 1, 5), add_saturating(-5, 3)
    (2147483647, -2)
    """
    return clamp(a + b, LINEAR_LOW, LINEAR_HIGH)


def divide_half_away(total: Any, count: Any) -> Any:
    """Return a sum over a count, rounded to nearest, ties away from zero, equation (L9).

        q = sign(total) * floor((2 * |total| + count) / (2 * count))

    Args:
        total: any, below 2**61 in magnitude where it has 64 bits.
        count: positive.

    >>> [divide_half_away(x, 2) for x in (-5, -3, 3, 5)]
    [-3, -2, 2, 3]
    """
    negative = total < 0
    magnitude = (2 * abs(total) + count) // (2 * count)
    return magnitude - 2 * magnitude * negative
