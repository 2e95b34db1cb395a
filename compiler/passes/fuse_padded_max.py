"""Makes a padding that no maximum chooses part of the pool that reads it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import MaxPool, Pad, PadMode

# What exporters pad maxima with: -infinity, which the importer writes as the least float32, or about it.
NEVER_CHOSEN = -1e30


@dataclass(frozen=True, slots=True, kw_only=True)
class FusePaddedMax:
    """Adds a Pad of images with numbers below NEVER_CHOSEN to the pads of every MaxPool that reads it.

    Not where a pool rounds its size up, which counts its own pads otherwise, nor where a window would see padding only. A
    Pad that other nodes read as well stays for them.
    """

    name: ClassVar[str] = "fuse_padded_max"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with such pools reading what was padded."""
        producers = graph.producers()
        return graph.edit(nodes=[_fused(producers.get(n.inputs[0]), n) for n in graph.nodes])


def _fused(source: Node | None, node: Node) -> Node:
    pool = node.operator
    if not isinstance(pool, MaxPool) or pool.ceil_mode or source is None:
        return node
    pad = source.operator
    if not isinstance(pad, Pad) or source.activation is not None:
        return node
    if pad.mode is not PadMode.CONSTANT or pad.value > NEVER_CHOSEN or len(pad.pads) != 8:
        return node
    if any(pad.pads[axis] or pad.pads[axis + 4] for axis in (0, 1)):
        return node
    own = (pad.pads[2], pad.pads[3], pad.pads[6], pad.pads[7])
    pads = (
        own[0] + pool.pads[0],
        own[1] + pool.pads[1],
        own[2] + pool.pads[2],
        own[3] + pool.pads[3],
    )
    extents = [
        dilation * (size - 1) + 1
        for size, dilation in zip(pool.kernel_shape, pool.dilations, strict=True)
    ]
    if any(amount >= extents[side % 2] for side, amount in enumerate(pads)):
        return node
    return replace(node, operator=replace(pool, pads=pads), inputs=source.inputs)
