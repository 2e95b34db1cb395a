"""Where the binary points of a graph's values lie on a target whose scales are powers of two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from intlower.backends.lowering.encodings import Encodings, keeps_grid, probability_grid
from intlower.compiler.calibration import Range, Ranges
from intlower.compiler.calibration.from_moments import SOURCE
from intlower.compiler.constant import Constant
from intlower.compiler.errors import CalibrationError
from intlower.compiler.expected_error import value_errors
from intlower.compiler.graph import Graph, Node
from intlower.compiler.grids import UniformGrid, UniformSpec
from intlower.compiler.moments import ValueMoments
from intlower.compiler.operators import (
    Add,
    AveragePool,
    Concat,
    Div,
    GlobalAveragePool,
    MatMul,
    Mul,
    Softmax,
    Sub,
)
from intlower.compiler.power_spec import PositionRule, PowerOfTwoSpec
from intlower.compiler.spec import SoftmaxRule

# Positions looked at. Source of the number: Xilinx/Vitis-AI vai_q_pytorch nndct_shared/quantization, the scope of "diffs".
SCOPE = 5

# Of those, how many are coarser than the covering one: tails reach further than the range that moments tell.
COARSER = 1

Positions = dict[str, int]


def position_of(grid: UniformGrid) -> int:
    """Return p of a grid whose step is 2**-p."""
    return -round(math.log2(grid.step))


def encode_powers(
    graph: Graph,
    ranges: Ranges,
    spec: PowerOfTwoSpec,
    moments: Mapping[str, ValueMoments],
    weight_positions: Mapping[str, int],
) -> Encodings:
    """Return the grid of every value.

    1. What moves codes has its input's grid; so have joined tensors and average pools where the target says so.
    2. Each other value has the position that the target's rule gives; the expected errors of a sum that has no moments
       of its own, or whose spread is only bounded, are not known: there the range is covered. So is one that samples,
       or a calibration method, gave.
    3. Values that are never negative are unsigned where the target has such codes; but two summands, or factors, have one type.
    4. Positions that break the limits of shifts are lowered, as far as it takes.
    5. A softmax in integers has the grid of probabilities,
    6. but where something reads it, the position at which 1 is just past the greatest code.

    Args:
        graph: batch norm folded, activations fused.
        ranges: of every value.
        spec: the target's.
        moments: of values, where they are known.
        weight_positions: of the weights of each Conv and Gemm, by node name, the least of its channels.

    Raises:
        CalibrationError: a value has no range.
    """
    missing = [name for name in graph.values if name not in ranges]
    if missing:
        raise CalibrationError(
            f"the value {missing[0]!r} has no range",
            "give representative inputs with --samples",
        )
    group = _groups(graph, spec)
    unsigned = _unsigned(graph, ranges, group) if spec.unsigned else frozenset()
    positions: Positions = {}
    for name in graph.values:
        found = _own_position(graph, name, ranges[name], spec, moments, group[name] in unsigned)
        place = group[name]
        if name == place or not _follows(graph, name, spec):  # a follower has no say
            positions[place] = min(found, positions.get(place, found))
    _repair(graph, spec, group, positions, weight_positions)
    return {
        name: probability_grid(spec.activations)  # 5
        if _is_probability(graph, name, spec)
        else power_grid(spec.activations, positions[place], place in unsigned)
        for name, place in group.items()
    }


def power_grid(spec: UniformSpec, position: int, unsigned: bool) -> UniformGrid:
    """Return the grid of step 2**-position, of unsigned codes if need be."""
    chosen = unsigned_spec(spec) if unsigned else spec
    return replace(
        chosen.grid(0.0, 1.0), scale=Constant.of(2.0**-position, np.float32), zero_point=0
    )


def unsigned_spec(spec: UniformSpec) -> UniformSpec:
    """Return the spec of unsigned codes of the same width; its grids' zero point over [0, x] is 0."""
    return replace(spec, signed=False, symmetric=False, power_of_two=False)


def _follows(graph: Graph, name: str, spec: PowerOfTwoSpec) -> bool:
    producer = graph.producers().get(name)
    return producer is not None and _keeps(producer, spec)


def _keeps(node: Node, spec: PowerOfTwoSpec) -> bool:
    pool = isinstance(node.operator, AveragePool | GlobalAveragePool)
    return keeps_grid(node.operator) or (pool and spec.pools_keep)


def _groups(graph: Graph, spec: PowerOfTwoSpec) -> dict[str, str]:
    """Case 1: return for each value the one whose grid it has."""
    parent = {name: name for name in graph.values}

    def find(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for node in graph.nodes:
        joined = isinstance(node.operator, Concat) and spec.one_position
        host = (
            isinstance(node.operator, Softmax)
            and spec.softmax is SoftmaxRule.HOST
            and not graph.consumers()[node.output]
        )
        if _keeps(node, spec) or joined or host:
            roots = [find(name) for name in node.inputs if name in graph.values]
            for name in (*roots[1:], node.output):
                parent[find(name)] = roots[0]
    return {name: find(name) for name in graph.values}


def _is_probability(graph: Graph, name: str, spec: PowerOfTwoSpec) -> bool:
    producer = graph.producers().get(name)
    return (
        producer is not None
        and isinstance(producer.operator, Softmax)
        and spec.softmax is SoftmaxRule.INTEGER_TABLE
        and not graph.consumers()[name]
    )


def _own_position(
    graph: Graph,
    name: str,
    found: Range,
    spec: PowerOfTwoSpec,
    moments: Mapping[str, ValueMoments],
    unsigned: bool,
) -> int:
    """Case 2."""
    grid = spec.activations
    producer = graph.producers().get(name)
    if (
        producer is not None
        and isinstance(producer.operator, Softmax)
        and graph.consumers()[name]
    ):
        return grid.bits if unsigned or not grid.signed else grid.bits - 1  # 6
    below, above = max(-found.minimum, 0.0), max(found.maximum, 0.0)
    if spec.positions is PositionRule.WITHOUT_SIGN:
        bound = max(below, above)
        length = 0 if bound == 0 else int(np.ceil(np.log2(bound)))
        return min(grid.bits - length, grid.greatest_position)
    limits = unsigned_spec(grid).limits if unsigned else grid.limits
    covering = _covering(below, above, limits, grid.greatest_position)
    node = graph.producers().get(name)
    if spec.positions is PositionRule.COVERING or node is None or found.source != SOURCE:
        return covering
    first = min(covering - COARSER, grid.greatest_position)
    tried = np.arange(first, min(first + SCOPE, grid.greatest_position + 1))
    curve = value_errors(graph, node, moments, np.exp2(-tried.astype(np.float64)), limits)
    return covering if curve is None else int(tried[curve.errors.argmin()])


def _covering(below: float, above: float, limits: tuple[int, int], greatest: int) -> int:
    bound = max(below / (0.5 - limits[0]), above / (0.5 + limits[1]), 2.0**-40)
    return min(int(np.floor(-np.log2(bound))), greatest)


def _unsigned(graph: Graph, ranges: Ranges, group: Mapping[str, str]) -> frozenset[str]:
    """Case 3: return the groups all of whose values are never negative; summands and factors in pairs, no terms of a Sub."""
    positive = set(group.values())
    for node in graph.nodes:
        if isinstance(node.operator, Sub):  # what is subtracted is negated first
            positive.difference_update(group[name] for name in node.inputs if name in group)
    for name, place in group.items():
        if ranges[name].minimum < 0:
            positive.discard(place)
    while True:
        mixed = {
            group[name]
            for node in graph.nodes
            if isinstance(node.operator, Add | Div | MatMul | Mul)
            and len({group[name] in positive for name in node.inputs if name in group}) == 2
            for name in node.inputs
            if name in group
        } & positive
        if not mixed:
            return frozenset(positive)
        positive -= mixed


def _repair(
    graph: Graph,
    spec: PowerOfTwoSpec,
    group: Mapping[str, str],
    positions: Positions,
    weight_positions: Mapping[str, int],
) -> None:
    """Case 4. Positions are only ever lowered, so it ends; too great a shift of a product lowers its weights instead.

    Source of the first: adjust_shift_cut, Xilinx/Vitis-AI vai_q_pytorch nndct_shared/quantization/fix_pos_adjust.py; that
    sums are repaired likewise is our definition.
    """
    limits = spec.shifts
    if limits is None:
        return
    moved = True
    while moved:
        moved = False
        for node in graph.nodes:
            own = group[node.output]
            ceilings: dict[str, int] = {}
            if node.name in weight_positions:
                accumulator = weight_positions[node.name] + positions[group[node.inputs[0]]]
                ceilings[own] = accumulator - limits.cut[0]
            elif isinstance(node.operator, Add):
                places = [group[name] for name in node.inputs if name in group]
                least = min(positions[place] for place in places)
                ceilings = dict.fromkeys(places, least + limits.sum_read)
                ceilings[own] = least - limits.sum_write[0]
            for place, ceiling in ceilings.items():
                if positions[place] > ceiling:
                    positions[place], moved = ceiling, True
