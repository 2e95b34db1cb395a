"""Resize: which elements of its input an output element is made of, and how much of each."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.operators.shapes import Shape, known, require_arity, require_positive


class Interpolation(enum.Enum):
    """How values between elements are found: ONNX's `mode`."""

    NEAREST = "nearest"
    LINEAR = "linear"
    CUBIC = "cubic"


class Coordinates(enum.Enum):
    """Where an output element lies in the input: ONNX's `coordinate_transformation_mode`."""

    ASYMMETRIC = "asymmetric"
    HALF_PIXEL = "half_pixel"
    HALF_PIXEL_SYMMETRIC = "half_pixel_symmetric"
    PYTORCH_HALF_PIXEL = "pytorch_half_pixel"
    ALIGN_CORNERS = "align_corners"
    TF_HALF_PIXEL_FOR_NN = "tf_half_pixel_for_nn"
    TF_CROP_AND_RESIZE = "tf_crop_and_resize"


class NearestRule(enum.Enum):
    """Which element is the nearest: ONNX's `nearest_mode`."""

    ROUND_PREFER_FLOOR = "round_prefer_floor"
    ROUND_PREFER_CEIL = "round_prefer_ceil"
    FLOOR = "floor"
    CEIL = "ceil"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """Resamples [N, C, ...] along each spatial axis on its own.

    Attributes:
        sizes: of the output's spatial axes.
        scales: output size over input size of each, as the file has it: float32, and not always the exact quotient.
        interpolation: nearest, linear or cubic.
        coordinates: where an output element lies in the input.
        nearest: the rule of nearest.
        cubic_coefficient: a of the cubic kernel.
        exclude_outside: whether weights of elements beyond the input are 0, and the rest scaled to a sum of 1.
        starts: of the region that TF_CROP_AND_RESIZE takes, as a fraction of each axis.
        ends: of the region, likewise.
        extrapolation: what TF_CROP_AND_RESIZE gives beyond the input.

    Source: ONNX Resize-19 and its reference implementation (onnx/reference/ops/op_resize.py); onnxruntime.
    """

    sizes: tuple[int, ...]
    scales: tuple[float, ...]
    interpolation: Interpolation = Interpolation.NEAREST
    coordinates: Coordinates = Coordinates.HALF_PIXEL
    nearest: NearestRule = NearestRule.ROUND_PREFER_FLOOR
    cubic_coefficient: float = -0.75
    exclude_outside: bool = False
    starts: tuple[float, ...] = ()
    ends: tuple[float, ...] = ()
    extrapolation: float = 0.0

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """[N, C, *sizes]."""
        require_arity("Resize", inputs, 1)
        x = inputs[0]
        if len(x) < 3 or not len(self.sizes) == len(self.scales) == len(x) - 2:
            raise InvalidGraph(f"Resize: sizes {self.sizes} do not fit an input {x}")
        require_positive("Resize", *self.sizes)
        if not all(math.isfinite(scale) and scale > 0 for scale in self.scales):
            raise InvalidGraph(f"Resize: impossible scales {self.scales}")
        cropped = self.coordinates is Coordinates.TF_CROP_AND_RESIZE
        if cropped and not len(self.starts) == len(self.ends) == len(self.sizes):
            raise InvalidGraph(
                "Resize: tf_crop_and_resize needs a region of every spatial axis"
            )
        for size in x[2:]:
            known(size)
        return (*x[:2], *self.sizes)

    def positions(self, axis: int, size: int) -> NDArray[np.float64]:
        """Return where output elements lie along a spatial axis of `size` input elements: [sizes[axis]].

        onnxruntime computes them in float32, and so does this but for one form: ties of nearest hang on it.
        """
        out, scale = self.sizes[axis], np.float32(self.scales[axis])
        x = np.arange(out).astype(np.float32)
        half = np.float32(0.5)
        match self.coordinates:
            case Coordinates.ASYMMETRIC:
                found = x / scale
            case Coordinates.HALF_PIXEL:
                found = (x + half) / scale - half
            case Coordinates.HALF_PIXEL_SYMMETRIC:
                # ONNX's size/2 (1 - out/(scale size)) + (x + 1/2)/scale - 1/2, put so that the middle of the output is that
                # of the input, exactly: as float32 has it there, versions of onnxruntime differ by the last bit.
                middle = (np.arange(out) - (out - 1) / 2) / float(scale)
                found = ((size - 1) / 2 + middle).astype(np.float32)
            case Coordinates.PYTORCH_HALF_PIXEL:
                found = (x + half) / scale - half if out > 1 else np.zeros(1, np.float32)
            case Coordinates.ALIGN_CORNERS:
                found = x * np.float32(size - 1) / np.float32(out - 1) if out > 1 else x * 0
            case Coordinates.TF_HALF_PIXEL_FOR_NN:
                found = (x + half) / scale
            case Coordinates.TF_CROP_AND_RESIZE:
                start, end = np.float32(self.starts[axis]), np.float32(self.ends[axis])
                last = np.float32(size - 1)
                if out > 1:
                    found = start * last + x * (end - start) * last / np.float32(out - 1)
                else:
                    found = np.full(1, half * (start + end) * last, np.float32)
        return np.asarray(found, np.float64)

    def taps(self, axis: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return what output elements are made of along a spatial axis of `size` input elements.

        Returns:
            Indices of input elements, each in [0, size), and their weights: both [sizes[axis], taps].
        """
        positions = self.positions(axis, size)
        if self.interpolation is Interpolation.NEAREST:
            indices = _nearest(positions, self.nearest)[:, None]
            return np.clip(indices, 0, size - 1), np.ones(indices.shape)
        if self.interpolation is Interpolation.LINEAR:
            positions = np.clip(positions, 0, size - 1)
            first = np.floor(positions).astype(np.int64)
            fraction = positions - first
            indices = np.stack([first, first + 1], axis=1)
            weights = np.stack([1 - fraction, fraction], axis=1)
        else:
            first = np.floor(positions).astype(np.int64)
            indices = first[:, None] + np.arange(-1, 3)
            weights = _cubic(positions[:, None] - indices, self.cubic_coefficient)
            if self.exclude_outside:
                weights = np.where((indices >= 0) & (indices < size), weights, 0.0)
                weights = weights / weights.sum(axis=1, keepdims=True)
        return np.clip(indices, 0, size - 1), weights

    def outside(self, axis: int, size: int) -> NDArray[np.bool_]:
        """Return which output positions of a spatial axis TF_CROP_AND_RESIZE takes from beyond the input."""
        positions = self.positions(axis, size)
        if self.coordinates is not Coordinates.TF_CROP_AND_RESIZE:
            return np.zeros(positions.shape, np.bool_)
        return (positions < 0) | (positions > size - 1)


def _nearest(positions: NDArray[np.float64], rule: NearestRule) -> NDArray[np.int64]:
    match rule:
        case NearestRule.ROUND_PREFER_FLOOR:
            found = np.ceil(positions - 0.5)
        case NearestRule.ROUND_PREFER_CEIL:
            found = np.floor(positions + 0.5)
        case NearestRule.FLOOR:
            found = np.floor(positions)
        case NearestRule.CEIL:
            found = np.ceil(positions)
    return found.astype(np.int64)


def _cubic(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """Return the weight of an element at a distance. Source: Keys 1981, equation (15), with a for -1/2."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
