"""Makes a PRelu whose slopes differ within a channel a sum, of which each part has an integer form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Node, fresh_name
from intlower.compiler.operators import Add, Minimum, Mul, PRelu
from intlower.compiler.passes.rewriting import parameter, per_channel_constant, replace_nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSlopes:
    """Replaces PRelu by x + (slope - 1) * min(x, 0), where its slopes are not one number for each channel."""

    name: ClassVar[str] = "split_slopes"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with such nodes split."""
        for node in graph.nodes:
            graph = _split(graph, node)
        return graph


def _split(graph: Graph, node: Node) -> Graph:
    slopes = parameter(graph, node, 1) if isinstance(node.operator, PRelu) else None
    if slopes is None or node.inputs[0] not in graph.values:
        return graph
    shape = graph.values[node.inputs[0]].shape
    if slopes.size == 1 or per_channel_constant(slopes, shape) is not None:
        return graph
    taken = {*graph.values, *graph.constants}
    used = {other.name for other in graph.nodes}
    zero, excess = (fresh_name(f"{node.name}_{part}", taken) for part in ("zero", "excess"))
    negative, part = (fresh_name(f"{node.output}_{p}", taken) for p in ("negative", "part"))
    constants = {
        **graph.constants,
        zero: Constant.of(0.0, np.float32),
        excess: Constant.of(slopes - 1, np.float32),
    }
    nodes = (
        Node(
            name=fresh_name(f"{node.name}_negative", used),
            operator=Minimum(),
            inputs=(node.inputs[0], zero),
            output=negative,
        ),
        Node(
            name=fresh_name(f"{node.name}_part", used),
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
    return graph.edit(nodes=replace_nodes(graph, {node.name: nodes}), constants=constants)
