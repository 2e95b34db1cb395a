"""Uniform grids of weights whose every channel has a scale and a zero point of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.errors import CalibrationError
from intlower.compiler.grids.uniform import UniformGrid, UniformSpec, round_real
from intlower.kernels.signature import ElementType


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelGrid:
    """Equidistant levels for each channel along the first axis: x = scale[c] * (q - zero_points[c]).

    Attributes:
        channels: one grid for each channel, all of one element type, limits and rounding; no axis.
    """

    kind: ClassVar[str] = "uniform by channel"

    channels: tuple[UniformGrid, ...]

    def __post_init__(self) -> None:
        forms = {(g.element, g.limits, g.rounding, g.axis) for g in self.channels}
        if len(forms) != 1 or self.channels[0].axis is not None:
            raise CalibrationError("the channels of a grid have one type of codes")

    @classmethod
    def of(
        cls, spec: UniformSpec, low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> ChannelGrid:
        """Return the grid that covers the range of each channel, by an asymmetric spec."""
        ranges = zip(low.tolist(), high.tolist(), strict=True)
        return cls(channels=tuple(spec.grid(*bounds) for bounds in ranges))

    @property
    def axis(self) -> int:
        """The channel axis."""
        return 0

    @property
    def scale(self) -> Constant:
        """Float32 [C]."""
        return Constant.of([float(grid.scale.array) for grid in self.channels], np.float32)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """The zero points, [C]."""
        return np.array([grid.zero_point for grid in self.channels], np.int64)

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest code."""
        return self.channels[0].limits

    @property
    def element(self) -> ElementType:
        """How a code is stored."""
        return self.channels[0].element

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type of the codes."""
        return self.channels[0].dtype

    @property
    def real_limits(self) -> tuple[float, float]:
        """The least and the greatest real number of any channel."""
        limits = [grid.real_limits for grid in self.channels]
        return min(low for low, _ in limits), max(high for _, high in limits)

    @property
    def step(self) -> float:
        """The scale of the widest channel."""
        return float(self.scale.array.max())

    def fits(self, shape: tuple[int | None, ...]) -> bool:
        """Whether a tensor of a shape has so many channels."""
        return bool(shape) and shape[0] == len(self.channels)

    def quantize(self, values: ArrayLike) -> NDArray[Any]:
        """Return the codes of real numbers: clamp(round(x / scale[c]) + zero_points[c]), as `UniformGrid.quantize`.

        Raises:
            CalibrationError: a value is NaN.
        """
        x = np.asarray(values, np.float32)
        if np.isnan(x).any():
            raise CalibrationError(
                "cannot quantize NaN", "check the input data for missing values"
            )
        span = self.limits[1] - self.limits[0] + 1
        with np.errstate(over="ignore"):
            quotient = x / self._along(self.scale.array, x.ndim)
        rounded = round_real(np.clip(quotient, -2 * span, 2 * span), self.channels[0].rounding)
        codes: NDArray[Any] = np.clip(
            rounded + self._along(self.offsets, x.ndim), *self.limits
        ).astype(self.dtype)
        return codes

    def dequantize(self, codes: ArrayLike) -> NDArray[np.float32]:
        """Return the real numbers of codes, in float32."""
        q = np.asarray(codes).astype(np.int64)
        steps = (q - self._along(self.offsets, q.ndim)).astype(np.float32)
        return np.asarray(steps * self._along(self.scale.array, q.ndim))

    def misfit(self, codes: NDArray[Any]) -> str:
        """Return which codes lie outside the grid's limits, in words; empty where none does."""
        return self.channels[0].misfit(codes)

    def random_codes(
        self, generator: np.random.Generator, shape: tuple[int, ...], extreme: bool
    ) -> NDArray[Any]:
        """Return random codes: all alike likely, or only the two extremes."""
        return self.channels[0].random_codes(generator, shape, extreme)

    def numbers(self) -> dict[str, Any]:
        """Return scales and zero points."""
        return {
            "scale": self.scale.array.tolist(),
            "zero_points": [grid.zero_point for grid in self.channels],
        }

    def document(self) -> dict[str, Any]:
        """Return the grid as JSON."""
        first = self.channels[0]
        return {
            "kind": self.kind,
            "dtype": self.element.dtype_name,
            **self.numbers(),
            "minimum": first.minimum,
            "maximum": first.maximum,
            "rounding": first.rounding.value,
        }

    def _along(self, array: NDArray[Any], rank: int) -> NDArray[Any]:
        return array.reshape(-1, *(1,) * (rank - 1))
