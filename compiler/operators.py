"""The operators of the float graph: typed attributes and shape rules. Their meaning is in `evaluate.py`.

Names, attributes and layouts are ONNX's (activations NCHW, weights OIHW), with what exporters vary made canonical by the
importer: explicit pads, no auto_pad, attributes and constant inputs alike as fields. A shape's axis 0 is None where the
batch is free; every other dimension is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.errors import InvalidGraph

Shape = tuple[int | None, ...]


class Operator(Protocol):
    """What every operator gives: the shape of its output from those of its inputs."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the output's shape; raise InvalidGraph where the inputs do not fit."""
        ...


def _arity(name: str, inputs: Sequence[Shape], *allowed: int) -> None:
    if len(inputs) not in allowed:
        raise InvalidGraph(
            f"{name} takes {' or '.join(map(str, allowed))} inputs, not {len(inputs)}"
        )


def known(dimension: int | None) -> int:
    """Return a dimension that must not be the free batch."""
    if dimension is None:
        raise InvalidGraph("the batch dimension cannot take part in this operator")
    return dimension


def normalize_axis(axis: int, rank: int) -> int:
    """Return an axis counted from the front.

    >>> normalize_axis(-1, 4)
    3
    """
    if not -rank <= axis < rank:
        raise InvalidGraph(f"axis {axis} is outside a tensor of rank {rank}")
    return axis % rank


def window_size(
    size: int, kernel: int, stride: int, begin: int, end: int, dilation: int, ceil_mode: bool
) -> int:
    """Return how many windows fit along one axis (ONNX Conv and pooling).

    With `ceil_mode` a last window may hang over the end, but must start inside the input or its
    begin padding (the rule of ONNX opset 19 and of PyTorch).

    >>> window_size(5, 2, 2, 0, 0, 1, False), window_size(5, 2, 2, 0, 0, 1, True)
    (2, 3)
    """
    extent = dilation * (kernel - 1) + 1
    room = size + begin + end - extent
    if room < 0:
        raise InvalidGraph(
            f"a window of extent {extent} does not fit into {size}+{begin}+{end}"
        )
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + begin else count


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv:
    """Inputs x [N, C, H, W], w [O, C/groups, kh, kw] and optionally b [O].

    `pads` is (top, left, bottom, right).
    """

    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """[N, O, H', W']."""
        _arity("Conv", inputs, 2, 3)
        x, w = inputs[0], inputs[1]
        if len(x) != 4 or len(w) != 4:
            raise InvalidGraph(f"Conv takes a 4-d input and 4-d weights, not {x} and {w}")
        _positive("Conv", *self.strides, *self.dilations, self.groups, *(known(d) for d in w))
        channels, outputs = known(x[1]), known(w[0])
        if channels != known(w[1]) * self.groups or outputs % self.groups:
            raise InvalidGraph(
                f"Conv: weights {w} in {self.groups} groups do not fit input {x}"
            )
        if len(inputs) == 3 and inputs[2] != (outputs,):
            raise InvalidGraph(f"Conv: a bias of shape {inputs[2]} for {outputs} channels")
        top, left, bottom, right = _pads("Conv", self.pads)
        kernel = (known(w[2]), known(w[3]))
        return (
            x[0],
            outputs,
            window_size(
                known(x[2]), kernel[0], self.strides[0], top, bottom, self.dilations[0], False
            ),
            window_size(
                known(x[3]), kernel[1], self.strides[1], left, right, self.dilations[1], False
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemm:
    """y = x @ w.T + b with x [N, I], w [O, I] and optionally b [O]; alpha, beta, trans* are folded."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """[N, O]."""
        _arity("Gemm", inputs, 2, 3)
        x, w = inputs[0], inputs[1]
        if len(x) != 2 or len(w) != 2 or x[1] != w[1]:
            raise InvalidGraph(f"Gemm: weights {w} do not fit input {x}")
        if len(inputs) == 3 and inputs[2] != (w[0],):
            raise InvalidGraph(f"Gemm: a bias of shape {inputs[2]} for {w[0]} outputs")
        return (x[0], known(w[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class MatMul:
    """y = x @ w with a constant w [I, O]; becomes Gemm where x has rank 2."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """[..., O]."""
        _arity("MatMul", inputs, 2)
        x, w = inputs
        if len(x) < 2 or len(w) != 2 or x[-1] != w[0]:
            raise InvalidGraph(f"MatMul: {x} and {w} do not fit")
        return (*x[:-1], known(w[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNormalization:
    """Inputs x [N, C, ...], scale, shift, mean and variance, each [C]; inference form."""

    epsilon: float = 1e-5

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        _arity("BatchNormalization", inputs, 5)
        x = inputs[0]
        if len(x) < 2 or any(shape != (x[1],) for shape in inputs[1:]):
            raise InvalidGraph(
                f"BatchNormalization: parameters {inputs[1:]} do not fit input {x}"
            )
        return x


@dataclass(frozen=True, slots=True, kw_only=True)
class Relu:
    """max(x, 0)."""

    minimum: float = 0.0
    maximum: float = math.inf

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        _arity("Relu", inputs, 1)
        return inputs[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """min(max(x, minimum), maximum)."""

    minimum: float = -math.inf
    maximum: float = math.inf

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        _arity("Clip", inputs, 1)
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
class Add:
    """a + b, with ONNX broadcasting between a value and a constant."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The broadcast shape."""
        _arity("Add", inputs, 2)
        return broadcast(*inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePool:
    """Mean over windows of [N, C, H, W]; padding is counted only with `count_include_pad`."""

    kernel_shape: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    ceil_mode: bool = False
    count_include_pad: bool = False

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """[N, C, H', W']."""
        return _pool_shape("AveragePool", inputs, self, (1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPool:
    """Maximum over windows of [N, C, H, W]; padding never wins."""

    kernel_shape: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    ceil_mode: bool = False

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """[N, C, H', W']."""
        return _pool_shape("MaxPool", inputs, self, self.dilations)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalAveragePool:
    """Mean over H and W."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """[N, C, 1, 1]."""
        _arity("GlobalAveragePool", inputs, 1)
        x = inputs[0]
        if len(x) != 4:
            raise InvalidGraph(f"GlobalAveragePool takes a 4-d input, not {x}")
        return (x[0], x[1], 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten:
    """[d0, ..., dn] to [prod(d[:axis]), prod(d[axis:])]; axis 1 keeps the batch."""

    axis: int = 1

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Two dimensions."""
        _arity("Flatten", inputs, 1)
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
        _arity("Reshape", inputs, 1)
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
class Softmax:
    """exp(x) / sum(exp(x)) along one axis."""

    axis: int = -1

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        _arity("Softmax", inputs, 1)
        normalize_axis(self.axis, len(inputs[0]))
        return inputs[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat:
    """Joins its inputs along one axis other than the batch."""

    axis: int = 1

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The common shape, with the axis summed."""
        if not inputs:
            raise InvalidGraph("Concat takes at least one input")
        axis = normalize_axis(self.axis, len(inputs[0]))
        first = inputs[0]
        for shape in inputs[1:]:
            if len(shape) != len(first) or any(
                a != b for i, (a, b) in enumerate(zip(first, shape, strict=True)) if i != axis
            ):
                raise InvalidGraph(f"Concat: {first} and {shape} differ off axis {axis}")
        total = sum(known(shape[axis]) for shape in inputs)
        return (*first[:axis], total, *first[axis + 1 :])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad:
    """Constant padding; `pads` is (begin of each axis..., end of each axis...), none negative."""

    pads: tuple[int, ...]
    value: float = 0.0

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Each dimension plus its pads."""
        _arity("Pad", inputs, 1)
        x = inputs[0]
        rank = len(x)
        if len(self.pads) != 2 * rank or any(p < 0 for p in self.pads):
            raise InvalidGraph(f"Pad: pads {self.pads} do not fit a tensor of rank {rank}")
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
        _arity("Slice", inputs, 1)
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
class Identity:
    """x itself (also what Dropout is at inference)."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        _arity("Identity", inputs, 1)
        return inputs[0]


AnyOperator = (
    Conv
    | Gemm
    | MatMul
    | BatchNormalization
    | Relu
    | Clip
    | Add
    | AveragePool
    | MaxPool
    | GlobalAveragePool
    | Flatten
    | Reshape
    | Softmax
    | Concat
    | Pad
    | Slice
    | Identity
)


def broadcast(a: Shape, b: Shape) -> Shape:
    """Return the common shape of two operands; a free batch only meets itself or 1.

    >>> broadcast((None, 8, 4, 4), (8, 1, 1))
    (None, 8, 4, 4)
    """
    rank = max(len(a), len(b))
    result: list[int | None] = []
    for left, right in zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True):
        if left == right or right == 1:
            result.append(left)
        elif left == 1:
            result.append(right)
        else:
            raise InvalidGraph(f"shapes {a} and {b} do not broadcast")
    if None in result[1:]:
        raise InvalidGraph(f"broadcasting {a} and {b} moves the batch from axis 0")
    return tuple(result)


def _positive(name: str, *numbers: int) -> None:
    if any(number < 1 for number in numbers):
        raise InvalidGraph(f"{name}: sizes, strides, dilations and groups must be positive")


def _pads(name: str, pads: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    if any(pad < 0 for pad in pads):
        raise InvalidGraph(f"{name}: negative pads {pads}")
    return pads


def _pool_shape(
    name: str, inputs: Sequence[Shape], pool: AveragePool | MaxPool, dilations: tuple[int, int]
) -> Shape:
    _arity(name, inputs, 1)
    x = inputs[0]
    if len(x) != 4:
        raise InvalidGraph(f"{name} takes a 4-d input, not {x}")
    _positive(name, *pool.kernel_shape, *pool.strides, *dilations)
    top, left, bottom, right = _pads(name, pool.pads)
    kernel, strides = pool.kernel_shape, pool.strides
    if (
        max(top, bottom) >= kernel[0] * dilations[0]
        or max(left, right) >= kernel[1] * dilations[1]
    ):
        raise InvalidGraph(f"{name}: pads {pool.pads} are not smaller than the window {kernel}")
    return (
        x[0],
        x[1],
        window_size(
            known(x[2]), kernel[0], strides[0], top, bottom, dilations[0], pool.ceil_mode
        ),
        window_size(
            known(x[3]), kernel[1], strides[1], left, right, dilations[1], pool.ceil_mode
        ),
    )
