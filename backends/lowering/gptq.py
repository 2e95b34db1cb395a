"""Weight rounding that makes up for each rounded weight in those not yet rounded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.grids import ChannelGrid, UniformGrid
from intlower.compiler.second_moments import SecondMoments

# Share of the mean diagonal added to the diagonal. Source: Frantar et al. 2023, GPTQ, section 3.3 (1 %).
DAMPING = 0.01


def gptq_codes(
    weights: NDArray[np.float64], grid: UniformGrid | ChannelGrid, moments: SecondMoments
) -> NDArray[Any]:
    """Return weight codes that keep a layer's output, over inputs of known second moments, near what it was.

    With H the second moments of the columns x that an output sums, the error of rounding w to v is (v - w) H (v - w)^T.
    In order of falling H[i, i], each weight of a row is rounded to its nearest code, and the later weights of the row take
    what best makes up for it, with U the upper Cholesky factor of H^-1:

        e = (w_i - v_i) / U[i, i],    w_j -= e U[i, j] for j > i

    1. H is the covariance: the mean is left to the bias, which takes up the mean error of any rounding.
    2. Few columns say little about K*K products, so H is blended with its diagonal, which is as good as the diagonal of
       K further columns: H = (n C + K diag C) / (n + K).
    3. An input that never varies has H[i, i] = 0: the damping makes it the last.

    Source: Frantar et al. 2023, GPTQ (arXiv 2210.17323); 1 and 2 are ours.

    Args:
        weights: [O, I/groups, ...].
        grid: of the weights; of each row where it is per channel.
        moments: of the layer's input.
    """
    groups, size = moments.mean.array.shape
    rows = weights.shape[0] // groups
    left = weights.reshape(groups, rows, size).copy()
    scale = np.broadcast_to(grid.scale.array.astype(np.float64), (weights.shape[0],))
    scale = scale.reshape(groups, rows)
    offset = np.broadcast_to(grid.offsets, (weights.shape[0],)).reshape(groups, rows)
    low, high = grid.limits
    order, upper = _factors(moments)
    left = np.take_along_axis(left, order[:, None, :], axis=2)
    codes = np.empty(left.shape, np.int64)
    for i in range(size):
        w = left[:, :, i]
        codes[:, :, i] = np.clip(np.rint(w / scale) + offset, low, high)
        error = (w - (codes[:, :, i] - offset) * scale) / upper[:, i, i, None]
        left[:, :, i + 1 :] -= error[:, :, None] * upper[:, None, i, i + 1 :]
    result = np.empty_like(codes)
    np.put_along_axis(result, np.broadcast_to(order[:, None, :], codes.shape), codes, axis=2)
    return result.reshape(weights.shape).astype(grid.dtype)


def _factors(moments: SecondMoments) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the order of rounding [G, K] and the factors U in that order [G, K, K]."""
    covariance = moments.covariance.array
    size = covariance.shape[-1]
    diagonal = np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0.0)
    order = np.argsort(-diagonal, axis=1, kind="stable")
    blend = moments.count / (moments.count + size)
    mean_size = diagonal.mean(axis=1, keepdims=True)
    level = (1 - blend) * diagonal + DAMPING * np.where(mean_size > 0, mean_size, 1.0)
    hessian = blend * covariance + level[:, :, None] * np.eye(size)
    rows = np.arange(len(order))[:, None, None]
    hessian = hessian[rows, order[:, :, None], order[:, None, :]]
    # U of H^-1 = U^T U: with the order reversed, the lower factor of H inverts to it.
    lower = np.linalg.cholesky(hessian[:, ::-1, ::-1])
    inverse = np.linalg.inv(lower)
    return order, np.asarray(inverse[:, ::-1, ::-1])
