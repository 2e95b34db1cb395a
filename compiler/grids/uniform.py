"""Uniform grids: equidistant levels.

A *spec* has no numbers from data (it belongs to a target); a *grid* has all of them (it is the result of calibration).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.errors import CalibrationError
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import ElementType


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformGrid:
    """Equidistant levels: x = scale * (q - zero_point).

    Attributes:
        scale: float32 [] (per tensor) or [C] (per channel along `axis`), positive.
        zero_point: the code of real 0, within `limits`.
        element: how a code is stored.
        minimum: the least code used (-127 on a narrow signed grid, else the type's).
        maximum: the greatest code used.
        rounding: how a real number between two levels becomes a code.
        axis: the channel axis, None where one scale serves the tensor.
    """

    kind: ClassVar[str] = "uniform"

    scale: Constant
    zero_point: int
    element: ElementType
    minimum: int
    maximum: int
    rounding: Rounding
    axis: int | None = None

    def __post_init__(self) -> None:
        scale = self.scale.array
        if scale.dtype != np.float32 or scale.ndim != (0 if self.axis is None else 1):
            raise CalibrationError(f"a grid's scale is float32 [] or [C], not {self.scale!r}")
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            raise CalibrationError("a grid's scale must be positive and finite")
        low, high = self.element.limits
        if not low <= self.minimum <= self.zero_point <= self.maximum <= high:
            raise CalibrationError(
                f"zero point {self.zero_point} and codes {self.minimum}..{self.maximum} "
                f"do not fit {self.element.dtype_name}"
            )

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest code."""
        return self.minimum, self.maximum

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type of the codes."""
        return np.dtype(self.element.dtype_name)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """The zero point as an array, []."""
        return np.asarray(self.zero_point, np.int64)

    def _scale_for(self, ndim: int) -> NDArray[np.float32]:
        if self.axis is None:
            return self.scale.array
        return self.scale.array.reshape([-1 if i == self.axis else 1 for i in range(ndim)])

    def quantize(self, values: ArrayLike) -> NDArray[Any]:
        """Return the codes of real numbers: clamp(round(x / scale) + zero_point).

        The quotient is taken in float32, as ONNX QuantizeLinear does. Infinities saturate.

        Raises:
            CalibrationError: a value is NaN.
        """
        x = np.asarray(values, dtype=np.float32)
        if np.isnan(x).any():
            raise CalibrationError(
                "cannot quantize NaN", "check the input data for missing values"
            )
        with np.errstate(
            over="ignore"
        ):  # a quotient past float32 saturates below, as it should
            quotient = x / self._scale_for(x.ndim)
        span = (
            self.maximum - self.minimum + 1
        )  # past the limits before rounding is past them after
        rounded = round_real(np.clip(quotient, -2 * span, 2 * span), self.rounding)
        return np.clip(rounded + self.zero_point, *self.limits).astype(self.dtype)

    def dequantize(self, codes: ArrayLike) -> NDArray[np.float32]:
        """Return the real numbers of codes, in float32."""
        q = np.asarray(codes).astype(np.int32)
        return (q - np.int32(self.zero_point)).astype(np.float32) * self._scale_for(q.ndim)

    def fits(self, shape: tuple[int | None, ...]) -> bool:
        """Whether the grid has one scale, or one for each channel of a tensor of this shape."""
        return self.axis is None or (
            0 <= self.axis < len(shape) and self.scale.array.shape == (shape[self.axis],)
        )

    def misfit(self, codes: NDArray[Any]) -> str:
        """Return which codes lie outside the grid's limits, in words; empty where none does."""
        if self.limits == self.element.limits or not codes.size:
            return ""
        least, greatest = int(codes.min()), int(codes.max())
        if least >= self.minimum and greatest <= self.maximum:
            return ""
        return f"takes codes {self.minimum}..{self.maximum}, not {least}..{greatest}"

    def random_codes(
        self, generator: np.random.Generator, shape: tuple[int, ...], extreme: bool
    ) -> NDArray[Any]:
        """Return random codes: all alike likely, or only the two extremes."""
        if extreme:
            return generator.choice(np.array(self.limits, self.dtype), shape)
        return generator.integers(*self.limits, shape, dtype=self.dtype, endpoint=True)

    @property
    def step(self) -> float:
        """The scale (of the widest channel)."""
        return float(self.scale.array.max())

    def numbers(self) -> dict[str, Any]:
        """Return scale and zero point."""
        return {"scale": self.scale.array.tolist(), "zero_point": self.zero_point}

    def document(self) -> dict[str, Any]:
        """Return the grid as JSON. A scale is the shortest decimal of its double, which gives the same float32 again."""
        return {
            "kind": self.kind,
            "dtype": self.element.dtype_name,
            **self.numbers(),
            "minimum": self.minimum,
            "maximum": self.maximum,
            "rounding": self.rounding.value,
            "axis": self.axis,
        }

    @property
    def real_limits(self) -> tuple[float, float]:
        """The real numbers of the least and the greatest code (of the widest channel)."""
        widest = float(self.scale.array.max())
        return widest * (self.minimum - self.zero_point), widest * (
            self.maximum - self.zero_point
        )


def round_real(x: NDArray[Any], rounding: Rounding) -> NDArray[np.int64]:
    """Return reals rounded to integers under a tie rule; exact for |x| < 2**52.

    >>> round_real(np.array([2.5, -2.5]), Rounding.HALF_UP).tolist()
    [3, -2]
    """
    x = np.asarray(x, dtype=np.float64)  # x + 0.5 must not round: float64 has the bits to spare
    match rounding:
        case Rounding.HALF_EVEN:
            result = np.rint(x)
        case Rounding.HALF_AWAY:
            result = np.copysign(np.floor(np.abs(x) + 0.5), x)
        case Rounding.HALF_UP:
            result = np.floor(x + 0.5)
        case Rounding.FLOOR:
            result = np.floor(x)
    return np.asarray(result, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformSpec:
    """How a target lays a uniform grid over a range.

    Attributes:
        bits: width of a code, 2 to 16.
        signed: stored as int or as uint.
        symmetric: the zero point is fixed at 0 (signed codes only) and the scale comes from max|x|;
            otherwise min and max (with 0 included) take the two ends.
        power_of_two: symmetric grids whose scale is 2**-position; the greatest position that does not saturate the range,
            limited to `greatest_position`.
        narrow: a signed grid leaves out its least code, -2**(bits-1).
        per_channel: one scale for each output channel (weights).
        rounding: of reals to codes.
        minimum_range: a range below this is widened to it.
    """

    bits: int
    signed: bool
    symmetric: bool
    rounding: Rounding
    narrow: bool = False
    per_channel: bool = False
    minimum_range: float = 1e-8
    power_of_two: bool = False
    greatest_position: int = 30

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"a uniform grid has 2 to 16 bits, not {self.bits}")
        if self.narrow and not self.signed:
            raise ValueError("only a signed grid can be narrow")
        if self.symmetric and not self.signed:
            raise ValueError("a symmetric grid is signed")
        if self.power_of_two and not self.symmetric:
            raise ValueError("a grid of powers of two is symmetric")

    @property
    def element(self) -> ElementType:
        """The narrowest storage type that holds the codes."""
        return ElementType(("s" if self.signed else "u") + ("8" if self.bits <= 8 else "16"))

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest code."""
        if self.signed:
            half = 1 << (self.bits - 1)
            return -half + self.narrow, half - 1
        return 0, (1 << self.bits) - 1

    def describe(self) -> str:
        """Return the spec in words, for tables."""
        low, high = self.limits
        form = "symmetric" if self.symmetric else "asymmetric"
        if self.power_of_two:
            form = "power-of-two"
        per = "channel" if self.per_channel else "tensor"
        return f"{self.element.dtype_name} {form} per {per}, codes {low}..{high}, {self.rounding.value}"

    def grid(self, minimum: float, maximum: float) -> UniformGrid:
        """Return the per-tensor grid that covers [minimum, maximum] and real 0.

        Symmetric:  scale = max(|minimum|, |maximum|) / greatest code, zero point 0.
        Asymmetric: scale = (maximum - minimum) / steps, zero point = least code + half_away(-minimum / scale);
        the scale is not changed by the rounding of the zero point: the range shifts.
        Source of the latter: quic/aimet TfEncodingAnalyzer; SNPE documentation, Quantized models.

        Raises:
            CalibrationError: the range is not finite or is reversed.
        """
        if not (math.isfinite(minimum) and math.isfinite(maximum) and minimum <= maximum):
            raise CalibrationError(
                f"a range must be finite and ordered, not [{minimum}, {maximum}]"
            )
        low, high = min(minimum, 0.0), max(maximum, 0.0)
        if self.symmetric:
            bound = max(-low, high, self.minimum_range)
            if self.power_of_two:
                return self.at_position(self.position(-low, high))
            return self._grid(np.float32(bound / self.limits[1]), 0)
        high = max(high, low + self.minimum_range)
        steps = self.limits[1] - self.limits[0]
        scale = (high - low) / steps
        zero_point = min(max(math.floor(-low / scale + 0.5), 0), steps) + self.limits[0]
        return self._grid(np.float32(scale), zero_point)

    def position(self, below: float, above: float) -> int:
        """Return the greatest p, up to `greatest_position`, for which -below and above lie within the codes of scale 2**-p.

        Up to half a step past the last code counts as within: it rounds to that code.
        """
        least, greatest = self.limits
        bound = max(
            below / (0.5 - least), above / (0.5 + greatest), self.minimum_range / greatest
        )
        return min(math.floor(-math.log2(bound)), self.greatest_position)

    def at_position(self, position: int) -> UniformGrid:
        """Return the grid of scale 2**-position, zero point 0."""
        return self._grid(np.float32(math.ldexp(1.0, -position)), 0)

    def channel_grid(self, bounds: NDArray[Any], axis: int) -> UniformGrid:
        """Return the symmetric grid with one scale per channel.

        Args:
            bounds: max|x| of each channel, [C], finite.
            axis: the channel axis.
        """
        scale = np.maximum(np.asarray(bounds, np.float64), self.minimum_range) / self.limits[1]
        return self._grid(scale.astype(np.float32), 0, axis)

    def _grid(self, scale: Any, zero_point: int, axis: int | None = None) -> UniformGrid:
        low, high = self.limits
        return UniformGrid(
            scale=Constant.of(scale, np.float32),
            zero_point=zero_point,
            element=self.element,
            minimum=low,
            maximum=high,
            rounding=self.rounding,
            axis=axis,
        )
