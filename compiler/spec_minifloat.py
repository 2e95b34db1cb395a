"""The arithmetic contract of targets whose numbers are minifloats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intlower.compiler.spec import Provenance, SoftmaxRule, sourced


@dataclass(frozen=True, slots=True, kw_only=True)
class MinifloatSpec:
    """The arithmetic contract of one target with minifloats; rules are in words, with their equations.

    Attributes:
        name: what the command line calls it.
        title: hardware and library, for tables.
        bits: of a code, 8 or 16.
        even: ties go to even codes; otherwise away from zero.
        own_biases: each tensor has an exponent bias of its own, by its range; otherwise the network has one layout, with
            the bias 2**(e - 1) - 1.
        trimmed_biases: a layer's biases are minifloats as its weights are; otherwise binary32.
        numbers: what codes stand for.
        zero: which numbers become 0.
        overflow: what becomes of greater numbers.
        summation: precision and order of sums.
        epilogue: what happens after a sum.
        average_pool: how means are taken.
        addition: how residual sums are rounded.
        max_pool: what is compared.
        concatenation: how inputs with different biases are joined.
        softmax: where a final softmax runs.
        operators: names of the float operators that it runs.
        provenance: the source of each field from `bits` on, by field name.
    """

    name: str
    title: str
    bits: int
    even: bool
    own_biases: bool
    trimmed_biases: bool
    numbers: str = (
        "codes are signed integers +-(2**m * exponent + mantissa); a number is +-(1 + mantissa / 2**m) * "
        "2**(exponent - bias), code 0 is 0; no subnormals, infinities or NaNs, equation (M2)"
    )
    zero: str = (
        "below 2**-bias, and what would have the fields of 2**-bias itself, equation (M1)"
    )
    overflow: str = "saturates at the greatest code, equation (M1)"
    summation: str = (
        "binary32, in which a product of two minifloats is exact; per output: input channels, then rows, then columns of "
        "the window, ascending, from +0; padding is +0; nothing fused"
    )
    epilogue: str = (
        "plus the bias in binary32, one rounding to a code, limited by the activation's codes"
    )
    average_pool: str = "the window's sum by rows in binary32, one IEEE division by the count, then one rounding"
    addition: str = "one sum in binary32, one rounding, limited by the activation"
    max_pool: str = "codes, which are ordered as their numbers are"
    concatenation: str = "inputs with another exponent bias are rounded to the output's"
    softmax: SoftmaxRule = SoftmaxRule.HOST
    operators: frozenset[str]
    provenance: Mapping[str, Provenance]

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", sourced(self))

    @property
    def host(self) -> frozenset[str]:
        """What the host runs in integers: nothing, what is not in `operators` is refused."""
        return frozenset()

    @property
    def calibration(self) -> str:
        """The source's rule is the greatest magnitude seen."""
        return "min-max"

    def summary(self) -> dict[str, str]:
        """Return the numbers and the rounding, each in a few words."""
        whose = "per tensor" if self.own_biases else "one for the network"
        numbers = f"{self.bits}-bit minifloat, exponent bias {whose}"
        return {
            "activations": numbers,
            "weights": numbers,
            "requantize": f"binary32 sums, one rounding, ties {'to even' if self.even else 'away from zero'}",
        }

    def contract(self) -> list[tuple[str, str, Provenance]]:
        """Return (field, value in words, provenance) of every sourced field, in order."""
        words = {
            "bits": f"{self.bits}: 1 sign, e exponent and m mantissa bits",
            "even": "ties to even" if self.even else "ties away from zero",
            "own_biases": "e = 4; the exponent bias of each tensor is the greatest that holds 4 * max|x|, of weights max|w|"
            if self.own_biases
            else "one e for the network, max(4, ceil(log2(log2(max|x|) - 1) + 1)) over inputs and outputs of layers; "
            "bias = 2**(e - 1) - 1",
            "trimmed_biases": "a layer's biases are rounded as its weights are"
            if self.trimmed_biases
            else "a layer's biases are binary32, as its sums",
            "softmax": self.softmax.value,
            "operators": ", ".join(sorted(self.operators)),
        }
        return [
            (name, words.get(name) or str(getattr(self, name)), provenance)
            for name, provenance in self.provenance.items()
        ]
