"""Lowering to grids whose scales are powers of two: binary points, biases of their own, the constants of pools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.bias_positions import Bias, place_bias, settle_means
from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.correction import corrected_bias, mean_inputs
from intlower.backends.lowering.drift import Drift
from intlower.backends.lowering.lower import lower_graph
from intlower.backends.lowering.mean_divisors import dpu_divisor
from intlower.backends.lowering.moves import Moves
from intlower.backends.lowering.positions import encode_powers, position_of
from intlower.backends.lowering.power_weights import PowerWeights, weight_positions
from intlower.backends.lowering.scales import integer_scale
from intlower.backends.lowering.ties import tie_shift
from intlower.backends.lowering.weighted import emit_weighted
from intlower.compiler.calibration import Ranges
from intlower.compiler.expected_error import shift_errors
from intlower.compiler.graph import Graph, Node
from intlower.compiler.moments import propagate_moments
from intlower.compiler.operators import Conv, Gemm
from intlower.compiler.passes.rewriting import moved_bounds
from intlower.compiler.placement import check_operators
from intlower.compiler.power_spec import BiasPlace, MeanDivisor, PowerOfTwoSpec
from intlower.compiler.program import IntegerProgram, Origin
from intlower.compiler.recipe import Recipe
from intlower.compiler.second_moments import SecondMoments


def lower_powers(
    graph: Graph,
    ranges: Ranges,
    spec: PowerOfTwoSpec,
    recipe: Recipe,
    origin: Origin,
    second_moments: Mapping[str, SecondMoments] | None = None,
) -> IntegerProgram:
    """Return the integer program of a graph on a target whose scales are powers of two.

    Arguments and errors are those of `lower_uniform`.
    """
    check_operators(graph, spec)
    moments = propagate_moments(graph)
    positions = {
        node.name: weight_positions(spec, graph.constants[node.inputs[1]].array)
        for node in graph.nodes
        if isinstance(node.operator, Conv | Gemm) and node.inputs[1] in graph.constants
    }
    least = {name: int(found.min()) for name, found in positions.items()}
    builder = _PowerBuilder(
        graph=graph,
        spec=spec,
        recipe=recipe,
        encodings=encode_powers(graph, ranges, spec, moments, least),
        moments=moments,
        second_moments=second_moments or {},
        divisor=spec.mean_divisor,
    )

    def rounded(node: Node) -> NDArray[np.float64] | None:
        return tie_shift(graph, node, builder.encodings, moments, builder.rule("add"))

    drift = Drift(graph, moments, rounded)
    return lower_graph(builder, origin, partial(_lower_weighted, spec, positions, drift))


@dataclass(slots=True, kw_only=True)
class _PowerBuilder(ProgramBuilder):
    """A builder that knows what stands for 1 / count after a pooled sum."""

    divisor: MeanDivisor

    def mean_scale(
        self, source: float, target: float, count: int, window: tuple[int, int], where: str
    ) -> tuple[int, int]:
        """Return (multiplier, shift) of a mean, by the target's constants."""
        if self.divisor is MeanDivisor.NEAREST:
            return ProgramBuilder.mean_scale(self, source, target, count, window, where)
        multiplier, shift = dpu_divisor(window, count)
        power, right = integer_scale(self.rule("requantize"), source / target, where, bits=1)
        while power > 1 and shift:
            power, shift = power >> 1, shift - 1
        return multiplier * power, shift + right


def _lower_weighted(
    spec: PowerOfTwoSpec,
    positions: Mapping[str, NDArray[np.int64]],
    drift: Drift,
    builder: ProgramBuilder,
    node: Node,
) -> None:
    """Emit `conv2d` or `gemm`: weights at their position, the bias at its own, means kept.

    What a bias of few bits cannot hold of the corrected mean, the next layer's takes over, see `Moves`; or rounding of
    weights makes up for it, see `settle_means`; and what that cannot either, the next layers do, see `Drift`.

    Raises:
        AccumulatorOverflow: see `lowering.weighted.lower_weighted`; ScaleOutOfRange alike.
    """
    weights = builder.constant(node, 1).array.astype(np.float64)
    outputs = weights.shape[0]
    bias = (
        builder.constant(node, 2).array.astype(np.float64)
        if len(node.inputs) == 3
        else np.zeros(outputs)
    )
    source, target = builder.grid(node.inputs[0]), builder.encodings[node.output]
    read, written = position_of(source), position_of(target)
    found = positions[node.name]
    if spec.shifts is not None:
        found = np.minimum(found, written - read + spec.shifts.cut[1])
    found = _with_room(spec, found, read, bias)
    shape = PowerWeights(spec, found)
    codes = shape.round(weights, builder.recipe.rounding, builder.second_moments.get(node.name))
    wanted, means = bias, None
    bound = spec.bias is not BiasPlace.ACCUMULATOR
    known = builder.moments.get(node.inputs[0])
    if builder.recipe.correct_bias and known is not None:
        error = shape.dequantize(codes) - weights
        wanted = corrected_bias(builder.graph, node, builder.moments, bias, error)
        shift = drift.of(node.inputs[0])
        if shift is not None:
            handed = weights * mean_inputs(builder.graph, node, shift, weights.shape)
            wanted = wanted - handed.reshape(outputs, -1).sum(axis=1)
        means = mean_inputs(builder.graph, node, known.after.mean.array, weights.shape)
    moves = Moves(builder.graph, node, {} if means is None else builder.moments, target, bound)
    moved = np.zeros(outputs)
    if not bound:
        moved = moves.chosen(moved)
        wanted = wanted + moved
    placed = place_bias(spec, wanted, read, found, written, _price(builder, node))
    missing = wanted - placed.real
    if bound:
        moved = moves.chosen(np.where(np.abs(missing) <= placed.steps / 2, -missing, 0.0))
        missing = missing + moved
    if known is not None and means is not None:
        if shape.settles and bound:
            before = codes
            spread = np.square(known.after.std.array)
            variances = mean_inputs(builder.graph, node, spread, weights.shape)
            codes = settle_means(weights, codes, shape.grid, means, variances, missing)
            turned = shape.dequantize(codes) - shape.dequantize(before)
            missing = missing - (turned * means).reshape(outputs, -1).sum(axis=1)
        drift.record(node, -missing, moved + moves.limit_shift(moved))
    emitted = replace(node, activation=moved_bounds(node.activation, moved))
    limit = spec.accumulator.limit
    emit_weighted(builder, emitted, source, shape.grid, codes, placed.codes, limit)


def _price(builder: ProgramBuilder, node: Node) -> Callable[[NDArray[np.float64]], float]:
    """Return what errors of a layer's biases cost: their squares, as far as the activation lets them through."""
    moments = builder.moments.get(node.output)
    if moments is None:
        return lambda error: float(np.square(error).sum())
    return lambda error: float(shift_errors(moments, node.activation, error).sum())


def _with_room(
    spec: PowerOfTwoSpec, positions: NDArray[np.int64], read: int, bias: NDArray[Any]
) -> NDArray[np.int64]:
    """Return positions lowered until the bias fits: half the accumulator, or the shift that the target allows."""
    room = (spec.accumulator.limit + 1) // 2
    bound = np.maximum(np.abs(bias), 2.0**-60)
    most = np.floor(np.log2(room / bound)).astype(np.int64) - read
    if not spec.weights.per_channel:
        most = most.min(keepdims=True)
    if spec.bias is BiasPlace.OWN and spec.shifts is not None:
        covering = Bias.covering(spec, float(bound.max()))
        most = np.minimum(most, covering + spec.shifts.bias_most - read)
    return np.asarray(np.minimum(positions, most), np.int64)
