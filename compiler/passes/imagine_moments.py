"""Records moments of layers where the file has none: the path of networks whose batch norm is already folded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from intlower.compiler.graph import Graph
from intlower.compiler.operators import BatchNormalization
from intlower.compiler.synthesis.imagine import Imagined, imagine
from intlower.compiler.synthesis.observe import observed_moments, weighted_layers

# Samples that are looked at: moments are means over many positions, and need few.
SAMPLES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagineMoments:
    """Gives layers the moments that generated inputs show; the function is untouched.

    1. A graph in which half of the layers that a batch norm could follow, or more, have moments is left alone: from those
       the others' follow.
    2. Else every layer with weights, and every input, that has no moments gets those that it shows on inputs that
       `imagine` makes; on samples where there are any.
    """

    name: ClassVar[str] = "imagine_moments"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with moments."""
        return self.told(graph, imagine(graph, seed=0)) if self.applies(graph) else graph

    def applies(self, graph: Graph) -> bool:
        """Whether the graph tells too little by itself."""
        layers = [node.output for node in weighted_layers(graph)]
        normalized = {
            node.inputs[0]
            for node in graph.nodes
            if isinstance(node.operator, BatchNormalization)
        }
        described = sum(name in graph.moments or name in normalized for name in layers)
        return 2 * described < len(layers) - 1 or (described == 0 and bool(layers))

    def told(self, graph: Graph, imagined: Imagined) -> Graph:
        """Return the graph with moments of generated inputs where it has none."""
        return graph.edit(moments={**imagined.moments, **graph.moments})

    def shown(self, graph: Graph, samples: Mapping[str, NDArray[Any]]) -> Graph:
        """Return the graph with moments of samples where it has none."""
        batch = max(value.shape[0] or 1 for value in graph.inputs)
        some = {
            name: array[: max(SAMPLES // batch, 1) * batch] for name, array in samples.items()
        }
        return graph.edit(moments={**observed_moments(graph, some), **graph.moments})
