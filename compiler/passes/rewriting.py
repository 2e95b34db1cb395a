"""What several passes ask of a graph, or do to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.operators import (
    Activation,
    AveragePool,
    ChannelClip,
    Clip,
    Conv,
    ConvTranspose,
    Flatten,
    Gemm,
    GlobalAveragePool,
    MaxPool,
    Relu,
    Shape,
    activation_bounds,
    known,
)


class Readable(Protocol):
    """What can be asked of a graph and of a `GraphDraft` alike."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of values."""
        ...

    @property
    def constants(self) -> Mapping[str, Constant]:
        """Arrays by name."""
        ...

    @property
    def moments(self) -> Mapping[str, Moments]:
        """What is known of the distribution of values, by value name."""
        ...

    def consumers(self) -> Mapping[str, Sequence[Node]]:
        """Return the nodes that read each value or constant."""
        ...


def sole_reader(graph: Readable, name: str) -> Node | None:
    """Return the node that reads a value, where that is all that is ever done with it.

    None where the value is a graph output, or is read by no node, by several, or twice by one.
    """
    readers = graph.consumers()[name]
    return readers[0] if len(readers) == 1 and name not in graph.outputs else None


def parameter(graph: Readable, node: Node, index: int) -> NDArray[np.float64] | None:
    """Return a constant input of a node in float64; None where it is absent or not constant."""
    constant = graph.constants.get(node.inputs[index]) if index < len(node.inputs) else None
    return None if constant is None else constant.array.astype(np.float64)


def replace_nodes(
    graph: Graph, replacements: Mapping[str, Node | tuple[Node, ...]]
) -> tuple[Node, ...]:
    """Return the nodes of the graph, those named replaced, in place, by one node, several or none."""
    nodes: list[Node] = []
    for node in graph.nodes:
        new = replacements.get(node.name, node)
        nodes.extend((new,) if isinstance(new, Node) else new)
    return tuple(nodes)


def compose(first: Activation | None, second: Activation) -> Activation:
    """Return the one activation that equals `second` after `first`, exactly.

    Clipping to [a, b] and then to [c, d] is clipping to [clip(a, c, d), clip(b, c, d)].

    >>> compose(Relu(), Clip(minimum=-1.0, maximum=6.0))
    Clip(minimum=0.0, maximum=6.0)
    >>> compose(Clip(minimum=-1.0), Relu())
    Relu()
    """
    if first is None:
        return second
    low, high = (
        np.clip(bound, *activation_bounds(second)) for bound in activation_bounds(first)
    )
    if np.ndim(low) or np.ndim(high):
        low, high = np.broadcast_arrays(low, high)
        return ChannelClip(
            minimum=Constant.of(low, np.float64), maximum=Constant.of(high, np.float64)
        )
    composed = Clip(minimum=float(low), maximum=float(high))
    return (
        Relu()
        if (composed.minimum, composed.maximum) == activation_bounds(Relu())
        else composed
    )


def moved_bounds(activation: Activation | None, move: NDArray[np.float64]) -> Activation | None:
    """Return an activation whose bounds are moved, [C]: what it makes of x + move is what it made of x, + move."""
    if activation is None or not move.any():
        return activation
    low, high = activation_bounds(activation)
    return ChannelClip(
        minimum=Constant.of(low + move, np.float64),
        maximum=Constant.of(high + move, np.float64),
    )


def moves_along(node: Node) -> bool:
    """Whether an operator of one value gives y + m for x + m, channel by channel, or as Flatten lays the channels out."""
    if node.activation is not None:
        return False
    match node.operator:
        case AveragePool():
            return not (node.operator.count_include_pad and any(node.operator.pads))
        case Flatten():
            return node.operator.axis == 1
        case MaxPool() | GlobalAveragePool():
            return True
        case _:
            return False


def per_channel_constant(
    constant: NDArray[np.float64], shape: Shape
) -> NDArray[np.float64] | None:
    """Return the one number that a broadcast constant gives each channel, [C], if that is what it does."""
    if constant.ndim > len(shape) or len(shape) < 2:
        return None
    aligned = constant.reshape((1,) * (len(shape) - constant.ndim) + constant.shape)
    channels = known(shape[1])
    if aligned.size != aligned.shape[1] or aligned.size not in (1, channels):
        return None
    return np.broadcast_to(aligned.reshape(-1), (channels,))


def with_scaled_outputs(
    operator: Conv | ConvTranspose | Gemm, weights: NDArray[Any], factors: NDArray[Any]
) -> NDArray[Any]:
    """Return a layer's weights, in its own layout, with each output channel multiplied by its factor, [O]."""
    if isinstance(operator, ConvTranspose):
        groups = operator.groups
        grouped = weights.reshape(groups, -1, *weights.shape[1:])
        return np.asarray(grouped * factors.reshape(groups, 1, -1, 1, 1)).reshape(weights.shape)
    return np.asarray(weights * factors.reshape(-1, *(1,) * (weights.ndim - 1)))
