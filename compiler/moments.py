"""Means and standard deviations of values, found from the network alone.

Batch normalization leaves the distribution of each channel behind (`fold_batch_norm` records it); from there moments
are propagated: exactly through linear operators and limits, under the assumptions that each rule states.

Notation: phi and Phi are the density and the distribution function of the standard normal; Q(z) = 1 - Phi(z).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.errors import CalibrationError
from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.moment_functions import (
    combined,
    elementwise_moments,
    normalized,
    rearranged,
    rectified_moments,
    transposed_moments,
)
from intlower.compiler.moment_rules import Array, Pair, coverage, mixed, spread, weighted
from intlower.compiler.operators import (
    Activation,
    Add,
    AnyOperator,
    AveragePool,
    BatchNormalization,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Elementwise,
    Flatten,
    Gather,
    Gemm,
    GlobalAveragePool,
    Identity,
    InstanceNormalization,
    LayerNormalization,
    MatMul,
    MaxPool,
    Mul,
    Pad,
    PadMode,
    PRelu,
    Relu,
    Reshape,
    Shape,
    Slice,
    Sub,
    activation_bounds,
    known,
    normalize_axis,
)

# E[max] of two independent standard normals, 1 / sqrt(pi). A window's elements are correlated: k*k of them have a
# maximum like that of about two independent ones.
MAXIMUM_OF_TWO = 1.0 / math.sqrt(math.pi)

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueMoments:
    """What is known of one value, per channel (axis 1).

    Attributes:
        before: of the operator's result, before the node's activation.
        after: of the value itself, after the activation; equals `before` where there is none.
        worst_std: float64 [C], the std before the activation if what the operator sums were fully correlated instead
            of independent; an upper bound. None where the std is not from such a sum (or is recorded).
    """

    before: Moments
    after: Moments
    worst_std: Constant | None = None


def normalized_moments(
    gamma: ArrayLike, beta: ArrayLike, variance: ArrayLike, epsilon: float
) -> Moments:
    """Return the moments of a BatchNormalization's output, if its statistics are those of its input.

    mean = beta, std = |gamma| * sqrt(v / (v + epsilon)).

    Args:
        gamma: scale, [C].
        beta: shift, [C].
        variance: running variance v, [C].
        epsilon: of the operator; v + epsilon is positive.
    """
    v = np.maximum(np.asarray(variance, np.float64), 0.0)
    std = np.abs(np.asarray(gamma, np.float64)) * np.sqrt(v / (v + epsilon))
    return Moments.of(np.asarray(beta, np.float64), std)


def clipped_normal(mean: ArrayLike, std: ArrayLike, low: ArrayLike, high: ArrayLike) -> Pair:
    """Return mean and std of min(max(x, low), high) for normal x.

    With z = (clipped x - mean) / std, limits A = (low - mean) / std and W = (high - mean) / std, and c the number in
    [A, W] next to 0, the moments of z - c are

        E  = phi(A) - phi(W) - c P + (A - c) Phi(A) + (W - c) Q(W)                                   P = Phi(W) - Phi(A)
        E2 = P (1 + c*c) + (A - 2c) phi(A) - (W - 2c) phi(W) + (A - c)^2 Phi(A) + (W - c)^2 Q(W)

    and so mean + std (c + E) and std sqrt(E2 - E*E): taken about c, nothing cancels where x lies far beyond a limit.

    Args:
        mean: of x, any shape.
        std: of x, not negative; where it is 0 the result is the clipped mean and 0.
        low: may be -inf.
        high: at least `low`, may be inf.

    >>> mean, std = clipped_normal(0.0, 1.0, 0.0, math.inf)  # Relu: 1 / sqrt(2 pi), sqrt(1/2 - 1 / (2 pi))
    >>> round(float(mean), 6), round(float(std), 6)
    (0.398942, 0.583819)
    """
    mu, sigma = np.broadcast_arrays(np.asarray(mean, np.float64), np.asarray(std, np.float64))
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    unit = np.where(sigma > 0, sigma, 1.0)
    with np.errstate(over="ignore"):
        # 40 std away a limit is as good as infinitely far: density and tail are 0 in float64.
        a, w = (
            np.asarray(np.clip((limit - mu) / unit, -40.0, 40.0), np.float64)
            for limit in (low, high)
        )
    c = np.clip(0.0, a, w)
    density_low, density_high = _density(a), _density(w)
    below, above = _upper_tail(-a), _upper_tail(w)
    # The difference of two tails, on the side where both are small.
    inside = np.where(a > 0, _upper_tail(a) - above, _upper_tail(-w) - below)
    first = density_low - density_high - c * inside + (a - c) * below + (w - c) * above
    second = (
        inside * (1 + c * c)
        + (a - 2 * c) * density_low
        - (w - 2 * c) * density_high
        + (a - c) ** 2 * below
        + (w - c) ** 2 * above
    )
    clipped = np.clip(mu, low, high)
    variance = np.maximum(second - first * first, 0.0)
    return (
        np.where(sigma > 0, np.clip(clipped + sigma * first, low, high), clipped),
        np.where(sigma > 0, sigma * np.sqrt(variance), 0.0),
    )


def _density(z: Array) -> Array:
    return np.asarray(np.exp(-0.5 * np.square(z)) / math.sqrt(2 * math.pi))


def _upper_tail(z: Array) -> Array:
    return np.asarray(0.5 * _erfc(z / math.sqrt(2)))


def propagate_moments(
    graph: Graph, inputs: Mapping[str, Moments] | None = None
) -> dict[str, ValueMoments]:
    """Return the moments of every value that has them, by name.

    Moments recorded in the graph stand; else a node's follow from those of its inputs. Every pre-activation value is
    taken as normal, and what is summed as independent:

    =====================  ==================================================================================
    operator               rule
    =====================  ==================================================================================
    activation, Relu, Clip `clipped_normal`
    BatchNormalization     `normalized_moments`
    Conv, Gemm, MatMul     mean = b + sum w rho E[x], variance = sum w^2 rho Var[x]; rho is the fraction of output
                           positions at which a tap meets data, not padding
    ConvTranspose          likewise, found position by position
    Add, Sub               means add, and variances (a value added to itself doubles); a constant shifts the mean,
                           and where it differs within a channel adds that variance
    Mul                    as of independent values: E = E[a] E[b],
                           variance = Var[a] Var[b] + Var[a] E[b]^2 + Var[b] E[a]^2
    Elementwise, PRelu     quadrature over the normal distribution
    InstanceNormalization, mean = shift, std = |scale|; over the elements that a channel is normalized with
    LayerNormalization
    AveragePool,           the mean (times the fraction of data among what is counted) and the std: an upper
    GlobalAveragePool      bound, reached where a map is constant
    MaxPool                mean + std / sqrt(pi), the std: as of two independent elements
    Concat, Slice, Gather, channels are joined, chosen, or added with the padding's value and std 0; along other
    Pad                    axes Concat mixes, by sizes, and the rest changes nothing
    Resize, Reduce         as pooling; only means and sums over other axes than channels
    Transpose,             channels that become positions are mixed
    DepthToSpace,
    SpaceToDepth
    Flatten, Reshape       each element has its channel's moments; elements that become one channel are mixed
    Softmax and others     none
    =====================  ==================================================================================

    A node one of whose inputs has no moments has none; nor has one where they would not be finite.

    Args:
        graph: any graph.
        inputs: moments of graph inputs; they replace recorded ones.

    Raises:
        CalibrationError: `inputs` names something else than a graph input, or has another number of channels.
    """
    given = dict(inputs or {})
    shapes = {value.name: value.shape for value in graph.inputs}
    for name, known_moments in given.items():
        if name not in shapes or shapes[name][1:2] != known_moments.mean.array.shape:
            raise CalibrationError(
                f"moments of {name!r} do not fit any graph input",
                f"graph inputs and shapes are {shapes}",
            )
    found: dict[str, ValueMoments] = {}
    for name in shapes:
        at_input = given.get(name, graph.moments.get(name))
        if at_input is not None:
            found[name] = ValueMoments(before=at_input, after=at_input)
    for node in graph.nodes:
        recorded = graph.moments.get(node.output)
        worst: Array | None = None
        if recorded is None:
            result = _propagated(graph, node, found)
            if result is None or not all(np.isfinite(part).all() for part in result[:2]):
                continue  # what a logarithm makes of 0 has no spread that could be followed
            recorded, worst = Moments.of(result[0], result[1]), result[2]
        found[node.output] = ValueMoments(
            before=recorded,
            after=_limited(recorded, node.activation),
            worst_std=None if worst is None else Constant.of(worst, np.float64),
        )
    return found


def _limited(moments: Moments, activation: Activation | None) -> Moments:
    if activation is None:
        return moments
    return Moments.of(
        *clipped_normal(moments.mean.array, moments.std.array, *activation_bounds(activation))
    )


def _propagated(
    graph: Graph, node: Node, found: Mapping[str, ValueMoments]
) -> tuple[Array, Array, Array | None] | None:
    """Return mean, std and worst std of an operator's result; None where they are not known."""
    shape = graph.values[node.output].shape
    operator = node.operator
    if isinstance(operator, BatchNormalization):
        gamma, beta, _, variance = (graph.constants.get(name) for name in node.inputs[1:])
        if gamma is None or beta is None or variance is None:
            return None
        moments = normalized_moments(gamma.array, beta.array, variance.array, operator.epsilon)
        return moments.mean.array, moments.std.array, None
    if isinstance(operator, Add | Sub | Mul):
        return _combined(graph, operator, node, shape, found)
    if isinstance(operator, Concat):
        return _without_worst(_concat(graph, operator, node, found))
    x = _moments_of(graph, node.inputs[0], found)
    if x is None:
        return None
    source = _shape_of(graph, node.inputs[0])
    constants = [graph.constants.get(name) for name in node.inputs[1:]]
    arrays = [constant.array for constant in constants if constant is not None]
    if len(arrays) == len(constants) > 0:
        return _with_parameters(operator, arrays, x, source, shape)
    return _without_worst(_moved(operator, x, source, shape)) if not constants else None


def _with_parameters(
    operator: AnyOperator, arrays: list[NDArray[Any]], x: Pair, source: Shape, shape: Shape
) -> tuple[Array, Array, Array | None] | None:
    """Return the moments of an operator on one value, whose other inputs are constants."""
    second = arrays[1] if len(arrays) == 2 else None
    match operator:
        case Conv() | Gemm() | MatMul():
            if (
                len(shape) != arrays[0].ndim
            ):  # the last axis of a MatMul is its channels at rank 2 alone
                return None
            return weighted(operator, arrays[0], second, x, source, shape)
        case ConvTranspose():
            return transposed_moments(operator, arrays[0], second, x, source)
        case InstanceNormalization() | LayerNormalization():
            return _without_worst(normalized(operator, arrays[0], second, shape))
        case PRelu():
            slopes = np.broadcast_to(arrays[0], tuple(d or 1 for d in shape))
            return _without_worst(rectified_moments(spread(slopes)[0], *x))
        case _:
            return None


def _without_worst(pair: Pair | None) -> tuple[Array, Array, None] | None:
    return None if pair is None else (*pair, None)


def _moved(operator: AnyOperator, x: Pair, source: Shape, shape: Shape) -> Pair | None:
    """Return the moments of an operator on one value that sums nothing across channels."""
    mean, std = x
    match operator:
        case Relu() | Clip():
            return clipped_normal(mean, std, operator.minimum, operator.maximum)
        case AveragePool():
            return mean * coverage(operator, source, shape), std
        case MaxPool():
            return (
                (mean, std)
                if operator.kernel_shape == (1, 1)
                else (mean + MAXIMUM_OF_TWO * std, std)
            )
        case GlobalAveragePool() | Identity():
            return mean, std
        case Slice():
            chosen = operator.selections(len(source)).get(1, slice(None))
            return mean[chosen], std[chosen]
        case Gather():
            picked = list(operator.indices) if operator.axis % len(source) == 1 else slice(None)
            return mean[picked], std[picked]
        case Pad(mode=PadMode.REFLECT | PadMode.EDGE | PadMode.WRAP):
            return None if operator.pads[1] or operator.pads[1 + len(source)] else x
        case Pad():
            channels = (operator.pads[1], operator.pads[1 + len(source)])
            return np.pad(mean, channels, constant_values=operator.value), np.pad(std, channels)
        case Flatten() | Reshape():
            if source[0] != shape[0] or len(shape) < 2:
                return None
            size = math.prod(known(d) for d in source[2:])
            means, stds = (np.repeat(v, size).reshape(known(shape[1]), -1) for v in x)
            return mixed(means, stds, np.ones(means.shape[1]))
        case Elementwise():
            return elementwise_moments(operator, mean, std)
        case _:
            return rearranged(operator, x, source, shape)


def _shape_of(graph: Graph, name: str) -> Shape:
    value = graph.values.get(name)
    return graph.constants[name].array.shape if value is None else value.shape


def _moments_of(graph: Graph, name: str, found: Mapping[str, ValueMoments]) -> Pair | None:
    """Return mean and std of a value, or of a constant's elements in each channel."""
    if name in found:
        return found[name].after.mean.array, found[name].after.std.array
    if name not in graph.constants or graph.constants[name].array.ndim < 2:
        return None
    return spread(graph.constants[name].array)


def _combined(
    graph: Graph,
    operator: Add | Sub | Mul,
    node: Node,
    shape: Shape,
    found: Mapping[str, ValueMoments],
) -> tuple[Array, Array, Array | None] | None:
    operands: list[Pair] = []
    for name in node.inputs:
        if name in graph.constants:
            array = graph.constants[name].array
            operand: Pair | None = spread(
                np.broadcast_to(array, tuple(1 if d is None else d for d in shape))
            )
        else:
            operand = _moments_of(graph, name, found)
        if operand is None or len(shape) < 2:
            return None
        if name not in graph.constants and len(graph.values[name].shape) != len(shape):
            return None
        operands.append(operand)
    same = node.inputs[0] == node.inputs[1]
    return combined(operator, operands[0], operands[1], known(shape[1]), same)


def _concat(
    graph: Graph, operator: Concat, node: Node, found: Mapping[str, ValueMoments]
) -> Pair | None:
    parts: list[Pair] = []
    for name in node.inputs:
        part = _moments_of(graph, name, found)
        if part is None:
            return None
        parts.append(part)
    shapes = [_shape_of(graph, name) for name in node.inputs]
    axis = normalize_axis(operator.axis, len(shapes[0]))
    means, stds = zip(*parts, strict=True)
    if axis == 1:
        return np.concatenate(means), np.concatenate(stds)
    sizes = np.array([known(shape[axis]) for shape in shapes], np.float64)
    return mixed(np.stack(means, axis=1), np.stack(stds, axis=1), sizes)
