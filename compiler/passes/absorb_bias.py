"""High-bias absorption: moves what every value of a channel has in common into the next layer's bias."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.operators import (
    Conv,
    Gemm,
    activation_bounds,
)
from intlower.compiler.passes.draft import GraphDraft
from intlower.compiler.passes.rewriting import (
    Readable,
    moved_bounds,
    moves_along,
    parameter,
    sole_reader,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsorbBias:
    """Lowers channels that stay high, and adds what they lose to the layer that reads them; the function is untouched.

    Channel i of a Conv or Gemm with recorded moments whose values after the activation lie above

        c_i = max(0, mean_i - deviations * std_i)

    (but for the tail of the distribution) loses c_i in its bias, and the Conv or Gemm that alone reads it gains
    c_i times the sum of its weights for that channel in its own.

    1. The activation's bounds are lowered by c_i as well (`ChannelClip`), so that the few values below c_i stay exact.
       Where there is none, c_i is the mean less the deviations, of either sign.
    2. The reader must not pad: a padded zero would count as -c_i of the unmoved channel, and the border would be wrong.
       So must not an AveragePool that counts its padding; MaxPool, GlobalAveragePool and Flatten may stand between.
    3. Gate: a layer is left alone unless the range of its values, over all channels, becomes narrower by `gain`.
    4. Moments follow.

    Source: Nagel et al. 2019, Data-Free Quantization, section 4.1.3; 1 to 3 are ours.
    """

    name: ClassVar[str] = "absorb_bias"

    deviations: float = 3.0
    reach: float = 5.0
    gain: float = 0.05

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with high biases absorbed."""
        draft = GraphDraft(graph)
        for node in graph.nodes:
            if isinstance(node.operator, Conv | Gemm) and node.output in graph.moments:
                self._absorb(draft, draft.producers()[node.output])
        return draft.graph()

    def _absorb(self, draft: GraphDraft, node: Node) -> None:
        path = _path(draft, node)
        if path is None:
            return
        between, reader = path
        weights, taps = parameter(draft, node, 1), parameter(draft, reader, 1)
        computed = any(
            len(layer.inputs) == 3 and parameter(draft, layer, 2) is None
            for layer in (node, reader)
        )
        if weights is None or taps is None or computed:
            return
        shift = self._shift(draft, node)
        if not self._narrows(draft, node, shift):  # 3
            return
        lowered = _with_bias(draft, node, weights, -shift)
        lowered = replace(lowered, activation=moved_bounds(node.activation, -shift))  # 1
        draft.replace({node.name: lowered})
        gain = _gain(reader, taps, shift)
        draft.replace({reader.name: _with_bias(draft, reader, taps, gain)})
        for value in between:  # 4
            if value in draft.moments:
                recorded = draft.moments[value]
                mean, std = recorded.mean.array, recorded.std.array
                draft.moments[value] = Moments.of(
                    mean - np.repeat(shift, len(mean) // len(shift)), std
                )

    def _shift(self, graph: Readable, node: Node) -> NDArray[np.float64]:
        """Return c."""
        recorded = graph.moments[node.output]
        level = recorded.mean.array - self.deviations * recorded.std.array
        low, high = activation_bounds(node.activation)
        if node.activation is None:
            return level
        # A channel that the activation holds at its upper bound is lowered by no more than that.
        return np.asarray(np.clip(level, np.maximum(low, 0.0), np.maximum(high, 0.0)))

    def _narrows(self, graph: Readable, node: Node, shift: NDArray[np.float64]) -> bool:
        recorded = graph.moments[node.output]
        mean, std = recorded.mean.array, self.reach * recorded.std.array
        low, high = activation_bounds(node.activation)
        least, most = np.clip(mean - std, low, high), np.clip(mean + std, low, high)
        before = max(float(most.max()), 0.0) - min(float(least.min()), 0.0)
        after = max(float((most - shift).max()), 0.0) - min(float((least - shift).min()), 0.0)
        return after < (1 - self.gain) * before


def _path(graph: Readable, node: Node) -> tuple[list[str], Node] | None:
    """Return the values from a layer to the one Conv or Gemm that reads it through what moves with it; None if there is none."""
    values = [node.output]
    while (reader := sole_reader(graph, values[-1])) is not None:
        operator = reader.operator
        if isinstance(operator, Conv | Gemm):
            padded = isinstance(operator, Conv) and any(operator.pads)
            return None if padded or reader.inputs[0] != values[-1] else (values, reader)
        if not moves_along(reader):
            return None
        values.append(reader.output)
    return None


def _gain(
    reader: Node, taps: NDArray[np.float64], shift: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what the reader's bias takes up: [O]."""
    groups = reader.operator.groups if isinstance(reader.operator, Conv) else 1
    columns = taps.shape[1] * groups
    spread = np.repeat(shift, columns // len(shift)).reshape(groups, -1)
    by_row = np.repeat(spread, len(taps) // groups, axis=0)
    sums = taps.reshape(*taps.shape[:2], -1).sum(axis=2)
    return np.asarray((sums * by_row).sum(axis=1))


def _with_bias(
    draft: GraphDraft, node: Node, weights: NDArray[np.float64], change: NDArray[np.float64]
) -> Node:
    bias = parameter(draft, node, 2)
    total = change if bias is None else bias + change
    return draft.with_parameters(node, {1: weights, 2: total})
