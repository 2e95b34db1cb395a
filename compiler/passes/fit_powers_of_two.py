"""Scales whole tensors so that their ranges, and those of weights, just fit powers of two; the function is untouched."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.expected_error import ErrorCurve, value_errors, weight_errors
from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.grids import UniformSpec
from intlower.compiler.moments import ValueMoments, propagate_moments
from intlower.compiler.operators import (
    Activation,
    Add,
    AveragePool,
    ChannelClip,
    Clip,
    Concat,
    Conv,
    Flatten,
    Gather,
    Gemm,
    GlobalAveragePool,
    Identity,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
)
from intlower.compiler.passes.rewriting import parameter, replace_nodes, sole_reader

# Factors tried: FRACTIONS of them in an octave, up to REACH octaves either way.
FRACTIONS = 16
REACH = 24
SWEEPS = 20

# Steps looked at, in octaves: coarser than the one that covers the range, and finer.
COARSER, FINER = 1, 4

Costs = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitPowersOfTwo:
    """Multiplies each tensor by a factor of its own, so that grids whose steps are powers of two waste little of their codes.

    A tensor x between layers may be multiplied by any s > 0: the layer that makes it gets weights and bias times s, layers
    that read it weights over s. The factors minimise

        sum over tensors of  expected squared error / variance  +  sum over layers of  that of the weights / mean square

    each at its best position, by coordinate descent over sixteenths of an octave; see `compiler/expected_error.py`.

    1. *Tied*: summands and their sum, what pools, moves, or joins and its inputs: they have one factor.
    2. *Kept*: graph inputs and outputs, and whatever meets an operator that does not scale with its input.
    3. Bounds of activations and moments are multiplied as well.
    4. Zero padding stays zero, so borders are exact.

    Our own method; that scales of layers are free is Nagel et al. 2019, section 4.1.

    Attributes:
        activations: their grids.
        weights: theirs.
    """

    name: ClassVar[str] = "fit_powers_of_two"

    activations: UniformSpec
    weights: UniformSpec

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with tensors scaled."""
        group = _tied_values(graph)
        free = {name for name in set(group.values()) if name}
        if not free:
            return graph
        moments = propagate_moments(graph)
        tensors: dict[str, Costs] = {name: np.zeros(2 * REACH + 1) for name in free}
        layers: list[tuple[str, str, Costs]] = []
        for node in graph.nodes:
            place = group[node.output]
            if place:
                tensors[place] = tensors[place] + self._tensor_costs(graph, node, moments)
            if isinstance(node.operator, Conv | Gemm) and node.inputs[0] in group:
                source = group[node.inputs[0]]
                if source != place and not self.weights.per_channel:
                    layers.append((source, place, self._weight_costs(graph, node)))
        chosen = _descend(tensors, layers)
        factors = {
            name: 2.0 ** (chosen[place] / FRACTIONS) if place else 1.0
            for name, place in group.items()
        }
        return _scaled(graph, factors)

    def _tensor_costs(
        self, graph: Graph, node: Node, moments: Mapping[str, ValueMoments]
    ) -> Costs:
        reach = self.activations.limits
        known = moments.get(node.output)
        bound = 1.0
        if known is not None:
            mean, std = known.after.mean.array, known.after.std.array
            bound = float((np.abs(mean) + 5 * std).max())
        curve = value_errors(graph, node, moments, _steps(bound / reach[1]), reach)
        if curve is None:
            return np.zeros(2 * REACH + 1)
        return _by_factor(curve, REACH, self.activations.greatest_position)

    def _weight_costs(self, graph: Graph, node: Node) -> Costs:
        weights = parameter(graph, node, 1)
        assert weights is not None  # `_tied_values` ties layers without constant weights down
        greatest = self.weights.limits[1]
        curve = weight_errors(
            weights, _steps(float(np.abs(weights).max()) / greatest), greatest
        )
        return _by_factor(curve, 2 * REACH, self.weights.greatest_position)


def _steps(step: float) -> NDArray[np.float64]:
    """Return steps around one, on the sixteenths of octaves, coarsest first."""
    middle = round(-math.log2(max(step, 2.0**-60)) * FRACTIONS)
    exponents = np.arange(middle - COARSER * FRACTIONS, middle + FINER * FRACTIONS)
    return np.asarray(np.exp2(-exponents / FRACTIONS))


def _by_factor(curve: ErrorCurve, reach: int, greatest: int) -> Costs:
    """Return the relative error at the best position for each factor 2**(u / FRACTIONS), u = -reach..reach.

    A value times 2**u on steps 2**-p errs as the value itself on steps 2**-(p + u).
    """
    exponents = np.rint(-np.log2(curve.steps) * FRACTIONS).astype(np.int64)
    relative = curve.relative
    costs = np.empty(2 * reach + 1)
    for u in range(-reach, reach + 1):
        fits = ((exponents - u) % FRACTIONS == 0) & (exponents - u <= greatest * FRACTIONS)
        costs[u + reach] = relative[fits].min() if fits.any() else relative.max()
    return costs


def _descend(
    tensors: Mapping[str, Costs], layers: list[tuple[str, str, Costs]]
) -> dict[str, int]:
    """Return the exponent of each free group's factor, in sixteenths; that of what is kept, "", is 0."""
    chosen = dict.fromkeys(("", *tensors), 0)
    options = np.arange(-REACH, REACH + 1)
    order = list(tensors)
    for _ in range(SWEEPS):
        moved = False
        for name in sorted(order):
            costs = tensors[name].copy()
            for source, target, table in layers:
                if target == name:
                    costs += table[options - chosen[source] + 2 * REACH]
                elif source == name:
                    costs += table[chosen[target] - options + 2 * REACH]
            best = int(options[costs.argmin()])
            if costs.min() < costs[chosen[name] + REACH]:
                chosen[name], moved = best, True
        if not moved:
            break
    return chosen


def _tied_values(graph: Graph) -> dict[str, str]:
    """Return for each value the name of its group, "" where its scale is kept (case 2)."""
    parent = {name: name for name in ("", *graph.values)}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    def tie(names: list[str]) -> None:
        roots = {find(name) for name in names}
        root = min(roots)  # "" sorts first: what is tied to something kept is kept
        for other in roots:
            parent[other] = root

    for name in (*(value.name for value in graph.inputs), *graph.outputs):
        tie([name, ""])
    for node in graph.nodes:
        values = [*(name for name in node.inputs if name in graph.values), node.output]
        if isinstance(node.operator, Conv | Gemm):
            if not _own_weights(graph, node):
                tie([*values, ""])
        elif _scales(graph, node):
            tie(values)  # 1
        else:
            tie([*values, ""])  # 2
    return {name: find(name) for name in graph.values}


def _scales(graph: Graph, node: Node) -> bool:
    """Whether an operator's output is multiplied as its inputs are."""
    match node.operator:
        case Add() | Concat():
            return all(name in graph.values for name in node.inputs)
        case Pad():
            return node.operator.value == 0
        case (
            MaxPool()
            | AveragePool()
            | GlobalAveragePool()
            | Relu()
            | Flatten()
            | Reshape()
            | Slice()
            | Gather()
            | Identity()
        ):
            return True
        case _:
            return False


def _own_weights(graph: Graph, node: Node) -> bool:
    return node.inputs[0] in graph.values and all(
        name in graph.constants and sole_reader(graph, name) is not None
        for name in node.inputs[1:]
    )


def _scaled(graph: Graph, factors: Mapping[str, float]) -> Graph:
    constants = dict(graph.constants)
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        factor = factors[node.output]
        if isinstance(node.operator, Conv | Gemm) and node.inputs[0] in factors:
            ratio = factor / factors[node.inputs[0]]
            for index, times in ((1, ratio), (2, factor)):
                array = parameter(graph, node, index)
                if array is not None and times != 1.0:
                    constants[node.inputs[index]] = Constant.of(array * times, np.float32)
        nodes[node.name] = replace(node, activation=_multiplied(node.activation, factor))  # 3
    moments = {
        name: Moments.of(known.mean.array * factors[name], known.std.array * factors[name])
        for name, known in graph.moments.items()
    }
    return graph.edit(nodes=replace_nodes(graph, nodes), constants=constants, moments=moments)


def _multiplied(activation: Activation | None, factor: float) -> Activation | None:
    match activation:
        case Clip():
            return Clip(
                minimum=activation.minimum * factor, maximum=activation.maximum * factor
            )
        case ChannelClip():
            return ChannelClip(
                minimum=Constant.of(activation.minimum.array * factor, np.float64),
                maximum=Constant.of(activation.maximum.array * factor, np.float64),
            )
        case _:
            return activation
