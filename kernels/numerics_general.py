"""The rules of normalizations, quotients and interpolated tables, equations (G1) to (G7), in the terms of `numerics.py`.

All of them are our definitions: exact integer sums, an integer square root, and one rounding at each division. The forms
follow I-BERT (Kim et al. 2021, arXiv:2101.01321, section 3.5: layer normalization with an integer square root by Newton's
iteration) and TFLite's integer LayerNorm (tensorflow/lite/kernels/internal/reference/portable_tensor_utils.cc).
"""

from __future__ import annotations

from intlower.kernels.numerics import Integer, divide_half_up, shift_floor, shift_half_up

# Fraction bits of a normalized number, equation (G3).
NORMAL_FRACTION_BITS = 16

# What a table by octaves holds, equation (G5): numbers below 2**(DIRECT_BITS + 1) by themselves, then for each octave up to
# 2**INTERPOLATED_BITS its 2**DIRECT_BITS parts, and the end.
DIRECT_BITS, INTERPOLATED_BITS = 5, 31
OCTAVE_ENTRIES = (1 << DIRECT_BITS) * (INTERPOLATED_BITS - DIRECT_BITS + 1) + 1

# Fraction bits between two entries of a table for 16-bit codes, equation (G7).
SEGMENT_BITS = 7

# What stands for an infinite quotient, equation (G6): beyond every code.
INFINITE = 1 << 40


def bit_length(x: Integer) -> Integer:
    """Return how many bits a number has, equation (G1).

        n = min { n : x < 2**n }

    Args:
        x: in [0, 2**62).

    >>> [bit_length(x) for x in (0, 1, 255, 256, 2**62 - 1)]
    [0, 1, 8, 9, 62]
    """
    length = x * 0
    for step in (32, 16, 8, 4, 2, 1):
        longer = (x >> (length + (step - 1))) > 0
        length = length + step * longer
    return length


def square_root(x: Integer) -> Integer:
    """Return the integer square root, floor(sqrt(x)), equation (G2).

    Newton's iteration x' = (x + v / x) / 2 from 2**31 halves the error and then squares it: six rounds leave the root or one
    more, which the comparison takes back.

    Args:
        x: in [2**60, 2**62).

    Source: I-BERT, algorithm 4 (i-sqrt).

    >>> square_root(2**60), square_root(2**62 - 1)
    (1073741824, 2147483647)
    """
    root = x * 0 + (1 << 31)
    for _ in range(6):
        root = (root + x // root) >> 1
    return root - (root * root > x)


def normalized(deviation: Integer, variance: Integer) -> Integer:
    """Return a deviation over the root of a variance, with 16 fraction bits, equation (G3).

        e = the greatest even number with variance * 2**e < 2**62,   r = square_root(variance * 2**e)
        t = divide_half_up(deviation * 2**(16 + e/2), r)

    Args:
        deviation: n * x - sum x, of n numbers.
        variance: n * sum x**2 - (sum x)**2 + epsilon, in [1, 2**62).

    The deviation is at most sqrt(n * variance), so that t stays below 2**16 * sqrt(n); no product leaves 2**61 for n up to
    2**27.

    >>> normalized(3, 9), normalized(-1, 4)
    (65536, -32768)
    """
    even = shift_floor(62 - bit_length(variance), 1)
    root = square_root(variance << (even << 1))
    return divide_half_up(deviation << (even + NORMAL_FRACTION_BITS), root)


def affine(
    normal: Integer, multiplier: Integer, bias: Integer, bias_shift: Integer, shift: Integer
) -> Integer:
    """Return a normalized number scaled and shifted, rounded once, ties up, equation (G4).

        q = shift_half_up(t * multiplier + bias * 2**bias_shift, shift)

    Args:
        normal: of equation (G3), below 2**30.
        multiplier: int32.
        bias: int32.
        bias_shift: in [0, 29].
        shift: in [0, 62].

    >>> affine(65536, 3, 1, 15, 16)      # 3 * 1 + 1/2
    4
    """
    return shift_half_up(normal * multiplier + (bias << bias_shift), shift)


def octave_place(x: Integer) -> Integer:
    """Return by how many bits a number is longer than its direct entries, the e of equation (G5).

    >>> [octave_place(x) for x in (0, 63, 64, 127, 128)]
    [0, 0, 1, 1, 2]
    """
    length = bit_length(x)
    return (length - (DIRECT_BITS + 1)) * (length > DIRECT_BITS + 1)


def octave_index(x: Integer, place: Integer) -> Integer:
    """Return the entry of a number in a table by octaves, the i of equation (G5).

        i = 2**5 * e + floor(x / 2**e)

    >>> [octave_index(x, octave_place(x)) for x in (0, 63, 64, 66, 127, 128)]
    [0, 63, 64, 65, 95, 96]
    """
    return (place << DIRECT_BITS) + shift_floor(x, place)


def interpolated(
    first: Integer, following: Integer, fraction: Integer, bits: Integer
) -> Integer:
    """Return what lies between two entries of a table, rounded to nearest, ties up, equation (G5) and (G7).

        y = first + shift_half_up((following - first) * fraction, bits)

    Args:
        first: an entry, int32.
        following: the next.
        fraction: in [0, 2**bits).
        bits: at most 26.

    >>> interpolated(10, 20, 3, 2)
    18
    """
    return first + shift_half_up((following - first) * fraction, bits)


def quotient(a: Integer, b: Integer, multiplier: Integer, shift: Integer) -> Integer:
    """Return a quotient of codes, rounded to nearest, ties up, equation (G6).

        q = divide_half_up(a * multiplier, b * 2**shift)

    With b = 0 it is beyond every code on the side of a's sign, and 0 where both are 0.

    Args:
        a: of at most 17 bits with its sign; b alike.
        b: see a.
        multiplier: in [0, 2**31).
        shift: in [0, 40].

    >>> [quotient(a, b, 1, 0) for a, b in ((7, 2), (-7, 2), (7, -2), (0, 0))], quotient(-1, 0, 1, 0) < -(2**31)
    ([4, -3, -3, 0], True)
    """
    sign = 1 - 2 * (b < 0)
    none = b == 0
    finite = divide_half_up(a * sign * multiplier, (b * sign + none) << shift)
    return finite * (1 - 1 * none) + none * ((1 * (a > 0)) - (a < 0)) * INFINITE
