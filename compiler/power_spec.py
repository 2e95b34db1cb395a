"""The arithmetic of targets whose scales are powers of two, as data: what `TargetSpec` says, and where binary points may lie.

A number with position p is code * 2**-p.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from intlower.compiler.spec import Provenance, TargetSpec


class BiasPlace(enum.Enum):
    """The position of a layer's biases."""

    ACCUMULATOR = "at the accumulator's position, input's plus weights'"
    WEIGHTS = "at the weights' position"
    OWN = "at a position of their own, one for each layer"


class PositionRule(enum.Enum):
    """How the position of a tensor follows from what is known of its numbers.

    WITHOUT_SIGN is Ristretto's: bits - ceil(log2 max|x|), so that numbers past half the range saturate on purpose. Source:
    pmgysel/caffe src/caffe/ristretto/quantization.cpp.
    """

    COVERING = "the greatest at which the range does not saturate"
    LEAST_ERROR = "the least squared error: expected from moments, or the position that covers the range which samples gave"
    WITHOUT_SIGN = "bits - ceil(log2 max|x|): numbers past half the range saturate"


class MeanDivisor(enum.Enum):
    """What stands for 1 / count after the sum of a pool."""

    NEAREST = "a multiplier of `multipliers.pool` bits and a shift"
    DPU = "the DPU's: 7/64, 10/256, 7/256, 21/1024, 21/4096 of square windows, else the best of a few bits"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftLimits:
    """Between what values the shifts of a layer must lie; positions that break them are moved.

    Attributes:
        cut: of weights' position + input's - output's, after a product.
        bias_most: greatest of weights' position + input's - bias's; the least is min(0, cut + 8 - bias_guard).
        bias_guard: bits of the accumulator that the bias's shift may use up.
        sum_read: between the summands' positions.
        sum_write: of the summands' least position - the sum's.
    """

    cut: tuple[int, int]
    bias_most: int
    bias_guard: int
    sum_read: int
    sum_write: tuple[int, int]

    def least_bias(self, cut: int) -> int:
        """Return the least shift of a bias beside a shift of the product."""
        return min(0, cut + 8 - self.bias_guard)

    def describe(self) -> str:
        """Return the limits in words."""
        return (
            f"product {self.cut[0]}..{self.cut[1]}, bias min(0, cut - {self.bias_guard - 8})..{self.bias_most}, "
            f"between summands 0..{self.sum_read}, of a sum {self.sum_write[0]}..{self.sum_write[1]}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOfTwoSpec(TargetSpec):
    """The contract of a target on grids whose scales are powers of two.

    Attributes:
        bias: where the position of biases comes from; `bias_bits` is their width, and they saturate.
        positions: how the positions of tensors are chosen.
        shifts: limits of positions, None where there are none.
        unsigned: tensors that are never negative have unsigned codes.
        one_position: joined tensors have one position; else inputs are moved to the output's.
        pools_keep: average pooling leaves the position as it is.
        mean_divisor: of average pooling.
        weights_powers: each weight is a power of two with its sign, 2**-8 to 2**-1.
    """

    bias: BiasPlace
    positions: PositionRule
    shifts: ShiftLimits | None
    unsigned: bool
    one_position: bool
    pools_keep: bool
    mean_divisor: MeanDivisor
    weights_powers: bool

    def contract(self) -> list[tuple[str, str, Provenance]]:
        """Return (field, value in words, provenance) of every sourced field, in order."""
        own = {
            "weights": "sign * 2**e, e = -8..-1, in units of 2**-8"
            if self.weights_powers
            else self.weights.describe(),
            "bias_bits": f"int{self.bias_bits}, saturating",
        }
        words = {
            "bias": self.bias.value,
            "positions": self.positions.value,
            "shifts": "any" if self.shifts is None else self.shifts.describe(),
            "unsigned": "tensors that are never negative" if self.unsigned else "none",
            "one_position": "yes" if self.one_position else "no",
            "pools_keep": "yes" if self.pools_keep else "no",
            "mean_divisor": self.mean_divisor.value,
            "weights_powers": "yes" if self.weights_powers else "no",
        }
        return [
            *(
                (name, own.get(name, text), source)
                for name, text, source in TargetSpec.contract(self)
            ),
            *((name, text, self.provenance[name]) for name, text in words.items()),
        ]
