"""Removes what no output depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from intlower.compiler.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveUnused:
    """Removes every node from whose output no path leads to a graph output.

    Constants and moments that nothing refers to any more go with them. Graph inputs stay.
    """

    name: ClassVar[str] = "remove_unused"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph of the nodes that matter."""
        needed = set(graph.outputs)
        for node in reversed(graph.nodes):
            if node.output in needed:
                needed.update(node.inputs)
        return graph.edit(nodes=[node for node in graph.nodes if node.output in needed])
