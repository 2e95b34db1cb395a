"""Which C functions are which requantization."""

from __future__ import annotations

from dataclasses import dataclass

from intlower.backends.export.c import scaling, sums
from intlower.backends.export.c.pieces import Piece
from intlower.kernels.signature import Requantize


@dataclass(frozen=True, slots=True, kw_only=True)
class CRule:
    """A requantization in C.

    Attributes:
        scale: the function (accumulator, multiplier, shift) -> integer.
        total: the function (a, b, scales) -> integer of `add`.
        biased: the function (accumulator, bias, multiplier, shift) -> integer of products; None where the bias is
            added before `scale`, in integers.
    """

    scale: Piece
    total: Piece
    biased: Piece | None = None

    @property
    def name(self) -> str:
        """The rule's part of the names of functions that apply it."""
        return (self.biased or self.scale).name.removeprefix("il_scale_")


# A rule that is not here has no C form: the emitter refuses it by name.
RULES: dict[Requantize, CRule] = {
    Requantize.F32EVEN: CRule(scale=scaling.SCALE_FLOAT32, total=sums.SUM_FLOAT32),
    Requantize.F32BIAS: CRule(
        scale=scaling.SCALE_FLOAT32,
        total=sums.SUM_FLOAT32,
        biased=scaling.SCALE_FLOAT32_BIASED,
    ),
    Requantize.MUL31DOUBLE: CRule(
        scale=scaling.SCALE_DOUBLE_ROUNDING, total=sums.SUM_DOUBLE_ROUNDING
    ),
    Requantize.MUL31SINGLE: CRule(
        scale=scaling.SCALE_SINGLE_ROUNDING, total=sums.SUM_SINGLE_ROUNDING
    ),
    Requantize.POWERUP: CRule(scale=scaling.SCALE_POWER_UP, total=sums.SUM_POWER_UP),
    Requantize.POWERAWAY: CRule(scale=scaling.SCALE_POWER_AWAY, total=sums.SUM_POWER_AWAY),
    Requantize.POWEREVEN: CRule(scale=scaling.SCALE_POWER_EVEN, total=sums.SUM_POWER_EVEN),
}
