"""Computes beforehand what does not depend on the inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from intlower.compiler.constant import Constant
from intlower.compiler.evaluate import apply_activation, apply_operator
from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import Add, Identity, Mul


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldConstants:
    """Computes nodes that read only constants, in float64, and stores their results as float32 constants.

    1. A node whose inputs are all constants, or results of such nodes, becomes a constant; one that defines a graph
       output stays.
    2. Add of a constant of zeros and Mul by one of ones that do not change the shape become Identity, which
       `remove_identities` removes.
    """

    name: ClassVar[str] = "fold_constants"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with constant nodes computed."""
        computed: dict[str, torch.Tensor] = {}
        nodes: list[Node] = []
        for node in graph.nodes:
            # case 1
            if node.output not in graph.outputs and all(
                name in computed or name in graph.constants for name in node.inputs
            ):
                result = apply_operator(
                    node.operator,
                    [
                        computed[name]
                        if name in computed
                        else torch.tensor(graph.constants[name].array, dtype=torch.float64)
                        for name in node.inputs
                    ],
                )
                if node.activation is not None:
                    result = apply_activation(node.activation, result)
                computed[node.output] = result
            else:
                nodes.append(_without_neutral(graph, node))
        results = {
            name: Constant.of(result.numpy(), np.float32) for name, result in computed.items()
        }
        return graph.edit(nodes=nodes, constants={**graph.constants, **results})


def _without_neutral(graph: Graph, node: Node) -> Node:
    """Case 2."""
    if isinstance(node.operator, Add | Mul):
        neutral = 0.0 if isinstance(node.operator, Add) else 1.0
        for own, other in (node.inputs, node.inputs[::-1]):
            if (
                other in graph.constants
                and (graph.constants[other].array == neutral).all()
                and own in graph.values
                and graph.values[own].shape == graph.values[node.output].shape
            ):
                return replace(node, operator=Identity(), inputs=(own,))
    return node
