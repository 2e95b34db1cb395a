"""Cross-layer equalization: evens out the weight ranges of channels, at no change of the function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.graph import Graph, Node
from intlower.compiler.moments import ValueMoments, propagate_moments
from intlower.compiler.operators import Conv, activation_bounds
from intlower.compiler.passes.channel_groups import (
    KEPT,
    ChannelGroups,
    channel_groups,
    scaled_channels,
)
from intlower.compiler.row_blocks import row_blocks

Array = NDArray[np.float64]
Sizes = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Equalize:
    """Scales each channel between layers so that its weights are as wide before as after.

    For the channels i that a Conv or Gemm makes, and others read, as `channel_groups` follows them:

        r1_i = max|w1[i]|,  r2_i = max|w2[:, i]| over all readers,  s_i = sqrt(r1_i / r2_i)
        w1[i] /= s_i,  b1[i] /= s_i,  w2[:, i] *= s_i

    after which both ranges are sqrt(r1_i * r2_i). Sweeps over all layers repeat, so that chains of any length even out.

    1. *Activations* stay exact: Relu is homogeneous; the bounds of Clip are divided by s_i, channel by channel (`ChannelClip`).
       Replacing ReLU6 by ReLU would change the network.
    2. *Guard*: no channel's activation may grow past what the widest channel of its layer was before the pass; where it
       would, s_i is raised. Otherwise the trouble moves from the weights into the activations.
    3. A channel without weights on either side keeps s_i = 1.

    Source: Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction, section 4.1; the
    guard and the exact bounds are ours.
    """

    name: ClassVar[str] = "equalize"

    sweeps: int = 30
    tolerance: float = 0.01
    deviations: float = 6.0

    def __call__(self, graph: Graph) -> Graph:
        """Return the equalized graph."""
        groups = channel_groups(graph)
        sizes = {node.name: _sizes(graph, node) for node in groups.layers}
        batches = _batches(groups)
        if not batches:
            return graph
        least = self._least_scales(graph, groups)
        scale = np.ones(groups.count)
        for _ in range(self.sweeps):
            moved = 0.0
            for batch, makers, readers in batches:
                made, read = np.zeros(groups.count), np.zeros(groups.count)
                for node in makers:
                    np.maximum.at(
                        made, groups.of[node.output], _rows(groups, node, sizes, scale)
                    )
                for node in readers:
                    columns = _columns(groups, node, sizes, scale)
                    np.maximum.at(read, groups.of[node.inputs[0]], columns)
                alive = (made[batch] > 0) & (read[batch] > 0)  # 3
                step = np.ones(len(batch))
                step[alive] = np.sqrt(made[batch][alive] / read[batch][alive])
                step = np.where(alive, np.maximum(step, least[batch] / scale[batch]), 1.0)  # 2
                scale[batch] *= step
                moved = max(moved, float(np.abs(np.log2(step)).max(initial=0.0)))
            if moved < self.tolerance:
                break
        return scaled_channels(graph, groups, scale)

    def _least_scales(self, graph: Graph, groups: ChannelGroups) -> Array:
        """Case 2: return the least scale of each group, reach / max(reach) of the layers that make it."""
        least = np.zeros(groups.count)
        moments = propagate_moments(graph)
        for node in groups.layers:
            reach = activation_reach(node, moments.get(node.output), self.deviations)
            if reach is not None and reach.max() > 0:
                np.maximum.at(least, groups.of[node.output], reach / reach.max())
        return least


def _batches(
    groups: ChannelGroups,
) -> list[tuple[NDArray[np.int64], list[Node], list[Node]]]:
    """Return groups that are scaled at once, those that one layer makes first, with all who make and read any of them."""
    makers: dict[int, list[Node]] = {}
    readers: dict[int, list[Node]] = {}
    for node in groups.layers:
        for found, name in ((makers, node.output), (readers, node.inputs[0])):
            for group in np.unique(groups.of[name]).tolist():
                found.setdefault(group, []).append(node)
    batches = []
    for node in groups.layers:
        own = [
            group
            for group in np.unique(groups.of[node.output]).tolist()
            if group != KEPT and makers[group][0] is node and group in readers
        ]
        if own:
            batches.append((np.array(own), _distinct(makers, own), _distinct(readers, own)))
    return batches


def _distinct(nodes: Mapping[int, list[Node]], groups: list[int]) -> list[Node]:
    return list({node.name: node for group in groups for node in nodes[group]}.values())


def _sizes(graph: Graph, node: Node) -> Sizes:
    """Return max|w| over the taps of a layer's windows, [O, I/groups], of the weights' type: with one tap it is as large."""
    weights = graph.constants[node.inputs[1]].array  # `channel_groups` takes no layer without
    sizes = np.empty(weights.shape[:2], weights.dtype)
    for rows in row_blocks(weights.shape):
        taps = np.abs(weights[rows]).reshape(-1, weights.shape[1], weights[0, 0].size)
        sizes[rows] = taps.max(axis=2)
    return sizes


def _current(
    groups: ChannelGroups, node: Node, sizes: Mapping[str, Sizes], scale: Array
) -> Iterator[Array]:
    """Yield max|w| as scaled so far, a few outputs of every group at a time: [groups, outputs, I/groups]."""
    parts = node.operator.groups if isinstance(node.operator, Conv) else 1
    size = sizes[node.name]
    read = scale[groups.of[node.inputs[0]]].reshape(parts, 1, -1)
    made = scale[groups.of[node.output]].reshape(parts, -1, 1)
    grouped = size.reshape(parts, -1, size.shape[1])
    for outputs in row_blocks((grouped.shape[1], parts * size.shape[1])):
        yield np.asarray(grouped[:, outputs] * read / made[:, outputs])


def _rows(groups: ChannelGroups, node: Node, sizes: Mapping[str, Sizes], scale: Array) -> Array:
    found = [part.max(axis=2) for part in _current(groups, node, sizes, scale)]
    return np.concatenate(found, axis=1).ravel()


def _columns(
    groups: ChannelGroups, node: Node, sizes: Mapping[str, Sizes], scale: Array
) -> Array:
    found = [part.max(axis=1) for part in _current(groups, node, sizes, scale)]
    return np.asarray(np.maximum.reduce(found).ravel())


def activation_reach(
    node: Node, moments: ValueMoments | None, deviations: float
) -> Array | None:
    """Return the largest magnitude of each channel after its activation; None where nothing is known."""
    if moments is None:
        return None
    mean, std = moments.before.mean.array, moments.before.std.array
    low, high = activation_bounds(node.activation)
    least = np.clip(mean - deviations * std, low, high)
    greatest = np.clip(mean + deviations * std, low, high)
    return np.asarray(np.maximum(np.abs(least), np.abs(greatest)))
