"""Records the moments of graph inputs that the first layer remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intlower.compiler.calibration.input_model import estimate_input
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.operators import known


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateInputs:
    """Gives each graph input the mean and std that its first layer's batch norm implies; the function is untouched.

    1. An input that has moments keeps them.
    2. An input that no layer with moments reads gets none.
    """

    name: ClassVar[str] = "estimate_inputs"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with moments of its inputs."""
        found: dict[str, Moments] = {}
        for value in graph.inputs:
            estimate = estimate_input(graph, value.name)
            if estimate is None or value.name in graph.moments or len(value.shape) < 2:  # 1, 2
                continue
            channels = known(value.shape[1])
            mean = np.broadcast_to(estimate.mean, (channels,))
            found[value.name] = Moments.of(mean, np.full(channels, estimate.std))
        return graph.edit(moments={**graph.moments, **found})
