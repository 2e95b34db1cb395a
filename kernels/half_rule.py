"""How half-precision operators round: three choices, as a value whose string is part of a kernel's name."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass


class Subnormals(enum.Enum):
    """What becomes of results below 2**-14, the least normal number of binary16.

    =============  =====================================================  =====
    member         rule                                                   text
    =============  =====================================================  =====
    KEPT           IEEE 754: gradual underflow
    FLUSHED        rounded; then zero of the same sign, if still below    ftz
    FLUSHED_FIRST  zero of the same sign, if below before it is rounded   ftzfirst
    =============  =====================================================  =====

    The two differ for numbers that round up to 2**-14. Source of the names: OpenCL-C, CL_FP_DENORM; the moment of the
    decision is left open there, as is Arm's FPCR.FZ16 against AH.
    """

    KEPT = ""
    FLUSHED = "ftz"
    FLUSHED_FIRST = "ftzfirst"


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfRule:
    """The arithmetic of one half-precision operator. Rounding is to nearest, ties to even, throughout.

    Attributes:
        half_sums: every product and every partial sum is rounded to binary16; otherwise sums are kept in binary32.
        subnormals: of results.
        saturate: results past the greatest number become 65504 instead of infinity.

    >>> str(HalfRule(half_sums=True, subnormals=Subnormals.FLUSHED, saturate=True))
    'f16acc_ftz_sat'
    >>> HalfRule.parse('f32acc') == HalfRule()
    True
    """

    half_sums: bool = False
    subnormals: Subnormals = Subnormals.KEPT
    saturate: bool = False

    def __str__(self) -> str:
        parts = ["f16acc" if self.half_sums else "f32acc"]
        parts += [self.subnormals.value] if self.subnormals.value else []
        parts += ["sat"] if self.saturate else []
        return "_".join(parts)

    @classmethod
    def parse(cls, text: str) -> HalfRule:
        """Return the rule of a text; the inverse of `str`.

        Raises:
            ValueError: the text names none.
        """
        match = re.fullmatch(RULE_PATTERN, text)
        if match is None:
            raise ValueError(f"not a half-precision rule: {text!r}")
        parts = text.split("_")
        names = [part for part in parts if part.startswith("ftz")]
        return cls(
            half_sums=parts[0] == "f16acc",
            subnormals=Subnormals(names[0] if names else ""),
            saturate=parts[-1] == "sat",
        )

    def describe(self) -> str:
        """Return the rule in words."""
        sums = "binary16" if self.half_sums else "binary32"
        subnormals = {
            Subnormals.KEPT: "subnormals kept",
            Subnormals.FLUSHED: "subnormals flushed after rounding",
            Subnormals.FLUSHED_FIRST: "subnormals flushed before rounding",
        }[self.subnormals]
        overflow = "65504" if self.saturate else "infinity"
        return f"sums in {sums}, {subnormals}, overflow to {overflow}"


RULE_PATTERN = r"f(?:16|32)acc(?:_ftz(?:first)?)?(?:_sat)?"
