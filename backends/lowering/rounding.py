"""Weights to codes: nearest, with rounding errors that cancel, or that make up for each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.gptq import gptq_codes
from intlower.compiler.grids import ChannelGrid, UniformGrid
from intlower.compiler.recipe import WeightRounding
from intlower.compiler.second_moments import SecondMoments

Codes = NDArray[Any]


def round_weights(
    weights: NDArray[np.float64],
    grid: UniformGrid | ChannelGrid,
    rounding: WeightRounding,
    moments: SecondMoments | None = None,
) -> Codes:
    """Return the codes of a layer's weights.

    Args:
        weights: [O, ...].
        grid: of the weights.
        rounding: how; GPTQ without moments is SQUANT.
        moments: of the layer's input, where samples were seen.
    """
    if rounding is WeightRounding.GPTQ and moments is not None:
        return gptq_codes(weights, grid, moments)
    nearest = grid.quantize(weights)
    match rounding:
        case WeightRounding.NEAREST:
            return nearest
        case WeightRounding.SQUANT | WeightRounding.GPTQ:
            return _squant(weights, grid, nearest)


def _squant(
    weights: NDArray[np.float64], grid: UniformGrid | ChannelGrid, nearest: Codes
) -> Codes:
    """Return codes whose errors sum to less than half a step in each window, and nearly so in each output channel.

    With the errors d = code - weight / scale, in steps:

    1. In each window (o, i) with |sum d| > 1/2, the round(|sum d|) codes with the largest |d| of the sum's sign move by
       one step against it.
    2. Then, over each output channel, at most one code of each window moves likewise, for the channel's sum: one that
       had moved goes back, or another moves.

    No code moves by more than one step, or off the grid. A window of one tap takes part in 2 only.
    Source: Guo et al. 2022, SQuant (arXiv 2202.07471), stages K and C.
    """
    outputs = weights.shape[0]
    low, high = grid.limits
    scale = np.broadcast_to(grid.scale.array.astype(np.float64), (outputs,)).reshape(-1, 1, 1)
    windows = weights.reshape(outputs, weights.shape[1], -1)
    codes = nearest.reshape(windows.shape).astype(np.int64)
    offset = np.broadcast_to(grid.offsets, (outputs,)).reshape(-1, 1, 1)
    error = codes - (windows / scale + offset)
    if windows.shape[2] > 1:
        moved = _turn(
            codes, error, low, high, np.rint(np.abs(error.sum(axis=2))).astype(np.int64)
        )
        error = error + (moved - codes)
        codes = moved
    total = error.sum(axis=(1, 2))
    candidates = _best_of_window(nearest.reshape(windows.shape), codes, error, total, low, high)
    flat_codes, flat_error = codes.reshape(outputs, 1, -1), error.reshape(outputs, 1, -1)
    masked = np.where(candidates.reshape(flat_error.shape), flat_error, 0.0)
    # Errors that are no candidates are hidden, so the count is taken from the true sum.
    count = np.rint(np.abs(total)).astype(np.int64)[:, None]
    turned = _turn(flat_codes, masked, low, high, count, sign=np.sign(total)[:, None, None])
    return turned.reshape(weights.shape).astype(nearest.dtype)


def _turn(
    codes: NDArray[np.int64],
    error: NDArray[np.float64],
    low: int,
    high: int,
    count: NDArray[np.int64],
    sign: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Return codes [O, I, K], of which in each (o, i) `count` with the largest errors of one sign moved against it."""
    direction = np.sign(error.sum(axis=2, keepdims=True)) if sign is None else sign
    size = error * direction
    inside = (codes - direction >= low) & (codes - direction <= high)
    size = np.where((size > 0) & inside, size, 0.0)
    order = np.argsort(-size, axis=2, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(
        rank, order, np.broadcast_to(np.arange(size.shape[2]), order.shape), axis=2
    )
    chosen = (rank < count[:, :, None]) & (size > 0)
    return codes - np.where(chosen, direction, 0.0).astype(np.int64)


def _best_of_window(
    nearest: NDArray[np.int64],
    codes: NDArray[np.int64],
    error: NDArray[np.float64],
    total: NDArray[np.float64],
    low: int,
    high: int,
) -> NDArray[np.bool_]:
    """Return, in each window, the one code whose turn would help the channel's sum most, within a step of nearest."""
    sign = np.sign(total)[:, None, None]
    inside = (codes - sign >= low) & (codes - sign <= high)
    near = np.abs(codes - sign - nearest) <= 1
    size = np.where(near & inside, error * sign, 0.0)
    best = size.argmax(axis=2)[:, :, None] == np.arange(size.shape[2])
    return np.asarray(best & (size > 0))
