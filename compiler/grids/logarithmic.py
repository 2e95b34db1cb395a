"""Logarithmic grids: sign-magnitude codes of a base-2 logarithm, and the linear numbers between layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.errors import CalibrationError
from intlower.compiler.grids.uniform import UniformGrid
from intlower.kernels.numerics import Rounding
from intlower.kernels.numerics_log import (
    FORMATS,
    LINEAR_FRACTION_BITS,
    LINEAR_HIGH,
    LINEAR_LOW,
    LogFormat,
    ceil_power,
    floor_power,
)
from intlower.kernels.signature import ElementType

# Linear numbers reach 2**19 and have steps of 2**-12; a clip outside has no use. Weights may be smaller.
GREATEST_CLIP_LOG2 = 19
LEAST_CLIP_LOG2 = -15


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGrid:
    """Levels at equal distances of their logarithm, both signs, and 0.

        value(k) = +-2**((k + z) / S),  k = 0 .. K - 1;  the sign bit with k = 0 is exact 0

    S = 16, K = 128 in 8 bits, S = 128, K = 4096 in 16. Zero reaches to the linear midpoint of its neighbours; all other
    boundaries are midpoints of logarithms. There is no level -2**(z / S).

    Source: ModelTC/MQBench mqbench/fake_quantize/nnie.py and docs/source/user_guide/hardware/nnie.rst (8 bits); 16 bits
    are the same rule on the layout 1.5.7 of the mapper's dumps.

    Attributes:
        bits: 8 or 16.
        z: the exponent of the least level, in steps.
    """

    kind: ClassVar[str] = "logarithmic"

    bits: int
    z: int

    def __post_init__(self) -> None:
        if self.bits not in FORMATS:
            raise CalibrationError(f"a logarithmic grid has 8 or 16 bits, not {self.bits}")
        clip, steps = self.clip_steps, self.layout.steps
        if not LEAST_CLIP_LOG2 * steps <= clip <= GREATEST_CLIP_LOG2 * steps:
            raise CalibrationError(
                f"a logarithmic grid's greatest level 2**({clip}/{steps}) is outside "
                f"2**{LEAST_CLIP_LOG2} to 2**{GREATEST_CLIP_LOG2}"
            )

    @classmethod
    def reaching(cls, bits: int, bound: float) -> LogGrid:
        """Return the grid whose greatest level is nearest to a bound, by the logarithm, within what is allowed.

            z = round(S * log2(bound)) - (K - 1)

        Args:
            bits: 8 or 16.
            bound: max|x|, finite; 0 gives the least grid.
        """
        layout = FORMATS[bits]
        least, greatest = (
            limit * layout.steps for limit in (LEAST_CLIP_LOG2, GREATEST_CLIP_LOG2)
        )
        clip = round(layout.steps * math.log2(bound)) if bound > 0 else least
        return cls(bits=bits, z=min(max(clip, least), greatest) - layout.magnitudes + 1)

    @property
    def layout(self) -> LogFormat:
        """Where sign and magnitude lie in a code."""
        return FORMATS[self.bits]

    @property
    def clip_steps(self) -> int:
        """The log2 of the greatest level, in steps."""
        return self.z + self.layout.magnitudes - 1

    @property
    def clip(self) -> float:
        """The greatest level."""
        return self.real_limits[1]

    @property
    def element(self) -> ElementType:
        """How a code is stored."""
        return self.layout.element

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type of the codes."""
        return np.dtype(self.element.dtype_name)

    @property
    def real_limits(self) -> tuple[float, float]:
        """The least and the greatest level."""
        greatest = float(_levels(self.bits, self.z)[self.layout.magnitudes - 1])
        return -greatest, greatest

    @property
    def step(self) -> float:
        """The least positive level, real 0's neighbour."""
        return float(_levels(self.bits, self.z)[0])

    def fits(self, shape: tuple[int | None, ...]) -> bool:
        """Whether a tensor of a shape can have the grid: any can."""
        return True

    def quantize(self, values: ArrayLike) -> NDArray[Any]:
        """Return the codes of real numbers, taken in float32; infinities saturate.

        Raises:
            CalibrationError: a value is NaN.
        """
        x = np.asarray(values, dtype=np.float32)
        if np.isnan(x).any():
            raise CalibrationError(
                "cannot quantize NaN", "check the input data for missing values"
            )
        inner, least, negative = _boundaries(self.bits, self.z)
        magnitude = np.abs(x.astype(np.float64))
        k = np.searchsorted(inner, magnitude, side="right")
        zero = self.layout.magnitudes
        positive_codes = np.where(magnitude >= least, k, zero)
        negative_codes = np.where(magnitude >= negative, zero + np.maximum(k, 1), zero)
        return np.where(x < 0, negative_codes, positive_codes).astype(self.dtype)

    def dequantize(self, codes: ArrayLike) -> NDArray[np.float32]:
        """Return the real numbers of codes, in float32."""
        index = np.asarray(codes).astype(np.int64) & (self.layout.codes - 1)
        return np.asarray(_levels(self.bits, self.z)[index])

    def neighbour(self, codes: NDArray[Any], step: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the codes of the levels one step up or down on the real line, or the same at its ends."""
        count = self.layout.magnitudes

        def turned(index: NDArray[np.int64]) -> NDArray[np.int64]:
            # From codes to positions in ascending order of levels; and back, for it is its own inverse but for the sign.
            return np.asarray(np.where(index < count, index + count, 2 * count - 1 - index))

        place = np.clip(turned(codes.astype(np.int64)) + step, 0, 2 * count - 1)
        return np.asarray(np.where(place >= count, place - count, 2 * count - 1 - place))

    def misfit(self, codes: NDArray[Any]) -> str:
        """Return which codes are none of the grid's, in words; empty where all are."""
        greatest = int(codes.max()) if codes.size else 0
        if greatest < self.layout.codes:
            return ""
        return f"takes codes 0..{self.layout.codes - 1}, not {greatest}"

    def random_codes(
        self, generator: np.random.Generator, shape: tuple[int, ...], extreme: bool
    ) -> NDArray[Any]:
        """Return random codes: all alike likely, or only the greatest and the least number."""
        if extreme:
            ends = (self.layout.magnitudes - 1, self.layout.codes - 1)
            return generator.choice(np.array(ends, self.dtype), shape)
        return generator.integers(self.layout.codes, size=shape, dtype=self.dtype)

    def numbers(self) -> dict[str, Any]:
        """Return the exponent of the least level, the steps in an octave, and the greatest level."""
        return {"z": self.z, "steps_per_octave": self.layout.steps, "clip": self.clip}

    def document(self) -> dict[str, Any]:
        """Return the grid as JSON."""
        return {"kind": self.kind, "bits": self.bits, "z": self.z}


def linear_grid() -> UniformGrid:
    """Return the grid of linear numbers, "20.12": int32 with 12 fraction bits.

    Source: the linear outputs in the mapper's dumps, and the division by 4096 in the SDK's samples
    (SAMPLE_SVP_NNIE_QUANT_BASE).
    """
    return UniformGrid(
        scale=Constant.of(2.0**-LINEAR_FRACTION_BITS, np.float32),
        zero_point=0,
        element=ElementType.INT32,
        minimum=LINEAR_LOW,
        maximum=LINEAR_HIGH,
        rounding=Rounding.HALF_AWAY,
    )


@cache
def _levels(bits: int, z: int) -> NDArray[np.float32]:
    """Return the real number of every code, from 2**(f/S) with 60 fraction bits: exact arithmetic, rounded at the end."""
    layout = FORMATS[bits]
    fractions = [floor_power(f, layout.step_bits, 60) for f in range(layout.steps)]
    positive = [
        math.ldexp(fractions[(k + z) % layout.steps], (k + z) // layout.steps - 60)
        for k in range(layout.magnitudes)
    ]
    levels = np.array([*positive, 0, *(-level for level in positive[1:])], np.float32)
    levels.flags.writeable = False
    return levels


@cache
def _boundaries(bits: int, z: int) -> tuple[NDArray[np.float64], float, float]:
    """Return the float64 numbers from which on a magnitude has code 1, 2, ...; is not zero; is not zero if negative.

    Each is the least float64 that is not below the real boundary (above it, the last), so that comparing gives exactly
    what the rule says of every float32.
    """
    layout = FORMATS[bits]
    inner = [
        _at_least(2 * (z + k) - 1, layout.step_bits + 1) for k in range(1, layout.magnitudes)
    ]
    least = _at_least(z - layout.steps, layout.step_bits)
    negative = _at_least(z + 1 - layout.steps, layout.step_bits)
    if (z + 1) % layout.steps == 0:  # a power of two: the boundary itself is zero's
        negative = math.nextafter(negative, math.inf)
    boundaries = np.array(inner, np.float64)
    boundaries.flags.writeable = False
    return boundaries, least, negative


def _at_least(numerator: int, denominator_bits: int) -> float:
    """Return the least float64 not below 2**(numerator / 2**denominator_bits)."""
    octave, fraction = divmod(numerator, 1 << denominator_bits)
    return math.ldexp(ceil_power(fraction, denominator_bits, 52), octave - 52)
