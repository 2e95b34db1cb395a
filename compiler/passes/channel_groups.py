"""Which channels of a network may be scaled together without changing what it computes, and the scaling itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.evaluate import apply_operator
from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.operators import (
    AveragePool,
    ChannelClip,
    Concat,
    Conv,
    DepthToSpace,
    Elementwise,
    Flatten,
    Function,
    Gather,
    Gemm,
    GlobalAveragePool,
    Identity,
    Interpolation,
    MaxPool,
    Mul,
    Pad,
    PadMode,
    PRelu,
    Reduce,
    Relu,
    Reshape,
    Resize,
    Shape,
    Slice,
    SpaceToDepth,
    Transpose,
    activation_bounds,
    known,
)
from intlower.compiler.passes.draft import GraphDraft
from intlower.compiler.passes.rewriting import parameter
from intlower.compiler.row_blocks import row_blocks

Ids = NDArray[np.int64]

# The group of what must keep its scale.
KEPT = 0

# Elements of a value whose groups are followed one by one; larger ones keep their scales.
MOST_ELEMENTS = 1 << 24


@dataclass(frozen=True, slots=True)
class ChannelGroups:
    """The channels that have one scale.

    A layer (a Conv or Gemm with weights of its own) may divide each output channel by any s > 0 where all that read the channel
    multiply by it. The channel keeps its group on the way:

    1. *Homogeneous operators*, f(s x) = s f(x) channel by channel: Relu, PRelu, LeakyRelu, Abs, pools, zero padding,
       resizing but for cubic, means, sums and extremes over positions.
    2. *Movement*: Concat, Slice, Gather, Flatten, Reshape, Transpose, DepthToSpace, SpaceToDepth: elements take their groups
       with them, so that channel shuffles cost nothing. Where a reader wants whole channels, groups that meet in one become one.
    3. *Gates*: x * g scales as x does; g keeps its scale. So does a product with a constant.
    4. Everything else, graph inputs and outputs, and weights that two layers share: KEPT.

    A layer's Relu is homogeneous; the bounds of its Clip, which must hold 0, are divided as well. Several layers may read a
    channel.

    Attributes:
        of: group of each channel (axis 1) of every value of rank 2 or more, int64 [C]; that of its first element where a
            channel holds several, as in the middle of a shuffle.
        layers: the nodes whose outputs or inputs can be scaled, in order.
        count: of groups, KEPT included.
    """

    of: Mapping[str, Ids]
    layers: tuple[Node, ...]
    count: int


@dataclass(slots=True)
class _Tracker:
    """Groups in the making: elements of values, and which groups turned out to be one."""

    graph: Graph
    elements: dict[str, Ids] = field(default_factory=dict)  # [C, ...] without the batch
    parent: list[int] = field(default_factory=lambda: [KEPT])

    def find(self, group: int) -> int:
        while self.parent[group] != group:
            self.parent[group] = self.parent[self.parent[group]]
            group = self.parent[group]
        return group

    def unite(self, a: Ids, b: Ids) -> None:
        pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
        for first, second in pairs.T.tolist():
            low, high = sorted((self.find(first), self.find(second)))
            self.parent[high] = low  # KEPT is least, and stays

    def keep(self, name: str) -> None:
        found = np.unique(self.elements[name])
        self.unite(found, np.zeros_like(found))

    def fresh(self, shape: Shape) -> Ids:
        channels = known(shape[1])
        begin = len(self.parent)
        self.parent.extend(range(begin, begin + channels))
        return self.spread(np.arange(begin, begin + channels), shape)

    def spread(self, channels: Ids, shape: Shape) -> Ids:
        sizes = [known(size) for size in shape[1:]]
        return np.broadcast_to(channels.reshape(-1, *(1,) * (len(sizes) - 1)), sizes)

    def channels(self, name: str) -> Ids:
        """Return the group of each channel, after what meets in one was united."""
        rows = self.elements[name].reshape(len(self.elements[name]), -1)
        if rows.strides[1:] != (0,):
            self.unite(rows, np.broadcast_to(rows[:, :1], rows.shape))
        return np.array(rows[:, 0])


def channel_groups(graph: Graph) -> ChannelGroups:
    """Return the groups of a graph's channels."""
    tracker = _Tracker(graph)
    layers: list[Node] = []
    for value in graph.inputs:
        if len(value.shape) >= 2:
            tracker.elements[value.name] = np.broadcast_to(
                np.int64(KEPT), [known(d) for d in value.shape[1:]]
            )
    for node in graph.nodes:
        shape = graph.values[node.output].shape
        if len(shape) < 2:
            _keep_inputs(tracker, node)
            continue
        if _is_layer(graph, node) and node.inputs[0] in tracker.elements:
            layers.append(node)
            tracker.channels(node.inputs[0])
            tracker.elements[node.output] = tracker.fresh(shape)
            low, high = (np.asarray(bound) for bound in activation_bounds(node.activation))
            if (low > 0).any() or (high < 0).any():
                tracker.keep(node.output)
            continue
        found = _followed(tracker, node, shape)
        if found is None:
            _keep_inputs(tracker, node)
            found = np.broadcast_to(np.int64(KEPT), [known(d) for d in shape[1:]])
        tracker.elements[node.output] = found
    for name in graph.outputs:
        if name in tracker.elements:
            tracker.keep(name)
    for name in graph.moments:  # they are those of whole channels
        if name in tracker.elements:
            tracker.channels(name)
    roots = np.array([tracker.find(group) for group in range(len(tracker.parent))])
    return ChannelGroups(
        of={
            name: roots[ids.reshape(len(ids), -1)[:, 0]]
            for name, ids in tracker.elements.items()
        },
        layers=tuple(layers),
        count=len(roots),
    )


def _is_layer(graph: Graph, node: Node) -> bool:
    return isinstance(node.operator, Conv | Gemm) and all(
        name in graph.constants and len(graph.consumers()[name]) == 1
        for name in node.inputs[1:]
    )


def _keep_inputs(tracker: _Tracker, node: Node) -> None:
    for name in node.inputs:
        if name in tracker.elements:
            tracker.keep(name)


def _followed(tracker: _Tracker, node: Node, shape: Shape) -> Ids | None:
    """Return the groups of an operator's elements; None where it keeps the scales of what it reads."""
    if node.activation is not None and not isinstance(node.activation, Relu):
        return None
    sources = [name for name in node.inputs if name in tracker.graph.values]
    if any(name not in tracker.elements for name in sources):
        return None
    match node.operator:
        case Mul() if len(node.inputs) == 2:
            return _gated(tracker, node, shape)
        case PRelu() if len(sources) == 1:
            return tracker.elements[sources[0]]
        case Relu() | Elementwise(function=Function.LEAKY_RELU | Function.ABS):
            return tracker.elements[sources[0]]
        case MaxPool() | AveragePool() | GlobalAveragePool():
            return tracker.spread(tracker.channels(sources[0]), shape)
        case Resize(interpolation=Interpolation.NEAREST | Interpolation.LINEAR, starts=()) if (
            shape[1] == tracker.graph.values[sources[0]].shape[1]
        ):
            return tracker.spread(tracker.channels(sources[0]), shape)
        case Reduce(axes=axes):
            rank = len(tracker.graph.values[sources[0]].shape)
            if {axis % rank for axis in axes} & {0, 1}:
                return None
            return tracker.spread(tracker.channels(sources[0]), shape)
        case (
            Pad()
            | Concat()
            | Slice()
            | Gather()
            | Flatten()
            | Reshape()
            | Transpose()
            | DepthToSpace()
            | SpaceToDepth()
            | Identity()
        ):
            return _moved(tracker, node, sources, shape)
        case _:
            return None


def _gated(tracker: _Tracker, node: Node, shape: Shape) -> Ids | None:
    """Case 3: the factor that is a function, or a constant, keeps its scale."""
    graph = tracker.graph
    producers = graph.producers()

    def is_gate(name: str) -> bool:
        producer = producers.get(name)
        return name in graph.constants or (
            producer is not None
            and isinstance(producer.operator, Elementwise)
            and producer.operator.function not in (Function.LEAKY_RELU, Function.ABS)
        )

    gates = [name for name in node.inputs if is_gate(name)]
    others = [name for name in node.inputs if not is_gate(name)]
    if len(gates) != 1 or others[0] not in tracker.elements:
        return None
    if graph.values[others[0]].shape != shape:
        return None
    if gates[0] in tracker.elements:
        tracker.keep(gates[0])
    return tracker.elements[others[0]]


def _moved(tracker: _Tracker, node: Node, sources: Sequence[str], shape: Shape) -> Ids | None:
    """Case 2: the operator itself moves the groups."""
    operator = node.operator
    if len(sources) != len(node.inputs):
        return None
    if isinstance(operator, Pad) and (
        operator.mode is PadMode.CONSTANT and operator.value != 0
    ):
        return None
    size = max(
        int(np.prod([known(d) for d in tracker.graph.values[name].shape[1:]]))
        for name in (*sources, node.output)
    )
    if size > MOST_ELEMENTS:
        return None
    batch = tracker.graph.values[sources[0]].shape[0] or 1
    operands = [
        torch.tensor(np.broadcast_to(ids, (batch, *ids.shape)), dtype=torch.float64)
        for ids in (tracker.elements[name] for name in sources)
    ]
    # Groups are small whole numbers, which float64 holds; zero padding has no scale, and so every one: KEPT, which is 0.
    moved = apply_operator(operator, operands).numpy().astype(np.int64)
    if moved.shape != (batch, *(known(d) for d in shape[1:])) or not (moved == moved[:1]).all():
        return None
    rows = moved[0].reshape(moved.shape[1], -1)
    if (rows == rows[:, :1]).all():
        return tracker.spread(rows[:, 0], shape)
    return np.asarray(moved[0])


def scaled_channels(graph: Graph, groups: ChannelGroups, scale: NDArray[np.float64]) -> Graph:
    """Return the graph with every channel divided by the scale of its group; the function is untouched.

    Weights, biases, bounds of activations and moments follow; layers of which nothing is scaled stay as they are.

    Args:
        graph: of the groups.
        groups: see `channel_groups`.
        scale: float64 [count], positive, 1 for KEPT.
    """
    moments = {
        name: found
        if name not in groups.of or (scale[groups.of[name]] == 1).all()
        else Moments.of(
            found.mean.array / scale[groups.of[name]], found.std.array / scale[groups.of[name]]
        )
        for name, found in graph.moments.items()
    }
    draft = GraphDraft(graph)
    draft.moments.update(moments)
    for node in groups.layers:
        read, made = scale[groups.of[node.inputs[0]]], scale[groups.of[node.output]]
        if (read == 1).all() and (made == 1).all():
            continue
        bias = parameter(graph, node, 2)
        arrays = {1: _scaled_weights(graph, node, read, made)}
        if bias is not None:
            arrays[2] = bias / made
        new = draft.with_parameters(node, arrays)
        draft.replace({node.name: replace(new, activation=_divided(node, made))})
    return draft.graph()


def _scaled_weights(
    graph: Graph, node: Node, read: NDArray[np.float64], made: NDArray[np.float64]
) -> NDArray[Any]:
    """Return a layer's weights times the scales that it reads over those that it makes, computed in float64."""
    weights = graph.constants[node.inputs[1]].array  # `channel_groups` takes no layer without
    scaled = np.empty_like(weights)
    parts = node.operator.groups if isinstance(node.operator, Conv) else 1
    by_group = read.reshape(parts, -1, *(1,) * (weights.ndim - 2))
    group = np.arange(len(weights)) // (len(weights) // parts)
    for rows in row_blocks(weights.shape):
        divisors = made[rows].reshape(-1, *(1,) * (weights.ndim - 1))
        scaled[rows] = weights[rows].astype(np.float64) * by_group[group[rows]] / divisors
    return scaled


def by_weight(
    node: Node, shape: tuple[int, ...], channels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a factor for each weight from one for each channel that a layer reads: [O, I/groups, 1, ...].

    Args:
        node: a Conv or Gemm.
        shape: of its weights, (O, I/groups, ...).
        channels: [I].
    """
    groups = node.operator.groups if isinstance(node.operator, Conv) else 1
    rows = np.repeat(channels.reshape(groups, -1), shape[0] // groups, axis=0)
    return rows.reshape(*rows.shape, *(1,) * (len(shape) - 2))


def _divided(node: Node, scale: NDArray[np.float64]) -> Relu | ChannelClip | None:
    """Return a layer's activation after its channels were divided."""
    if node.activation is None or isinstance(node.activation, Relu):
        return node.activation
    low, high = (
        Constant.of(np.broadcast_to(bound, scale.shape) / scale, np.float64)
        for bound in activation_bounds(node.activation)
    )
    return ChannelClip(minimum=low, maximum=high)
