"""How far a network's outputs lie from the float model's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[Any]

# Rows whose sums are this close to 1 are probabilities. A softmax in single precision is exact to about 1e-6; logits that
# are all positive and sum to 1 by chance, in every sample, do not occur.
SUM_TOLERANCE = 1e-3


def are_probabilities(scores: Scores) -> bool:
    """Return whether every row is a distribution: nothing below 0, and a sum of 1.

    >>> are_probabilities(np.array([[0.25, 0.75]])), are_probabilities(np.array([[0.5, 2.0]]))
    (True, False)
    """
    return bool((scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=SUM_TOLERANCE))


def softmax(scores: Scores) -> NDArray[np.float64]:
    """Return exp(x) / sum(exp(x)) of each row, in float64."""
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def kl_divergence(float_scores: Scores, scores: Scores, step: float = 0.0) -> float:
    """Return the mean of KL(p_float || p) = sum p_float (log p_float - log p), in nats.

    1. Where the float model gives probabilities, both sides are taken as they are; otherwise a softmax is applied to both.
    2. A probability on a grid may be 0, which stands for anything up to half a step. The zeros of a row share, evenly, what
       the others leave of 1, at least half a step in all and at most half a step each; then the row is normalised.

    Args:
        float_scores: [N, C] of the float model.
        scores: [N, C] of the network.
        step: distance of neighbouring numbers of `scores`; 0 where they are not on a grid.
    """
    if not are_probabilities(float_scores):  # 1
        p, q = softmax(float_scores), softmax(scores)
    else:
        p = float_scores.astype(np.float64)
        q = _without_zeros(scores.astype(np.float64), step)  # 2
    logarithms = np.log(np.where(p > 0, p, 1.0)) - np.log(q)
    return float((p * logarithms).sum(axis=1).mean())


def _without_zeros(q: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    half = max(step / 2, float(np.finfo(np.float32).tiny))
    zeros = q <= 0
    count = np.maximum(zeros.sum(axis=1, keepdims=True), 1)
    left = np.maximum(1 - q.sum(axis=1, keepdims=True), half)
    filled = np.where(zeros, np.minimum(left / count, half), q)
    return np.asarray(filled / filled.sum(axis=1, keepdims=True))


def sqnr_db(float_scores: Scores, scores: Scores) -> float | None:
    """Return 10 log10(sum y^2 / sum (y - y')^2) over all outputs; None where no output differs.

    >>> sqnr_db(np.array([[3.0, 4.0]]), np.array([[3.0, 4.5]]))
    20.0
    """
    y = float_scores.astype(np.float64)
    noise = float(((y - scores) ** 2).sum())
    if noise == 0:
        return None
    return 10 * math.log10(max(float((y**2).sum()), float(np.finfo(np.float64).tiny)) / noise)
