"""Makes one node of the arithmetic that exporters write for a layer normalization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Node, fresh_name
from intlower.compiler.operators import (
    Add,
    AveragePool,
    Div,
    Elementwise,
    Function,
    GlobalAveragePool,
    LayerNormalization,
    Mul,
    Reduce,
    Reduction,
    Shape,
    Sub,
    known,
)
from intlower.compiler.passes.patterns import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseLayerNorm:
    """Makes layer normalizations over the last axes one node.

    1. (x - m) / Sqrt(v + e), with m the mean of x and v that of (x - m)**2 over the last axes, and e a number, becomes
       LayerNormalization with scale 1. PyTorch before opset 17 writes it so.
    2. Mul and then Add of constants in the shape of these axes, that alone read it, become its scale and shift.
    """

    name: ClassVar[str] = "fuse_layer_norm"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with layer normalizations as one node each."""
        reader = Reader(graph, graph.producers())
        readers = graph.consumers()
        taken = {*graph.values, *graph.constants}
        constants = dict(graph.constants)
        replaced: dict[str, Node | None] = {}
        for node in graph.nodes:
            found = _match(reader, node)
            if found is None:
                continue
            x, operator = found
            normal = graph.values[x].shape[operator.axis :]
            scale = fresh_name(f"{node.name}_scale", taken)
            taken.add(scale)
            constants[scale] = Constant.of(np.ones([known(d) for d in normal]), np.float32)
            last = node
            inputs: tuple[str, ...] = (x, scale)
            for kind, position in ((Mul, 1), (Add, 2)):  # case 2
                following = _only_reader(graph, readers, last)
                if (
                    last.activation is not None
                    or following is None
                    or not isinstance(following.operator, kind)
                    or not _fits(graph, following, normal)
                ):
                    break
                replaced[last.name] = None
                inputs = (*inputs[:position], following.inputs[1])
                last = following
            replaced[last.name] = replace(last, operator=operator, inputs=inputs)
        nodes = [replaced.get(node.name, node) for node in graph.nodes]
        return graph.edit(
            nodes=[node for node in nodes if node is not None], constants=constants
        )


def _match(reader: Reader, node: Node) -> tuple[str, LayerNormalization] | None:
    """Case 1: return x and the operator with its axis counted from the front."""
    if not isinstance(node.operator, Div):
        return None
    centred, root = reader.producer(node.inputs[0]), reader.producer(node.inputs[1])
    if centred is None or not isinstance(centred.operator, Sub):
        return None
    if root is None or root.operator != Elementwise(function=Function.SQRT):
        return None
    positive = reader.added(root.inputs[0])
    if positive is None or positive[1] <= 0:
        return None
    x, mean = centred.inputs
    variance = reader.producer(positive[0])
    average = reader.producer(mean)
    if variance is None or average is None or average.operator != variance.operator:
        return None
    shape = reader.graph.values[x].shape
    axes = _averaged(average, shape)
    if not axes or axes != list(range(axes[0], len(shape))) or average.inputs != (x,):
        return None
    square = reader.product_of(variance.inputs[0])
    if not square.is_close(1.0, centred.output, centred.output):
        return None
    return x, LayerNormalization(axis=axes[0], epsilon=positive[1])


def _averaged(node: Node, shape: Shape) -> list[int]:
    """Return the axes that a node takes the mean of, whole; none for other nodes."""
    match node.operator:
        case Reduce(reduction=Reduction.MEAN, axes=axes):
            return sorted(axis % len(shape) for axis in axes)
        case GlobalAveragePool():
            return [2, 3]
        case AveragePool(kernel_shape=kernel) if node.operator == AveragePool(
            kernel_shape=kernel
        ):
            axes = tuple(axis for axis in (2, 3) if kernel[axis - 2] > 1)
            whole = all(shape[axis] == kernel[axis - 2] for axis in axes)
            return list(axes) if whole else []
        case _:
            return []


def _only_reader(
    graph: Graph, readers: Mapping[str, tuple[Node, ...]], node: Node
) -> Node | None:
    found = readers[node.output]
    return found[0] if len(found) == 1 and node.output not in graph.outputs else None


def _fits(graph: Graph, node: Node, normal: Shape) -> bool:
    """Whether a node's second operand is a constant of the normalized axes' shape."""
    constant = graph.constants.get(node.inputs[1])
    return constant is not None and constant.array.shape == normal
