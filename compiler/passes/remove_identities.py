"""Removes nodes that return what they read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import (
    AveragePool,
    Clip,
    Concat,
    Flatten,
    Gather,
    Identity,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
    Transpose,
    known,
)
from intlower.compiler.passes.draft import GraphDraft
from intlower.compiler.passes.rewriting import compose, sole_reader


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveIdentities:
    """Removes nodes whose output equals their input, whatever it is.

    1. Identity.
    2. Clip to [-inf, inf].
    3. Pad with no padding.
    4. Slice or Gather that keeps every element in its place.
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
        draft = GraphDraft(graph)
        changed = True
        while (
            changed
        ):  # a change may make another possible, most often on the same node or a later one
            changed = False
            for node in graph.nodes:
                while (current := draft.node(node.name)) and _shorten(draft, current):
                    changed = True
        return draft.graph()


def _shorten(draft: GraphDraft, node: Node) -> bool:
    """Remove a node, or make it one with the node before it; return whether that could be done."""
    if node.activation is not None:
        return False
    producer = draft.producers().get(node.inputs[0])
    if _returns_its_input(draft, node, producer):
        if _remove(draft, node, producer):
            return True
        if not isinstance(node.operator, Identity):
            draft.replace({node.name: replace(node, operator=Identity())})
            return True
    elif producer is not None and producer.activation is None:
        match node.operator, producer.operator:
            case Relu() | Clip() as second, Relu() | Clip() as first:  # case 10
                composed = compose(first, second)
                if (
                    isinstance(composed, Relu | Clip)
                    and sole_reader(draft, producer.output) is node
                ):
                    both = replace(node, operator=composed, inputs=producer.inputs)
                    draft.replace({producer.name: (), node.name: both})
                    return True
            case _:
                pass
    return False


def _returns_its_input(draft: GraphDraft, node: Node, producer: Node | None) -> bool:
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
            shape = draft.shape(node.inputs[0])
            return all(
                range(*selection.indices(known(shape[axis]))) == range(known(shape[axis]))
                for axis, selection in operator.selections(len(shape)).items()
            )
        case Gather() as operator:  # case 4
            size = known(draft.shape(node.inputs[0])[operator.axis])
            return operator.indices == tuple(range(size))
        case Concat():  # case 5
            return len(node.inputs) == 1
        case Reshape() | Flatten():  # case 6
            return draft.shape(node.inputs[0]) == draft.shape(node.output)
        case AveragePool() | MaxPool() as pool:  # case 7
            return pool.kernel_shape == (1, 1) == pool.strides and not any(pool.pads)
        case Transpose(permutation=permutation):  # case 8
            return permutation == tuple(range(len(permutation)))
        case _:
            return False


def _remove(draft: GraphDraft, node: Node, producer: Node | None) -> bool:
    """Remove a node that returns its input; return False where it has to stay."""
    source = node.inputs[0]
    if node.output not in draft.outputs:
        draft.rename_readers(node.output, source)
        draft.replace({node.name: ()})
        return True
    if producer is None or source in draft.outputs:
        return False
    # The value is the producer's now, and so are its moments: they describe it before an activation.
    moments = draft.moments.get(source)
    draft.replace({node.name: (), producer.name: replace(producer, output=node.output)})
    draft.rename_readers(source, node.output)
    draft.moments.pop(node.output, None)
    if moments is not None:
        draft.moments[node.output] = moments
    return True
