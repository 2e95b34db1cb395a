"""Removes nodes that return what they read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from intlower.compiler.graph import Graph, Node, rename_inputs
from intlower.compiler.operators import (
    AveragePool,
    Clip,
    Concat,
    Flatten,
    Identity,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
    Transpose,
    known,
)
from intlower.compiler.passes.rewriting import compose, replace_nodes, sole_reader


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveIdentities:
    """Removes nodes whose output equals their input, whatever it is.

    1. Identity.
    2. Clip to [-inf, inf].
    3. Pad with no padding.
    4. Slice that keeps every element in its place.
    5. Concat of one input.
    6. Reshape and Flatten to the shape that the input has.
    7. AveragePool and MaxPool with windows of one element at stride 1, unpadded.
    8. Transpose to the order that the axes have.
    9. Relu or Clip after a Relu or Clip (a node, or a node's activation) to an interval within its own.
    10. Relu or Clip that alone reads a Relu or Clip: one Clip, or one Relu, in place of the two.

    The readers of such an output read the input instead. Where the output is a graph output, the input's
    producer takes over its name, unless the input is a graph input, a constant, or a graph output too: then the
    node stays, as an Identity.
    """

    name: ClassVar[str] = "remove_identities"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph without identities."""
        while (shorter := _shortened(graph)) is not None:
            graph = shorter
        return graph


def _shortened(graph: Graph) -> Graph | None:
    """Return the graph after the first change that can be made, None where there is none."""
    producers = graph.producers()
    for node in graph.nodes:
        if node.activation is not None:
            continue
        producer = producers.get(node.inputs[0])
        if _returns_its_input(graph, node, producer):
            shorter = _without(graph, node, producer)
            if shorter is not None:
                return shorter
            if not isinstance(node.operator, Identity):
                kept = replace(node, operator=Identity())
                return graph.edit(nodes=replace_nodes(graph, {node.name: kept}))
        elif producer is not None and producer.activation is None:
            match node.operator, producer.operator:
                case Relu() | Clip() as second, Relu() | Clip() as first:  # case 10
                    composed = compose(first, second)
                    if isinstance(composed, Relu | Clip) and (
                        sole_reader(graph, producer.output) is node
                    ):
                        both = replace(node, operator=composed, inputs=producer.inputs)
                        return graph.edit(
                            nodes=replace_nodes(graph, {producer.name: (), node.name: both})
                        )
                case _:
                    pass
    return None


def _returns_its_input(graph: Graph, node: Node, producer: Node | None) -> bool:
    """Return whether a node without activation is one of the cases 1 to 9."""
    match node.operator:
        case Identity():  # case 1
            return True
        case Relu() | Clip() as own:
            if own.minimum == -own.maximum == float("-inf"):  # case 2
                return True
            if producer is None:
                return False
            before = producer.activation or producer.operator
            return (  # case 9
                isinstance(before, Relu | Clip)
                and own.minimum <= before.minimum
                and before.maximum <= own.maximum
            )
        case Pad(pads=pads):  # case 3
            return not any(pads)
        case Slice() as operator:  # case 4
            shape = _shape(graph, node.inputs[0])
            return all(
                range(*selection.indices(known(shape[axis]))) == range(known(shape[axis]))
                for axis, selection in operator.selections(len(shape)).items()
            )
        case Concat():  # case 5
            return len(node.inputs) == 1
        case Reshape() | Flatten():  # case 6
            return _shape(graph, node.inputs[0]) == graph.values[node.output].shape
        case AveragePool() | MaxPool() as pool:  # case 7
            return pool.kernel_shape == (1, 1) == pool.strides and not any(pool.pads)
        case Transpose(permutation=permutation):  # case 8
            return permutation == tuple(range(len(permutation)))
        case _:
            return False


def _shape(graph: Graph, name: str) -> tuple[int | None, ...]:
    value = graph.values.get(name)
    return graph.constants[name].array.shape if value is None else value.shape


def _without(graph: Graph, node: Node, producer: Node | None) -> Graph | None:
    """Return the graph without a node that returns its input; None where it has to stay."""
    source = node.inputs[0]
    if node.output not in graph.outputs:
        nodes = replace_nodes(graph, {node.name: ()})
        return graph.edit(nodes=rename_inputs(nodes, {node.output: source}))
    if producer is None or source in graph.outputs:
        return None
    renamed = replace(producer, output=node.output)
    nodes = replace_nodes(graph, {node.name: (), producer.name: renamed})
    # The value is the producer's now, and so are its moments: they describe it before an activation.
    moments = {name: known for name, known in graph.moments.items() if name != node.output}
    if source in moments:
        moments[node.output] = moments[source]
    return graph.edit(nodes=rename_inputs(nodes, {source: node.output}), moments=moments)
