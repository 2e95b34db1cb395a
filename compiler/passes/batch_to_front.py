"""Brings networks of one sample, whose transposes move the batch, to a form that keeps it in front."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Node, fresh_name
from intlower.compiler.operators import (
    Add,
    AnyOperator,
    Clip,
    Concat,
    Conv,
    Div,
    Elementwise,
    Flatten,
    Gather,
    Gemm,
    Identity,
    LayerNormalization,
    MatMul,
    Maximum,
    Minimum,
    Mul,
    Pad,
    PRelu,
    Reduce,
    Relu,
    Reshape,
    Slice,
    Softmax,
    Sub,
    Transpose,
    known,
    normalize_axis,
)

# Operators without axes of their own: they broadcast, or see each element by itself.
_PLAIN = (
    Add,
    Clip,
    Div,
    Elementwise,
    Identity,
    MatMul,
    Maximum,
    Minimum,
    Mul,
    PRelu,
    Relu,
    Sub,
)

# What has the form of a lifted operator, or takes one.
_LIFTED = (
    *_PLAIN,
    Concat,
    Gather,
    Gemm,
    LayerNormalization,
    Pad,
    Reduce,
    Slice,
    Softmax,
    Transpose,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchToFront:
    """Gives values of a network of one sample another axis in front, of size 1, where their first axis is not the batch.

    Exporters write attention with the batch anywhere: torch's MultiheadAttention as [L, N, E], timm's as [3, N, heads, L,
    E]. With N = 1 every such value is [1, ...] of its own shape, and operators between them have their axes counted one
    further; a Reshape leads in and out. Values whose first axis has size 1 stay as they are.

    The graph stays as it is where inputs have another batch than 1, where nothing crosses the first axis, or where an
    operator has no such form, as a convolution of several images; the lowering then says so by name.
    """

    name: ClassVar[str] = "batch_to_front"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with the batch in front of every value."""
        if any(value.shape[:1] != (1,) for value in graph.inputs):
            return graph
        if any(graph.values[name].shape[:1] != (1,) for name in graph.outputs):
            return graph
        crossing = {node.name for node in graph.nodes if _crosses(graph, node)}
        movable = all(_movable(graph, node) for node in graph.nodes if node.name in crossing)
        return _Lifting(graph).result(crossing) if crossing and movable else graph


def _crosses(graph: Graph, node: Node) -> bool:
    """Return whether a node computes along the first axis, or reads or makes a value whose first axis is not the batch."""
    names = [name for name in (*node.inputs, node.output) if name in graph.values]
    if any(graph.values[name].shape[:1] != (1,) for name in names):
        return True
    rank = len(graph.values[node.output].shape)
    match node.operator:
        case Transpose(permutation=permutation):
            return permutation[0] != 0
        case (
            Softmax(axis=axis)
            | Concat(axis=axis)
            | Gather(axis=axis)
            | LayerNormalization(axis=axis)
        ):
            return normalize_axis(axis, rank) == 0
        case _:
            return False


def _movable(graph: Graph, node: Node) -> bool:
    """Return whether a node has a lifted form."""
    if isinstance(node.operator, Gemm | Conv):
        fixed = all(name in graph.constants for name in node.inputs[1:])
        return fixed and (isinstance(node.operator, Gemm) or _scales_channels(graph, node))
    return isinstance(node.operator, (*_LIFTED, Reshape, Flatten))


def _scales_channels(graph: Graph, node: Node) -> bool:
    """Return whether a Conv multiplies each channel by a number, as `FoldAffine` writes a Mul with constants."""
    operator, weights = node.operator, graph.constants[node.inputs[1]].array
    return (
        isinstance(operator, Conv)
        and operator.groups == len(weights) == weights.size
        and operator == Conv(groups=operator.groups)
    )


class _Lifting:
    """One walk over a graph; `_forms` holds the lifted form of each value that has one."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._taken = {*graph.values, *graph.constants}
        self._used = {node.name for node in graph.nodes}
        self._constants = dict(graph.constants)
        self._forms: dict[str, str] = {}
        self._nodes: list[Node] = []

    def result(self, crossing: set[str]) -> Graph:
        for node in self._graph.nodes:
            if node.name not in crossing:
                self._nodes.append(node)
            elif isinstance(node.operator, Reshape | Flatten):
                self._reshape(node)
            else:
                self._lift(node)
        kept = {
            name: known_moments
            for name, known_moments in self._graph.moments.items()
            if name not in self._forms
        }
        return self._graph.edit(nodes=self._nodes, constants=self._constants, moments=kept)

    def _shape(self, name: str) -> tuple[int, ...]:
        return tuple(known(d) for d in self._graph.values[name].shape)

    def _name(self, base: str) -> str:
        name = fresh_name(base, self._taken)
        self._taken.add(name)
        return name

    def _node(
        self, base: str, operator: AnyOperator, inputs: tuple[str, ...], output: str
    ) -> None:
        name = fresh_name(base, self._used)
        self._used.add(name)
        self._nodes.append(Node(name=name, operator=operator, inputs=inputs, output=output))

    def _is_plain(self, name: str) -> bool:
        return self._graph.values[name].shape[:1] == (1,)

    def _source(self, name: str) -> str:
        """Return the form in which a value exists: itself, or lifted where its first axis is not the batch."""
        return name if self._is_plain(name) else self._forms[name]

    def _reshape(self, node: Node) -> None:
        shape = self._shape(node.output)
        if self._is_plain(node.output):
            output, wanted = node.output, shape[1:]
        else:
            output, wanted = self._name(f"{node.output}_lifted"), shape
            self._forms[node.output] = output
        operator = Reshape(shape=(0, *wanted))
        source = self._source(node.inputs[0])
        self._nodes.append(replace(node, operator=operator, inputs=(source,), output=output))

    def _lifted(self, node: Node, name: str, rank: int) -> str:
        """Return a value with ones in front, of a rank with the batch."""
        if name not in self._graph.values:
            if not isinstance(node.operator, Concat):
                return name  # it is broadcast, or has a form of its own
            return self._constant(
                f"{name}_lifted", self._graph.constants[name].array[np.newaxis]
            )
        shape = self._shape(name)
        if not self._is_plain(name) and len(shape) + 1 == rank:
            return self._forms[name]
        output = self._name(f"{name}_lifted")
        operator = Reshape(shape=(0, *(1,) * (rank - 1 - len(shape)), *shape))
        self._node(f"{node.name}_lifted", operator, (self._source(name),), output)
        return output

    def _lift(self, node: Node) -> None:
        values = [name for name in (*node.inputs, node.output) if name in self._graph.values]
        rank = 1 + max(len(self._graph.values[name].shape) for name in values)
        inputs = tuple(self._lifted(node, name, rank) for name in node.inputs)
        shape = self._shape(node.output)
        plain = self._is_plain(node.output)
        output = self._name(f"{node.output}_lifted")
        if isinstance(node.operator, Gemm):
            weights = self._graph.constants[node.inputs[1]].array.T
            self._multiply(node, MatMul(), weights, (), inputs, output)
        elif isinstance(node.operator, Conv):
            weights = self._graph.constants[node.inputs[1]].array.reshape(-1, 1, 1)
            self._multiply(node, Mul(), weights, (-1, 1, 1), inputs, output)
        else:
            operator = _with_axes_further(node.operator, len(shape))
            self._nodes.append(replace(node, operator=operator, inputs=inputs, output=output))
        if plain:
            self._node(
                f"{node.name}_plain", Reshape(shape=(0, *shape[1:])), (output,), node.output
            )
        else:
            self._forms[node.output] = output

    def _multiply(
        self,
        node: Node,
        operator: AnyOperator,
        weights: NDArray[np.float32],
        bias_shape: tuple[int, ...],
        inputs: tuple[str, ...],
        output: str,
    ) -> None:
        """Write a layer as a product with other weights, and the sum with its bias, under another shape if one is given."""
        turned = self._constant(f"{inputs[1]}_turned", weights)
        if len(inputs) == 2:
            self._nodes.append(
                replace(node, operator=operator, inputs=(inputs[0], turned), output=output)
            )
            return
        product = self._name(f"{node.output}_product")
        self._node(f"{node.name}_product", operator, (inputs[0], turned), product)
        bias = inputs[2]
        if bias_shape:
            array = self._graph.constants[bias].array.reshape(bias_shape)
            bias = self._constant(f"{bias}_turned", array)
        self._nodes.append(replace(node, operator=Add(), inputs=(product, bias), output=output))

    def _constant(self, base: str, array: NDArray[np.float32]) -> str:
        name = self._name(base)
        self._constants[name] = Constant.of(array, np.float32)
        return name


def _with_axes_further(operator: AnyOperator, rank: int) -> AnyOperator:
    """Return an operator on tensors with one more axis in front.

    Args:
        operator: of _LIFTED.
        rank: of its output, as it was.
    """

    def further(axis: int) -> int:
        return normalize_axis(axis, rank) + 1

    match operator:
        case Transpose(permutation=permutation):
            return Transpose(permutation=(0, *(axis + 1 for axis in permutation)))
        case Softmax(axis=axis):
            return replace(operator, axis=further(axis))
        case Concat(axis=axis) | Gather(axis=axis):
            return replace(operator, axis=further(axis))
        case LayerNormalization(axis=axis):
            return replace(operator, axis=further(axis))
        case Slice(axes=axes):
            return replace(operator, axes=tuple(further(axis) for axis in axes))
        case Reduce(axes=axes):
            return replace(operator, axes=tuple(further(axis) for axis in axes))
        case Pad(pads=pads):
            half = len(pads) // 2
            return replace(operator, pads=(0, *pads[:half], 0, *pads[half:]))
        case _:
            return operator
