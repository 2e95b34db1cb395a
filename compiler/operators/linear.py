"""Operators with weights: convolution, matrix products and batch normalization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.operators.shapes import (
    Shape,
    broadcast,
    known,
    require_arity,
    require_pads,
    require_positive,
    window_size,
)


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
        require_arity("Conv", inputs, 2, 3)
        x, w = inputs[0], inputs[1]
        if len(x) != 4 or len(w) != 4:
            raise InvalidGraph(f"Conv takes a 4-d input and 4-d weights, not {x} and {w}")
        require_positive(
            "Conv", *self.strides, *self.dilations, self.groups, *(known(d) for d in w)
        )
        channels, outputs = known(x[1]), known(w[0])
        if channels != known(w[1]) * self.groups or outputs % self.groups:
            raise InvalidGraph(
                f"Conv: weights {w} in {self.groups} groups do not fit input {x}"
            )
        if len(inputs) == 3 and inputs[2] != (outputs,):
            raise InvalidGraph(f"Conv: a bias of shape {inputs[2]} for {outputs} channels")
        top, left, bottom, right = require_pads("Conv", self.pads)
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
class ConvTranspose:
    """Inputs x [N, C, H, W], w [C, O/groups, kh, kw] and optionally b [O]: the gradient of a Conv to its input.

    `pads` is (top, left, bottom, right), what is cut off the full result; `output_padding` are rows and columns more at
    its bottom and right.
    """

    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    output_padding: tuple[int, int] = (0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """[N, O, (H - 1) * stride + extent + output padding - pads, likewise W']."""
        require_arity("ConvTranspose", inputs, 2, 3)
        x, w = inputs[0], inputs[1]
        if len(x) != 4 or len(w) != 4:
            raise InvalidGraph(
                f"ConvTranspose takes a 4-d input and 4-d weights, not {x} and {w}"
            )
        require_positive(
            "ConvTranspose",
            *self.strides,
            *self.dilations,
            self.groups,
            *(known(d) for d in w),
        )
        if x[1] != w[0] or known(w[0]) % self.groups:
            raise InvalidGraph(
                f"ConvTranspose: weights {w} in {self.groups} groups do not fit input {x}"
            )
        outputs = known(w[1]) * self.groups
        if len(inputs) == 3 and inputs[2] != (outputs,):
            raise InvalidGraph(
                f"ConvTranspose: a bias of shape {inputs[2]} for {outputs} channels"
            )
        require_pads("ConvTranspose", self.pads)
        height, width = (
            (known(x[2 + axis]) - 1) * self.strides[axis]
            + self.dilations[axis] * (known(w[2 + axis]) - 1)
            + 1
            + self.output_padding[axis]
            - self.pads[axis]
            - self.pads[axis + 2]
            for axis in (0, 1)
        )
        if min(self.output_padding) < 0 or min(height, width) < 1:
            raise InvalidGraph(f"ConvTranspose: nothing is left of {x} with pads {self.pads}")
        return (x[0], outputs, height, width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemm:
    """y = x @ w.T + b with x [N, I], w [O, I] and optionally b [O]; alpha, beta, trans* are folded."""

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """[N, O]."""
        require_arity("Gemm", inputs, 2, 3)
        x, w = inputs[0], inputs[1]
        if len(x) != 2 or len(w) != 2 or x[1] != w[1]:
            raise InvalidGraph(f"Gemm: weights {w} do not fit input {x}")
        if len(inputs) == 3 and inputs[2] != (w[0],):
            raise InvalidGraph(f"Gemm: a bias of shape {inputs[2]} for {w[0]} outputs")
        return (x[0], known(w[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class MatMul:
    """y = x @ w, x [..., M, I] and w [..., I, O], whose leading axes broadcast.

    With a constant w [I, O] and an x of rank 2 it becomes Gemm.
    """

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """[..., M, O]."""
        require_arity("MatMul", inputs, 2)
        x, w = inputs
        if len(x) < 2 or len(w) < 2 or x[-1] != w[-2] or x[-1] is None:
            raise InvalidGraph(f"MatMul: {x} and {w} do not fit")
        shape = (*broadcast(x[:-2], w[:-2]), x[-2], known(w[-1]))
        if None in shape[1:]:
            raise InvalidGraph(f"MatMul of {x} and {w} moves the batch from axis 0")
        return shape


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNormalization:
    """Inputs x [N, C, ...], scale, shift, mean and variance, each [C]; inference form."""

    epsilon: float = 1e-5

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """As x."""
        require_arity("BatchNormalization", inputs, 5)
        x = inputs[0]
        if len(x) < 2 or any(shape != (x[1],) for shape in inputs[1:]):
            raise InvalidGraph(
                f"BatchNormalization: parameters {inputs[1:]} do not fit input {x}"
            )
        return x
