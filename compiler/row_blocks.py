"""Large arrays worked on a few rows at a time, so that temporaries in float64 stay small beside a network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

# Elements of a block: 1 MiB of float64.
BLOCK = 1 << 17


def row_blocks(shape: Sequence[int], most: int = BLOCK) -> Iterator[slice]:
    """Yield slices of axis 0 that cover an array, each of at most `most` elements or of one row.

    >>> list(row_blocks((5, 10), most=20))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    rows = max(1, most // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))
