"""One instruction under examination: typed access to its numbers, each with its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.errors import ArtifactError
from intlower.compiler.operators import Shape
from intlower.kernels.signature import ElementType, KernelKey, Requantize

Attributes = Mapping[str, int | tuple[int, ...]]

# No tensor of one sample may be larger: a bound on what a file can make us allocate.
LARGEST_TENSOR = 1 << 28


class Checker:
    """One instruction under examination: typed access to its numbers, each with its range."""

    def __init__(
        self,
        name: str,
        kernel: KernelKey,
        constants: Mapping[str, NDArray[Any]],
        attributes: Attributes,
    ) -> None:
        self.name = name
        self.kernel = kernel
        self.constants = constants
        self.attributes = attributes

    def error(self, reason: str) -> ArtifactError:
        """Return the error that says what is wrong with the instruction."""
        return ArtifactError(f"{self.name} ({self.kernel}): {reason}")

    def number(self, key: str, low: int, high: int) -> int:
        """Return an attribute that must be an integer in [low, high]."""
        value = self.attributes[key]
        if not isinstance(value, int) or not low <= value <= high:
            raise self.error(f"{key} is {value}, not an integer in [{low}, {high}]")
        return value

    def numbers(self, key: str, length: int | None, low: int, high: int) -> tuple[int, ...]:
        """Return an attribute that must be so many integers in [low, high]; any number of them where `length` is None."""
        value = self.attributes[key]
        if (
            not isinstance(value, tuple)
            or (length is not None and len(value) != length)
            or not all(isinstance(v, int) and low <= v <= high for v in value)
        ):
            count = "any number of" if length is None else length
            raise self.error(f"{key} is {value}, not {count} integers in [{low}, {high}]")
        return value

    def array(
        self, key: str, dtype: str, shape: tuple[int, ...] | None, low: int, high: int
    ) -> NDArray[Any]:
        """Return a constant of a type, a shape (None: any) and entries in [low, high]."""
        array = self.constants[key]
        if array.dtype != np.dtype(dtype) or (shape is not None and array.shape != shape):
            wanted = "" if shape is None else list(shape)
            raise self.error(f"{key} is {array.dtype}{list(array.shape)}, not {dtype}{wanted}")
        if array.size == 0 or int(array.min()) < low or int(array.max()) > high:
            raise self.error(f"{key} has entries outside [{low}, {high}], or none")
        return array

    def clamp_range(self) -> tuple[int, int]:
        """Return the attributes minimum and maximum, codes of the output in order."""
        low, high = self.kernel.output.limits
        minimum = self.number("minimum", low, high)
        return minimum, self.number("maximum", minimum, high)

    def zero_points(self, weighted: bool = False) -> None:
        """Prove that the zero points are codes."""
        self.number("input_zero_point", *self.kernel.activation.limits)
        self.number("output_zero_point", *self.kernel.output.limits)
        if weighted and self.kernel.weight is not None:
            self.number("weight_zero_point", *self.kernel.weight.limits)

    @property
    def multiplier_limit(self) -> int:
        """The greatest multiplier that the requantization takes."""
        rule = self.kernel.requantize
        if rule is not None and rule.power_of_two and self.kernel.operator != "average_pool":
            return 1 << 30
        return (1 << 24) - 1 if rule is not None and rule.single_precision else (1 << 31) - 1

    def reach(self, zero_point: int) -> int:
        """The greatest magnitude of an input code less its zero point."""
        return max(abs(limit - zero_point) for limit in self.kernel.activation.limits)

    def wide_accumulator(self, bound: NDArray[Any]) -> None:
        """Prove that sums of at most `bound`, in 64 bits, stay below 2**62 also when they are multiplied."""
        rule = self.kernel.requantize
        if rule is not Requantize.MUL31SINGLE and not (rule and rule.power_of_two):
            raise self.error("its 64-bit sums have no such requantization")
        multiplier = self.constants["multiplier"].astype(np.float64)
        if np.any(
            bound.astype(np.float64) * np.maximum(multiplier, 1) > float(1 << 62) * 0.999
        ):
            raise self.error("its 64-bit sums may leave 64 bits when they are multiplied")

    def accumulator(self, bound: NDArray[Any] | int, shift: NDArray[Any] | int) -> None:
        """Prove that sums of at most `bound` are int32, also after equation (11)'s left shift."""
        greatest = ElementType.INT32.limits[1]
        if np.any(np.asarray(bound) > greatest):
            raise self.error(f"its sums may reach {np.max(bound):_}, past int32")
        if self.kernel.requantize is Requantize.MUL31DOUBLE:
            left = np.maximum(31 - np.asarray(shift, np.int64), 0)
            if np.any(np.asarray(bound, np.int64) << left > greatest):
                raise self.error("its sums may leave int32 when they are shifted left")

    def padded(self, x: Shape, pads: Sequence[int]) -> None:
        """Prove that an image is not too large with its padding."""
        if len(x) == 4:
            channels, height, width = (d or 0 for d in x[1:])
            size = channels * (height + pads[0] + pads[2]) * (width + pads[1] + pads[3])
            if size > LARGEST_TENSOR:
                raise self.error(f"pads {tuple(pads)} make a larger tensor than is allowed")

    @property
    def least_shift(self) -> int:
        """The least shift that the requantization takes."""
        rule = self.kernel.requantize
        return 0 if rule is not None and rule.power_of_two else 1

    def powers(self, multiplier: NDArray[Any]) -> None:
        """Prove that the multipliers of a POWER rule are powers of two; but a mean's hold its divisor."""
        rule = self.kernel.requantize
        if rule is None or not rule.power_of_two or self.kernel.operator == "average_pool":
            return
        if np.any(multiplier < 1) or np.any(multiplier & (multiplier - 1)):
            raise self.error(f"{rule.value} multiplies by powers of two only")

    def scales(self, shape: tuple[int, ...]) -> None:
        """Prove the ranges of multipliers and shifts."""
        self.powers(self.array("multiplier", "int32", shape, 0, self.multiplier_limit))
        self.array("shift", "int32", shape, self.least_shift, 62)

    def window(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
        """Return kernel, strides and pads of a pooling window."""
        kernel = self.numbers("kernel_shape", 2, 1, LARGEST_TENSOR)
        strides = self.numbers("strides", 2, 1, LARGEST_TENSOR)
        pads = self.numbers("pads", 4, 0, LARGEST_TENSOR)
        return (
            (kernel[0], kernel[1]),
            (strides[0], strides[1]),
            (pads[0], pads[1], pads[2], pads[3]),
        )
