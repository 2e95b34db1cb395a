"""Operators that move elements between channels and positions, or change the order of axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.operators.shapes import Shape, known, require_arity, require_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Transpose:
    """Output axis i is input axis permutation[i]; a free batch stays at axis 0."""

    permutation: tuple[int, ...]

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The permuted shape."""
        require_arity("Transpose", inputs, 1)
        x = inputs[0]
        if sorted(self.permutation) != list(range(len(x))):
            raise InvalidGraph(
                f"Transpose: {self.permutation} does not permute the axes of {x}"
            )
        shape = tuple(x[axis] for axis in self.permutation)
        if None in shape[1:]:
            raise InvalidGraph(
                f"Transpose: {self.permutation} moves the free batch from axis 0",
                "give the input a fixed batch with `--shape`",
            )
        return shape


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthToSpace:
    """[N, C * b * b, H, W] to [N, C, H * b, W * b], for blocks of size b.

    Attributes:
        block: b.
        channels_first: whether input channels are ordered (C, b, b), as PixelShuffle's and ONNX's CRD, instead of
            (b, b, C), ONNX's DCR.
    """

    block: int
    channels_first: bool = False

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """[N, C, H * b, W * b]."""
        require_arity("DepthToSpace", inputs, 1)
        x = inputs[0]
        require_positive("DepthToSpace", self.block)
        if len(x) != 4 or known(x[1]) % self.block**2:
            raise InvalidGraph(f"DepthToSpace: {x} has no blocks of {self.block}")
        return (
            x[0],
            known(x[1]) // self.block**2,
            known(x[2]) * self.block,
            known(x[3]) * self.block,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceToDepth:
    """[N, C, H * b, W * b] to [N, b * b * C, H, W], for blocks of size b.

    Attributes:
        block: b.
        channels_first: whether output channels are ordered (C, b, b), as PixelUnshuffle's, instead of (b, b, C).
    """

    block: int
    channels_first: bool = False

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """[N, b * b * C, H, W]."""
        require_arity("SpaceToDepth", inputs, 1)
        x = inputs[0]
        require_positive("SpaceToDepth", self.block)
        if len(x) != 4 or known(x[2]) % self.block or known(x[3]) % self.block:
            raise InvalidGraph(f"SpaceToDepth: {x} is not made of blocks of {self.block}")
        return (
            x[0],
            known(x[1]) * self.block**2,
            known(x[2]) // self.block,
            known(x[3]) // self.block,
        )
