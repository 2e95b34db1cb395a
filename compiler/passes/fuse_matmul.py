"""Makes matrix products and added biases part of Gemm and Conv nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.operators import Add, Conv, ConvTranspose, Gemm, MatMul
from intlower.compiler.passes.rewriting import (
    parameter,
    per_channel_constant,
    replace_nodes,
    sole_reader,
    with_parameters,
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
        for node in graph.nodes:
            graph = _as_gemm(graph, node)
        for node in graph.nodes:
            graph = _into_bias(graph, node)
        return graph


def _as_gemm(graph: Graph, node: Node) -> Graph:
    """Case 1."""
    if not isinstance(node.operator, MatMul):
        return graph
    weights = parameter(graph, node, 1)
    value = graph.values.get(node.inputs[0])
    if weights is None or weights.ndim != 2 or value is None or len(value.shape) != 2:
        return graph
    gemm, constants = with_parameters(graph, node, {1: weights.T})
    gemm = replace(gemm, operator=Gemm())
    return graph.edit(nodes=replace_nodes(graph, {node.name: gemm}), constants=constants)


def _into_bias(graph: Graph, add: Node) -> Graph:
    """Case 2, for one Add of the graph."""
    if not isinstance(add.operator, Add):
        return graph
    producers = graph.producers()
    for own, other in ((0, 1), (1, 0)):
        layer = producers.get(add.inputs[own])
        shift = parameter(graph, add, other)
        if (
            layer is None
            or shift is None
            or not isinstance(layer.operator, Conv | ConvTranspose | Gemm)
            or layer.activation is not None
            or sole_reader(graph, layer.output) is not add
        ):
            continue
        per_channel = per_channel_constant(shift, graph.values[layer.output].shape)
        bias = parameter(graph, layer, 2)
        if per_channel is None or (bias is None and len(layer.inputs) == 3):
            continue
        fused, constants = with_parameters(
            graph, layer, {2: per_channel if bias is None else bias + per_channel}
        )
        fused = replace(fused, output=add.output, activation=add.activation)
        moments = dict(graph.moments)
        if layer.output in moments:
            old = moments[layer.output]
            moments.setdefault(
                add.output, Moments.of(old.mean.array + per_channel, old.std.array)
            )
        return graph.edit(
            nodes=replace_nodes(graph, {layer.name: fused, add.name: ()}),
            constants=constants,
            moments=moments,
        )
    return graph
