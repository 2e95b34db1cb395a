"""Operators that reduce windows of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.operators.shapes import (
    Shape,
    known,
    require_arity,
    require_pads,
    require_positive,
    window_size,
)


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
        require_arity("GlobalAveragePool", inputs, 1)
        x = inputs[0]
        if len(x) != 4:
            raise InvalidGraph(f"GlobalAveragePool takes a 4-d input, not {x}")
        return (x[0], x[1], 1, 1)


def _pool_shape(
    name: str, inputs: Sequence[Shape], pool: AveragePool | MaxPool, dilations: tuple[int, int]
) -> Shape:
    require_arity(name, inputs, 1)
    x = inputs[0]
    if len(x) != 4:
        raise InvalidGraph(f"{name} takes a 4-d input, not {x}")
    require_positive(name, *pool.kernel_shape, *pool.strides, *dilations)
    top, left, bottom, right = require_pads(name, pool.pads)
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
