"""Makes zero padding part of the convolutions that read it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import Conv, Pad, PadMode


@dataclass(frozen=True, slots=True, kw_only=True)
class FusePads:
    """Leaves no Pad in front of a Conv that could pad by itself, as exporters of TensorFlow's `SAME` write it.

    Conv(Pad(x, 0)) is Conv(x) with the pads of both, where the Pad touches rows and columns only and the sum stays below
    the reach of the window: no window lies in the padding alone. The Pad itself goes with the unused nodes. So the first
    layer is seen to read the graph's input, and no padded copy of a tensor is made.
    """

    name: ClassVar[str] = "fuse_pads"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph whose convolutions pad by themselves."""
        pads = {node.output: node for node in graph.nodes if _pads_with_zeros(node)}
        if not pads:
            return graph
        return graph.edit(nodes=tuple(_fused(graph, node, pads) for node in graph.nodes))


def _pads_with_zeros(node: Node) -> bool:
    """Whether a node pads rows and columns of images with zeros, and does no more."""
    operator = node.operator
    return (
        isinstance(operator, Pad)
        and operator.mode is PadMode.CONSTANT
        and operator.value == 0
        and node.activation is None
        and len(operator.pads) == 8
        and not any(operator.pads[axis] for axis in (0, 1, 4, 5))
    )


def _fused(graph: Graph, node: Node, pads: dict[str, Node]) -> Node:
    """Return a Conv that does a Pad's work as well; any other node as it is."""
    conv, name = node.operator, node.inputs[0] if node.inputs else ""
    # Two Pads in a row, as in a chain of exporters' making, are taken in one after the other.
    while isinstance(conv, Conv) and name in pads:
        pad = pads[name].operator
        assert isinstance(pad, Pad)
        weights = graph.constants.get(node.inputs[1])
        if weights is None:
            break
        added = (pad.pads[2], pad.pads[3], pad.pads[6], pad.pads[7])
        top, left, bottom, right = (a + b for a, b in zip(conv.pads, added, strict=True))
        reach = [
            dilation * (size - 1) + 1
            for dilation, size in zip(conv.dilations, weights.array.shape[2:], strict=True)
        ]
        if max(top, bottom) >= reach[0] or max(left, right) >= reach[1]:
            break
        conv, name = replace(conv, pads=(top, left, bottom, right)), pads[name].inputs[0]
    return replace(node, operator=conv, inputs=(name, *node.inputs[1:]))
