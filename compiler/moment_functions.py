"""Means and standard deviations of functions, products, and operators that resample or normalize."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from intlower.compiler.evaluate import apply_operator
from intlower.compiler.moment_rules import Array, Pair, mixed
from intlower.compiler.operators import (
    Add,
    AnyOperator,
    ConvTranspose,
    DepthToSpace,
    Elementwise,
    InstanceNormalization,
    Interpolation,
    LayerNormalization,
    Mul,
    Reduce,
    Reduction,
    Resize,
    Shape,
    SpaceToDepth,
    Sub,
    Transpose,
    known,
)

# Midpoints of cells from -8 to 8 std, 1/32 std wide: for a kink as Relu's the mean is wrong by 4e-5 std.
_CELLS = 512
_REACH = 8.0


def function_of_normal(
    function: Callable[[Array], Array], mean: Array, std: Array
) -> Pair | None:
    """Return mean and std of f(x) for normal x by the midpoint rule; None where f is not finite within 8 std.

    Args:
        function: takes and gives [C, points].
        mean: of x, [C].
        std: of x, [C].
    """
    cell = 2 * _REACH / _CELLS
    z = -_REACH + cell * (np.arange(_CELLS) + 0.5)
    weights = np.exp(-0.5 * z * z)
    weights /= weights.sum()
    values = function(mean[:, None] + std[:, None] * z)
    if not np.isfinite(values).all():
        return None
    first = values @ weights
    centred = np.square(values - first[:, None]) @ weights
    return first, np.sqrt(centred)


def elementwise_moments(operator: Elementwise, mean: Array, std: Array) -> Pair | None:
    """Return mean and std of an Elementwise of normal x, each [C]."""
    return function_of_normal(
        lambda x: np.asarray(apply_operator(operator, [torch.from_numpy(x)]).numpy()), mean, std
    )


def rectified_moments(slope: Array, mean: Array, std: Array) -> Pair | None:
    """Return mean and std of PRelu of normal x, with one slope for each channel, [C] or [1]."""
    return function_of_normal(lambda x: np.where(x >= 0, x, slope[:, None] * x), mean, std)


def combined(
    operator: Add | Sub | Mul, a: Pair, b: Pair, channels: int, same: bool
) -> tuple[Array, Array, Array | None]:
    """Return mean, std and worst std of a sum, difference or product of two independent values.

        Add, Sub: E = E[a] +- E[b], Var = Var[a] + Var[b]; worst std = std[a] + std[b]
        Mul:      E = E[a] E[b],    Var = Var[a] Var[b] + Var[a] E[b]^2 + Var[b] E[a]^2

    A value with itself: a + a doubles, a - a is 0, and a * a of a normal value has mean Var + E^2 and variance
    2 Var^2 + 4 E^2 Var.

    Args:
        operator: which.
        a: mean and std, [channels] or [1].
        b: likewise.
        channels: of the result.
        same: whether b is a.
    """
    (mean, std), (other, other_std) = (
        (np.broadcast_to(m, (channels,)), np.broadcast_to(s, (channels,))) for m, s in (a, b)
    )
    if isinstance(operator, Mul):
        if same:
            variance = 2 * std**4 + 4 * (mean * std) ** 2
            return std**2 + mean**2, np.sqrt(variance), None
        variance = (std * other_std) ** 2 + (std * other) ** 2 + (other_std * mean) ** 2
        return mean * other, np.sqrt(variance), None
    worst, independent = std + other_std, np.hypot(std, other_std)
    if isinstance(operator, Sub):
        zero = np.zeros(channels)
        return (zero, zero, zero) if same else (mean - other, independent, worst)
    return mean + other, worst if same else independent, worst


def transposed_moments(
    operator: ConvTranspose,
    weights: NDArray[Any],
    bias: NDArray[Any] | None,
    x: Pair,
    source: Shape,
) -> tuple[Array, Array, Array]:
    """Return mean, std and worst std of a ConvTranspose of independent elements, each [O].

    Exact for inputs of one mean and std in each channel: the operator itself finds the mean of every position, and with
    squared weights its variance; a channel is the mixture of its positions.

    Args:
        operator: the operator.
        weights: [C, O/groups, kh, kw].
        bias: [O].
        x: mean and std of the input, [C].
        source: the input's shape.
    """
    size = tuple(known(d) for d in source[2:])

    def at_positions(factors: NDArray[Any], channels: Array) -> Array:
        image = np.broadcast_to(channels[:, None, None], (len(channels), *size))[None].copy()
        operands = [torch.from_numpy(image), torch.from_numpy(factors.astype(np.float64))]
        result = apply_operator(operator, operands).numpy()[0]
        return np.asarray(result.reshape(len(result), -1))

    mean, std = x
    means = at_positions(weights, mean)
    variances = at_positions(np.square(weights.astype(np.float64)), np.square(std))
    total = means.mean(axis=1)
    spread = np.sqrt(variances.mean(axis=1) + means.var(axis=1))
    worst = at_positions(np.abs(weights), std).mean(axis=1) + means.std(axis=1)
    return (total if bias is None else total + bias), spread, worst


def normalized(
    operator: InstanceNormalization | LayerNormalization,
    scale: Array,
    shift: Array | None,
    shape: Shape,
) -> Pair | None:
    """Return mean and std of a normalization by the statistics of its input: those of its parameters.

    None for a LayerNormalization over channels (axis 1), each of which keeps a mean of its own.
    """
    if isinstance(operator, InstanceNormalization):
        return (np.zeros_like(scale) if shift is None else shift), np.abs(scale)
    if operator.axis % len(shape) < 2:
        return None
    offset = np.zeros_like(scale) if shift is None else shift
    std = math.sqrt(float(np.square(scale).mean() + offset.var()))
    channels = known(shape[1])
    return np.full(channels, offset.mean()), np.full(channels, std)


def rearranged(operator: AnyOperator, x: Pair, source: Shape, shape: Shape) -> Pair | None:
    """Return mean and std of an operator that moves elements, or means over them; None for other operators.

    Resize, but for cubic, and means over positions have the mean, and the std as an upper bound. Where channels become
    positions each new channel is the mixture of all that it is made of.
    """
    mean, std = x
    match operator:
        case Transpose(permutation=permutation):
            if permutation[0] != 0 or len(permutation) < 2:
                return None
            if permutation[1] == 1:
                return x
            whole = mixed(mean[None], std[None], np.ones(len(mean)))
            channels = known(shape[1])
            return np.repeat(whole[0], channels), np.repeat(whole[1], channels)
        case DepthToSpace(block=block, channels_first=channels_first):
            order = (-1, block**2) if channels_first else (block**2, -1)
            parts = [v.reshape(order) if channels_first else v.reshape(order).T for v in x]
            return mixed(parts[0], parts[1], np.ones(block**2))
        case SpaceToDepth(block=block, channels_first=channels_first):
            if channels_first:
                return np.repeat(mean, block**2), np.repeat(std, block**2)
            return np.tile(mean, block**2), np.tile(std, block**2)
        case Resize(interpolation=Interpolation.NEAREST | Interpolation.LINEAR):
            return x
        case Reduce(reduction=Reduction.MEAN | Reduction.SUM, axes=axes):
            if {axis % len(source) for axis in axes} & {0, 1}:
                return None
            sizes = (known(source[axis]) for axis in axes)
            count = math.prod(sizes) if operator.reduction is Reduction.SUM else 1
            return mean * count, std * count
        case _:
            return None
