"""Which values are never clipped."""

from __future__ import annotations

from intlower.compiler.graph import Graph
from intlower.compiler.operators import (
    Concat,
    DepthToSpace,
    Flatten,
    Gather,
    Identity,
    MaxPool,
    Pad,
    Reshape,
    Slice,
    Softmax,
    SpaceToDepth,
    Transpose,
)


def final_values(graph: Graph) -> set[str]:
    """Return the graph's outputs and the values that reach one through operators that keep numbers, or a softmax."""
    final = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.output in final and isinstance(
            node.operator,
            Softmax
            | Flatten
            | Reshape
            | Slice
            | Gather
            | Pad
            | MaxPool
            | Concat
            | Identity
            | Transpose
            | DepthToSpace
            | SpaceToDepth,
        ):
            final.update(node.inputs)
    return final
