"""What moves elements: padding, slices, joins, blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional

from intlower.compiler.operators import Concat, DepthToSpace, Pad, PadMode, Slice, SpaceToDepth


def pad(operator: Pad, x: torch.Tensor) -> torch.Tensor:
    """Return x padded."""
    begins, ends = operator.pads[: x.dim()], operator.pads[x.dim() :]
    if operator.mode is PadMode.CONSTANT:
        pads = [
            pad for pair in zip(reversed(begins), reversed(ends), strict=True) for pad in pair
        ]
        return functional.pad(x, pads, value=operator.value)
    for axis, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        if begin or end:
            x = x.index_select(axis, _padded_indices(operator.mode, x.shape[axis], begin, end))
    return x


def _padded_indices(mode: PadMode, size: int, begin: int, end: int) -> torch.Tensor:
    """Return which element of an axis stands at each position of the padded axis."""
    positions = torch.arange(-begin, size + end)
    if mode is PadMode.EDGE:
        return positions.clamp(0, size - 1)
    if mode is PadMode.WRAP:
        return positions % size
    return size - 1 - (size - 1 - positions.abs()).abs()


def concat(operator: Concat, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the inputs joined, those of batch 1 repeated."""
    batch = max(x.shape[0] for x in inputs)
    repeated = [
        x.expand(batch, *x.shape[1:]) if operator.axis % x.dim() and x.shape[0] == 1 else x
        for x in inputs
    ]
    return torch.cat(repeated, operator.axis)


def slice_(operator: Slice, x: torch.Tensor) -> torch.Tensor:
    """Return the slice."""
    for axis, selection in operator.selections(x.dim()).items():
        indices = range(*selection.indices(x.shape[axis]))
        x = x.index_select(axis, torch.tensor(indices))
    return x


def depth_to_space(operator: DepthToSpace, x: torch.Tensor) -> torch.Tensor:
    """Return channels spread over blocks."""
    if operator.channels_first:
        return functional.pixel_shuffle(x, operator.block)
    n, c, h, w = x.shape
    b = operator.block
    blocks = x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return blocks.reshape(n, c // b**2, h * b, w * b)


def space_to_depth(operator: SpaceToDepth, x: torch.Tensor) -> torch.Tensor:
    """Return blocks gathered as channels."""
    if operator.channels_first:
        return functional.pixel_unshuffle(x, operator.block)
    n, c, h, w = x.shape
    b = operator.block
    blocks = x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
    return blocks.reshape(n, c * b**2, h // b, w // b)
