"""Makes matrix products and added biases part of Gemm and Conv nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.operators import Add, Conv, ConvTranspose, Gemm, MatMul
from intlower.compiler.passes.draft import GraphDraft
from intlower.compiler.passes.rewriting import (
    parameter,
    per_channel_constant,
    sole_reader,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseMatmul:
    """Leaves a network's linear layers as Conv and Gemm with their biases.

    1. MatMul of a rank-2 value and constant weights [I, O] becomes Gemm with weights [O, I].
    2. Add of a constant to the output of a Conv, ConvTranspose or Gemm that only this Add reads goes into the bias, which is made
       where absent: b' = b + c, for a c that gives each channel one number ([O, 1, 1] or [1, O, 1, 1] after Conv, [O]
       or [1, O] after Gemm, one number after either). The node takes over the Add's output and activation.

    Moments of the layer's output move with it, their mean shifted by c.
    """

    name: ClassVar[str] = "fuse_matmul"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with MatMul and bias Add fused."""
        draft = GraphDraft(graph)
        for node in graph.nodes:
            _make_gemm(draft, node)
        for node in graph.nodes:
            _fuse_bias(draft, node)
        return draft.graph()


def _make_gemm(draft: GraphDraft, node: Node) -> None:
    """Case 1."""
    if not isinstance(node.operator, MatMul):
        return
    weights = parameter(draft, node, 1)
    value = draft.values.get(node.inputs[0])
    if weights is None or weights.ndim != 2 or value is None or len(value.shape) != 2:
        return
    gemm = draft.with_parameters(node, {1: weights.T})
    draft.replace({node.name: replace(gemm, operator=Gemm())})


def _fuse_bias(draft: GraphDraft, add: Node) -> None:
    """Case 2, for one Add of the draft."""
    if not isinstance(add.operator, Add):
        return
    producers = draft.producers()
    for own, other in ((0, 1), (1, 0)):
        layer = producers.get(add.inputs[own])
        shift = parameter(draft, add, other)
        if (
            layer is None
            or shift is None
            or not isinstance(layer.operator, Conv | ConvTranspose | Gemm)
            or layer.activation is not None
            or sole_reader(draft, layer.output) is not add
        ):
            continue
        per_channel = per_channel_constant(shift, draft.values[layer.output].shape)
        bias = parameter(draft, layer, 2)
        if per_channel is None or (bias is None and len(layer.inputs) == 3):
            continue
        fused = draft.with_parameters(
            layer, {2: per_channel if bias is None else bias + per_channel}
        )
        fused = replace(fused, output=add.output, activation=add.activation)
        if layer.output in draft.moments:
            old = draft.moments[layer.output]
            draft.moments.setdefault(
                add.output, Moments.of(old.mean.array + per_channel, old.std.array)
            )
        draft.replace({layer.name: fused, add.name: ()})
        return
