"""Scales channels in front of depthwise convolutions so that each uses the whole range of its tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.graph import Graph, Node
from intlower.compiler.moments import propagate_moments
from intlower.compiler.operators import Conv
from intlower.compiler.passes.channel_groups import (
    KEPT,
    ChannelGroups,
    channel_groups,
    scaled_channels,
)
from intlower.compiler.passes.equalize import activation_reach


@dataclass(frozen=True, slots=True, kw_only=True)
class FillDepthwise:
    """Makes every channel that a depthwise convolution reads reach as far as the widest; the function is untouched.

    With a_i the greatest magnitude of channel i after its activation, as far as the moments tell, and s_i = a_i / max(a)
    but no less than `least`, channel i is divided by s_i in the layer before and multiplied by it in the depthwise one, as
    in `Equalize`. Where each output channel has a weight scale of its own, both scales take up the factor exactly: the
    weights' codes stay as they are, and narrow channels get the codes that they left unused. (In front of a dense layer
    the factors would stand side by side within a row, and cost the row what they gain.)

    1. The activation's bounds are divided as well, channel by channel.
    2. A channel whose reach is unknown or 0 keeps its scale.

    This is our own method, a case of Nagel et al. 2019, section 4.1, that costs nothing.
    """

    name: ClassVar[str] = "fill_depthwise"

    deviations: float = 5.0
    least: float = 1 / 256

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with channels scaled."""
        groups = channel_groups(graph)
        reach = self._reaches(graph, groups)
        scale = np.zeros(groups.count)
        for node in groups.layers:
            read = groups.of[node.inputs[0]]
            found = reach[read]
            unknown = (read == KEPT).any() or np.isnan(found).any() or not found.max() > 0
            if unknown or not _depthwise(graph, node):
                scale[read] = 1.0
                continue
            wanted = np.where(found > 0, np.maximum(found / found.max(), self.least), 1.0)  # 2
            np.maximum.at(scale, read, wanted)
        scale[(scale == 0) | (np.arange(groups.count) == KEPT)] = 1.0
        return scaled_channels(graph, groups, scale)

    def _reaches(self, graph: Graph, groups: ChannelGroups) -> NDArray[np.float64]:
        """Return the greatest magnitude of each group, NaN where it is not known: [count]."""
        reach = np.full(groups.count, np.nan)
        moments = propagate_moments(graph)
        for node in groups.layers:
            found = activation_reach(node, moments.get(node.output), self.deviations)
            if found is not None:
                np.fmax.at(reach, groups.of[node.output], found)
        return reach


def _depthwise(graph: Graph, node: Node) -> bool:
    """Whether each output of a layer reads one channel only."""
    return (
        isinstance(node.operator, Conv)
        and node.operator.groups == graph.values[node.inputs[0]].shape[1]
    )
