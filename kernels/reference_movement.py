"""The oracle's other half: operators that choose, move or look up codes. `reference.py` says how to read it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels import numerics
from intlower.kernels.signature import ElementType, KernelKey

Codes = NDArray[Any]


def max_pool(
    key: KernelKey,
    codes: Codes,
    *,
    kernel_shape: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
) -> Codes:
    """Return maxima over windows of [N, C, H, W]; padding never wins.

    Args:
        key: names the element type.
        codes: [N, C, H, W].
        kernel_shape: (height, width) of the window.
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), each smaller than the window's extent.
        dilations: (vertical, horizontal).
    """
    top, left, bottom, right = pads
    padded = np.pad(
        codes,
        ((0, 0), (0, 0), (top, bottom), (left, right)),
        constant_values=key.activation.limits[0],
    )
    return np.ascontiguousarray(
        windows(padded, kernel_shape, strides, dilations).max(axis=(-2, -1))
    )


def concat(key: KernelKey, *tensors: Codes, axis: int) -> Codes:
    """Return tensors of one grid joined along an axis."""
    return np.concatenate(tensors, axis=axis)


def pad(key: KernelKey, codes: Codes, *, pads: tuple[int, ...], value: int) -> Codes:
    """Return a tensor with a border of one code; `pads` is (begin..., end...) of every axis."""
    rank = codes.ndim
    return np.pad(
        codes, list(zip(pads[:rank], pads[rank:], strict=True)), constant_values=value
    )


def slice_(
    key: KernelKey,
    codes: Codes,
    *,
    starts: tuple[int, ...],
    ends: tuple[int, ...],
    axes: tuple[int, ...],
    steps: tuple[int, ...],
) -> Codes:
    """Return codes[..., start:end:step, ...]; an end below -2**31 with a negative step means "through the first"."""
    selection = [slice(None)] * codes.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        selection[axis] = slice(start, None if step < 0 and end < -(1 << 31) else end, step)
    return np.ascontiguousarray(codes[tuple(selection)])


def reshape(key: KernelKey, codes: Codes, *, shape: tuple[int, ...]) -> Codes:
    """Return the same codes in row-major order under another shape; shape[0] is 0: the batch."""
    return codes.reshape(codes.shape[0], *shape[1:])


def softmax(
    key: KernelKey, codes: Codes, *, table: NDArray[np.int32], axis: int, maximum: int
) -> Codes:
    """Return exp(x) / sum(exp(x)) in integers, by a table of exponentials and a rounded division.

        e_i = table[max_j q_j - q_i],    y_i = divide_half_up(e_i * maximum, sum_j e_j)

    Args:
        key: names the element type.
        codes: any shape.
        table: int32, one entry for each difference of codes; table[d] = round(2**F * exp(-scale * d)).
        axis: along which to normalise.
        maximum: the code of probability 1, at most one past the greatest, which then stands for it; the output's scale is
            1 / maximum, its zero point 0.
    """
    q = codes.astype(np.int64)
    exponentials = table.astype(np.int64)[q.max(axis=axis, keepdims=True) - q]
    total = exponentials.sum(axis=axis, keepdims=True)
    greatest = min(maximum, key.output.limits[1])
    return stored(
        key.output, numerics.divide_half_up(exponentials * maximum, total), 0, greatest
    )


def windows(
    x: NDArray[Any],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
) -> NDArray[Any]:
    """Return every window: [N, C, H', W', kh, kw]."""
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))
    views = np.lib.stride_tricks.sliding_window_view(x, extent, axis=(2, 3))
    return views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]


def stored(element: ElementType, value: Any, minimum: Any, maximum: Any) -> Codes:
    """Return integers limited to [minimum, maximum], in an element type."""
    clamped: Codes = numerics.clamp(value, minimum, maximum).astype(element.dtype_name)
    return clamped
