"""How weights lie in memory for the matrix kernels, and what is folded into the bias.

A packed row holds one output pixel's operands, `words` words of four bytes: two 16-bit or four 8-bit operands each. A
panel holds the weights of a tile's columns, word by word: [words][columns][four bytes], or column by column for plain
loops: [columns][words][four bytes].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels.isa import Isa


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedWeights:
    """The weights of one convolution or matrix product, ready for the kernels.

    Attributes:
        data: bytes of all groups, one after another.
        group_bytes: of one group.
        words: of one packed row.
        columns: output channels of a group, rounded up to whole vectors.
        operand_bytes: 1 or 2.
        center: what the kernel subtracts from a code in offset binary as it packs it.
        pad_value: the packed operand of a padding element, which stands for real zero.
        correction: int32 [O], to add to the bias: (center - zero point) * sum of the weights.
    """

    data: NDArray[np.uint8]
    group_bytes: int
    words: int
    columns: int
    operand_bytes: int
    center: int
    pad_value: int
    correction: NDArray[np.int64]


def pack_dense(
    weights: NDArray[np.int64], *, groups: int, isa: Isa, code_bytes: int, zero_point: int
) -> PackedWeights:
    """Return the weights packed for `dense`.

    Args:
        weights: [O, K], zero point removed, in int16; K in the order of the packed row.
        groups: of output channels.
        isa: whose tile reads them.
        code_bytes: width of an input code.
        zero_point: of the input, in offset binary.
    """
    outputs, depth = weights.shape
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    fours = isa.fours and code_bytes == 1 and low >= -128 and high < 128
    per_word = 4 if fours else 2
    if fours:
        center = 128 if isa.signed_fours else 0
    else:
        center = zero_point if code_bytes == 1 else 1 << 15
    words = -(-depth // per_word)
    per_group = outputs // groups
    data = panels_of(weights.reshape(groups, per_group, depth), words, isa, fours)
    return PackedWeights(
        data=data.reshape(-1),
        group_bytes=data.shape[1],
        words=words,
        columns=padded_columns(per_group, isa),
        operand_bytes=4 // per_word,
        center=center,
        pad_value=zero_point - center,
        correction=wrapped((center - zero_point) * weights.sum(axis=1)),
    )


def padded_columns(outputs: int, isa: Isa) -> int:
    """Return output channels rounded up to whole vectors."""
    return -(-outputs // isa.lanes) * isa.lanes


def panels_of(
    weights: NDArray[Any], words: int, isa: Isa, fours: bool = False
) -> NDArray[np.uint8]:
    """Return the panels of every group, one after another: uint8 [groups, bytes].

    Args:
        weights: [groups, O, K], within the operands' width.
        words: of a packed row; operands past K are 0.
        isa: whose tile reads them.
        fours: whether operands have 8 bits, not 16.
    """
    groups, outputs, depth = weights.shape
    columns, per_word = padded_columns(outputs, isa), 4 if fours else 2
    padded = np.zeros((groups, columns, words * per_word), np.int8 if fours else np.int16)
    padded[:, :outputs, :depth] = weights
    order = (0, 1, 2, 3) if isa.by_column else (0, 2, 1, 3)
    panels = [
        padded[:, first : first + isa.columns]
        .reshape(groups, -1, words, per_word)
        .transpose(order)
        .reshape(groups, -1)
        for first in range(0, columns, isa.columns)
    ]
    return np.ascontiguousarray(np.concatenate(panels, axis=1)).view(np.uint8)


def wrapped(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return integers modulo 2**32, as int32 values: how an int32 accumulator sees them.

    The proof of no overflow is of the whole sum; its parts, corrections among them, may wrap.
    """
    return (values.astype(np.int64) + (1 << 31)) % (1 << 32) - (1 << 31)
