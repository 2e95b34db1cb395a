"""An exact product of integer matrices, for the oracle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def exact_matmul(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an integer matrix product, exact.

    Float64 holds every integer below 2**53, so where the product's bound allows it, the float product is the same
    integers, much faster than NumPy's integer one.
    """
    if a.size == 0 or b.size == 0:
        return a @ b
    bound = int(np.abs(a).max()) * int(np.abs(b).max()) * a.shape[-1]
    if bound < 1 << 53:
        return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
    return a @ b
