"""Which values are never clipped, and which are a softmax's."""

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


def read_by_softmax(graph: Graph) -> set[str]:
    """Return the values that nothing but a softmax reads, or what only moves numbers on their way to one."""
    readers = graph.consumers()
    scores: set[str] = set()
    for node in reversed(graph.nodes):
        users = readers.get(node.output, ())
        if (
            users
            and node.output not in graph.outputs
            and all(
                isinstance(user.operator, Softmax)
                or (
                    isinstance(user.operator, Flatten | Reshape | Identity | Transpose)
                    and user.output in scores
                )
                for user in users
            )
        ):
            scores.add(node.output)
    return scores
