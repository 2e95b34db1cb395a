"""A target with logarithmic codes: its arithmetic as data, its recipes, and the shared lowering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from intlower.compiler.spec import (
    Provenance,
    SoftmaxRule,
    beside,
    operator_words,
    sourced,
)
from intlower.kernels.numerics_log import FORMATS, LogFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from intlower.compiler.calibration import Ranges
    from intlower.compiler.graph import Graph
    from intlower.compiler.program import IntegerProgram, Origin
    from intlower.compiler.recipe import Recipe
    from intlower.compiler.second_moments import SecondMoments

# A bias stays below 2**59 units of the products, half of what its two digits hold.
WIDE_BIAS_BITS = 59


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSpec:
    """The arithmetic contract of one target with logarithmic codes; rules are in words, with their equations.

    Attributes:
        name: what the command line calls it.
        title: hardware and library, for tables.
        bits: of a code, which fix its layout: `numerics_log.FORMATS`.
        levels: what the codes stand for.
        zero: which numbers become exact zero.
        granularity: what has a clip of its own.
        clip: how the greatest level follows from a range.
        encoded: which inputs become codes.
        mantissas: the table of fractional powers.
        product: of two codes.
        accumulator: what sums the products.
        bias: its unit and width.
        output: how sums become linear numbers.
        encode: how linear numbers become codes.
        decode: how codes become linear numbers.
        addition: of two tensors.
        average_pool: how means are rounded.
        max_pool: what is compared.
        grouped_convolution: what runs it.
        softmax: where a final softmax runs.
        operators: names of the float operators that lower to integers.
        provenance: the source of each field from `bits` on, by field name.
        bias_bits: what `bias` says, for the lowering.
    """

    name: str
    title: str
    bits: int
    levels: str
    zero: str
    granularity: str
    clip: str
    encoded: str
    mantissas: str
    product: str
    accumulator: str
    bias: str
    output: str
    encode: str
    decode: str
    addition: str
    average_pool: str
    max_pool: str
    grouped_convolution: str
    softmax: SoftmaxRule
    operators: frozenset[str]
    provenance: Mapping[str, Provenance]
    bias_bits: int = field(default=WIDE_BIAS_BITS, metadata={"sourced_with": "bias"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", sourced(self))

    @property
    def layout(self) -> LogFormat:
        """Where sign and magnitude lie in a code."""
        return FORMATS[self.bits]

    @property
    def host(self) -> frozenset[str]:
        """What the host runs on uniform codes of 16 bits, from this target's numbers and back."""
        return beside(self.operators)

    @property
    def calibration(self) -> str:
        """The vendor's rule of calibration is the greatest magnitude; see `clip`."""
        return "min-max"

    def summary(self) -> dict[str, str]:
        """Return the codes and the read-out, each in a few words."""
        codes = f"{self.layout.element.dtype_name} logarithmic, {self.layout.steps} steps per octave, per tensor"
        return {
            "activations": codes,
            "weights": codes,
            "requantize": "to linear 20.12, then by thresholds to codes",
        }

    def contract(self) -> list[tuple[str, str, Provenance]]:
        """Return (field, value in words, provenance) of every sourced field, in order."""
        layout = self.layout
        words = {
            "bits": f"{self.bits}: 1 sign, {layout.magnitude_bits - layout.step_bits} integer and "
            f"{layout.step_bits} fraction bits of the base-2 logarithm",
            "softmax": self.softmax.value,
            "operators": operator_words(self.operators, self.host),
        }
        return [
            (name, words.get(name) or str(getattr(self, name)), provenance)
            for name, provenance in self.provenance.items()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTarget:
    """A target with logarithmic codes; see `compiler/target.py` for the protocol.

    Attributes:
        spec: the arithmetic contract, which is all that differs between such targets.
    """

    spec: LogSpec

    def recipe(
        self, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
    ) -> Recipe:
        """Return a recipe; see `lowering_log.recipe.log_recipe`."""
        # Imported here: passes need torch, and listing targets must not wait for it.
        from intlower.backends.lowering_log.recipe import log_recipe

        return log_recipe(self.spec.name, name, added=added, removed=removed)

    def lower(
        self,
        graph: Graph,
        ranges: Ranges,
        recipe: Recipe,
        origin: Origin,
        second_moments: Mapping[str, SecondMoments] | None = None,
    ) -> IntegerProgram:
        """Return the integer program; see `lowering_log.lower.lower_logarithmic`."""
        from intlower.backends.lowering_log import lower_logarithmic

        return lower_logarithmic(graph, ranges, self.spec, recipe, origin)


# Every float operator that the shared lowering has a form for.
LOG_OPERATORS = frozenset(
    {
        "Add",
        "AveragePool",
        "Clip",
        "Concat",
        "Conv",
        "DepthToSpace",
        "Flatten",
        "Gather",
        "Gemm",
        "GlobalAveragePool",
        "Identity",
        "MaxPool",
        "Pad",
        "Relu",
        "Reshape",
        "Slice",
        "Softmax",
        "SpaceToDepth",
        "Transpose",
    }
)
