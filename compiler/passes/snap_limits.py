"""Moves the upper limits of activations onto levels of a logarithmic grid, at no change of the function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intlower.compiler.graph import Graph
from intlower.compiler.operators import activation_bounds
from intlower.compiler.passes.channel_groups import KEPT, channel_groups, scaled_channels


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapLimits:
    """Scales each channel between two layers so that its activation's upper limit is a power of 2**(1 / steps).

    Where an activation limits numbers from above, many of them equal the limit, and rounding moves all of them alike: by
    up to half a step, and in one direction. For a Conv or Gemm with a finite upper limit that feeds others, as in
    `Equalize`, channel i is divided by

        s_i = limit_i / 2**(round(steps * log2(limit_i)) / steps)

    in that layer and multiplied by it in the others, a factor within half a step of 1. Every logarithmic grid with
    so many steps in an octave has a level there. The clipped moments follow.
    """

    name: ClassVar[str] = "snap_limits"

    steps: int = 16

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with its limits on levels."""
        groups = channel_groups(graph)
        read = {group for node in groups.layers for group in groups.of[node.inputs[0]].tolist()}
        scale = np.ones(groups.count)
        for node in groups.layers:
            own = groups.of[node.output]
            limit = np.broadcast_to(activation_bounds(node.activation)[1], own.shape)
            finite = np.isfinite(limit) & (limit > 0) & (own != KEPT)
            finite &= np.isin(own, list(read))
            octaves = np.log2(limit[finite])
            scale[own[finite]] = 2.0 ** (octaves - np.rint(octaves * self.steps) / self.steps)
        return scaled_channels(graph, groups, scale)
