"""Cross-layer equalization: evens out the weight ranges of channels, at no change of the function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.moments import ValueMoments, propagate_moments
from intlower.compiler.operators import (
    AveragePool,
    ChannelClip,
    Conv,
    Flatten,
    Gemm,
    GlobalAveragePool,
    MaxPool,
    Pad,
    Relu,
    activation_bounds,
)
from intlower.compiler.passes.rewriting import (
    parameter,
    replace_nodes,
    sole_reader,
    with_parameters,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equalize:
    """Scales each channel between two layers so that its weights are as wide before as after it.

    For a Conv or Gemm that feeds exactly one Conv or Gemm through operators f with f(s x) = s f(x), channel i may be
    divided by any s_i > 0 in the first layer and multiplied by it in the second:

        r1_i = max|w1[i]|,  r2_i = max|w2[:, i]|,  s_i = sqrt(r1_i / r2_i)
        w1[i] /= s_i,  b1[i] /= s_i,  w2[:, i] *= s_i

    after which both ranges are sqrt(r1_i * r2_i). Sweeps over all pairs repeat, so that chains of any length even out.

    1. *Between the layers* may stand MaxPool, AveragePool, GlobalAveragePool, zero Pad and Flatten, each read once.
    2. *Activations* of the first layer stay exact: Relu is homogeneous; the bounds of Clip are divided by s_i, channel by
       channel (`ChannelClip`). Replacing ReLU6 by ReLU would change the network.
    3. *Guard*: no channel's activation may grow past what the tensor's widest channel was before the pass; where it
       would, s_i is raised. Otherwise the trouble moves from the weights into the activations.
    4. A channel without weights on either side keeps s_i = 1.
    5. Moments follow, also of what lies between: mean and std are divided by s_i.

    Source: Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction, section 4.1; the
    guard and the exact bounds are ours.
    """

    name: ClassVar[str] = "equalize"

    sweeps: int = 30
    tolerance: float = 0.01
    deviations: float = 6.0

    def __call__(self, graph: Graph) -> Graph:
        """Return the equalized graph."""
        pairs = layer_pairs(graph)
        if not pairs:
            return graph
        moments = propagate_moments(graph)
        work = {node.name: Layer.of(graph, node) for pair in pairs for node in pair}
        reach = {
            first.name: activation_reach(first, moments.get(first.output), self.deviations)
            for first, _ in pairs
        }
        scales = {first.name: np.ones(len(work[first.name].weights)) for first, _ in pairs}
        for _ in range(self.sweeps):
            moved = 0.0
            for first, second in pairs:
                step = _step(
                    work[first.name], work[second.name], reach[first.name], scales[first.name]
                )
                work[first.name].divide(step)
                work[second.name].multiply(step)
                scales[first.name] *= step
                moved = max(moved, float(np.abs(np.log2(step)).max()))
            if moved < self.tolerance:
                break
        for name, layer in work.items():
            graph = scaled_layer(graph, name, layer, scales.get(name))
        return graph


@dataclass(slots=True)
class Layer:
    """A layer's parameters in the making, float64: weights [O, I/groups, ...], bias [O]."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    groups: int

    @classmethod
    def of(cls, graph: Graph, node: Node) -> Layer:
        """Return copies of a node's parameters, a bias of 0 where it has none."""
        weights, bias = parameter(graph, node, 1), parameter(graph, node, 2)
        assert weights is not None  # `layer_pairs` takes no layer without
        groups = node.operator.groups if isinstance(node.operator, Conv) else 1
        return cls(weights, np.zeros(len(weights)) if bias is None else bias, groups)

    def divide(self, step: NDArray[np.float64]) -> None:
        """Divide each output channel by its factor."""
        self.weights = self.weights / _column(step, self.weights.ndim)
        self.bias = self.bias / step

    def multiply(self, step: NDArray[np.float64]) -> None:
        """Multiply what each input channel meets by the channel's factor."""
        self.weights = self.weights * self._by_input(step)

    def _by_input(self, step: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a factor for each weight from one for each channel that the layer reads.

        A Gemm behind a Flatten reads each channel in as many consecutive columns as it had positions.
        """
        columns = self.weights.shape[1] * self.groups
        spread = np.repeat(step, columns // len(step)).reshape(self.groups, -1)
        rows = np.repeat(spread, len(self.weights) // self.groups, axis=0)
        return rows.reshape(*rows.shape, *(1,) * (self.weights.ndim - 2))

    def output_range(self) -> NDArray[np.float64]:
        """max|w| of each output channel."""
        return np.asarray(np.abs(self.weights).reshape(len(self.weights), -1).max(axis=1))

    def input_range(self, channels: int) -> NDArray[np.float64]:
        """max|w| of each input channel."""
        size = np.abs(self.weights).reshape(*self.weights.shape[:2], -1).max(axis=2)
        grouped = size.reshape(self.groups, -1, size.shape[1]).max(axis=1).ravel()
        return np.asarray(grouped.reshape(channels, -1).max(axis=1))


def layer_pairs(graph: Graph) -> list[tuple[Node, Node]]:
    """Return the layers between which channels may be scaled, in topological order."""
    pairs = []
    for first in graph.nodes:
        if not isinstance(first.operator, Conv | Gemm) or not _own_weights(graph, first):
            continue
        low, high = activation_bounds(first.activation)
        if np.any(np.asarray(low) > 0) or np.any(np.asarray(high) < 0):
            continue
        reader = sole_reader(graph, first.output)
        while reader is not None and _homogeneous(reader):  # 1
            reader = sole_reader(graph, reader.output)
        if (
            reader is not None
            and isinstance(reader.operator, Conv | Gemm)
            and reader.inputs[0] in graph.values
            and _own_weights(graph, reader)
        ):
            pairs.append((first, reader))
    return pairs


def _between(graph: Graph, first: Node) -> list[str]:
    """Return the values from a pair's first layer to its second."""
    values = [first.output]
    reader = sole_reader(graph, first.output)
    while reader is not None and _homogeneous(reader):
        values.append(reader.output)
        reader = sole_reader(graph, reader.output)
    return values


def _divided(moments: Moments, scale: NDArray[np.float64]) -> Moments:
    """Return the moments of a value whose channels, or their elements behind a Flatten, are divided."""
    mean, std = moments.mean.array, moments.std.array
    spread = np.repeat(scale, len(mean) // len(scale))
    return Moments.of(mean / spread, std / spread)


def _homogeneous(node: Node) -> bool:
    """Case 1: operators that scale with their input, channel by channel."""
    if isinstance(node.activation, Relu) or node.activation is None:
        match node.operator:
            case MaxPool() | AveragePool() | GlobalAveragePool() | Relu():
                return True
            case Flatten():
                return node.operator.axis == 1
            case Pad():
                rank = len(node.operator.pads) // 2
                channels = node.operator.pads[1] + node.operator.pads[1 + rank]
                return node.operator.value == 0 and channels == 0
            case _:
                return False
    return False


def _own_weights(graph: Graph, node: Node) -> bool:
    """Whether a layer's weights and bias are constants that nothing else reads."""
    return all(
        name in graph.constants and len(graph.consumers()[name]) == 1
        for name in node.inputs[1:]
    )


def activation_reach(
    node: Node, moments: ValueMoments | None, deviations: float
) -> NDArray[np.float64] | None:
    """Return the largest magnitude of each channel after its activation; None where nothing is known."""
    if moments is None:
        return None
    mean, std = moments.before.mean.array, moments.before.std.array
    low, high = activation_bounds(node.activation)
    least = np.clip(mean - deviations * std, low, high)
    greatest = np.clip(mean + deviations * std, low, high)
    return np.asarray(np.maximum(np.abs(least), np.abs(greatest)))


def _step(
    first: Layer,
    second: Layer,
    reach: NDArray[np.float64] | None,
    scale: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return what to divide each channel by now, on top of `scale`."""
    before, after = first.output_range(), second.input_range(len(first.weights))
    alive = (before > 0) & (after > 0)  # 4
    step = np.ones(len(before))
    step[alive] = np.sqrt(before[alive] / after[alive])
    if reach is not None and reach.max() > 0:  # 3: reach / (scale * step) <= max(reach)
        least = reach / (scale * reach.max())
        step = np.where(alive, np.maximum(step, least), 1.0)
    return step


def scaled_layer(
    graph: Graph, name: str, layer: Layer, scale: NDArray[np.float64] | None
) -> Graph:
    """Return the graph with a layer's new parameters, and its activation and moments divided by `scale`, where given."""
    node = next(node for node in graph.nodes if node.name == name)
    new, constants = with_parameters(graph, node, {1: layer.weights, 2: layer.bias})
    moments = dict(graph.moments)
    if scale is not None:
        new = replace(new, activation=_scaled_activation(node, scale))
        for value in _between(graph, node):  # 5
            if value in moments:
                moments[value] = _divided(moments[value], scale)
    return graph.edit(
        nodes=replace_nodes(graph, {name: new}), constants=constants, moments=moments
    )


def _scaled_activation(node: Node, scale: NDArray[np.float64]) -> Relu | ChannelClip | None:
    """Case 2."""
    if node.activation is None or isinstance(node.activation, Relu):
        return node.activation
    low, high = (
        Constant.of(np.broadcast_to(bound, scale.shape) / scale, np.float64)
        for bound in activation_bounds(node.activation)
    )
    return ChannelClip(minimum=low, maximum=high)


def _column(step: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    return step.reshape(-1, *(1,) * (rank - 1))
