"""Moves the upper limits of activations onto levels of a logarithmic grid, at no change of the function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intlower.compiler.graph import Graph
from intlower.compiler.operators import activation_bounds
from intlower.compiler.passes.equalize import Layer, layer_pairs, scaled_layer


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapLimits:
    """Scales each channel between two layers so that its activation's upper limit is a power of 2**(1 / steps).

    Where an activation limits numbers from above, many of them equal the limit, and rounding moves all of them alike: by
    up to half a step, and in one direction. For a Conv or Gemm with a finite upper limit that feeds exactly one other,
    as in `Equalize`, channel i is divided by

        s_i = limit_i / 2**(round(steps * log2(limit_i)) / steps)

    in the first layer and multiplied by it in the second, a factor within half a step of 1. Every logarithmic grid with
    so many steps in an octave has a level there. The clipped moments follow.
    """

    name: ClassVar[str] = "snap_limits"

    steps: int = 16

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with its limits on levels."""
        for first, second in layer_pairs(graph):
            # Read again: a layer may be the second of one pair and the first of the next.
            nodes = {node.name: node for node in graph.nodes}
            before, after = nodes[first.name], nodes[second.name]
            layer, reader = Layer.of(graph, before), Layer.of(graph, after)
            limit = np.broadcast_to(
                activation_bounds(before.activation)[1], (len(layer.weights),)
            )
            finite = np.isfinite(limit) & (limit > 0)
            octaves = np.log2(np.where(finite, limit, 1.0))
            scale = np.where(
                finite, 2.0 ** (octaves - np.rint(octaves * self.steps) / self.steps), 1.0
            )
            if (scale == 1.0).all():
                continue
            layer.divide(scale)
            reader.multiply(scale)
            graph = scaled_layer(graph, first.name, layer, scale)
            graph = scaled_layer(graph, second.name, reader, None)
        return graph
