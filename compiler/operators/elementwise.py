"""Operators that keep the shape of their input, and the activations among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.errors import InvalidGraph
from intlower.compiler.operators.shapes import Shape, normalize_axis, require_arity


@dataclass(frozen=True, slots=True, kw_only=True)
class Relu:
    """max(x, 0)."""

    minimum: ClassVar[float] = 0.0
    maximum: ClassVar[float] = math.inf

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        require_arity("Relu", inputs, 1)
        return inputs[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """min(max(x, minimum), maximum)."""

    minimum: float = -math.inf
    maximum: float = math.inf

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        require_arity("Clip", inputs, 1)
        if not self.minimum <= self.maximum:
            raise InvalidGraph(
                f"Clip: bounds {self.minimum} and {self.maximum} are not ordered"
            )
        return inputs[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelClip:
    """Clip with bounds of its own for each channel (axis 1): what equalization makes of Relu6.

    Only ever a node's activation: ONNX has no such operator. `minimum` and `maximum` are float64 [C].
    """

    minimum: Constant
    maximum: Constant

    def __post_init__(self) -> None:
        low, high = self.minimum.array, self.maximum.array
        if low.ndim != 1 or low.shape != high.shape or not (low <= high).all():
            raise InvalidGraph(
                f"ChannelClip: bounds {self.minimum!r} and {self.maximum!r} do not fit"
            )


Activation = Relu | Clip | ChannelClip

# A number for all channels, or float64 [C].
Bound = float | NDArray[np.float64]


def activation_bounds(activation: Activation | None) -> tuple[Bound, Bound]:
    """Return the least and the greatest value that an activation lets through; infinite where there is none."""
    match activation:
        case None:
            return -math.inf, math.inf
        case ChannelClip():
            return activation.minimum.array, activation.maximum.array
        case Relu() | Clip():
            return activation.minimum, activation.maximum


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax:
    """exp(x) / sum(exp(x)) along one axis."""

    axis: int = -1

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        require_arity("Softmax", inputs, 1)
        normalize_axis(self.axis, len(inputs[0]))
        return inputs[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """x itself (also what Dropout is at inference)."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        require_arity("Identity", inputs, 1)
        return inputs[0]
