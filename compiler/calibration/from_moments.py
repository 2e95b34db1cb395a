"""Ranges from the moments that batch normalization left in the model: no data at all."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from intlower.compiler.calibration.ranges import Range
from intlower.compiler.evaluate import apply_operator
from intlower.compiler.graph import Graph, Node
from intlower.compiler.moments import ValueMoments, propagate_moments
from intlower.compiler.operators import (
    AveragePool,
    Bound,
    Clip,
    Concat,
    DepthToSpace,
    Elementwise,
    Flatten,
    GlobalAveragePool,
    Identity,
    Interpolation,
    MaxPool,
    Mul,
    Pad,
    PadMode,
    Reduce,
    Reduction,
    Relu,
    Reshape,
    Resize,
    Slice,
    Softmax,
    SpaceToDepth,
    Transpose,
    activation_bounds,
    known,
)

# Half width of a range in standard deviations. Nagel et al. 2019, Data-Free Quantization, section 5, take 6; on the five
# networks of docs/accuracy.md 5 gives a much lower divergence on some and no other one on the rest, 4 a higher one on some.
DEVIATIONS = 5.0

# The std of a mean over many positions is below that of one position, and not known. Over whole maps of 49 to 125
# positions half the channels of five networks had at most 0.25 to 0.55 of it, nine tenths at most 0.31 to 0.62.
POOLED_SHARE = 0.6
POOLED_SIZE = 16

# A sum over many inputs that no batch norm follows (a classifier's logits) has a spread between that of independent
# inputs, sqrt(sum (w s)^2), and that of fully correlated ones, sum |w| s. Half of the latter, joined with DEVIATIONS of
# the former, lost nothing on the networks it was measured on, where deviations alone clipped the logits (tried with 6).
CORRELATED_SHARE = 0.5

# Points at which a function is looked at: the least value of SiLU between two of them is missed by less than 1e-5.
POINTS = 1025

SOURCE = "batch-norm moments"


def ranges_from_moments(graph: Graph, inputs: Mapping[str, Range]) -> dict[str, Range]:
    """Return the ranges of the values that have moments, or that follow from values that have a range.

    1. A value with moments: mean - 5 std to mean + 5 std over all channels, then limited by its activation; a sum that no
       batch norm follows is widened, see CORRELATED_SHARE.
    2. A mean or a maximum over windows never leaves the range of its input (with 0, where padding is counted). A mean over
       POOLED_SIZE positions or more is mean - 5 std to mean + 5 std with POOLED_SHARE of the std.
    3. What moves or limits values has the range of its input, moved or limited; Concat joins; Softmax has [0, 1].
    4. A function of one number has the range of its results over the range of its input.
    5. A product stays, besides (1), within the products of the ends of its operands' ranges: a gate from 0 to 1 widens
       nothing.

    Args:
        graph: batch norm folded.
        inputs: the ranges of the graph's inputs, as far as they are known.
    """
    moments = propagate_moments(graph)
    ranges: dict[str, Range] = dict(inputs)
    for node in graph.nodes:
        found = _node_range(graph, node, ranges, moments.get(node.output))
        if found is not None:
            ranges[node.output] = found
    return ranges


def _node_range(
    graph: Graph, node: Node, ranges: Mapping[str, Range], moments: ValueMoments | None
) -> Range | None:
    low, high = activation_bounds(node.activation)
    source = ranges.get(node.inputs[0])
    operator = node.operator
    match operator:
        case Softmax():  # 3
            return Range(0.0, 1.0, "a probability")
        case (
            MaxPool()
            | Flatten()
            | Reshape()
            | Slice()
            | Identity()
            | Transpose()
            | DepthToSpace()
            | SpaceToDepth()
            | Resize(
                interpolation=Interpolation.NEAREST | Interpolation.LINEAR,
                starts=(),  # nothing from beyond the input
            )
            | Reduce(reduction=Reduction.MEAN | Reduction.MAX | Reduction.MIN)
            | Pad(mode=PadMode.REFLECT | PadMode.EDGE | PadMode.WRAP)
        ):
            return source
        case Elementwise():  # 4
            return None if source is None else _image(operator, source)
        case Mul() if moments is not None and len(node.inputs) == 2:  # 5
            other = ranges.get(node.inputs[1])
            spread = _spread(moments, low, high)
            if source is None or other is None:
                return spread
            corners = np.outer((source.minimum, source.maximum), (other.minimum, other.maximum))
            return spread.clipped(float(corners.min()), float(corners.max()))
        case Relu() | Clip():
            return (
                None if source is None else source.clipped(operator.minimum, operator.maximum)
            )
        case Pad():
            return (
                None
                if source is None
                else source.joined(Range(operator.value, operator.value, ""))
            )
        case Concat():
            known = [ranges[name] for name in node.inputs if name in ranges]
            if len(known) < len(node.inputs):
                return None
            joined = known[0]
            for other in known[1:]:
                joined = joined.joined(other)
            return joined
        case AveragePool() | GlobalAveragePool():  # 2
            share = POOLED_SHARE if _positions(graph, node, operator) >= POOLED_SIZE else 1.0
            if source is None:
                return None if moments is None else _spread(moments, low, high, share)
            padded = isinstance(operator, AveragePool) and operator.count_include_pad
            bound = source.joined(Range(0.0, 0.0, "")) if padded else source
            if moments is not None:
                bound = _spread(moments, bound.minimum, bound.maximum, share)
            return bound.clipped(float(np.min(low)), float(np.max(high)))
        case _:  # 1
            return None if moments is None else _spread(moments, low, high)


def _image(operator: Elementwise, source: Range) -> Range | None:
    """Return the range of a function over a range, from points of it; None where it is not finite."""
    points = torch.linspace(source.minimum, source.maximum, POINTS, dtype=torch.float64)
    values = apply_operator(operator, [points])
    if not bool(torch.isfinite(values).all()):
        return None
    return Range(float(values.min()), float(values.max()), SOURCE)


def _positions(graph: Graph, node: Node, operator: AveragePool | GlobalAveragePool) -> int:
    """Return over how many positions a pool takes the mean."""
    if isinstance(operator, AveragePool):
        return math.prod(operator.kernel_shape)
    return math.prod(known(size) for size in graph.values[node.inputs[0]].shape[2:])


def _spread(moments: ValueMoments, low: Bound, high: Bound, share: float = 1.0) -> Range:
    """Return mean +- 5 std, limited, over all channels; widened where the inputs' correlation is unknown.

    Args:
        moments: of the value.
        low: limits of each channel, or of all.
        high: likewise.
        share: of the std that is taken.
    """
    mean, std = moments.before.mean.array, share * moments.before.std.array
    reach = DEVIATIONS * std
    if moments.worst_std is not None:
        reach = np.maximum(reach, CORRELATED_SHARE * moments.worst_std.array)
    least, greatest = np.clip(mean - reach, low, high), np.clip(mean + reach, low, high)
    return Range(float(least.min()), float(greatest.max()), SOURCE)
