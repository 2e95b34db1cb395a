"""What every number system has in common, whatever its codes stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.grids.uniform import UniformGrid
from intlower.kernels.signature import ElementType


@runtime_checkable
class Grid(Protocol):
    """The real numbers that a tensor's codes stand for. Values are frozen and comparable.

    Attributes:
        kind: what `document` writes as "kind", so that a reader finds the class again.
    """

    kind: ClassVar[str]

    @property
    def element(self) -> ElementType:
        """How a code is stored."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type of the codes."""
        ...

    @property
    def real_limits(self) -> tuple[float, float]:
        """The least and the greatest real number (of the widest channel)."""
        ...

    @property
    def step(self) -> float:
        """The distance between real 0 and its nearest neighbour (of the widest channel)."""
        ...

    def fits(self, shape: tuple[int | None, ...]) -> bool:
        """Whether a tensor of a shape can have the grid."""
        ...

    def quantize(self, values: ArrayLike) -> NDArray[Any]:
        """Return the codes of real numbers. Raises CalibrationError for a NaN."""
        ...

    def dequantize(self, codes: ArrayLike) -> NDArray[np.float32]:
        """Return the real numbers of codes, in float32."""
        ...

    def misfit(self, codes: NDArray[Any]) -> str:
        """Return what is wrong with codes of the right type, in words; empty where nothing is."""
        ...

    def random_codes(
        self, generator: np.random.Generator, shape: tuple[int, ...], extreme: bool
    ) -> NDArray[Any]:
        """Return random codes: all alike likely, or only the greatest and the least number."""
        ...

    def numbers(self) -> Mapping[str, Any]:
        """Return what identifies the grid in tables and JSON: scale and zero point, or what stands for them."""
        ...

    def document(self) -> dict[str, Any]:
        """Return all of it as JSON; `documents.read_grid` is the inverse."""
        ...


def uniform(grid: Grid, where: str) -> UniformGrid:
    """Return a grid that must be uniform.

    Raises:
        UnsupportedByTarget: it is of another number system.
    """
    if not isinstance(grid, UniformGrid):
        raise UnsupportedByTarget(
            f"{where} is on a {grid.kind} grid, where a uniform one is needed"
        )
    return grid
