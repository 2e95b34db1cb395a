"""What a minifloat operator computes with: the layout of its codes and the ties of its rounding, as part of its name."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Ristretto asks for at least 4 bits of exponent; more than 6 leave an 8-bit code no mantissa.
LEAST_EXPONENT_BITS, MOST_EXPONENT_BITS = 4, 6
# Numbers stay within 2**-REACH .. 2**REACH, so that products and sums of them are normal binary32 numbers.
REACH = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class MinifloatRule:
    """The layout of minifloat codes, of 8 or 16 bits, and how numbers are rounded to them.

    Attributes:
        exponent_bits: 4 to 6.
        mantissa_bits: what the sign and the exponent leave.
        even: ties go to the even code; otherwise away from zero.

    >>> str(MinifloatRule(exponent_bits=4, mantissa_bits=3))
    'e4m3away'
    >>> MinifloatRule.parse('e5m10even').bits
    16
    """

    exponent_bits: int
    mantissa_bits: int
    even: bool = False

    def __post_init__(self) -> None:
        least, most = LEAST_EXPONENT_BITS, MOST_EXPONENT_BITS
        if not least <= self.exponent_bits <= most or self.bits not in (8, 16):
            raise ValueError(
                f"a minifloat has {least} to {most} bits of exponent and 8 or 16 in all, not {self}"
            )

    @classmethod
    def of(cls, bits: int, exponent_bits: int, even: bool = False) -> MinifloatRule:
        """Return the rule of codes of a width."""
        return cls(
            exponent_bits=exponent_bits, mantissa_bits=bits - 1 - exponent_bits, even=even
        )

    @property
    def bits(self) -> int:
        """The width of a code."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def greatest(self) -> int:
        """The greatest code; the least is its negative."""
        return (1 << (self.bits - 1)) - 1

    @property
    def dropped_bits(self) -> int:
        """How many bits binary32's mantissa has that a code's lacks."""
        return 23 - self.mantissa_bits

    def __str__(self) -> str:
        ties = "even" if self.even else "away"
        return f"e{self.exponent_bits}m{self.mantissa_bits}{ties}"

    @classmethod
    def parse(cls, text: str) -> MinifloatRule:
        """Return the rule of a text; the inverse of `str`.

        Raises:
            ValueError: the text names none.
        """
        match = re.fullmatch(r"e(\d)m(\d{1,2})(away|even)", text)
        if match is None:
            raise ValueError(f"not a minifloat rule: {text!r}")
        return cls(
            exponent_bits=int(match[1]), mantissa_bits=int(match[2]), even=match[3] == "even"
        )

    def describe(self) -> str:
        """Return the rule in words."""
        ties = "to even" if self.even else "away from zero"
        return (
            f"minifloats of {self.exponent_bits} exponent and {self.mantissa_bits} mantissa bits, "
            f"sums in binary32, ties {ties}"
        )


MINIFLOAT_PATTERN = r"e\dm\d{1,2}(?:away|even)"
