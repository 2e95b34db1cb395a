"""The oracle of the operators of newer networks: products of activations, normalizations, quotients, constants, conversions.

`reference.py` says how to read it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels import numerics_general as general
from intlower.kernels.numerics import scale_single_rounding
from intlower.kernels.reference_movement import stored
from intlower.kernels.scale_rules import SCALE_RULES
from intlower.kernels.signature import KernelKey

Codes = NDArray[Any]


def matmul(
    key: KernelKey,
    a: Codes,
    b: Codes,
    *,
    multiplier: int,
    shift: int,
    input_zero_points: tuple[int, int],
    output_zero_point: int,
    minimum: int,
    maximum: int,
) -> Codes:
    """Return the matrix product of two tensors, exact and rounded once.

        acc[..., m, p] = sum_k (a[..., m, k] - z_a) * (b[..., k, p] - z_b)
        y = clamp(scale(acc, multiplier, shift) + output_zero_point, minimum, maximum)

    Args:
        key: names the element types and the scaling rule.
        a: [N, ..., M, K].
        b: [N, ..., K, P], its leading axes those of a.
        multiplier: of the product of the inputs' scales over the output's.
        shift: alike.
        input_zero_points: codes of real 0 in a and in b.
        output_zero_point: code of real 0 in the output.
        minimum: least output code.
        maximum: greatest output code.
    """
    x = a.astype(np.int64) - input_zero_points[0]
    y = b.astype(np.int64) - input_zero_points[1]
    assert key.requantize is not None  # the key proves it
    scaled = SCALE_RULES[key.requantize](x @ y, multiplier, shift)
    return stored(key.output, scaled + output_zero_point, minimum, maximum)


def normalize(
    key: KernelKey,
    codes: Codes,
    *,
    multiplier: NDArray[np.int32],
    bias: NDArray[np.int32],
    bias_shift: int,
    shift: int,
    epsilon: int,
    input_shift: int,
    output_zero_point: int,
    minimum: int,
    maximum: int,
) -> Codes:
    """Return each row less its mean, over its standard deviation, scaled and shifted: equations (G3) and (G4).

        x = floor((code - middle of the type) / 2**input_shift)
        y = clamp(affine(normalized(n x - sum x, n sum x**2 - (sum x)**2 + epsilon)) + output_zero_point)

    Args:
        key: names the element types.
        codes: [N, R, n]: rows along the last axis.
        multiplier: int32 [R or 1, n or 1].
        bias: alike.
        bias_shift: see equation (G4).
        shift: see equation (G4).
        epsilon: of the variance, in units of the sums: n**2 * epsilon / (scale * 2**input_shift)**2, at least 1.
        input_shift: low bits that are left out, so that the sums fit.
        output_zero_point: code of real 0 in the output.
        minimum: least output code.
        maximum: greatest output code.
    """
    middle = (sum(key.activation.limits) + 1) // 2
    x = (codes.astype(np.int64) - middle) >> input_shift
    count = x.shape[-1]
    total = x.sum(axis=-1, keepdims=True)
    variance = count * (x * x).sum(axis=-1, keepdims=True) - total * total + epsilon
    normal = general.normalized(count * x - total, variance)
    scaled = general.affine(
        normal, multiplier.astype(np.int64), bias.astype(np.int64), bias_shift, shift
    )
    return stored(key.output, scaled + output_zero_point, minimum, maximum)


def lrn(
    key: KernelKey,
    codes: Codes,
    *,
    table: NDArray[np.int32],
    size: int,
    sum_shift: int,
    shift: int,
    input_zero_point: int,
    output_zero_point: int,
    minimum: int,
    maximum: int,
) -> Codes:
    """Return each number times a tabled function of the sum of squares over neighbouring channels, equation (G5).

        S = floor(sum x[c']**2 / 2**sum_shift),  c - floor((size - 1) / 2) <= c' <= c + floor(size / 2)
        y = clamp(shift_half_up(x * interpolated(table, S), shift) + output_zero_point)

    Args:
        key: names the element types.
        codes: [N, C, H, W].
        table: int32 [865], see `numerics_general.OCTAVE_ENTRIES`; not negative.
        size: of the window of channels.
        sum_shift: that leaves S below 2**31.
        shift: fraction bits of the table.
        input_zero_point: code of real 0 in the input.
        output_zero_point: code of real 0 in the output.
        minimum: least output code.
        maximum: greatest output code.
    """
    x = codes.astype(np.int64) - input_zero_point
    squares = np.pad(x * x, ((0, 0), ((size - 1) // 2, size // 2), (0, 0), (0, 0)))
    channels = x.shape[1]
    total = sum(squares[:, i : i + channels] for i in range(size)) >> sum_shift
    place = general.octave_place(total)
    index = general.octave_index(total, place)
    entries = table.astype(np.int64)
    factor = general.interpolated(
        entries[index], entries[index + 1], total & ((1 << place) - 1), place
    )
    scaled = scale_single_rounding(x, factor, shift)
    return stored(key.output, scaled + output_zero_point, minimum, maximum)


def divide(
    key: KernelKey,
    a: Codes,
    b: Codes,
    *,
    multiplier: int,
    shift: int,
    input_zero_points: tuple[int, int],
    output_zero_point: int,
    minimum: int,
    maximum: int,
) -> Codes:
    """Return the quotient of two tensors, equation (G6).

    Args:
        key: names the element types.
        a: any shape; b the same.
        b: see a.
        multiplier: of the inputs' scales' quotient over the output's.
        shift: alike.
        input_zero_points: codes of real 0 in a and in b.
        output_zero_point: code of real 0 in the output.
        minimum: least output code.
        maximum: greatest output code.
    """
    x = a.astype(np.int64) - input_zero_points[0]
    y = b.astype(np.int64) - input_zero_points[1]
    found = general.quotient(x, y, multiplier, shift)
    return stored(key.output, found + output_zero_point, minimum, maximum)


def constant(key: KernelKey, like: Codes, *, codes: Codes) -> Codes:
    """Return the same codes for every sample.

    Args:
        key: names the element types: of `like` and of the output.
        like: whose batch the output has; its codes are of no matter.
        codes: [...], of one sample.
    """
    return np.repeat(codes[None], len(like), axis=0)


def convert(
    key: KernelKey,
    codes: Codes,
    *,
    multiplier: int,
    shift: int,
    input_zero_point: int,
    output_zero_point: int,
    minimum: int,
    maximum: int,
) -> Codes:
    """Return a tensor's codes on another grid, of any widths, equation (12).

    Args:
        key: names the element types.
        codes: any shape, of up to 32 bits.
        multiplier: in [0, 2**29].
        shift: in [1, 62].
        input_zero_point: code of real 0 in the input.
        output_zero_point: code of real 0 in the output.
        minimum: least output code.
        maximum: greatest output code.
    """
    x = codes.astype(np.int64) - input_zero_point
    scaled = scale_single_rounding(x, multiplier, shift)
    return stored(key.output, scaled + output_zero_point, minimum, maximum)


def lookup_interpolated(key: KernelKey, codes: Codes, *, table: NDArray[np.int32]) -> Codes:
    """Return a function of every 16-bit code, linear between 513 of its values, equation (G7).

        u = code - least code,   y = interpolated(table[u >> 7], table[(u >> 7) + 1], u mod 2**7, 7)

    Args:
        key: names the element types.
        codes: any shape.
        table: int32 [513]: the output's codes at every 128th code of the input's, and past the last.

    Source: LUTLookup of int16, tensorflow/lite/kernels/internal/common.h.
    """
    bits = general.SEGMENT_BITS
    place = codes.astype(np.int64) - key.activation.limits[0]
    entries, first = table.astype(np.int64), place >> bits
    found = general.interpolated(
        entries[first], entries[first + 1], place & ((1 << bits) - 1), bits
    )
    return stored(key.output, found, *key.output.limits)


GENERAL_REFERENCES: dict[str, Callable[..., Codes]] = {
    "matmul": matmul,
    "normalize": normalize,
    "lrn": lrn,
    "divide": divide,
    "constant": constant,
    "convert": convert,
    "lookup_interpolated": lookup_interpolated,
}
