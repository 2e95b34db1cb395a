"""The oracle of tables, rearrangement, products of tensors and resampling. `reference.py` says how to read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels.reference_movement import stored
from intlower.kernels.scale_rules import SCALE_RULES
from intlower.kernels.signature import KernelKey

Codes = NDArray[Any]


def lookup(key: KernelKey, codes: Codes, *, table: Codes) -> Codes:
    """Return a function of every code.

        y = table[code - least code]

    Args:
        key: names the element types.
        codes: any shape.
        table: the function's codes, of the output's type, one for each code of the input's.
    """
    return table[codes.astype(np.int64) - key.activation.limits[0]]


def lookup_channels(key: KernelKey, codes: Codes, *, table: Codes) -> Codes:
    """Return a function of every code, another for each channel.

        y[n,c,...] = table[c, code - least code]

    Args:
        key: names the element types.
        codes: [N, C, ...].
        table: [C, codes], see `lookup`.
    """
    channels = np.arange(codes.shape[1]).reshape(-1, *(1,) * (codes.ndim - 2))
    return table[channels, codes.astype(np.int64) - key.activation.limits[0]]


def transpose(key: KernelKey, codes: Codes, *, permutation: tuple[int, ...]) -> Codes:
    """Return the codes with output axis i that of input axis permutation[i]; permutation[0] is 0: the batch."""
    return np.ascontiguousarray(codes.transpose(permutation))


def gather(key: KernelKey, codes: Codes, *, indices: NDArray[np.int32], axis: int) -> Codes:
    """Return chosen codes along an axis: repeated, left out, in any order; `indices` is int32 [output size]."""
    return np.take(codes, indices, axis=axis)


def multiply(
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
    """Return the product of two tensors, rounded once.

        y = clamp(scale((a - zero point) * (b - zero point), multiplier, shift) + output_zero_point)

    Args:
        key: names the element types and the scaling rule.
        a: any shape; b of the same rank, and the two broadcast.
        b: see a.
        multiplier: of the product of the inputs' scales over the output's.
        shift: alike.
        input_zero_points: codes of real 0 in a and in b.
        output_zero_point: code of real 0 in the output.
        minimum: least output code.
        maximum: greatest output code.
    """
    product = (a.astype(np.int64) - input_zero_points[0]) * (
        b.astype(np.int64) - input_zero_points[1]
    )
    assert key.requantize is not None  # the key proves it
    scaled = SCALE_RULES[key.requantize](product, multiplier, shift)
    return stored(key.output, scaled + output_zero_point, minimum, maximum)


def resample(
    key: KernelKey,
    codes: Codes,
    *,
    row_indices: NDArray[np.int32],
    row_weights: NDArray[np.int32],
    column_indices: NDArray[np.int32],
    column_weights: NDArray[np.int32],
    multiplier: int,
    shift: int,
    input_zero_point: int,
    output_zero_point: int,
    minimum: int,
    maximum: int,
) -> Codes:
    """Return an image resampled: weighted sums of a few rows and columns, rounded once.

        acc[n,c,i,j] = sum_{t,u} row_weights[i,t] * column_weights[j,u] * x[n, c, row_indices[i,t], column_indices[j,u]]
        y = clamp(scale(acc, multiplier, shift) + output_zero_point)

    Args:
        key: names the element types and the scaling rule.
        codes: [N, C, H, W].
        row_indices: int32 [H', T], in [0, H).
        row_weights: int32 [H', T], in units of 2**-fraction bits.
        column_indices: int32 [W', U], in [0, W).
        column_weights: int32 [W', U].
        multiplier: of input scale over output scale, and of the weights' units.
        shift: alike.
        input_zero_point: code of real 0 in the input.
        output_zero_point: code of real 0 in the output.
        minimum: least output code.
        maximum: greatest output code.
    """
    x = codes.astype(np.int64) - input_zero_point
    rows = np.einsum("ncitw,it->nciw", x[:, :, row_indices], row_weights.astype(np.int64))
    total = np.einsum(
        "nciju,ju->ncij", rows[:, :, :, column_indices], column_weights.astype(np.int64)
    )
    assert key.requantize is not None  # the key proves it
    scaled = SCALE_RULES[key.requantize](total, multiplier, shift)
    return stored(key.output, scaled + output_zero_point, minimum, maximum)


EXTENDED_REFERENCES: dict[str, Callable[..., Codes]] = {
    "lookup": lookup,
    "lookup_channels": lookup_channels,
    "transpose": transpose,
    "gather": gather,
    "multiply": multiply,
    "resample": resample,
}
