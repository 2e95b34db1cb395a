from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intlower.compiler.accumulation import product_bounds
from intlower.compiler.row_blocks import BLOCK, row_blocks


@given(rows=st.integers(1, 50), size=st.integers(1, 30), most=st.integers(1, 200))
def test_blocks_cover_every_row_once_and_are_small(rows: int, size: int, most: int) -> None:
    blocks = list(row_blocks((rows, size), most))
    covered = [row for block in blocks for row in range(rows)[block]]
    assert covered == list(range(rows))
    assert all((block.stop - block.start) * size <= max(most, size) for block in blocks)


def test_bounds_of_many_blocks_are_those_of_the_whole() -> None:
    codes = np.random.default_rng(0).integers(-128, 128, (5, BLOCK // 2 + 3)).astype(np.int8)
    w = codes.astype(np.int64) - 3
    lowest, highest = product_bounds(codes, 3, -100, 155)
    assert np.array_equal(lowest, np.minimum(w * -100, w * 155).sum(axis=1))
    assert np.array_equal(highest, np.maximum(w * -100, w * 155).sum(axis=1))
