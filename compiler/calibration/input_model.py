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

from intlower.compiler.calibration.ranges import Range
from intlower.compiler.graph import Graph, Node
from intlower.compiler.moment_rules import tap_coverage
from intlower.compiler.operators import Conv, Gemm

# What photographs look like between black (0) and white (1): mean and std of pixels, and how far a data set may stray.
PIXEL_MEAN, PIXEL_STD = 0.46, 0.26
PIXEL_MEAN_LIMITS = (0.25, 0.70)
PIXEL_STD_LIMITS = (0.15, 0.38)

# A range of inputs that are no pixels, in standard deviations, and what such a range is said to come from.
DEVIATIONS = 5.0
UNKNOWN_BOX = "first layer's moments"

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
    """

    mean: NDArray[np.float64]
    std: float
    range: Range
    box: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

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
    for node in graph.nodes:
        constant = all(parameter in graph.constants for parameter in node.inputs[1:])
        if name not in node.inputs[:1] or node.output not in graph.moments or not constant:
            continue
        if not graph.moments[node.output].std.array.any():  # every channel is dead
            continue
        if isinstance(node.operator, Gemm) or (
            isinstance(node.operator, Conv) and node.operator.groups == 1
        ):
            return _estimate(graph, node)
    return None


def _estimate(graph: Graph, node: Node) -> InputEstimate:
    weights = graph.constants[node.inputs[1]].array.astype(np.float64)
    bias = (
        graph.constants[node.inputs[2]].array.astype(np.float64)
        if len(node.inputs) == 3
        else np.zeros(len(weights))
    )
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
    deviation = _deviation(weights, std)
    return InputEstimate(solution, deviation, *_range(solution, deviation))


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


def _deviation(weights: NDArray[np.float64], std: NDArray[np.float64]) -> float:
    """Return the input's std: the one for which, over a grid of correlations, the outputs' variances fit best."""
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
    return best[1]


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
