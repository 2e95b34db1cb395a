"""The network as a teacher: how far its layers' statistics on a batch are from the recorded ones.

    loss = mean over layers and channels of ((m - mean) / std)^2 + (s / std - 1)^2

m and s are a channel's mean and standard deviation over the batch and all positions, before the activation; mean and std
are the recorded moments. Source: ZeroQ (Cai et al. 2020), equation 3, made dimensionless so that layers count alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from intlower.compiler.evaluate import constant_tensors, forward
from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.operators import Conv, Flatten, Gemm, Identity, Reshape, Softmax, known

# A channel whose std is below this share of its layer's median is dead: it says nothing of the input.
DEAD = 1e-3

# Keeps the derivative of a standard deviation finite, in recorded deviations.
LEAST_STD = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What synthetic inputs are asked for.

    Attributes:
        slack: how far a channel's mean and std may stray at no cost, in recorded deviations (the diverse sample
            generation of Zhang et al. 2021, with one number for all layers).
        class_weight: weight of the cross-entropy with balanced random labels, in units of that of a uniform guess,
            where the network ends in a classifier.
        smoothness: weight of the mean squared difference of neighbouring pixels, in variances of the image (the total
            variation of DeepInversion, Yin et al. 2020, equation 2, without its scale).
    """

    slack: float = 0.0
    class_weight: float = 0.0
    smoothness: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The recorded statistics of one layer, as float32 tensors [C].

    Attributes:
        mean: the recorded mean.
        std: the recorded deviation; 1 where a channel is dead.
        weight: of each channel in the layer's loss: 0 where it is dead, the rest alike, 1 in sum.
    """

    mean: torch.Tensor
    std: torch.Tensor
    weight: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """A network cut to what the losses need.

    Attributes:
        graph: the layers with moments, what they are computed from, and the classifier where there is one.
        parameters: its constants.
        layers: the recorded statistics, by value name.
        logits: name of the classifier's value [N, K, ...], or None.
    """

    graph: Graph
    parameters: Mapping[str, torch.Tensor]
    layers: Mapping[str, Recorded]
    logits: str | None

    def losses(
        self,
        inputs: Mapping[str, torch.Tensor],
        objective: Objective,
        labels: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what to minimize, and the matching loss without slack and classes; both scalars.

        Args:
            inputs: float32, for each graph input.
            objective: what is asked for.
            labels: int64 [N], used where the network has a classifier.
        """
        seen = self.observe(inputs, objective.slack)
        total = seen.slackened
        if seen.scores is not None and labels is not None:
            uncertainty = functional.cross_entropy(seen.scores, labels)
            total = total + objective.class_weight * uncertainty / np.log(seen.scores.shape[1])
        if objective.smoothness:
            total = total + objective.smoothness * sum(map(roughness, inputs.values()))
        return total, seen.matching

    def observe(self, inputs: Mapping[str, torch.Tensor], slack: float) -> Observation:
        """Return how far the layers' statistics on a batch are from the recorded ones, and what else the batch shows.

        Args:
            inputs: float32, for each graph input.
            slack: see `Objective`.
        """
        slackened: list[torch.Tensor] = []
        plain: list[torch.Tensor] = []
        features: list[torch.Tensor] = []

        def tap(node: Node, result: torch.Tensor) -> torch.Tensor:
            recorded = self.layers.get(node.output)
            if recorded is None:
                return result
            result, mean, std = batch_statistics(result, LEAST_STD * recorded.std)
            gaps = torch.stack(
                ((mean - recorded.mean) / recorded.std, std / recorded.std - 1.0)
            )
            over = functional.relu(gaps.abs() - slack) if slack else gaps
            slackened.append((over.square().sum(0) * recorded.weight).sum())
            plain.append((gaps.detach().square().sum(0) * recorded.weight).sum())
            if len(plain) == len(self.layers):
                pooled = result.flatten(2).mean(2) if result.dim() > 2 else result
                alive = (recorded.weight > 0).to(pooled.dtype)
                features.append((pooled - recorded.mean) / recorded.std * alive)
            return result

        keep = () if self.logits is None else (self.logits,)
        kept = forward(self.graph, inputs, keep, self.parameters, tap)
        return Observation(
            slackened=torch.stack(slackened).mean(),
            matching=torch.stack(plain).mean(),
            features=features[0],
            scores=None if self.logits is None else kept[self.logits].flatten(1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a teacher sees in a batch.

    Attributes:
        slackened: scalar, the matching loss beyond the slack.
        matching: scalar, the matching loss, without derivative.
        features: [N, C], of each input, the mean over the positions of the last layer with statistics, in recorded
            deviations from the recorded mean.
        scores: [N, K], a classifier's logits, or None.
    """

    slackened: torch.Tensor
    matching: torch.Tensor
    features: torch.Tensor
    scores: torch.Tensor | None


def matching_layers(graph: Graph) -> dict[str, Recorded]:
    """Return the recorded statistics of every node whose output has moments and a live channel."""
    found = {
        node.output: _recorded(graph.moments[node.output])
        for node in graph.nodes
        if node.output in graph.moments
    }
    return {name: recorded for name, recorded in found.items() if recorded is not None}


def _recorded(moments: Moments) -> Recorded | None:
    mean, std = moments.mean.array, moments.std.array
    alive = (
        std > DEAD * np.median(std[std > 0]) if (std > 0).any() else np.zeros(len(std), bool)
    )
    if not alive.any():
        return None
    return Recorded(
        mean=torch.tensor(mean, dtype=torch.float32),
        std=torch.tensor(np.where(alive, std, 1.0), dtype=torch.float32),
        weight=torch.tensor(alive / alive.sum(), dtype=torch.float32),
    )


def build_teacher(graph: Graph, *, classify: bool) -> Teacher:
    """Return the teacher that a graph makes.

    Args:
        graph: batch norm folded, with moments of at least one node's output.
        classify: whether to keep a classifier, where the graph ends in one.
    """
    layers = matching_layers(graph)
    logits = classifier_output(graph) if classify else None
    trunk = cut(graph, (*layers, *(() if logits is None else (logits,))))
    return Teacher(
        graph=trunk,
        parameters=constant_tensors(trunk, torch.float32),
        layers=layers,
        logits=logits,
    )


def cut(graph: Graph, outputs: tuple[str, ...]) -> Graph:
    """Return the part of a graph that computes some of its values, with every input and a free batch.

    Raises:
        InvalidGraph: an operator depends on the batch that the graph fixes.
    """
    needed = set(outputs)
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if node.output in needed:
            nodes.append(node)
            needed.update(node.inputs)
    free = tuple(replace(value, shape=(None, *value.shape[1:])) for value in graph.inputs)
    return replace(graph, inputs=free, nodes=(), outputs=(), constants={}, moments={}).edit(
        nodes=nodes[::-1], constants=graph.constants, moments=graph.moments, outputs=outputs
    )


def resized(graph: Graph, height: int, width: int) -> Graph:
    """Return a graph of one image input for images of another size.

    Raises:
        InvalidGraph: an operator needs the size that the graph has.
    """
    (value,) = graph.inputs
    return replace(graph, inputs=(replace(value, shape=(*value.shape[:2], height, width)),))


def classifier_output(graph: Graph) -> str | None:
    """Return the value that holds a classifier's logits, or None where the graph does not end in one.

    A classifier is a last product without batch norm, its result [N, K] for 2 <= K, alone or before a Softmax; an output
    as large as the input is a reconstruction.
    """
    if len(graph.outputs) != 1:
        return None
    producers = graph.producers()
    name = graph.outputs[0]
    while name in producers and isinstance(
        producers[name].operator, Softmax | Flatten | Reshape | Identity
    ):
        name = producers[name].inputs[0]
    if name not in producers or not isinstance(producers[name].operator, Gemm | Conv):
        return None
    sizes = [_features(graph, found) for found in (name, *(v.name for v in graph.inputs))]
    shape = graph.values[name].shape
    if name in graph.moments or sizes[0] != shape[1] or sizes[0] < 2 or sizes[0] in sizes[1:]:
        return None
    return name


def _features(graph: Graph, name: str) -> int:
    return int(np.prod([known(size) for size in graph.values[name].shape[1:]]))


def roughness(images: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of neighbours along height and width, in variances of all numbers; a scalar.

    Args:
        images: float32 [N, C, H, W]; 0 for what has no height and width.
    """
    if images.dim() != 4:
        return torch.zeros(())
    pairs = [images.diff(dim=axis).square() for axis in (2, 3) if images.shape[axis] > 1]
    if not pairs:
        return torch.zeros(())
    variance = images.detach().var(correction=0).clamp_min(1e-12)
    return torch.stack([pair.mean() for pair in pairs]).mean() / variance


def batch_statistics(
    x: torch.Tensor, least_std: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return x itself, and the mean and the (biased) standard deviation of its channels.

    To be used in the place of x, so that its derivative is made in one pass.

    Args:
        x: float32 [N, C, ...].
        least_std: [C], what a smaller deviation counts as.

    Returns:
        x, mean [C], std [C].
    """
    passed, mean, std = _BatchStatistics.apply(x, least_std)  # type: ignore[no-untyped-call]
    return passed, mean, std


class _BatchStatistics(torch.autograd.Function):
    """Two passes over memory forward and two backward; torch.var_mean takes fifty times as long over these axes."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, least_std: torch.Tensor) -> Any:
        samples = x.reshape(*x.shape[:2], -1)
        count = samples.shape[0] * samples.shape[2]
        mean = samples.sum(2).sum(0) / count
        square = torch.linalg.vector_norm(samples, dim=2).square().sum(0) / count
        std = torch.maximum((square - mean.square()).clamp_min(0.0).sqrt(), least_std)
        ctx.save_for_backward(x, mean, std)
        ctx.count = count
        return x.view_as(x), mean, std

    @staticmethod
    def backward(
        ctx: Any, of_x: torch.Tensor, of_mean: torch.Tensor, of_std: torch.Tensor
    ) -> Any:
        x, mean, std = ctx.saved_tensors
        slope = of_std / (std * ctx.count)
        offset = of_mean / ctx.count - slope * mean
        shape = (-1, *(1,) * (x.dim() - 2))
        return torch.addcmul(of_x, x, slope.reshape(shape)).add_(offset.reshape(shape)), None
