"""Sums of products in binary32 in one order, from which the oracles of half precision and of minifloats are made.

The order of a float sum decides its bits: for each output on its own, input channels, then the rows and then the columns
of the window, all ascending; a sum starts at +0, and padding takes part as +0. No operation is fused with another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels.reference_movement import windows

Singles = NDArray[np.float32]

# From a sum and the next term to the next sum.
Accumulate = Callable[[Singles, Singles], Singles]


def convolution_sums(
    x: Singles,
    weights: Singles,
    *,
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    groups: int,
    accumulate: Accumulate = np.add,
) -> Singles:
    """Return the sums of a convolution, [N, O, H', W'].

    Args:
        x: [N, C, H, W].
        weights: [O, C/groups, kh, kw].
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), of +0.
        dilations: (vertical, horizontal).
        groups: of channels.
        accumulate: adds a term.
    """
    outputs, depth, kernel_height, kernel_width = weights.shape
    views = windows(_bordered(x, pads), (kernel_height, kernel_width), strides, dilations)
    height, width = views.shape[2:4]
    grouped = views.reshape(len(x), groups, depth, height, width, kernel_height, kernel_width)
    w = weights.reshape(groups, outputs // groups, depth, kernel_height, kernel_width)
    total = np.zeros((len(x), groups, outputs // groups, height, width), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for c in range(depth):
            for u in range(kernel_height):
                for v in range(kernel_width):
                    factor = w[None, :, :, c, u, v, None, None]
                    total = accumulate(total, grouped[:, :, None, c, :, :, u, v] * factor)
    return total.reshape(len(x), outputs, height, width)


def window_sums(
    x: Singles,
    *,
    kernel_shape: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    accumulate: Accumulate = np.add,
) -> Singles:
    """Return the sums of windows, by rows, [N, C, H', W']; the arguments are those of `convolution_sums`."""
    views = windows(_bordered(x, pads), kernel_shape, strides, (1, 1))
    total = np.zeros(views.shape[:4], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for u in range(kernel_shape[0]):
            for v in range(kernel_shape[1]):
                total = accumulate(total, views[..., u, v])
    return total


def along_channels(array: NDArray[Any], rank: int) -> NDArray[Any]:
    """Return one number for each channel (axis 1) in a shape that broadcasts to a tensor of a rank."""
    return array.reshape([-1 if axis == 1 else 1 for axis in range(rank)])


def _bordered(x: Singles, pads: tuple[int, int, int, int]) -> Singles:
    top, left, bottom, right = pads
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
