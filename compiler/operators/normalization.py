"""Operators that normalize by statistics of their input, found as they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.operators.shapes import Shape, normalize_axis, require_arity


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceNormalization:
    """scale * (x - mean) / sqrt(variance + epsilon) + shift over all axes after 1, of x [N, C, ...], scale and shift [C]."""

    epsilon: float = 1e-5

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        require_arity("InstanceNormalization", inputs, 3)
        x = inputs[0]
        if len(x) < 3 or any(shape != (x[1],) for shape in inputs[1:]):
            raise InvalidGraph(
                f"InstanceNormalization: parameters {inputs[1:]} do not fit input {x}"
            )
        return x


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNormalization:
    """scale * (x - mean) / sqrt(variance + epsilon) + shift over all axes from `axis` on, which is not the batch.

    Inputs x, scale and optionally shift; these two have the shape of the normalized axes.
    """

    axis: int = -1
    epsilon: float = 1e-5

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        require_arity("LayerNormalization", inputs, 2, 3)
        x = inputs[0]
        axis = normalize_axis(self.axis, len(x))
        if axis == 0 and x[0] is None:
            raise InvalidGraph("LayerNormalization over the free batch")
        if any(shape != x[axis:] for shape in inputs[1:]):
            raise InvalidGraph(
                f"LayerNormalization from axis {axis}: parameters {inputs[1:]} do not fit input {x}"
            )
        return x


@dataclass(frozen=True, slots=True, kw_only=True)
class LRN:
    """x / (bias + alpha / size * s)**beta, with s the sum of squares over `size` neighbouring channels (axis 1).

    They are those from floor((size - 1) / 2) before to ceil((size - 1) / 2) after, as far as there are.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        require_arity("LRN", inputs, 1)
        if self.size < 1 or len(inputs[0]) < 2:
            raise InvalidGraph(f"LRN over {self.size} channels of {inputs[0]}")
        return inputs[0]
