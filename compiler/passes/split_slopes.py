"""Makes a PRelu whose slopes differ within a channel a sum, of which each part has an integer form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import Add, Minimum, Mul, PRelu
from intlower.compiler.passes.draft import GraphDraft
from intlower.compiler.passes.rewriting import parameter, per_channel_constant


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSlopes:
    """Replaces PRelu by x + (slope - 1) * min(x, 0), where its slopes are not one number for each channel."""

    name: ClassVar[str] = "split_slopes"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with such nodes split."""
        found = [(node, _uneven_slopes(graph, node)) for node in graph.nodes]
        if all(slopes is None for _, slopes in found):
            return graph
        draft = GraphDraft(graph)
        for node, slopes in found:
            if slopes is not None:
                _split(draft, node, slopes)
        return draft.graph()


def _uneven_slopes(graph: Graph, node: Node) -> NDArray[np.float64] | None:
    """Return the slopes of a PRelu that differ within a channel."""
    slopes = parameter(graph, node, 1) if isinstance(node.operator, PRelu) else None
    if slopes is None or slopes.size == 1 or node.inputs[0] not in graph.values:
        return None
    even = per_channel_constant(slopes, graph.values[node.inputs[0]].shape)
    return slopes if even is None else None


def _split(draft: GraphDraft, node: Node, slopes: NDArray[np.float64]) -> None:
    zero, excess = (draft.fresh(f"{node.name}_{part}") for part in ("zero", "excess"))
    negative, part = (draft.fresh(f"{node.output}_{p}") for p in ("negative", "part"))
    draft.constants[zero] = Constant.of(0.0, np.float32)
    draft.constants[excess] = Constant.of(slopes - 1, np.float32)
    nodes = (
        Node(
            name=draft.fresh(f"{node.name}_negative"),
            operator=Minimum(),
            inputs=(node.inputs[0], zero),
            output=negative,
        ),
        Node(
            name=draft.fresh(f"{node.name}_part"),
            operator=Mul(),
            inputs=(negative, excess),
            output=part,
        ),
        Node(
            name=node.name,
            operator=Add(),
            inputs=(node.inputs[0], part),
            output=node.output,
            activation=node.activation,
        ),
    )
    draft.replace({node.name: nodes})
