"""Where tensors lie in memory: strides inside a tensor, offsets of tensors in one arena."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64  # bytes: a cache line, and the widest vector

Sizes = tuple[int, ...]


def row_major_strides(sizes: Sizes) -> Sizes:
    """Return the strides, in elements, of the last dimension running fastest.

    >>> row_major_strides((3, 4, 5))
    (20, 5, 1)
    """
    return tuple(math.prod(sizes[i + 1 :]) for i in range(len(sizes)))


def inner_strides(sizes: Sizes) -> Sizes:
    """Return the strides of one sample inside the engine: [C, H, W] lies as [H, W, C].

    >>> inner_strides((3, 4, 5)), inner_strides((7, 2))
    ((1, 15, 3), (2, 1))
    """
    if len(sizes) != 3:
        return row_major_strides(sizes)
    channels, _, width = sizes
    return (1, width * channels, channels)


def same_order(sizes: Sizes, left: Sizes, right: Sizes) -> bool:
    """Return whether two stridings visit memory alike (dimensions of size 1 do not matter).

    >>> same_order((3, 1, 1), inner_strides((3, 1, 1)), row_major_strides((3, 1, 1)))
    True
    """
    return all(a == b for size, a, b in zip(sizes, left, right, strict=True) if size > 1)


def merged_loops(
    sizes: Sizes, inputs: Sizes, outputs: Sizes
) -> tuple[tuple[int, int, int], ...]:
    """Return the fewest loops (size, input stride, output stride) that copy between two stridings.

    The loop that is contiguous in the output comes last where there is one.

    >>> merged_loops((3, 4, 5), (20, 5, 1), (20, 5, 1))
    ((60, 1, 1),)
    """
    loops = [loop for loop in zip(sizes, inputs, outputs, strict=True) if loop[0] > 1] or [
        (1, 1, 1)
    ]
    loops.sort(key=lambda loop: -abs(loop[2]))
    merged = [loops[0]]
    for size, source, target in loops[1:]:
        outer = merged[-1]
        if outer[1] == size * source and outer[2] == size * target:
            merged[-1] = (outer[0] * size, source, target)
        else:
            merged.append((size, source, target))
    return tuple(merged)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """When a buffer is in use, and its size.

    Attributes:
        size: in bytes.
        first: index of the step that writes it first.
        last: index of the last step that reads or writes it.
    """

    size: int
    first: int
    last: int


def aligned(size: int) -> int:
    """Return a size rounded up to the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def place(lifetimes: Sequence[Lifetime]) -> tuple[tuple[int, ...], int]:
    """Return each buffer's offset in an arena, and the arena's size.

    Buffers that are never in use together may share bytes. The largest are placed first, each at the lowest offset
    where it fits: "greedy by size", Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference,
    arXiv:2001.03288.

    >>> a, b, c = (Lifetime(size=64, first=i, last=i + 1) for i in range(3))
    >>> place([a, b, c])
    ((0, 64, 0), 128)
    """
    offsets: dict[int, int] = {}
    for index in sorted(range(len(lifetimes)), key=lambda i: (-lifetimes[i].size, i)):
        buffer = lifetimes[index]
        offset = 0
        for start, end in sorted(
            (offsets[i], offsets[i] + aligned(lifetimes[i].size))
            for i in offsets
            if lifetimes[i].first <= buffer.last and buffer.first <= lifetimes[i].last
        ):
            if offset + buffer.size <= start:
                break
            offset = max(offset, end)
        offsets[index] = offset
    ends = [offsets[i] + aligned(buffer.size) for i, buffer in enumerate(lifetimes)]
    return tuple(offsets[i] for i in range(len(lifetimes))), max(ends, default=0)
