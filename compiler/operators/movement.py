"""Operators that move elements and leave their values alone."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.operators.shapes import Shape, known, normalize_axis, require_arity


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten:
    """[d0, ..., dn] to [prod(d[:axis]), prod(d[axis:])]; axis 1 keeps the batch."""

    axis: int = 1

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Two dimensions."""
        require_arity("Flatten", inputs, 1)
        x = inputs[0]
        axis = self.axis if self.axis == len(x) else normalize_axis(self.axis, len(x))
        if axis == 1:
            return (x[0], math.prod(known(d) for d in x[1:]))
        return (
            math.prod(known(d) for d in x[:axis]),
            math.prod(known(d) for d in x[axis:]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshape:
    """To `shape`, in row-major order; 0 copies the input's dimension, one -1 is computed."""

    shape: tuple[int, ...]

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape, with 0 and -1 resolved; a free batch stays free."""
        require_arity("Reshape", inputs, 1)
        x = inputs[0]
        if any(d < -1 for d in self.shape) or self.shape.count(-1) > 1:
            raise InvalidGraph(f"Reshape: impossible shape {self.shape}")
        if any(d == 0 and i >= len(x) for i, d in enumerate(self.shape)):
            raise InvalidGraph(
                f"Reshape: {self.shape} copies a dimension that {x} does not have"
            )
        target: list[int | None] = [x[i] if d == 0 else d for i, d in enumerate(self.shape)]
        free = x[0] is None if x else False
        if free and target and target[0] is not None:
            # The batch is free: it must be what the leading dimension stands for.
            rest = math.prod(known(d) for d in target[1:])
            if target[0] != -1 or rest != math.prod(known(d) for d in x[1:]):
                raise InvalidGraph(
                    f"Reshape of {x} to {self.shape} does not keep the batch apart"
                )
            return (None, *target[1:])
        source = x[1:] if free else x
        wanted = target[1:] if free else target
        size = math.prod(known(d) for d in source)
        fixed = math.prod(known(d) for d in wanted if d != -1)
        if -1 in wanted and fixed > 0 and size % fixed == 0:
            wanted = [size // fixed if d == -1 else d for d in wanted]
        elif -1 in wanted or fixed != size:
            raise InvalidGraph(f"Reshape: {x} has not the elements of {self.shape}")
        return (None, *wanted) if free else tuple(wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat:
    """Joins its inputs along one axis other than the batch; one of batch 1 is repeated for each sample of a free batch."""

    axis: int = 1

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The common shape, with the axis summed."""
        if not inputs:
            raise InvalidGraph("Concat takes at least one input")
        axis = normalize_axis(self.axis, len(inputs[0]))
        if axis and any(shape[:1] == (None,) for shape in inputs):
            inputs = [(None, *shape[1:]) if shape[:1] == (1,) else shape for shape in inputs]
        first = inputs[0]
        for shape in inputs[1:]:
            if len(shape) != len(first) or any(
                a != b for i, (a, b) in enumerate(zip(first, shape, strict=True)) if i != axis
            ):
                raise InvalidGraph(f"Concat: {first} and {shape} differ off axis {axis}")
        total = sum(known(shape[axis]) for shape in inputs)
        return (*first[:axis], total, *first[axis + 1 :])


class PadMode(enum.Enum):
    """Where padding comes from: ONNX's `mode`."""

    CONSTANT = "constant"
    REFLECT = "reflect"  # elements in reverse order, without the one at the edge
    EDGE = "edge"  # the element at the edge, again and again
    WRAP = "wrap"  # elements from the other end


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad:
    """Padding; `pads` is (begin of each axis..., end of each axis...), none negative.

    Attributes:
        pads: how many elements.
        value: which, in mode CONSTANT.
        mode: where the elements come from.
    """

    pads: tuple[int, ...]
    value: float = 0.0
    mode: PadMode = PadMode.CONSTANT

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Each dimension plus its pads."""
        require_arity("Pad", inputs, 1)
        x = inputs[0]
        rank = len(x)
        if len(self.pads) != 2 * rank or any(p < 0 for p in self.pads):
            raise InvalidGraph(f"Pad: pads {self.pads} do not fit a tensor of rank {rank}")
        if self.mode in (PadMode.REFLECT, PadMode.WRAP):
            spare = (
                1 if self.mode is PadMode.REFLECT else 0
            )  # the element at the edge is not repeated
            for d, begin, end in zip(x, self.pads[:rank], self.pads[rank:], strict=True):
                if max(begin, end) > 0 and max(begin, end) > known(d) - spare:
                    raise InvalidGraph(
                        f"Pad: {x} has too few elements to {self.mode.value} {self.pads}"
                    )
        return tuple(
            d if begin == end == 0 else known(d) + begin + end
            for d, begin, end in zip(x, self.pads[:rank], self.pads[rank:], strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """x[..., start:end:step, ...] along the given axes, with Python's (and ONNX's) clamping."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    axes: tuple[int, ...]
    steps: tuple[int, ...]

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The sliced shape."""
        require_arity("Slice", inputs, 1)
        shape = list(inputs[0])
        if not len(self.starts) == len(self.ends) == len(self.axes) == len(self.steps):
            raise InvalidGraph("Slice: starts, ends, axes and steps differ in length")
        for axis, selection in self.selections(len(shape)).items():
            size = len(range(*selection.indices(known(shape[axis]))))
            if size == 0:
                raise InvalidGraph(f"Slice: nothing is left of axis {axis}")
            shape[axis] = size
        return tuple(shape)

    def selections(self, rank: int) -> dict[int, slice]:
        """Return the Python slice of each sliced axis."""
        if any(step == 0 for step in self.steps):
            raise InvalidGraph("Slice: a step of 0")
        return {
            normalize_axis(axis, rank): slice(
                start, None if step < 0 and end < -(1 << 31) else end, step
            )
            for axis, start, end, step in zip(
                self.axes, self.starts, self.ends, self.steps, strict=True
            )
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """Chosen elements along one axis, in any order and number.

    Attributes:
        axis: along which they are chosen; not the free batch.
        indices: of each, in [0, size).
    """

    axis: int
    indices: tuple[int, ...]

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The shape with one element for each index."""
        require_arity("Gather", inputs, 1)
        x = inputs[0]
        axis = normalize_axis(self.axis, len(x))
        size = known(x[axis])
        if not self.indices or min(self.indices) < 0 or max(self.indices) >= size:
            raise InvalidGraph(f"Gather: indices outside axis {axis} of {x}")
        return (*x[:axis], len(self.indices), *x[axis + 1 :])
