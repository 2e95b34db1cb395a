"""Ranges from the moments that batch normalization left in the model: no data at all."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from intlower.compiler.calibration.final import final_values, read_by_softmax
from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.select import Method, limits
from intlower.compiler.calibration.modelled import (
    DEVIATIONS,
    LimitedNormals,
    deviations,
    modelled_summary,
)
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
    Gather,
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

# The std of a mean over many positions is below that of one position, and not known. Over whole maps of 49 to 125
# positions half the channels of five networks had at most 0.25 to 0.55 of it, nine tenths at most 0.31 to 0.62.
POOLED_SHARE = 0.6
POOLED_SIZE = 16

# A sum over many inputs that no batch norm follows (a classifier's logits) has a spread between that of independent
# inputs, sqrt(sum (w s)^2), and that of fully correlated ones, sum |w| s. Half of the latter, joined with DEVIATIONS of
# the former, lost nothing on the networks it was measured on, where deviations alone clipped the logits (tried with 6).
CORRELATED_SHARE = 0.5

# Numbers that a softmax turns into shares need reach no further from their mean. A loss of cross-entropy in float32 stops
# pushing a class up once the others' share is lost beside 1, at 24 ln 2 = 16.6; twice that leaves room for what follows from
# that on other samples. Of five networks of docs/accuracy.md the logits of one exceeded it, by a tenth.
SOFTMAX_REACH = 2 * 24 * math.log(2)

# Points at which a function is looked at: the least value of SiLU between two of them is missed by less than 1e-5.
POINTS = 1025

SOURCE = "batch-norm moments"

# The same where the file holds no moments, and generated inputs showed some.
ASSUMED = "moments of generated inputs"

# Operators whose range follows from that of their input.
_FOLLOWING = (
    AveragePool,
    Clip,
    Concat,
    Flatten,
    GlobalAveragePool,
    Identity,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
    Softmax,
)


def ranges_from_moments(
    graph: Graph,
    inputs: Mapping[str, Range],
    method: Method = Method.MIN_MAX,
    form: GridForm | None = None,
) -> dict[str, Range]:
    """Return the ranges of the values that have moments, or that follow from values that have a range.

    1. A value with moments: mean - 5 std to mean + 5 std over all channels (for 8-bit codes, see `deviations`), then limited
       by its activation; a sum that no batch norm follows is widened, see CORRELATED_SHARE; what a softmax reads goes no
       further than SOFTMAX_REACH.
    2. A mean or a maximum over windows never leaves the range of its input (with 0, where padding is counted). A mean over
       POOLED_SIZE positions or more is mean - 5 std to mean + 5 std, see `pooled_share`.
    3. What moves or limits values has the range of its input, moved or limited; Concat joins; Softmax has [0, 1].
    4. A function of one number has the range of its results over the range of its input.
    5. A product stays, besides (1), within the products of the ends of its operands' ranges: a gate from 0 to 1 widens
       nothing.

    Under another method than min-max, 1 is the range that its rule gives for a value that is distributed as its moments say;
    graph outputs and what a final softmax reads keep theirs, as with samples.

    Args:
        graph: batch norm folded.
        inputs: the ranges of the graph's inputs, as far as they are known.
        method: how a range is taken from numbers.
        form: of the grid that will lie over the ranges; None for 8 bits, symmetric.
    """
    moments = propagate_moments(graph)
    widened = deviations((form or GridForm()).bits) / DEVIATIONS
    kept = set(graph.values) if method is Method.MIN_MAX else final_values(graph)
    ranges: dict[str, Range] = dict(inputs)
    scores = read_by_softmax(graph)
    for node in graph.nodes:
        known_moments = moments.get(node.output)
        found = _node_range(graph, node, ranges, known_moments, widened)
        computed = not isinstance(node.operator, _FOLLOWING)
        if found is not None and known_moments is not None and computed:
            if node.output in scores:
                mean = known_moments.before.mean.array
                found = found.clipped(
                    float(mean.min()) - SOFTMAX_REACH, float(mean.max()) + SOFTMAX_REACH
                )
            if node.output not in kept:
                bounds = activation_bounds(node.activation)
                found = _by_rule(known_moments, bounds, method, form or GridForm())
        if found is not None:
            ranges[node.output] = found
    return ranges


def _by_rule(
    moments: ValueMoments, bounds: tuple[Bound, Bound], method: Method, form: GridForm
) -> Range:
    """Return the range that a rule gives for a value with these moments, limited to `bounds`."""
    mixture = LimitedNormals.of(
        moments.before.mean.array, _reach(moments) / DEVIATIONS, *bounds
    )
    low, high = limits(method, modelled_summary(mixture, method), form)
    return Range(low, high, f"{SOURCE} ({method.value})")


def _node_range(
    graph: Graph,
    node: Node,
    ranges: Mapping[str, Range],
    moments: ValueMoments | None,
    widened: float,
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
            | Gather()
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
            share = widened * pooled_share(graph, node, operator)
            if source is None:
                return None if moments is None else _spread(moments, low, high, share)
            padded = isinstance(operator, AveragePool) and operator.count_include_pad
            bound = source.joined(Range(0.0, 0.0, "")) if padded else source
            if moments is not None:
                bound = _spread(moments, bound.minimum, bound.maximum, share)
            return bound.clipped(float(np.min(low)), float(np.max(high)))
        case _:  # 1
            return None if moments is None else _spread(moments, low, high, widened)


def _image(operator: Elementwise, source: Range) -> Range | None:
    """Return the range of a function over a range, from points of it; None where it is not finite."""
    points = torch.linspace(source.minimum, source.maximum, POINTS, dtype=torch.float64)
    values = apply_operator(operator, [points])
    if not bool(torch.isfinite(values).all()):
        return None
    return Range(float(values.min()), float(values.max()), SOURCE)


def pooled_share(graph: Graph, node: Node, operator: AveragePool | GlobalAveragePool) -> float:
    """Return which share of the std that its moments tell a mean over windows has.

    All of it where the graph records the pool's own moments, and where few positions are averaged; else the moments are those
    of one position.
    """
    if isinstance(operator, AveragePool):
        positions = math.prod(operator.kernel_shape)
    else:
        positions = math.prod(known(size) for size in graph.values[node.inputs[0]].shape[2:])
    return 1.0 if node.output in graph.moments or positions < POOLED_SIZE else POOLED_SHARE


def _spread(moments: ValueMoments, low: Bound, high: Bound, share: float = 1.0) -> Range:
    """Return mean +- 5 std, limited, over all channels; widened where the inputs' correlation is unknown.

    Args:
        moments: of the value.
        low: limits of each channel, or of all.
        high: likewise.
        share: of the std that is taken.
    """
    mean, reach = moments.before.mean.array, _reach(moments, share)
    least, greatest = np.clip(mean - reach, low, high), np.clip(mean + reach, low, high)
    return Range(float(least.min()), float(greatest.max()), SOURCE)


def _reach(moments: ValueMoments, share: float = 1.0) -> NDArray[np.float64]:
    """Return how far each channel goes from its mean, before its activation."""
    reach = DEVIATIONS * share * moments.before.std.array
    if moments.worst_std is not None:
        reach = np.maximum(reach, CORRELATED_SHARE * moments.worst_std.array)
    return np.asarray(reach, np.float64)
