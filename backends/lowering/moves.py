"""Moves channels by a fraction of a step where the next layer takes it back: what biases of few bits cannot hold, and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.ties import held_shares
from intlower.compiler.graph import Graph, Node
from intlower.compiler.grids import UniformGrid
from intlower.compiler.moment_rules import tap_coverage
from intlower.compiler.moments import ValueMoments
from intlower.compiler.operators import (
    Add,
    ChannelClip,
    Conv,
    Flatten,
    Gemm,
    activation_bounds,
)
from intlower.compiler.passes.rewriting import moves_along

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moves:
    """By how much a layer's channels, with the bounds of their activation, may move.

    A bias of few bits is off by d. Numbers that the activation holds at a bound are not, so that no later bias can take d
    back from both; but where the bounds move by m = d as well, all numbers are off alike, and the reader's bias takes all
    of it back. Bounds, though, are codes: moved or not, they are off by e, the rounding of (bound + m). And where the
    reader pads, m is missing at the border. What remains after the means are corrected is a variance,

        (d - m)**2 P (1 - P)  +  Var[e]  +  m**2 mean_k rho_k (1 - rho_k)

    with P the share of numbers that is free, Var[e] over those held at either bound, and rho_k the share of positions at
    which a tap of the reader meets data.

    Our own method.

    Attributes:
        graph: of the node.
        node: a Conv or Gemm.
        moments: of the graph's values; without those of its output everything stays where it is.
        grid: of its output.
        bound: whether the bias is bound to its codes; else it follows any m, and d - m is 0.
    """

    graph: Graph
    node: Node
    moments: Mapping[str, ValueMoments]
    grid: UniformGrid
    bound: bool

    def chosen(self, offset: Array) -> Array:
        """Return m of each channel, float64 [C]: of those tried the one of the least variance, the first of equals.

        Tried are d, what puts the lower or the upper bound on the grid next to d, and 0. All are 0 where no reader takes
        moves back, and under an activation with one limit for all channels: that is one instruction everywhere, and bounds
        of each channel are not.

        Args:
            offset: d, float64 [C].
        """
        border = moving_cost(self.graph, self.node, self.moments)
        activation = self.node.activation
        if border is None or not isinstance(activation, ChannelClip | None):
            return np.zeros(len(offset))
        bounds = activation_bounds(activation)
        shares = held_shares(self.moments[self.node.output].before, bounds)
        free = np.clip(1 - shares[0] - shares[1], 0.0, 1.0)
        tried = [offset]
        for limit, share in zip(bounds, shares, strict=True):
            there = np.isfinite(limit) & (share > 0)
            place = np.where(there, limit, 0.0) + offset
            nearest = np.rint(place / self.grid.step) * self.grid.step
            tried.append(np.where(there, offset + nearest - place, offset))
        tried.append(np.zeros(len(offset)))
        costs = [
            (np.square(offset - move) * free * (1 - free) if self.bound else 0.0)
            + _variance(shares, self._errors(move))
            + border * np.square(move)
            for move in tried
        ]
        return np.asarray(np.choose(np.argmin(costs, axis=0), tried))

    def limit_shift(self, move: Array) -> Array:
        """Return what the codes of bounds, moved, add to the means: their errors times the shares held there, float64 [C]."""
        known = self.moments.get(self.node.output)
        if known is None:
            return np.zeros(len(move))
        shares = held_shares(known.before, activation_bounds(self.node.activation))
        low, high = (
            share * error for share, error in zip(shares, self._errors(move), strict=True)
        )
        return np.asarray(low + high)

    def _errors(self, move: Array) -> tuple[Array, Array]:
        """Return by how much the codes of the lower and of the upper bounds are off, 0 where there is none."""
        found = []
        for limit in activation_bounds(self.node.activation):
            moved = limit + move
            kept = np.where(np.isfinite(moved), moved, 0.0)
            code = self.grid.dequantize(self.grid.quantize(kept)).astype(np.float64)
            found.append(np.where(np.isfinite(moved), code - kept, 0.0))
        return found[0], found[1]


def _variance(shares: tuple[Array, Array], errors: tuple[Array, Array]) -> Array:
    """Return the variance of what is `errors` for `shares` of all numbers, and else 0."""
    mean = shares[0] * errors[0] + shares[1] * errors[1]
    second = shares[0] * np.square(errors[0]) + shares[1] * np.square(errors[1])
    return np.asarray(second - np.square(mean))


def moving_cost(graph: Graph, node: Node, moments: Mapping[str, ValueMoments]) -> float | None:
    """Return what padding costs of moves; None where they are not taken back.

    The mean over a reader's taps of rho (1 - rho), of the worst reader: 0 where none pads. Sums, means over windows,
    maxima and Flatten hand moves on as they are, see `Drift`; an output of the graph, a layer whose inputs have no
    moments, or anything else, takes none back.

    Args:
        graph: of the node.
        node: a Conv or Gemm.
        moments: of the graph's values, as far as they are known.
    """
    consumers, seen, waiting, worst = graph.consumers(), set[str](), [node.output], 0.0
    while waiting:
        name = waiting.pop()
        readers = consumers[name]
        if name in graph.outputs or not readers or name not in moments:
            return None
        for reader in readers:
            if isinstance(reader.operator, Conv | Gemm):
                if reader.inputs[0] != name or reader.inputs[1] not in graph.constants:
                    return None
                worst = max(worst, _missed(graph, reader))
            elif not _hands_on(graph, reader):
                return None
            elif reader.output not in seen:
                seen.add(reader.output)
                waiting.append(reader.output)
    return worst


def _hands_on(graph: Graph, node: Node) -> bool:
    """Whether an operator gives y + m for x + m, and has the channels that x has."""
    if isinstance(node.operator, Add):
        return node.activation is None and all(name in graph.values for name in node.inputs)
    if isinstance(node.operator, Flatten):
        channels = [graph.values[name].shape[1] for name in (node.inputs[0], node.output)]
        return moves_along(node) and channels[0] == channels[1]
    return moves_along(node)


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
