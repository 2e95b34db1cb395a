"""Operators that reduce whole axes."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.operators.shapes import Shape, normalize_axis, require_arity


class Reduction(enum.Enum):
    """What becomes of the elements along the reduced axes; the value is ONNX's name of the operator."""

    MEAN = "ReduceMean"
    SUM = "ReduceSum"
    MAX = "ReduceMax"
    MIN = "ReduceMin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduce:
    """A reduction of some axes, which stay with size 1; never of a free batch.

    The importer makes GlobalAveragePool, AveragePool and MaxPool of those over an image's height and width.
    """

    reduction: Reduction
    axes: tuple[int, ...]

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape, 1 along the reduced axes."""
        require_arity(self.reduction.value, inputs, 1)
        x = inputs[0]
        axes = {normalize_axis(axis, len(x)) for axis in self.axes}
        if len(axes) != len(self.axes):
            raise InvalidGraph(f"{self.reduction.value}: axes {self.axes} repeat")
        if 0 in axes and x[0] is None:
            raise InvalidGraph(f"{self.reduction.value} over the free batch")
        return tuple(1 if axis in axes else size for axis, size in enumerate(x))
