"""The arithmetic contract of half-precision targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intlower.compiler.grids import HalfGrid
from intlower.compiler.spec import (
    Provenance,
    SoftmaxRule,
    beside,
    operator_words,
    our_definition,
    sourced,
)
from intlower.kernels.half_rule import HalfRule, Subnormals

_NOT_PUBLISHED = "no vendor publishes it; it decides the last bit, so it has to be stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfSpec:
    """The arithmetic contract of one target that computes in IEEE binary16.

    Attributes:
        name: what the command line calls it.
        title: hardware and library, for tables.
        half_sums: sums in binary16, every product and partial sum rounded; otherwise in binary32, rounded once.
        subnormals: kept, or flushed.
        saturate: whether overflow gives 65504 instead of infinity.
        summation: the order of a sum, in words.
        epilogue: bias, activation and rounding after a sum, in words.
        average_pool: how means are taken, in words.
        addition: how residual sums are rounded, in words.
        comparison: how numbers are compared in pooling and activations, in words.
        softmax: where a final softmax runs.
        witness: what proves the bits, in words.
        operators: names of the float operators that it runs.
        provenance: the source of each field from `half_sums` on, by field name.
    """

    name: str
    title: str
    half_sums: bool
    subnormals: Subnormals
    saturate: bool
    summation: str = "per output: input channels, then rows, then columns of the window, ascending, from +0; padding is +0; nothing fused"
    epilogue: str = "plus the float16 bias, limited by the activation, then one rounding, equations (H1), (H2)"
    average_pool: str = (
        "the window's sum by rows, one IEEE division by the count, limited, then rounded"
    )
    addition: str = "one sum, limited by the activation, one rounding"
    comparison: str = "maxima in IEEE 754 totalOrder (-0 below +0), equation (H3); limits by < and >, which -0 and NaN pass"
    softmax: SoftmaxRule = SoftmaxRule.HOST
    witness: str = "the artifact's own ONNX functions in onnxruntime: a Loop of float32 Mul and Add in the stated order, and Cast"
    operators: frozenset[str]
    provenance: Mapping[str, Provenance]

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", sourced(self))

    @property
    def host(self) -> frozenset[str]:
        """What the host runs on uniform codes of 16 bits, from this target's numbers and back."""
        return beside(self.operators)

    @property
    def rule(self) -> HalfRule:
        """The arithmetic of every operator."""
        return HalfRule(
            half_sums=self.half_sums, subnormals=self.subnormals, saturate=self.saturate
        )

    @property
    def grid(self) -> HalfGrid:
        """The numbers of every tensor and of the weights."""
        return HalfGrid(subnormals=self.subnormals, saturate=self.saturate)

    @property
    def calibration(self) -> str:
        """Half precision needs no ranges; what would be taken if something asked."""
        return "min-max"

    def summary(self) -> dict[str, str]:
        """Return the numbers and the sums, each in a few words."""
        kept = "subnormals kept" if self.subnormals is Subnormals.KEPT else "no subnormals"
        return {
            "activations": f"float16, {kept}",
            "weights": f"float16, {kept}",
            "requantize": str(self.rule),
        }

    def contract(self) -> list[tuple[str, str, Provenance]]:
        """Return (field, value in words, provenance) of every sourced field, in order."""
        words = {
            "half_sums": "binary16: every product and every partial sum is rounded"
            if self.half_sums
            else "binary32, in which a product of two halves is exact",
            "subnormals": _SUBNORMAL_WORDS[self.subnormals],
            "saturate": "past 65504: 65504" if self.saturate else "past 65504: infinity",
            "summation": self.summation,
            "epilogue": self.epilogue,
            "average_pool": self.average_pool,
            "addition": self.addition,
            "comparison": self.comparison,
            "softmax": self.softmax.value,
            "witness": self.witness,
            "operators": operator_words(self.operators, self.host),
        }
        return [(name, text, self.provenance[name]) for name, text in words.items()]


def half_provenance(
    *, half_sums: Provenance, subnormals: Provenance, saturate: Provenance
) -> dict[str, Provenance]:
    """Return the provenance of a half-precision spec: the target's own, and what we define for all of them.

    Args:
        half_sums: where the accumulator's precision comes from.
        subnormals: where the treatment of subnormals comes from.
        saturate: where the treatment of overflow comes from.
    """
    return {
        "half_sums": half_sums,
        "subnormals": subnormals,
        "saturate": saturate,
        "summation": our_definition(_NOT_PUBLISHED),
        "epilogue": our_definition("as a fused kernel does it: one rounding, at the store"),
        "average_pool": our_definition(_NOT_PUBLISHED),
        "addition": our_definition(
            "IEEE 754 addition; binary32 in between does not change it (Figueroa, 1995)"
        ),
        "comparison": our_definition(
            "IEEE 754 leaves the sign of max(-0, +0) open; any order that is stated will do"
        ),
        "softmax": our_definition("in float on the host, after the last float16 tensor"),
        "witness": our_definition(
            "onnxruntime's own float16 kernels promise no order of summation"
        ),
        "operators": our_definition("what intlower lowers for this target"),
    }


_SUBNORMAL_WORDS = {
    Subnormals.KEPT: "kept, as IEEE 754 has them",
    Subnormals.FLUSHED: "none: on input and output, a number that is below 2**-14 once rounded is a zero of its sign",
    Subnormals.FLUSHED_FIRST: "none: on input and output, a number below 2**-14 before rounding is a zero of its sign",
}
