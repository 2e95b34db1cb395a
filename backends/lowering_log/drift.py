"""How far encoding moves the mean of a tensor: known from moments, and taken back in the next layer's bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.correction import corrected_bias
from intlower.backends.lowering_log.builder import LogBuilder
from intlower.compiler.graph import Moments, Node
from intlower.compiler.grids import LogGrid
from intlower.compiler.moment_rules import normal_points
from intlower.compiler.moments import ValueMoments
from intlower.compiler.operators import Bound, Pad, activation_bounds


def bias_without_drift(
    builder: LogBuilder,
    node: Node,
    bias: NDArray[np.float64],
    levels: NDArray[np.float64],
    grid: LogGrid,
) -> NDArray[np.float64]:
    """Return a layer's bias less what encoding its input adds to the mean of each output.

        b'_o = b_o - sum_{i,k} rho_k levels[o,i,k] E[decode(encode(x_i)) - x_i]

    A level is off by up to 2.2 % in 8 bits, and where an activation limits many numbers to one, all of them are off by
    the same: errors that rounding does not even out. rho is as in `corrected_bias`. A layer whose input has no moments
    keeps its bias.

    Args:
        builder: knows the graph and its moments.
        node: a Conv or Gemm.
        bias: [O].
        levels: what the weights' codes stand for, [O, I/groups, ...].
        grid: of the input's codes.
    """
    name = node.inputs[0]
    producer = builder.graph.producers().get(name)
    told = name
    if producer is not None and isinstance(producer.operator, Pad):
        # A padding is a level, without error; what it pads has an activation.
        told = producer.inputs[0]
        producer = builder.graph.producers().get(told)
    source = builder.moments.get(told)
    if source is None or len(source.before.mean.array) != builder.shape(name)[1]:
        return bias
    drift = mean_error(
        source.before,
        activation_bounds(None if producer is None else producer.activation),
        grid,
    )
    known = Moments.of(drift, np.zeros_like(drift))
    moments = {name: ValueMoments(before=known, after=known)}
    return corrected_bias(builder.graph, node, moments, bias, levels)


def mean_error(
    before: Moments, bounds: tuple[Bound, Bound], grid: LogGrid
) -> NDArray[np.float64]:
    """Return E[decode(encode(x)) - x] of normally distributed channels behind an activation, float64 [C].

    Args:
        before: moments before the activation.
        bounds: the least and the greatest number that the activation lets through, of all channels or of each.
        grid: of the codes.
    """
    low, high = (np.asarray(bound, np.float64).reshape(-1, 1) for bound in bounds)
    spread = before.std.array[:, None] * normal_points()
    x = np.clip(before.mean.array[:, None] + spread, low, high)
    levels = grid.dequantize(grid.quantize(x)).astype(np.float64)
    return np.asarray((levels - x).mean(axis=1))
