"""The grid of half precision: the numbers of IEEE 754 binary16, or those of them that a target has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intlower.compiler.errors import CalibrationError
from intlower.kernels.half_rule import HalfRule, Subnormals
from intlower.kernels.numerics_half import quantize_half
from intlower.kernels.signature import ElementType

_LEAST_NORMAL = 2.0**-14
_LEAST = 2.0**-24
_GREATEST = 65504.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfGrid:
    """Binary16: a code is the number itself, as float16.

    Attributes:
        subnormals: KEPT, or flushed to zero of their sign, on input and output; FLUSHED_FIRST decides before rounding.
        saturate: a number past 65504 becomes that; otherwise infinity is a code as well.
    """

    kind: ClassVar[str] = "half"

    subnormals: Subnormals = Subnormals.KEPT
    saturate: bool = False

    @classmethod
    def of(cls, rule: HalfRule) -> HalfGrid:
        """Return the grid of what a rule's operators compute."""
        return cls(subnormals=rule.subnormals, saturate=rule.saturate)

    @property
    def element(self) -> ElementType:
        """Float16."""
        return ElementType.FLOAT16

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's float16."""
        return np.dtype(np.float16)

    @property
    def real_limits(self) -> tuple[float, float]:
        """The least and the greatest finite number."""
        return -_GREATEST, _GREATEST

    @property
    def step(self) -> float:
        """The least positive number."""
        return _LEAST if self.subnormals is Subnormals.KEPT else _LEAST_NORMAL

    def fits(self, shape: tuple[int | None, ...]) -> bool:
        """Any tensor can have it."""
        return True

    def quantize(self, values: ArrayLike) -> NDArray[Any]:
        """Return real numbers, taken as float32, as float16: to nearest, ties to even, equations (H1) and (H2).

        Raises:
            CalibrationError: a value is NaN.
        """
        x = np.asarray(values, np.float32)
        if np.isnan(x).any():
            raise CalibrationError(
                "cannot quantize NaN", "check the input data for missing values"
            )
        return quantize_half(x, HalfRule(subnormals=self.subnormals, saturate=self.saturate))

    def dequantize(self, codes: ArrayLike) -> NDArray[np.float32]:
        """Return the same numbers as float32."""
        return np.asarray(codes).astype(np.float32)

    def misfit(self, codes: NDArray[Any]) -> str:
        """Return which numbers the target does not have, in words; empty where there are none."""
        if np.isnan(codes).any():
            return "takes numbers, not NaN"
        if self.saturate and np.isinf(codes).any():
            return "takes finite numbers, not infinities"
        magnitude = np.abs(codes)
        if (
            self.subnormals is not Subnormals.KEPT
            and ((magnitude > 0) & (magnitude < np.float16(_LEAST_NORMAL))).any()
        ):
            return "takes no subnormal numbers: the target flushes them"
        return ""

    def random_codes(
        self, generator: np.random.Generator, shape: tuple[int, ...], extreme: bool
    ) -> NDArray[Any]:
        """Return random codes: every finite bit pattern alike likely, or only the least, the greatest and the zeros."""
        if extreme:
            ends = [-_GREATEST, -self.step, -0.0, 0.0, self.step, _GREATEST]
            return generator.choice(np.array(ends, np.float16), shape)
        bits = generator.integers(0, 0x7C00, shape) | generator.integers(0, 2, shape) << 15
        numbers: NDArray[Any] = bits.astype(np.uint16).view(np.float16)
        return self.quantize(numbers)

    def numbers(self) -> dict[str, Any]:
        """Return that numbers stand for themselves."""
        return {"scale": 1.0, "zero_point": 0}

    def document(self) -> dict[str, Any]:
        """Return the grid as JSON."""
        return {
            "kind": self.kind,
            "dtype": self.element.dtype_name,
            "subnormals": self.subnormals.name.lower(),
            "saturate": self.saturate,
        }
