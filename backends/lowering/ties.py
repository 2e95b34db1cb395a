"""How far the ties of sums move their means: a shift to the right that rounds ties up errs upwards, every time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.encodings import Encodings
from intlower.compiler.expected_error import below
from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.moments import ValueMoments
from intlower.compiler.operators import Add, Bound, activation_bounds
from intlower.kernels.signature import Requantize

Array = NDArray[np.float64]


def tie_shift(
    graph: Graph,
    node: Node,
    encodings: Encodings,
    moments: Mapping[str, ValueMoments],
    rule: Requantize,
) -> Array | None:
    """Return what rounding a residual sum adds to the mean of each channel, float64 [C]; None where that is nothing known.

    The sum of two tensors lies on the finer one's grid, of step u; equation (18) shifts it to one of step 2**s u, and with
    low bits that are as often one number as another

        E[rounded - sum] = u / 2,   s > 0:  the ties, of 2**-s of all numbers, times half of 2**s u

    where ties go up, whatever s is: half a unit of the finer grid, a quarter of a step at s = 1. What a network adds in
    block after block, it sums up. Where ties go away from zero it is that for the positive sums less that for the negative
    ones; to even, nothing.

    A summand that is on the coarse grid has no low bits; nor has one that its activation holds at a limit, most often
    0: the shift is u / 2 times the share of numbers of which some finer summand is free.

    Our own method.

    Args:
        graph: of the node.
        node: any; a sum of two tensors has such a shift.
        encodings: grids of the graph's values.
        moments: of its values, as far as they are known.
        rule: the target's, for sums.
    """
    if not isinstance(node.operator, Add) or rule is Requantize.POWEREVEN:
        return None
    if not rule.power_of_two or any(name not in encodings for name in node.inputs):
        return None
    step = encodings[node.output].step
    finer = [name for name in node.inputs if encodings[name].step < step]
    if not finer or any(name not in moments for name in (*finer, node.output)):
        return None
    held = np.ones(1)
    for name in finer:
        held = held * (1 - _free_share(graph, moments[name], name))
    shift = min(encodings[name].step for name in finer) / 2 * (1 - held)
    if rule is Requantize.POWERAWAY:
        before = moments[node.output].before
        positive = below(before.mean.array / np.maximum(before.std.array, 1e-30))
        shift = shift * (2 * positive - 1)
    return np.asarray(np.broadcast_to(shift, moments[node.output].before.mean.array.shape))


def _free_share(graph: Graph, moments: ValueMoments, name: str) -> Array:
    """Return the share of each channel's numbers that its activation does not hold at a limit, for normal ones."""
    producer = graph.producers().get(name)
    bounds = activation_bounds(None if producer is None else producer.activation)
    low, high = held_shares(moments.before, bounds)
    return np.asarray(1 - low - high)


def held_shares(before: Moments, bounds: tuple[Bound, Bound]) -> tuple[Array, Array]:
    """Return which shares of normal numbers an activation holds at its lower and at its upper bound, each [C]."""
    mean, scale = before.mean.array, np.maximum(before.std.array, 1e-30)
    return below((bounds[0] - mean) / scale), below((mean - bounds[1]) / scale)
