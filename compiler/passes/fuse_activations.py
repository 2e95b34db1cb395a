"""Makes Relu and Clip part of the nodes whose results they limit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import (
    Add,
    AveragePool,
    Clip,
    Conv,
    ConvTranspose,
    Flatten,
    Gather,
    Gemm,
    GlobalAveragePool,
    MaxPool,
    Relu,
    Reshape,
    Slice,
)
from intlower.compiler.passes.draft import GraphDraft
from intlower.compiler.passes.rewriting import compose, sole_reader


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseActivations:
    """Makes each Relu and Clip the `activation` of the node that computes what it limits.

    1. Relu or Clip that alone reads the output of Conv, ConvTranspose, Gemm, Add, AveragePool or GlobalAveragePool, which is not a
       graph output, becomes that node's activation. The node takes over the activation's output name; moments move
       to that name and still describe the result before the activation.
    2. A node that has an activation gets the composition of the two, which is one interval again, exactly.
    3. Relu and Clip never decrease, so they commute with MaxPool, and with Flatten, Reshape, Slice and Gather, which only
       move elements: between the node and its Relu or Clip there may be any number of these, each read only by the
       next. They then see limited values. (A MaxPool with dilations and pads may have windows of padding only, whose
       result, minus infinity, a Relu would change: it stops the search.)

    Other Relu and Clip stay nodes.
    """

    name: ClassVar[str] = "fuse_activations"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with activations fused."""
        draft = GraphDraft(graph)
        for node in graph.nodes:
            _fuse(draft, node)
        return draft.graph()


def _fuse(draft: GraphDraft, node: Node) -> None:
    """Fuse one node, where it is an activation and can be."""
    if not isinstance(node.operator, Relu | Clip) or node.activation is not None:
        return
    producers = draft.producers()
    reader, between = node, list[Node]()
    while True:
        producer = producers.get(reader.inputs[0])
        if producer is None or sole_reader(draft, producer.output) is not reader:
            return
        match producer.operator:
            case (
                Conv() | ConvTranspose() | Gemm() | Add() | AveragePool() | GlobalAveragePool()
            ):  # case 1
                break
            case MaxPool() as pool if pool.dilations == (1, 1) or not any(pool.pads):
                pass  # case 3
            case Flatten() | Reshape() | Slice() | Gather():
                pass  # case 3
            case _:
                return
        if producer.activation is not None:
            return
        between.append(producer)
        reader = producer
    limited = replace(
        producer, activation=compose(producer.activation, node.operator)
    )  # case 2
    replacements: dict[str, Node | tuple[Node, ...]] = {node.name: ()}
    if between:
        last = between[0]
        replacements[limited.name] = limited
        replacements[last.name] = replace(last, output=node.output)
        for passed in between:  # what was known of them before the limit is not true after it
            draft.moments.pop(passed.output, None)
    else:
        replacements[limited.name] = replace(limited, output=node.output)
        draft.moments.pop(node.output, None)
        if limited.output in draft.moments:
            draft.moments[node.output] = draft.moments[limited.output]
    draft.replace(replacements)
