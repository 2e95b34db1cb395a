"""Removes repetitions that the reader makes anyway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.graph import Graph, Node, rename_inputs
from intlower.compiler.operators import Add, Div, Maximum, Minimum, Mul, Sub, broadcast
from intlower.compiler.passes.rewriting import replace_nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveExpansions:
    """Removes Mul by ones that does no more than repeat elements (ONNX's Expand) in front of nodes that repeat them too.

    It is removed where every reader is an elementwise operator of two operands whose output keeps its shape with the
    value that is repeated in the place of the repetition: x * Expand(gate) is x * gate.
    """

    name: ClassVar[str] = "remove_expansions"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph without needless repetitions."""
        readers = {name: list(nodes) for name, nodes in graph.consumers().items()}
        sources: dict[str, str] = {}
        gone: dict[str, Node | tuple[Node, ...]] = {}
        # Backwards: what stands before a removed node has that one's readers.
        for node in reversed(graph.nodes):
            source = _repeated(graph, node)
            if source is None or node.output in graph.outputs:
                continue
            own = readers.get(node.output, [])
            if not all(_repeats(graph, reader, sources, node.output, source) for reader in own):
                continue
            for name, current in sources.items():
                if current == node.output:
                    sources[name] = source
            sources[node.output] = source
            gone[node.name] = ()
            readers[source] = [other for other in readers[source] if other is not node] + own
        if not gone:
            return graph
        return graph.edit(nodes=rename_inputs(replace_nodes(graph, gone), sources))


def _repeated(graph: Graph, node: Node) -> str | None:
    """Return the value that a node repeats, None where it does something else."""
    if not isinstance(node.operator, Mul) or node.activation is not None:
        return None
    for source, ones in (node.inputs, node.inputs[::-1]):
        constant = graph.constants.get(ones)
        if source in graph.values and constant is not None and (constant.array == 1).all():
            return source
    return None


def _repeats(
    graph: Graph, reader: Node, sources: Mapping[str, str], repeated: str, source: str
) -> bool:
    """Whether a reader's output keeps its shape when it reads the source in the place of what is repeated."""
    if not isinstance(reader.operator, Add | Sub | Mul | Div | Maximum | Minimum):
        return False
    names = (sources.get(name, name) for name in reader.inputs)
    shapes = [_shape(graph, source if name == repeated else name) for name in names]
    try:
        return _broadcast(shapes) == graph.values[reader.output].shape
    except InvalidGraph:
        return False


def _broadcast(shapes: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
    result = shapes[0]
    for shape in shapes[1:]:
        result = broadcast(result, shape)
    return result


def _shape(graph: Graph, name: str) -> tuple[int | None, ...]:
    value = graph.values.get(name)
    return graph.constants[name].array.shape if value is None else value.shape
