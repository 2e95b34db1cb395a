"""Arrays that may live in frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Constant:
    """A read-only array with value equality (a generated `==` on a bare array would raise).

    Equality compares dtype, shape and bytes, so NaN equals itself and 0.0 differs from -0.0.

    >>> Constant.of([1, 2], np.int32) == Constant.of([1, 2], np.int32)
    True
    >>> Constant.of([1, 2], np.int32)
    Constant(int32[2])
    """

    array: NDArray[Any]

    def __post_init__(self) -> None:
        array = (
            np.array(self.array, order="C", copy=True) if _borrowed(self.array) else self.array
        )
        array.flags.writeable = False
        object.__setattr__(self, "array", array)

    @classmethod
    def of(cls, values: ArrayLike, dtype: Any = None) -> Constant:
        """Return a constant that holds a copy of `values`."""
        array = np.array(values, dtype=dtype, order="C")
        array.flags.writeable = False  # nobody else has it: it need not be copied once more
        return cls(array)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Constant):
            return NotImplemented
        return (
            self.array.dtype == other.array.dtype
            and self.array.shape == other.array.shape
            and self.array.tobytes() == other.array.tobytes()
        )

    def __hash__(self) -> int:
        return hash((self.array.dtype.str, self.array.shape, self.array.tobytes()))

    def __repr__(self) -> str:
        return f"Constant({self.array.dtype}{list(self.array.shape)})"


def _borrowed(array: NDArray[Any]) -> bool:
    """Whether somebody else may still write to the array's memory, or its layout is not C."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    shared = owner is not array and not isinstance(owner, bytes)
    return shared or array.flags.writeable or not array.flags.c_contiguous
