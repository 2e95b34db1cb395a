"""The squared error that a uniform grid is expected to make, in closed form: no data, no sampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from intlower.compiler.calibration.from_moments import pooled_share
from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.moments import ValueMoments
from intlower.compiler.operators import (
    Activation,
    Add,
    AveragePool,
    Conv,
    Gemm,
    GlobalAveragePool,
    activation_bounds,
)

Array = NDArray[np.float64]

# How many times worse a squared error of saturation is than one of rounding: rounding errors are independent, and cancel in
# the sums of the next layer; saturation errs in one direction, in neighbouring numbers at once.
SATURATION_PRICE = 2.0

# Points of the midpoint rule.
SHIFT_POINTS = 100

# The share of the greatest weights that may saturate: more is never worth it.
TAIL_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """Squared errors of a value on grids of several steps.

    Attributes:
        steps: float64 [n], the distances between levels.
        errors: float64 [n], the mean squared error expected.
        power: of the signal that the errors disturb: the mean variance; of weights the mean square.
    """

    steps: Array
    errors: Array
    power: float

    @property
    def relative(self) -> Array:
        """The errors over the power; 0 where there is no signal."""
        return self.errors / self.power if self.power > 0 else np.zeros_like(self.errors)


def value_errors(
    graph: Graph,
    node: Node,
    moments: Mapping[str, ValueMoments],
    steps: Array,
    reach: tuple[int, int],
) -> ErrorCurve | None:
    """Return the expected error of a node's output on grids of several steps; None where its spread is not known.

    Known it is after a Conv or Gemm whose statistics the model holds, and of a sum: the tails of that are as wide as if
    both summands went together, which is what residual branches do. So it is of a mean
    over windows that has moments of its own or takes in many positions, see `pooled_share`.

    Args:
        graph: of the node.
        node: which computes the value.
        moments: of the graph's values.
        steps: float64 [n], positive.
        reach: the least and the greatest code.
    """
    known = moments.get(node.output)
    if known is None or known.worst_std is not None:
        return None
    std = known.before.std.array
    match node.operator:
        case Conv() | Gemm():
            tail = std
        case Add():
            summands = [
                moments[name].after.std.array for name in node.inputs if name in moments
            ]
            tail = sum(summands, start=np.zeros(len(std)))
        case AveragePool() | GlobalAveragePool():
            share = pooled_share(graph, node, node.operator)
            if share == 1.0 and node.output not in graph.moments:
                return None
            tail = share * std
            narrow = Moments.of(known.after.mean.array, tail)
            known = ValueMoments(before=narrow, after=narrow)
        case _:
            return None
    return activation_errors(known, node.activation, steps, reach, tail)


def activation_errors(
    moments: ValueMoments,
    activation: Activation | None,
    steps: Array,
    reach: tuple[int, int],
    tail: Array,
) -> ErrorCurve:
    """Return the expected error of a value whose channels have means and deviations, limited by an activation.

    With T the number that the last level reaches (half a step past it), for x limited to [low, high]:

        inside:   step**2 / 12, but at most E[x**2], for the share of a normal x between the limits
        above T:  E[(x - T)**2; x > T] of an x with Laplace's density, and likewise below

    The tails of trained networks are heavier than normal ones, by which far too much would saturate: on the networks of
    docs/accuracy.md a range of five deviations loses about what Laplace's density tells.

    The errors of all channels count alike.

    Args:
        moments: of the value.
        activation: of its node.
        steps: float64 [n], positive.
        reach: the least and the greatest code.
        tail: float64 [C], the deviations of the tails.
    """
    mean, std = moments.before.mean.array, moments.before.std.array
    low, high = (np.broadcast_to(b, mean.shape) for b in activation_bounds(activation))
    after = moments.after
    second = np.square(after.mean.array) + np.square(after.std.array)
    scale = np.maximum(std, 1e-30)
    share = below((high - mean) / scale) - below((low - mean) / scale)
    grain = np.minimum(np.square(steps)[:, None] / 12, second) * share
    top = steps[:, None] * (reach[1] + 0.5)
    bottom = steps[:, None] * (0.5 - reach[0])
    wide = np.maximum(tail, 1e-30)
    lost = _past(mean, wide, top, high) + _past(-mean, wide, bottom, -low)
    power = float(np.square(after.std.array).mean())
    errors = grain + SATURATION_PRICE * lost
    return ErrorCurve(steps, np.asarray(errors.mean(axis=1)), power)


def shift_errors(moments: ValueMoments, activation: Activation | None, shift: Array) -> Array:
    """Return E[(f(x + shift) - f(x))**2] of each channel, [C], for normal x and f the activation.

    By the midpoint rule over five deviations: what no limit takes away counts in full, what is limited either way not at all.

    Args:
        moments: of the value, before f.
        activation: f.
        shift: float64 [C].
    """
    mean, std = moments.before.mean.array, moments.before.std.array
    low, high = (np.broadcast_to(b, mean.shape) for b in activation_bounds(activation))
    z = 5 * ((2 * np.arange(SHIFT_POINTS) + 1) / SHIFT_POINTS - 1)[:, None]
    weights = _density(z) / _density(z).sum()
    x = mean + std * z
    moved = np.clip(x + shift, low, high) - np.clip(x, low, high)
    return np.asarray((weights * np.square(moved)).sum(axis=0))


def weight_errors(weights: NDArray[np.float64], steps: Array, greatest: int) -> ErrorCurve:
    """Return the expected error of rounding weights: step**2 / 12, and what saturates of the greatest TAIL_SHARE.

    Args:
        weights: any shape.
        steps: float64 [n], positive.
        greatest: the greatest code.
    """
    flat = np.abs(weights).ravel()
    count = min(flat.size, max(64, int(TAIL_SHARE * flat.size)))
    tail = np.partition(flat, flat.size - count)[flat.size - count :]
    past = np.maximum(tail - steps[:, None] * (greatest + 0.5), 0.0)
    errors = np.square(steps) / 12 + np.square(past).sum(axis=1) / flat.size
    return ErrorCurve(steps, errors, float(np.square(flat).mean()))


def _past(mean: Array, std: Array, top: Array, high: Array) -> Array:
    """Return E[(min(x, high) - T)**2; x > T] for each of [n, 1] numbers T and [C] channels.

    x has Laplace's density, of width b = std / sqrt(2). With d = T - mean >= 0 and L = high - T:

        exp(-d / b) * (b**2 - exp(-L / b) * (b * L + b**2))

    Where T is below the mean, the square of that distance is added to the value at d = 0.
    """
    width = std / np.sqrt(2)
    room = np.maximum(high - top, 0.0) / width
    ratio = np.minimum(
        room, 80.0
    )  # past it nothing is left, and infinity has no product with 0
    distance = (top - mean) / width
    within = 1 - np.exp(-ratio) * (ratio + 1)
    deep = np.square(np.minimum(np.maximum(-distance, 0.0), room))
    return np.asarray(
        np.square(width) * (np.exp(-np.clip(distance, 0.0, 80.0)) * within + deep)
    )


def _density(z: Array) -> Array:
    return np.asarray(np.exp(-0.5 * np.square(z)))


def below(z: Array) -> Array:
    """Return the standard normal distribution function."""
    return np.asarray(torch.special.ndtr(torch.from_numpy(np.ascontiguousarray(z))).numpy())
