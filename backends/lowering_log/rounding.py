"""Weights to levels at unequal distances (logarithms, minifloats): nearest, or with rounding errors that cancel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.grids import LogGrid, MinifloatGrid
from intlower.compiler.recipe import WeightRounding

LevelGrid = LogGrid | MinifloatGrid


def round_to_levels(
    weights: NDArray[np.float64], grid: LevelGrid, rounding: WeightRounding
) -> NDArray[Any]:
    """Return the codes of a layer's weights.

    With SQUANT, a few codes of each filter window (of each output channel where windows have one tap) turn to the level
    on the weight's other side, so that the errors of the window sum to about 0.

    Args:
        weights: [O, ...].
        grid: of the weights.
        rounding: NEAREST or SQUANT.
    """
    nearest = grid.quantize(weights)
    if rounding is WeightRounding.NEAREST:
        return nearest
    windows = (*weights.shape[:2], -1) if weights[0, 0].size > 1 else (len(weights), 1, -1)
    codes = _with_cancelling_errors(weights.reshape(windows), nearest.reshape(windows), grid)
    return codes.reshape(weights.shape)


def _with_cancelling_errors(
    weights: NDArray[np.float64], nearest: NDArray[Any], grid: LevelGrid
) -> NDArray[Any]:
    """Return codes of which some are turned to their weight's other side, so that errors cancel.

        minimize  (sum e)**2 + sum e**2,   e = level - weight,  over each window

    which is the error of the output where the inputs of a window are correlated by half. Those turn first that lie
    nearest to the boundary between the two levels, and only errors of the sum's sign turn; how many, the sums say.
    Source: the first stage of SQuant, Guo et al. 2022 (arXiv 2202.07471); unequal steps and the objective are ours.

    Args:
        weights: [O, I, K], each last axis a window.
        nearest: their nearest codes.
        grid: theirs.
    """
    error = _level(nearest, grid) - weights
    total = error.sum(axis=2, keepdims=True)
    other = grid.neighbour(nearest, -np.sign(error).astype(np.int64))
    change = _level(other, grid) - _level(nearest, grid)
    turning = (np.sign(error) == np.sign(total)) & (change != 0)
    closeness = np.where(turning, np.abs(error) / np.maximum(np.abs(change), 1e-300), -1.0)
    order = np.argsort(-closeness, axis=2, kind="stable")
    grown = np.where(turning, (error + change) ** 2 - error**2, 0.0)
    objective = _after_turns(total, change * turning, order) ** 2 + _after_turns(
        (error**2).sum(axis=2, keepdims=True), grown, order
    )
    turns = np.argmin(objective, axis=2)[:, :, None]
    rank = np.argsort(order, axis=2, kind="stable")
    return np.where(turning & (rank < turns), other, nearest).astype(grid.dtype)


def _after_turns(
    start: NDArray[np.float64], change: NDArray[np.float64], order: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return a sum before any turn, after the first, the first two, ...: [O, I, K + 1]."""
    steps = np.take_along_axis(change, order, axis=2)
    return np.asarray(np.concatenate([start, start + np.cumsum(steps, axis=2)], axis=2))


def _level(codes: NDArray[Any], grid: LevelGrid) -> NDArray[np.float64]:
    return grid.dequantize(codes).astype(np.float64)
