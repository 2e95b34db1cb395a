"""What operators do to means and standard deviations, on arrays; `moments.py` applies it to graphs."""

from __future__ import annotations

from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.operators import AveragePool, Conv, Gemm, MatMul, Shape, known
from intlower.compiler.row_blocks import row_blocks

Array = NDArray[np.float64]
Pair = tuple[Array, Array]


def spread(array: NDArray[Any]) -> Pair:
    """Return mean and std of an array's elements in each channel (axis 1).

    Args:
        array: [N, C, ...].
    """
    channels = np.moveaxis(array.astype(np.float64), 1, 0).reshape(array.shape[1], -1)
    return channels.mean(axis=1), channels.std(axis=1)


def mixed(means: Array, stds: Array, weights: Array) -> Pair:
    """Return mean and std of mixtures of distributions.

    Args:
        means: [C, n], those of the parts of each channel.
        stds: [C, n].
        weights: [n], how much of a channel each part is, in any unit.
    """
    share = weights / weights.sum()
    mean = means @ share
    variance = np.square(stds) @ share + np.square(means - mean[:, None]) @ share
    return mean, np.sqrt(variance)


def weighted(
    operator: Conv | Gemm | MatMul,
    weights: NDArray[Any],
    bias: NDArray[Any] | None,
    x: Pair,
    source: Shape,
    shape: Shape,
) -> tuple[Array, Array, Array]:
    """Return mean, std and worst std of a linear layer's result, each [O].

        mean = b + sum w rho E[x],  std^2 = sum w^2 rho Var[x],  worst std = sum |w| std[x]

    where rho is the fraction of output positions at which a tap meets data, not padding: the mean is exact for
    channels of one mean each, the std for independent elements (within a position; borders excepted).

    Args:
        operator: the layer.
        weights: in the operator's layout.
        bias: [O].
        x: mean and std of the input, [I].
        source: the input's shape.
        shape: the output's shape.
    """
    groups, fractions = 1, np.ones(1)
    if isinstance(operator, Conv):
        groups = operator.groups
        rows, columns = (
            tap_coverage(operator, axis, weights.shape[2 + axis], source, shape)
            for axis in (0, 1)
        )
        fractions = np.outer(rows, columns).reshape(-1)
    elif isinstance(operator, MatMul):
        weights = weights.T
    taps = weights.reshape(*weights.shape[:2], -1)
    # Row o reads the channels of its group.
    mean, std = (v.reshape(groups, -1) for v in x)
    group = np.arange(len(taps)) // (len(taps) // groups)
    result, variance, worst = np.empty((3, len(taps)))
    for block in row_blocks(taps.shape):
        factors, own = taps[block].astype(np.float64), group[block]
        result[block] = _sums(np.einsum("oik,k->oi", factors, fractions), mean[own])
        worst[block] = _sums(np.abs(factors).sum(axis=2), std[own])
        squares = np.einsum("oik,k->oi", np.square(factors, out=factors), fractions)
        variance[block] = _sums(squares, np.square(std[own]))
    return result if bias is None else result + bias, np.sqrt(variance), worst


def _sums(a: Array, b: Array) -> Array:
    return np.asarray(np.einsum("oi,oi->o", a, b), np.float64)


def tap_coverage(conv: Conv, axis: int, kernel: int, source: Shape, shape: Shape) -> Array:
    """Return, for each tap along one spatial axis, the fraction of positions where it meets data: [kernel].

    Args:
        conv: the convolution.
        axis: 0 for rows, 1 for columns.
        kernel: taps along the axis.
        source: the input's shape.
        shape: the output's shape.
    """
    starts = np.arange(known(shape[2 + axis])) * conv.strides[axis] - conv.pads[axis]
    positions = starts[:, None] + np.arange(kernel) * conv.dilations[axis]
    inside = (positions >= 0) & (positions < known(source[2 + axis]))
    return np.asarray(inside.mean(axis=0), np.float64)


def coverage(pool: AveragePool, source: Shape, shape: Shape) -> float:
    """Return the fraction of data among the elements that a pool's windows count, on average.

    Args:
        pool: the pool; 1 unless it counts padding.
        source: the input's shape.
        shape: the output's shape.
    """
    if not pool.count_include_pad:
        return 1.0
    fraction = 1.0
    for axis in (0, 1):
        size, begin, end = known(source[2 + axis]), pool.pads[axis], pool.pads[axis + 2]
        starts = np.arange(known(shape[2 + axis])) * pool.strides[axis] - begin
        ends = starts + pool.kernel_shape[axis]
        data = np.minimum(ends, size) - np.maximum(starts, 0)
        counted = np.minimum(ends, size + end) - starts
        fraction *= float(np.mean(data / counted))
    return fraction


@cache
def normal_points(count: int = 1024) -> NDArray[np.float64]:
    """Return points of the standard normal distribution, each of the same weight: float64 [count], ascending."""
    normal = NormalDist()
    points = np.array([normal.inv_cdf((i + 0.5) / count) for i in range(count)])
    points.flags.writeable = False
    return points
