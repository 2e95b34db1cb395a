"""Weights for an instruction that sums pairs of 8-bit products with saturation, packed so that none saturates.

vpmaddubsw multiplies unsigned by signed bytes and adds each two neighbouring products to a 16-bit sum, which saturates.
The planner knows the greatest operand s that the producer's clamp lets through. A sum of products with operands in
[0, s] is at most s times the sum of the positive weights, and at least s times that of the negative ones, so that

    s * sum(max(w, 0)) <= 32767    and    s * sum(min(w, 0)) >= -32768                             (B1)

proves that it is exact, whatever the operands are. Four weights of a column make a word, two sums of two products each.
A panel's words are of two kinds, both proved by (B1) for every column of the panel:

- *pairs*: two words whose 16-bit sums may be added before they are widened: (B1) of four weights;
- *singles*: words that are widened alone: (B1) of two weights.

A word that satisfies neither is split in two halves that add up to it and read the same operands: each weight is at most
64 in magnitude there, and 255 * 2 * 64 = 32640. The words of a panel are so reordered, and each says where its operands
lie. FBGEMM (Khudia et al., 2021) accumulates 16-bit sums too, and treats outliers apart, without a proof for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intlower.kernels.isa import Isa
from intlower.kernels.packing import padded_columns, wrapped

PER_WORD = 4
GREATEST, LEAST = (1 << 15) - 1, -(1 << 15)

# What a panel begins with: int64 counts of pairs and singles, and how far on the weights begin.
HEADER_BYTES = 24
LINE_BYTES = 64

# How often words without a partner are tried with others.
ROUNDS = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedBytes:
    """The weights of one convolution or matrix product as bytes.

    Attributes:
        data: all panels, each of a header, int32 byte offsets of its words' operands in a packed row, and the weights.
        places: int64 [groups, panels], the byte offset of each panel in `data`.
        words: of one packed row.
        columns: output channels of a group, rounded up to whole vectors.
        center: what is subtracted from a code in offset binary as it is packed.
        correction: int32 [O], to add to the bias.
        cost: multiplications of a row of tiles, in words; two for each single, three for each pair.
    """

    data: NDArray[np.uint8]
    places: NDArray[np.int64]
    words: int
    columns: int
    center: int
    correction: NDArray[np.int64]
    cost: int


def pack_bytes(
    weights: NDArray[np.int64],
    *,
    groups: int,
    isa: Isa,
    low: int,
    high: int,
    zero_point: int,
) -> PackedBytes:
    """Return the weights packed for `dense_bytes`.

    Args:
        weights: [O, K] in int8, zero point removed; K in the order of the packed row.
        groups: of output channels.
        isa: whose tile reads them.
        low: the least input code, in offset binary.
        high: the greatest, alike.
        zero_point: of the input, alike; in [low, high].
    """
    outputs, depth = weights.shape
    words, per_group = -(-depth // PER_WORD), outputs // groups
    columns = padded_columns(per_group, isa)
    padded = np.zeros((groups, columns, words, PER_WORD), np.int8)
    padded.reshape(groups, columns, -1)[:, :per_group, :depth] = weights.reshape(
        groups, per_group, depth
    )
    panels: list[NDArray[np.uint8]] = []
    places, size, cost = [], 0, 0
    for group in padded:
        for first in range(0, columns, isa.columns):
            panel, panel_cost = _panel(group[first : first + isa.columns], high - low)
            panels.append(panel)
            places.append(size)
            size += panel.size
            cost += panel_cost
    return PackedBytes(
        data=np.concatenate(panels),
        places=np.array(places, np.int64).reshape(groups, -1),
        words=words,
        columns=columns,
        center=low,
        correction=wrapped((low - zero_point) * weights.sum(axis=1)),
        cost=cost,
    )


def _panel(weights: NDArray[np.int8], span: int) -> tuple[NDArray[np.uint8], int]:
    """Return one panel and its cost; `weights` is [columns, words, 4]."""
    alone = _proved(*_ends(weights), span)
    half = weights >> 1
    sources = np.concatenate([np.arange(alone.size), np.flatnonzero(~alone)])
    operands = np.concatenate(
        [
            np.where(alone[:, None], weights, half),
            (weights - half)[:, ~alone],
        ],
        axis=1,
    )
    greatest, least = _ends(operands)
    assert _proved(greatest, least, span).all()  # halves are within (B1) for any codes
    pairs, singles = _paired(greatest, least, span)
    order = np.concatenate([pairs.reshape(-1), singles])
    offsets = (sources[order] * 4).astype(np.int32).view(np.uint8)
    start = -(-(HEADER_BYTES + offsets.size) // LINE_BYTES) * LINE_BYTES
    header = np.array([len(pairs), len(singles), start], np.int64).view(np.uint8)
    gap = np.zeros(start - header.size - offsets.size, np.uint8)
    body = np.ascontiguousarray(operands.transpose(1, 0, 2)[order]).view(np.uint8).reshape(-1)
    tail = np.zeros(-body.size % LINE_BYTES, np.uint8)
    panel = np.concatenate([header, offsets, gap, body, tail])
    return panel, 3 * len(pairs) + 2 * len(singles)


def _ends(weights: NDArray[np.int8]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Return the sums of positive and of negative weights of each 16-bit sum: [2 * columns, words] each.

    Of two such sums, and of two words together, all are within 16 bits: 4 * 128.
    """
    a, b = (
        np.concatenate([weights[:, :, i], weights[:, :, 2 + i]]).astype(np.int16)
        for i in (0, 1)
    )
    return a.clip(min=0) + b.clip(min=0), a.clip(max=0) + b.clip(max=0)


def _proved(
    greatest: NDArray[np.int16], least: NDArray[np.int16], span: int
) -> NDArray[np.bool_]:
    """Return which words satisfy (B1) in all their sums."""
    above, below = greatest.max(axis=0).astype(np.int32), least.min(axis=0).astype(np.int32)
    proved: NDArray[np.bool_] = (above * span <= GREATEST) & (below * span >= LEAST)
    return proved


def _paired(
    greatest: NDArray[np.int16], least: NDArray[np.int16], span: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of words that satisfy (B1) together, [pairs, 2], and the words left over."""
    rest = np.arange(greatest.shape[1])
    found = [np.zeros((0, 2), np.int64)]
    for turn in range(ROUNDS):
        half = len(rest) // 2
        if half == 0:
            break
        evenly = turn % 2 == 0
        a = rest[0 : 2 * half : 2] if evenly else rest[:half]
        b = rest[1 : 2 * half : 2] if evenly else rest[half : 2 * half]
        together = _proved(greatest[:, a] + greatest[:, b], least[:, a] + least[:, b], span)
        found.append(np.stack([a[together], b[together]], axis=1))
        rest = np.concatenate([rest[2 * half :], a[~together], b[~together]])
    return np.concatenate(found), rest
