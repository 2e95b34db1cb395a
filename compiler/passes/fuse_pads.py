"""Makes padding part of the convolutions and maxima that read it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import Conv, MaxPool, Pad, PadMode

# What exporters pad maxima with: -infinity, which the importer writes as the least float32, or about it.
NEVER_CHOSEN = -1e30


@dataclass(frozen=True, slots=True, kw_only=True)
class FusePads:
    """Leaves no Pad in front of a layer that could pad by itself, as exporters of TensorFlow's `SAME` write it.

    1. Conv(Pad(x, 0)) is Conv(x) with the pads of both.
    2. MaxPool(Pad(x, v)) is MaxPool(x) with the pads of both for a v up to NEVER_CHOSEN; not where the pool rounds its size
       up, which counts its own pads otherwise.

    The Pad must touch rows and columns only, and the sum must stay below the reach of the window: no window lies in the
    padding alone. A Pad that other nodes read as well stays for them; else it goes with the unused nodes. So the first layer
    is seen to read the graph's input, and no padded copy of a tensor is made.
    """

    name: ClassVar[str] = "fuse_pads"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph whose layers pad by themselves."""
        pads = {node.output: node for node in graph.nodes if isinstance(node.operator, Pad)}
        if not pads:
            return graph
        return graph.edit(nodes=tuple(_fused(graph, node, pads) for node in graph.nodes))


def _fused(graph: Graph, node: Node, pads: dict[str, Node]) -> Node:
    """Return a layer that does a Pad's work as well; any other node as it is."""
    reach = _reach(graph, node)
    layer, name = node.operator, node.inputs[0] if node.inputs else ""
    # Two Pads in a row, as in a chain of exporters' making, are taken in one after the other.
    while reach is not None and isinstance(layer, Conv | MaxPool) and name in pads:
        added = _around_images(pads[name], layer)
        if added is None:
            break
        top, left, bottom, right = (a + b for a, b in zip(layer.pads, added, strict=True))
        if max(top, bottom) >= reach[0] or max(left, right) >= reach[1]:
            break
        layer, name = replace(layer, pads=(top, left, bottom, right)), pads[name].inputs[0]
    return replace(node, operator=layer, inputs=(name, *node.inputs[1:]))


def _reach(graph: Graph, node: Node) -> tuple[int, int] | None:
    """Return how many rows and columns the window of a layer spans; None for other nodes."""
    match node.operator:
        case Conv() if node.inputs[1] in graph.constants:
            rows, columns = graph.constants[node.inputs[1]].array.shape[2:]
        case MaxPool(ceil_mode=False):
            rows, columns = node.operator.kernel_shape
        case _:
            return None
    down, across = node.operator.dilations
    return down * (rows - 1) + 1, across * (columns - 1) + 1


def _around_images(node: Node, layer: Conv | MaxPool) -> tuple[int, int, int, int] | None:
    """Return how much a Pad adds (top, left, bottom, right) of what a layer pads with; None where it does anything else."""
    pad = node.operator
    assert isinstance(pad, Pad)
    if pad.mode is not PadMode.CONSTANT or node.activation is not None or len(pad.pads) != 8:
        return None
    fits = pad.value == 0 if isinstance(layer, Conv) else pad.value <= NEVER_CHOSEN
    if not fits or any(pad.pads[axis] for axis in (0, 1, 4, 5)):
        return None
    return pad.pads[2], pad.pads[3], pad.pads[6], pad.pads[7]
