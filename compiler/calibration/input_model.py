"""What a network's inputs look like, read off its first layer.

A convolution followed by batch norm remembers the mean and the variance of its output over the training data. Both are
functions of the input's statistics, so they can be solved for:

    E[y_o]   = b_o + sum_i m_i sum_k rho_k w[o,i,k]                           (linear in the channel means m)
    Var[y_o] = s^2 sum_{i,k,j,l} w[o,i,k] w[o,j,l] c^[i!=j] r^|k-l|           (s: std, c: between channels, r: between neighbours)

rho_k is the share of output positions at which tap k lies inside the image. For a Gemm the inputs are one channel without
neighbours. This is our own method; nothing here is known about the data beyond what the file says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration.input_profile import Profile, input_profile
from intlower.compiler.calibration.modelled import DEVIATIONS, MEASURED_BITS, best_cut
from intlower.compiler.calibration.ranges import Range
from intlower.compiler.graph import Graph, Node
from intlower.compiler.moment_rules import tap_coverage
from intlower.compiler.operators import Conv, Gemm

# What photographs look like between black (0) and white (1): mean and std of pixels, and how far a data set may stray.
PIXEL_MEAN, PIXEL_STD = 0.46, 0.26
PIXEL_MEAN_LIMITS = (0.25, 0.70)
PIXEL_STD_LIMITS = (0.15, 0.38)

# What a range of inputs that are no pixels is said to come from: mean +- DEVIATIONS, or place by place.
UNKNOWN_BOX = "first layer's moments"
BY_PLACE = ("first layer's moments, row by row", "first layer's moments, column by column")

_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
_IMAGENET_STD = np.array([0.229, 0.224, 0.225])
_CAFFE_MEAN = np.array([103.939, 116.779, 123.68])

# The preprocessings in use: name, then black and white of each channel after it.
PIXEL_BOXES: tuple[tuple[str, NDArray[Any], NDArray[Any]], ...] = (
    ("pixels in [0, 1]", np.zeros(1), np.ones(1)),
    ("pixels in [0, 255]", np.zeros(1), np.full(1, 255.0)),
    ("pixels in [-1, 1]", -np.ones(1), np.ones(1)),
    ("pixels in [-128, 127]", np.full(1, -128.0), np.full(1, 127.0)),
    (
        "pixels normalised by ImageNet's mean and deviation",
        -_IMAGENET_MEAN / _IMAGENET_STD,
        (1 - _IMAGENET_MEAN) / _IMAGENET_STD,
    ),
    ("pixels less Caffe's mean, BGR", -_CAFFE_MEAN, 255 - _CAFFE_MEAN),
    ("pixels less Caffe's mean, RGB", -_CAFFE_MEAN[::-1], 255 - _CAFFE_MEAN[::-1]),
)


@dataclass(frozen=True, slots=True)
class InputEstimate:
    """The statistics of one graph input.

    Attributes:
        mean: float64 [C]; one entry where channels cannot be told apart.
        std: of all channels.
        range: what follows for its range.
        box: what black and white are in each channel, float64 [C] or one entry for all; None where no preprocessing of
            pixels fits.
        profile: what each row or column is like, where no preprocessing fits and they differ.
    """

    mean: NDArray[np.float64]
    std: float
    range: Range
    box: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    profile: Profile | None = None

    @property
    def is_image(self) -> bool:
        """Whether the statistics fit a preprocessing of pixels."""
        return self.box is not None

    @property
    def is_bgr(self) -> bool:
        """Whether the first of three channels is blue."""
        return self.range.source.endswith("BGR")


def estimate_input(graph: Graph, name: str) -> InputEstimate | None:
    """Return what the first layer tells of an input, or None if none with moments reads it.

    Args:
        graph: batch norm folded, moments recorded.
        name: of a graph input.
    """
    for node in _first_layers(graph, name):
        # A layer whose every channel is dead tells nothing.
        if node.output in graph.moments and graph.moments[node.output].std.array.any():
            return _estimate(graph, node)
    return None


def weights_profile(graph: Graph, name: str) -> Profile | None:
    """Return what each row or column of an input is like by the first layer's weights and biases alone, where they differ.

    Folded batch norm leaves outputs of a mean near 0, for its bias takes the mean off, and of a deviation near 1, as which its
    scales begin: where one profile makes all filters' outputs so, it is hardly by chance.

    Args:
        graph: batch norm folded into weights, no moments.
        name: of a graph input.
    """
    for node in _first_layers(graph, name):
        weights, bias = _parameters(graph, node)
        return _profile(graph, node, weights, -bias, np.ones(len(weights)))
    return None


def _first_layers(graph: Graph, name: str) -> list[Node]:
    """Return the layers of constant weights that read an input, each of its numbers in every filter."""
    return [
        node
        for node in graph.nodes
        if name in node.inputs[:1]
        and all(parameter in graph.constants for parameter in node.inputs[1:])
        and (
            isinstance(node.operator, Gemm)
            or (isinstance(node.operator, Conv) and node.operator.groups == 1)
        )
    ]


def _parameters(graph: Graph, node: Node) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights and bias of a layer."""
    weights = graph.constants[node.inputs[1]].array.astype(np.float64)
    if len(node.inputs) < 3:
        return weights, np.zeros(len(weights))
    return weights, graph.constants[node.inputs[2]].array.astype(np.float64)


def _profile(
    graph: Graph,
    node: Node,
    weights: NDArray[np.float64],
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
) -> Profile | None:
    """Return the profile of an input of one channel that a convolution reads, where there is one.

    Args:
        graph: that holds the node.
        node: the layer.
        weights: of the filters that tell something.
        mean: of their outputs less the bias.
        std: of their outputs.
    """
    if not isinstance(node.operator, Conv) or weights.shape[1] != 1 or not len(weights):
        return None
    source, shape = graph.values[node.inputs[0]].shape, graph.values[node.output].shape
    alike = _deviation(weights, std)[1]
    return input_profile(node.operator, weights, mean, std, alike, source, shape)


def _estimate(graph: Graph, node: Node) -> InputEstimate:
    weights, bias = _parameters(graph, node)
    moments = graph.moments[node.output]
    mean, std = moments.mean.array, moments.std.array
    alive = std > 1e-3 * np.median(std)  # a dead channel's moments say nothing of the input
    weights, bias, mean, std = weights[alive], bias[alive], mean[alive], std[alive]

    taps = weights.reshape(*weights.shape[:2], -1)  # [O, I, K]
    coverage = _coverage(graph, node) if isinstance(node.operator, Conv) else np.ones(1)
    by_channel = (taps * coverage).sum(axis=2)
    channels = taps.shape[1]
    if len(taps) < 2 * channels:  # too few equations to tell the channels apart
        by_channel = by_channel.sum(axis=1, keepdims=True)
    solution = np.linalg.lstsq(by_channel / std[:, None], (mean - bias) / std, rcond=1e-6)[0]
    deviation = _deviation(weights, std)[0]
    found, box = _range(solution, deviation)
    profile = None if box is not None else _profile(graph, node, weights, mean - bias, std)
    if profile is None:
        return InputEstimate(solution, deviation, found, box)
    overall, deviation = profile.overall
    return InputEstimate(np.array([overall]), deviation, profile_range(profile), None, profile)


def profile_range(profile: Profile) -> Range:
    """Return the range with the least squared error of all places together, at the usual bits.

    What makes other values' tails heavier than a normal distribution's, and their ranges DEVIATIONS wide, are for the most
    part deviations that differ: here they are known one by one.
    """
    low, high = best_cut(profile.mean, profile.std, MEASURED_BITS)
    return Range(low, high, BY_PLACE[profile.axis])


def _coverage(graph: Graph, node: Node) -> NDArray[np.float64]:
    """Return, for each tap of a convolution, the share of output positions at which it lies in the image: [K]."""
    operator = node.operator
    assert isinstance(operator, Conv)  # the caller asked
    kernel = graph.constants[node.inputs[1]].array.shape[2:]
    source, output = graph.values[node.inputs[0]].shape, graph.values[node.output].shape
    rows, columns = (
        tap_coverage(operator, axis, kernel[axis], source, output) for axis in (0, 1)
    )
    return np.outer(rows, columns).ravel()


def _deviation(weights: NDArray[np.float64], std: NDArray[np.float64]) -> tuple[float, float]:
    """Return the input's std: the one for which, over a grid of correlations, the outputs' variances fit best; and the misfit."""
    best = (np.inf, 1.0)
    if weights.ndim == 4:
        rows, columns = np.indices(weights.shape[2:]).reshape(2, -1)
        distance = np.hypot(rows[:, None] - rows, columns[:, None] - columns)
        taps = weights.reshape(*weights.shape[:2], -1)
    else:
        distance = 1.0 - np.eye(weights.shape[1])
        taps = weights[:, None, :]
    for neighbours in (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98):
        spatial = np.where(distance == 0, 1.0, neighbours**distance)
        own = np.einsum("oik,kl,oil->o", taps, spatial, taps)
        total = taps.sum(axis=1)
        all_channels = np.einsum("ok,kl,ol->o", total, spatial, total)
        for between in (0.0, 0.5, 0.8, 0.9, 0.95):
            variance = (1 - between) * own + between * all_channels
            usable = variance > 0
            if not usable.any():
                continue
            log_scale = np.log(std[usable]) - 0.5 * np.log(variance[usable])
            middle = float(np.median(log_scale))
            misfit = float(np.abs(log_scale - middle).mean())
            if misfit < best[0]:
                best = (misfit, float(np.exp(middle)))
    return best[1], best[0]


def _range(
    mean: NDArray[np.float64], std: float
) -> tuple[Range, tuple[NDArray[np.float64], NDArray[np.float64]] | None]:
    """Return the range and the box of the preprocessing that the statistics fit, or mean +- 5 std and no box.

    A box fits where photographs in it would have about this mean and this std; the nearest is taken.
    """
    fits: list[tuple[float, int]] = []
    for index, (_, black, white) in enumerate(PIXEL_BOXES):
        if len(black) not in (1, len(mean)):
            continue
        pixel_mean, pixel_std = (mean - black) / (white - black), std / (white - black)
        if (
            (pixel_mean >= PIXEL_MEAN_LIMITS[0]).all()
            and (pixel_mean <= PIXEL_MEAN_LIMITS[1]).all()
            and (pixel_std >= PIXEL_STD_LIMITS[0]).all()
            and (pixel_std <= PIXEL_STD_LIMITS[1]).all()
        ):
            distance = float(
                np.abs(pixel_mean - PIXEL_MEAN).max() / PIXEL_STD
                + np.abs(np.log(pixel_std / PIXEL_STD)).max()
            )
            fits.append((distance, index))
    if fits:
        name, black, white = PIXEL_BOXES[min(fits)[1]]
        source = f"first layer's moments: {name}"
        return Range(float(black.min()), float(white.max()), source), (black, white)
    reach = DEVIATIONS * std
    return Range(float((mean - reach).min()), float((mean + reach).max()), UNKNOWN_BOX), None
