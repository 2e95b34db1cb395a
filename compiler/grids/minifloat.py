"""Minifloat grids: small floating-point numbers as signed integers that are ordered as the numbers are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intlower.compiler.errors import CalibrationError, ScaleOutOfRange
from intlower.kernels.minifloat_rule import REACH, MinifloatRule
from intlower.kernels.numerics_minifloat import float32_of_minifloat, minifloat_of_float32
from intlower.kernels.signature import ElementType

_ELEMENTS = {8: ElementType.INT8, 16: ElementType.INT16}


@dataclass(frozen=True, slots=True, kw_only=True)
class MinifloatGrid:
    """Numbers with a sign, an exponent and a mantissa, without subnormals, infinities and NaNs.

        value(q) = sign(q) * (1 + m / 2**M) * 2**(E - bias),    |q| = 2**M * E + m,    value(0) = 0

    Source: pmgysel/caffe, Trim2MiniFloat_cpu; see `numerics_minifloat.py`. A code is a signed integer instead of sign and
    magnitude, so that comparisons are those of integers.

    Attributes:
        rule: widths of the fields, and how ties are rounded.
        exponent_bias: subtracted from the exponent field.
    """

    kind: ClassVar[str] = "minifloat"

    rule: MinifloatRule
    exponent_bias: int

    def __post_init__(self) -> None:
        least = (1 << self.rule.exponent_bits) - REACH
        if not least <= self.exponent_bias <= REACH:
            raise ScaleOutOfRange(
                f"a minifloat's exponent bias {self.exponent_bias} is outside {least}..{REACH}: its numbers would leave "
                f"2**-{REACH} to 2**{REACH}",
                "scale the layer's weights or inputs",
            )

    @classmethod
    def published(cls, rule: MinifloatRule) -> MinifloatGrid:
        """Return the grid whose exponents are as many above 2**0 as below, bias = 2**(e - 1) - 1."""
        return cls(rule=rule, exponent_bias=(1 << (rule.exponent_bits - 1)) - 1)

    @classmethod
    def reaching(cls, rule: MinifloatRule, bound: float) -> MinifloatGrid:
        """Return the grid with the least exponents that holds a bound, within what is allowed.

        Args:
            rule: widths of the fields.
            bound: max|x|, finite; 0 gives the least grid.
        """
        greatest = float(float32_of_minifloat(rule.greatest, rule, 0))
        room = math.log2(greatest) - math.log2(bound) if bound > 0 else REACH
        bias = math.floor(room)
        # The logarithms round; the comparison does not.
        while greatest * 2.0**-bias < bound:
            bias -= 1
        least = (1 << rule.exponent_bits) - REACH
        return cls(rule=rule, exponent_bias=min(max(bias, least), REACH))

    @property
    def element(self) -> ElementType:
        """How a code is stored."""
        return _ELEMENTS[self.rule.bits]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type of the codes."""
        return np.dtype(self.element.dtype_name)

    @property
    def real_limits(self) -> tuple[float, float]:
        """The least and the greatest number."""
        greatest = float(self.dequantize(self.rule.greatest))
        return -greatest, greatest

    @property
    def step(self) -> float:
        """The least positive number, real 0's neighbour."""
        return float(self.dequantize(1))

    def fits(self, shape: tuple[int | None, ...]) -> bool:
        """Whether a tensor of a shape can have the grid: any can."""
        return True

    def quantize(self, values: ArrayLike) -> NDArray[Any]:
        """Return the codes of real numbers, taken as float32, equation (M1); infinities saturate.

        Raises:
            CalibrationError: a value is NaN.
        """
        x = np.asarray(values, np.float32)
        if np.isnan(x).any():
            raise CalibrationError(
                "cannot quantize NaN", "check the input data for missing values"
            )
        codes = minifloat_of_float32(x.view(np.uint32), self.rule, self.exponent_bias)
        return codes.astype(self.dtype)

    def dequantize(self, codes: ArrayLike) -> NDArray[np.float32]:
        """Return the numbers of codes, in float32, equation (M2)."""
        return float32_of_minifloat(codes, self.rule, self.exponent_bias)

    def neighbour(self, codes: NDArray[Any], step: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the codes of the numbers one step up or down, or the same at the ends."""
        greatest = self.rule.greatest
        return np.asarray(np.clip(codes.astype(np.int64) + step, -greatest, greatest))

    def misfit(self, codes: NDArray[Any]) -> str:
        """Return which codes are none of the grid's, in words; empty where all are."""
        if not codes.size or int(codes.min()) >= -self.rule.greatest:
            return ""
        return f"takes codes {-self.rule.greatest}..{self.rule.greatest}, not {codes.min()}"

    def random_codes(
        self, generator: np.random.Generator, shape: tuple[int, ...], extreme: bool
    ) -> NDArray[Any]:
        """Return random codes: all alike likely, or only the greatest and the least number."""
        greatest = self.rule.greatest
        if extreme:
            return generator.choice(np.array([-greatest, greatest], self.dtype), shape)
        return generator.integers(-greatest, greatest + 1, shape).astype(self.dtype)

    def numbers(self) -> dict[str, Any]:
        """Return the widths of the fields and the exponent bias."""
        return {
            "exponent_bits": self.rule.exponent_bits,
            "mantissa_bits": self.rule.mantissa_bits,
            "exponent_bias": self.exponent_bias,
        }

    def document(self) -> dict[str, Any]:
        """Return the grid as JSON."""
        return {
            "kind": self.kind,
            "layout": str(self.rule),
            "exponent_bias": self.exponent_bias,
        }
