"""Scores of attention that a constant masks: how far below the greatest of its line a number still matters.

Exporters mask by adding -inf, -3.4e38, -1e9 or -100. A grid over such numbers would leave none for the scores. After a
softmax a number d below the greatest of its line has at most the share exp(-d); n of them together take from the others
less than half a level of b bits where

    d = ln(2**(b + 1) * n)

so that every number may be taken for one that lies no further below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import Add, Identity, Reshape, Softmax

# A constant's number from which on it masks: its share is below 2**-43.
MASKING = -30.0


def masked_scores(graph: Graph) -> Mapping[str, int]:
    """Return the values that a constant masks, with the axis along which the softmaxes run that alone read them.

    Between the sum and a softmax of the last axis there may be Reshapes that keep this axis.

    Args:
        graph: any.
    """
    consumers = graph.consumers()
    bound: dict[str, int] = {}
    found: dict[str, int] = {}
    for node in reversed(graph.nodes):
        name = node.output
        readers = consumers[name]
        axes = {_axis(graph, name, reader, bound) for reader in readers}
        if name in graph.outputs or len(axes) != 1 or None in axes or node.activation:
            continue
        (axis,) = axes
        assert axis is not None  # looked at above
        bound[name] = axis
        if isinstance(node.operator, Add) and _masks(graph, node):
            found[name] = axis
    for node in graph.nodes:
        if isinstance(node.operator, Reshape | Identity) and node.inputs[0] in found:
            found[node.output] = bound[node.output]
    return found


def _axis(graph: Graph, name: str, reader: Node, bound: Mapping[str, int]) -> int | None:
    rank = len(graph.values[name].shape)
    if isinstance(reader.operator, Softmax):
        return reader.operator.axis % rank
    if isinstance(reader.operator, Reshape | Identity) and reader.output in bound:
        after = graph.values[reader.output].shape
        if bound[reader.output] == len(after) - 1 and after[-1] == graph.values[name].shape[-1]:
            return rank - 1
    return None


def _masks(graph: Graph, node: Node) -> bool:
    constants = [graph.constants[name].array for name in node.inputs if name in graph.constants]
    return any(array.size > 0 and float(array.min()) <= MASKING for array in constants)


def raised(scores: NDArray[Any], axis: int, bits: int) -> NDArray[Any]:
    """Return scores, none of them further below the greatest of its line than matters.

    Args:
        scores: any shape; -infinity is allowed.
        axis: of the lines.
        bits: of the codes that shares will have.

    >>> raised(np.array([[1.0, -1e9]]), 1, 8).round(2).tolist()
    [[1.0, -5.93]]
    """
    reach = math.log(scores.shape[axis] * 2.0 ** (bits + 1))
    limited: NDArray[Any] = np.maximum(scores, scores.max(axis=axis, keepdims=True) - reach)
    return limited
