"""Takes channels that never vary out of the weight ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.operators import Conv, Gemm, activation_bounds
from intlower.compiler.passes.rewriting import parameter, replace_nodes, with_parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceChannels:
    """Sets the weights around constant channels to 0; they would stretch the weights' range for nothing.

    A channel of a Conv or Gemm with recorded moments is constant, with value c, where its activation lets only one value
    through, as far as the moments tell:

    1. Its std is below `tolerance` times the layer's median std (a batch norm whose variance is all but 0): c is the
       limited mean.
    2. It lies `deviations` std or more beyond a bound of its activation: c is that bound. Under normality this is wrong
       for one element in 10**9 at 6 std.

    Then its weights become 0 and its bias c, and every Conv or Gemm that reads the channel has zero weights for it:

    3. always where c = 0;
    4. where c is not 0, with c times the weights' sum added to the bias, if the reader does not pad (a padded zero is not
       c); else the reader is left as it is.

    Readers through other operators are left as they are: the channel still has the value c. Its moments become c and 0.
    Source: methods of Nagel et al. 2019, appendix; dead channels of MobileNets are commonly reported.
    """

    name: ClassVar[str] = "silence_channels"

    tolerance: float = 1e-4
    deviations: float = 6.0

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with constant channels silenced."""
        for node in graph.nodes:
            if isinstance(node.operator, Conv | Gemm) and node.output in graph.moments:
                current = graph.producers()[node.output]
                graph = self._silence(graph, current)
        return graph

    def _silence(self, graph: Graph, node: Node) -> Graph:
        constant, values = self._constant_channels(graph, node)
        weights = parameter(graph, node, 1)
        if weights is None or not constant.any() or constant.all():
            return graph
        bias = parameter(graph, node, 2)
        bias = np.zeros(len(weights)) if bias is None else bias.copy()
        weights = weights.copy()
        weights[constant] = 0.0
        bias[constant] = values[constant]
        recorded = graph.moments[node.output]
        moments = Moments.of(
            np.where(constant, values, recorded.mean.array),
            np.where(constant, 0.0, recorded.std.array),
        )
        graph = _replaced(graph, node, weights, bias)
        graph = graph.edit(moments={**graph.moments, node.output: moments})
        for reader in graph.consumers()[node.output]:
            if isinstance(reader.operator, Conv | Gemm) and reader.inputs[0] == node.output:
                graph = _silenced_reader(graph, reader, constant, values)
        return graph

    def _constant_channels(
        self, graph: Graph, node: Node
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        recorded = graph.moments[node.output]
        mean, std = recorded.mean.array, recorded.std.array
        low, high = activation_bounds(node.activation)
        still = std <= self.tolerance * np.median(std)  # 1
        below = mean + self.deviations * std <= low  # 2
        above = mean - self.deviations * std >= high
        return still | below | above, np.clip(mean, low, high)


def _silenced_reader(
    graph: Graph, reader: Node, constant: NDArray[np.bool_], values: NDArray[np.float64]
) -> Graph:
    """Cases 3 and 4."""
    weights = parameter(graph, reader, 1)
    if weights is None:
        return graph
    operator = reader.operator
    pads = operator.pads if isinstance(operator, Conv) else (0, 0, 0, 0)
    quiet = constant & ((values == 0) | (not any(pads)))
    groups = operator.groups if isinstance(operator, Conv) else 1
    bias = parameter(graph, reader, 2)
    bias = np.zeros(len(weights)) if bias is None else bias.copy()
    # Row o reads the channels of its group: [O, C/groups] of each per-channel array.
    rows = len(weights) // groups
    off = np.repeat(quiet.reshape(groups, -1), rows, axis=0)
    level = np.repeat(np.where(quiet, values, 0.0).reshape(groups, -1), rows, axis=0)
    taps = weights.reshape(*weights.shape[:2], -1)
    bias += (taps.sum(axis=2) * level).sum(axis=1)
    silenced = np.where(off.reshape(*off.shape, *(1,) * (weights.ndim - 2)), 0.0, weights)
    return _replaced(graph, reader, silenced, bias)


def _replaced(
    graph: Graph, node: Node, weights: NDArray[np.float64], bias: NDArray[np.float64]
) -> Graph:
    new, constants = with_parameters(graph, node, {1: weights, 2: bias})
    return graph.edit(nodes=replace_nodes(graph, {node.name: new}), constants=constants)
