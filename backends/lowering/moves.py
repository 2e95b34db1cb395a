"""Moves channels by a fraction of a step where the next layer takes it back: what biases of few bits cannot hold, and limits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.ties import held_shares
from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Node
from intlower.compiler.grids import UniformGrid
from intlower.compiler.moment_rules import tap_coverage
from intlower.compiler.moments import ValueMoments
from intlower.compiler.operators import (
    Activation,
    Add,
    AveragePool,
    Bound,
    ChannelClip,
    Conv,
    Flatten,
    Gemm,
    GlobalAveragePool,
    MaxPool,
    activation_bounds,
)

Array = NDArray[np.float64]


def chosen_moves(
    graph: Graph,
    node: Node,
    moments: ValueMoments,
    grid: UniformGrid,
    offset: Array,
    bound: bool,
) -> Array:
    """Return by how much a layer's channels, with the bounds of their activation, are to move: float64 [C].

    A bias of few bits is off by d. Numbers that the activation holds at a bound are not, so that no later bias can take d
    back from both; but where the bounds move by m = d as well, all numbers are off alike, and the reader's bias takes all
    of it back. Bounds, though, are codes: moved or not, they are off by e, the rounding of (bound + m). And where the
    reader pads, m is missing at the border. What remains after the means are corrected is a variance,

        (d - m)**2 P (1 - P)  +  Var[e]  +  m**2 mean_k rho_k (1 - rho_k)

    with P the share of numbers that is free, Var[e] over those held at either bound, and rho_k the share of positions at
    which a tap of the reader meets data. m is whichever makes it least of d, what puts a bound on the grid next to it, and 0; where a bias is exact, d follows m.

    Our own method.

    Args:
        graph: of the node.
        node: a Conv or Gemm; moments are of what it computes.
        moments: of the node's output.
        grid: of the node's output.
        offset: d, float64 [C]; 0 in channels that saturate.
        bound: whether the bias is bound to its codes, or follows any m.
    """
    border = _border(graph, node)
    channels = len(offset)
    if border is None or not isinstance(node.activation, ChannelClip | None):
        return np.zeros(
            channels
        )  # a limit of all channels is one instruction everywhere; bounds of each are not
    bounds = activation_bounds(node.activation)
    shares = held_shares(moments.before, bounds)
    free = np.clip(1 - shares[0] - shares[1], 0.0, 1.0)
    tried = [offset]
    for limit, share in zip(bounds, shares, strict=True):
        finite = np.isfinite(limit) & (share > 0)
        start = np.where(finite, np.broadcast_to(limit, (channels,)), 0.0) + offset
        snapped = offset + np.rint(start / grid.step) * grid.step - start
        tried.append(np.where(finite, snapped, offset))
    tried.append(np.zeros(channels))
    costs = []
    for move in tried:
        rest = np.square(offset - move) if bound else 0.0
        costs.append(
            rest * free * (1 - free)
            + _limit_variance(grid, bounds, shares, move)
            + border * np.square(move)
        )
    best = np.argmin(costs, axis=0)
    return np.asarray(np.choose(best, tried))


def moved_bounds(activation: Activation | None, move: Array) -> Activation | None:
    """Return an activation whose bounds are moved, channel by channel."""
    if activation is None or not move.any():
        return activation
    low, high = activation_bounds(activation)
    return ChannelClip(
        minimum=Constant.of(low + move, np.float64),
        maximum=Constant.of(high + move, np.float64),
    )


def limit_shift(moments: ValueMoments, node: Node, grid: UniformGrid, move: Array) -> Array:
    """Return what the codes of bounds, moved, add to the means of a node's channels: their errors, by the shares held there."""
    bounds = activation_bounds(node.activation)
    shares = held_shares(moments.before, bounds)
    low, high = (
        share * error for share, error in zip(shares, _errors(grid, bounds, move), strict=True)
    )
    return np.asarray(low + high)


def _errors(grid: UniformGrid, bounds: tuple[Bound, Bound], move: Array) -> tuple[Array, Array]:
    """Return by how much the codes of bounds are off, 0 where there is none."""
    found = []
    for limit in bounds:
        moved = np.broadcast_to(limit, move.shape) + move
        kept = np.where(np.isfinite(moved), moved, 0.0)
        found.append(
            np.where(np.isfinite(moved), grid.dequantize(grid.quantize(kept)) - kept, 0.0)
        )
    return found[0], found[1]


def _limit_variance(
    grid: UniformGrid, bounds: tuple[Bound, Bound], shares: tuple[Array, Array], move: Array
) -> Array:
    low, high = _errors(grid, bounds, move)
    mean = shares[0] * low + shares[1] * high
    return np.asarray(shares[0] * low**2 + shares[1] * high**2 - mean**2)


def _border(graph: Graph, node: Node) -> float | None:
    """Return what padding costs of moves; None where they are not taken back.

    The mean over a reader's taps of rho (1 - rho), of the worst reader: 0 where none pads. Sums, means over windows,
    maxima and Flatten hand moves on as they are, see `Drift`; an output of the graph, or anything else, takes none back.
    """
    consumers, seen, waiting, worst = graph.consumers(), set(), [node.output], 0.0
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        readers = consumers[name]
        if name in graph.outputs or not readers:
            return None
        for reader in readers:
            if isinstance(reader.operator, Conv | Gemm):
                if reader.inputs[0] != name or reader.inputs[1] not in graph.constants:
                    return None
                worst = max(worst, _missed(graph, reader))
            elif _hands_on(graph, reader):
                waiting.append(reader.output)
            else:
                return None
    return worst


def _hands_on(graph: Graph, node: Node) -> bool:
    """Whether an operator gives y + m for x + m."""
    if node.activation is not None:
        return False
    match node.operator:
        case Add():
            return all(name in graph.values for name in node.inputs)
        case AveragePool():
            return not (node.operator.count_include_pad and any(node.operator.pads))
        case MaxPool() | GlobalAveragePool():
            return True
        case Flatten(axis=1):
            return graph.values[node.output].shape[1] == graph.values[node.inputs[0]].shape[1]
        case _:
            return False


def _missed(graph: Graph, reader: Node) -> float:
    if not isinstance(reader.operator, Conv):
        return 0.0
    taps = graph.constants[reader.inputs[1]].array.shape
    before, after = graph.values[reader.inputs[0]].shape, graph.values[reader.output].shape
    rows, columns = (
        tap_coverage(reader.operator, axis, taps[2 + axis], before, after) for axis in (0, 1)
    )
    met = np.outer(rows, columns)
    return float((met * (1 - met)).mean())
