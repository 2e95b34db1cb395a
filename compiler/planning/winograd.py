"""Rows of convolutions through Winograd's transforms: when they are exact, and when they pay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.planning.rows import RowWriter, View
from intlower.kernels import table as t
from intlower.kernels.isa import Isa
from intlower.kernels.packing import padded_columns, panels_of, wrapped
from intlower.kernels.simd_winograd import CHANNELS
from intlower.kernels.winograd_transforms import (
    TRANSFORMS,
    Transform,
    filters_fit,
    sum_fits,
    transformed_filters,
    windows_fit,
)

# Bytes of transformed windows worked on at a time: they should stay in the second-level cache.
BLOCK_BYTES = 1 << 18
MOST_BLOCK_TILES = 48

# How many products take the time of transforming one operand; measured with AVX2.
TRANSFORM_COST = 11

# How many products take the time of fetching one transformed weight, 16 bits, from memory.
FETCH_COST = 5


def transform_for(
    columns: dict[int, int], weights: NDArray[np.int64], code_bytes: int, isa: Isa
) -> Transform | None:
    """Return the transform that a convolution is best run through; None where none is exact or pays.

    Args:
        columns: of the row: sizes and the input's zero point.
        weights: [O, kh, kw, depth], zero point removed.
        code_bytes: width of an input code.
        isa: whose kernels run it.
    """
    window = (columns[t.KERNEL_HEIGHT], columns[t.KERNEL_WIDTH])
    steps = (t.STRIDE_Y, t.STRIDE_X, t.DILATION_Y, t.DILATION_X, t.GROUPS)
    if not isa.transforms or code_bytes > 1 or window != (3, 3):
        return None
    if any(columns[step] != 1 for step in steps):
        return None
    low, high = -columns[t.ZERO_POINT], 255 - columns[t.ZERO_POINT]
    costs = {}
    for transform in TRANSFORMS.values():
        if (
            windows_fit(transform, low, high)
            and filters_fit(transform, weights)
            and sum_fits(transform, weights, low, high)
        ):
            costs[transform.edge] = _cost(transform, columns)
    direct = 9 * columns[t.OUTPUT_HEIGHT] * columns[t.OUTPUT_WIDTH] * weights[:, 0, 0].size
    best = min(costs, key=lambda edge: costs[edge], default=None)
    return TRANSFORMS[best] if best is not None and costs[best] < direct else None


def _cost(transform: Transform, columns: dict[int, int]) -> int:
    """Return about how many products the transformed convolution takes the time of."""
    depth, outputs = _depth(columns[t.CHANNELS]), columns[t.OUTPUT_CHANNELS]
    products = depth * outputs
    transformed = depth + 2 * outputs  # sums take twice the bytes of codes
    computed = _tiles(transform, columns) * (products + TRANSFORM_COST * transformed)
    return transform.positions * max(computed, FETCH_COST * products)


def _tiles(transform: Transform, columns: dict[int, int]) -> int:
    edge = transform.edge
    return -(-columns[t.OUTPUT_HEIGHT] // edge) * -(-columns[t.OUTPUT_WIDTH] // edge)


def _depth(channels: int) -> int:
    return -(-channels // CHANNELS) * CHANNELS


def write_winograd(
    writer: RowWriter,
    label: str,
    transform: Transform,
    columns: dict[int, int],
    weights: NDArray[np.int64],
    bias: NDArray[np.int32],
    x: View,
    y: View,
) -> None:
    """Append the row of a convolution.

    Args:
        writer: of the table.
        label: of the row.
        transform: see `transform_for`.
        columns: of the row, so far.
        weights: [O, 3, 3, depth], zero point removed.
        bias: [O].
        x: input.
        y: output.
    """
    outputs, depth = len(weights), _depth(columns[t.CHANNELS])
    isa, words = writer.isa, depth // 2
    packed = panels_of(transformed_filters(transform, weights), words, isa)
    panel = isa.columns * words * 4
    by_panel = [packed[:, first : first + panel] for first in range(0, packed.shape[1], panel)]
    padded = np.zeros(padded_columns(outputs, isa), np.int64)
    padded[:outputs] = wrapped(bias)
    most = max(BLOCK_BYTES // (transform.positions * depth * 2), 1)
    block = min(MOST_BLOCK_TILES, most, _tiles(transform, columns))
    block = -(-block // isa.rows) * isa.rows
    line = -(-columns[t.OUTPUT_WIDTH] // transform.edge) * transform.edge
    width = isa.columns * 4
    columns[t.PANEL], columns[t.ACCUMULATORS], columns[t.LINES], columns[t.WINDOW] = (
        writer.scratch(
            transform.positions * block * depth * 2,
            transform.positions * block * width,
            transform.edge * line * width,
            transform.positions * depth,
        )
    )
    columns |= {
        t.EDGE: transform.edge,
        t.WEIGHTS: writer.constants.add(
            np.concatenate([part.reshape(-1) for part in by_panel]), "uint8"
        ),
        t.BIAS: writer.constants.add(padded, "int32"),
        t.NO_BIAS: writer.constants.add(np.zeros(isa.columns), "int32"),
        t.WORDS: words,
        t.BLOCK_ROWS: block,
        t.PADDED_CHANNELS: len(padded),
    }
    writer.row(label, t.WINOGRAD, columns, [(t.INPUT, x)], y)
