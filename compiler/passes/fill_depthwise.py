"""Scales channels in front of depthwise convolutions so that each uses the whole range of its tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.graph import Graph, Node
from intlower.compiler.moments import propagate_moments
from intlower.compiler.operators import Conv
from intlower.compiler.passes.equalize import (
    Layer,
    activation_reach,
    layer_pairs,
    scaled_layer,
)


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
        pairs = [
            (first, second) for first, second in layer_pairs(graph) if _depthwise(graph, second)
        ]
        moments = propagate_moments(graph) if pairs else {}
        work = {node.name: Layer.of(graph, node) for pair in pairs for node in pair}
        scales: dict[str, NDArray[np.float64]] = {}
        for first, second in pairs:
            reach = activation_reach(first, moments.get(first.output), self.deviations)
            if reach is None or not reach.max() > 0:
                continue
            scale = np.where(reach > 0, np.maximum(reach / reach.max(), self.least), 1.0)  # 2
            work[first.name].divide(scale)
            work[second.name].multiply(scale)
            scales[first.name] = scale
        for name, layer in work.items():
            graph = scaled_layer(graph, name, layer, scales.get(name))
        return graph


def _depthwise(graph: Graph, node: Node) -> bool:
    """Whether each output of a layer reads one channel only."""
    return (
        isinstance(node.operator, Conv)
        and node.operator.groups == graph.values[node.inputs[0]].shape[1]
    )
