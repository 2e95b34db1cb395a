"""Which grid each value of a graph gets on a target with uniform grids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from intlower.compiler.calibration import Ranges
from intlower.compiler.constant import Constant
from intlower.compiler.errors import CalibrationError
from intlower.compiler.graph import Graph, Node
from intlower.compiler.grids import UniformGrid, UniformSpec
from intlower.compiler.operators import (
    AnyOperator,
    AveragePool,
    DepthToSpace,
    Elementwise,
    Flatten,
    Function,
    Gather,
    GlobalAveragePool,
    Interpolation,
    MaxPool,
    Pad,
    PadMode,
    Reduce,
    Reduction,
    Reshape,
    Resize,
    Slice,
    Softmax,
    SpaceToDepth,
    Transpose,
)
from intlower.compiler.spec import PoolRule, SoftmaxRule, TargetSpec

# Operators that move codes without computing: their output is on their input's grid.
MOVEMENT = (
    MaxPool,
    Flatten,
    Reshape,
    Slice,
    Gather,
    Pad,
    Transpose,
    DepthToSpace,
    SpaceToDepth,
)

# Functions whose results lie in a known interval: it is their range, whatever samples reached of it.
BOUNDED = {
    Function.COS: (-1.0, 1.0),
    Function.ERF: (-1.0, 1.0),
    Function.HARD_SIGMOID: (0.0, 1.0),
    Function.SIGMOID: (0.0, 1.0),
    Function.SIN: (-1.0, 1.0),
    Function.SOFTSIGN: (-1.0, 1.0),
    Function.TANH: (-1.0, 1.0),
}

Encodings = Mapping[str, UniformGrid]


def encode(graph: Graph, ranges: Ranges, spec: TargetSpec) -> Encodings:
    """Return the grid of every value.

    1. A movement operator's output shares its input's grid, so that codes are copied; but a Pad with a number that this
       grid does not reach has one of its own, which does.
       So does a mean, where the target's is a mean of codes.
    2. A softmax in integers has the output grid of probabilities, [0, 1] exactly, or TFLite's.
    3. A bounded function, as Sigmoid, has the grid over its bounds.
    4. Any other value has the grid that the target's activation spec lays over its range.

    Raises:
        CalibrationError: a value has no range.
    """
    grids: dict[str, UniformGrid] = {}
    for value in graph.inputs:
        grids[value.name] = _from_range(value.name, ranges, spec)
    for node in graph.nodes:
        inside = bool(graph.consumers()[node.output])
        grids[node.output] = _node_grid(node, grids, ranges, spec, inside)
    return grids


def probability_grid(spec: UniformSpec) -> UniformGrid:
    """Return the grid of a softmax: scale 1 / greatest code, zero point 0."""
    low, high = spec.limits
    return UniformGrid(
        scale=Constant.of(1 / high, np.float32),
        zero_point=0,
        element=spec.element,
        minimum=low,
        maximum=high,
        rounding=spec.rounding,
    )


def fixed_probability_grid(spec: UniformSpec) -> UniformGrid:
    """Return TFLite's grid of a softmax: scale 2**-bits, the least code for 0, so that 1 is beyond the last."""
    low, high = spec.limits
    return UniformGrid(
        scale=Constant.of(2.0**-spec.bits, np.float32),
        zero_point=low,
        element=spec.element,
        minimum=low,
        maximum=high,
        rounding=spec.rounding,
    )


def _node_grid(
    node: Node,
    grids: Mapping[str, UniformGrid],
    ranges: Ranges,
    spec: TargetSpec,
    inside: bool,
) -> UniformGrid:
    if isinstance(node.operator, Pad) and pads_beyond(
        node.operator, grids[node.inputs[0]]
    ):  # 1
        if node.output not in ranges:
            return _from_range(node.output, ranges, spec)
        found, value = ranges[node.output], node.operator.value
        return spec.activations.grid(min(found.minimum, value), max(found.maximum, value))
    if keeps_grid(node.operator) or _is_mean_code(node.operator, spec):  # 1
        return grids[node.inputs[0]]
    if isinstance(node.operator, Softmax):  # 2
        if spec.softmax is SoftmaxRule.FIXED_POINT:
            return fixed_probability_grid(spec.activations)
        if inside or spec.softmax is SoftmaxRule.INTEGER_TABLE:
            return probability_grid(spec.activations)
        return grids[node.inputs[0]]  # it stays on the host; the value has no codes
    if isinstance(node.operator, Elementwise) and node.operator.function in BOUNDED:  # 3
        return spec.activations.grid(*BOUNDED[node.operator.function])
    return _from_range(node.output, ranges, spec)  # 4


def pads_beyond(operator: Pad, grid: UniformGrid) -> bool:
    """Return whether a padding's number is further than a step from every level of a grid."""
    low, high = grid.real_limits
    constant = operator.mode is PadMode.CONSTANT
    return constant and not low - grid.step <= operator.value <= high + grid.step


def keeps_grid(operator: AnyOperator) -> bool:
    """Return whether an operator's results are some of its input's codes, or lie between them."""
    match operator:
        case Reduce(reduction=reduction):
            return reduction in (Reduction.MAX, Reduction.MIN)
        case Resize(interpolation=interpolation):
            return interpolation is not Interpolation.CUBIC
        case _:
            return isinstance(operator, MOVEMENT)


def _is_mean_code(operator: AnyOperator, spec: TargetSpec) -> bool:
    """Return whether an operator's results are means of codes on their grid."""
    if spec.pool_rule is not PoolRule.MEAN_CODE:
        return False
    if isinstance(operator, Reduce):
        return operator.reduction is Reduction.MEAN
    return isinstance(operator, AveragePool | GlobalAveragePool)


def _from_range(name: str, ranges: Ranges, spec: TargetSpec) -> UniformGrid:
    if name not in ranges:
        raise CalibrationError(
            f"the value {name!r} has no range", "give representative inputs with --samples"
        )
    return spec.activations.grid(ranges[name].minimum, ranges[name].maximum)
