"""A target whose numbers are minifloats: Ristretto's third precision, as data, its recipes, and the shared lowering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from intlower.backends.dynamic_fixed_point import RISTRETTO
from intlower.backends.half import HALF_OPERATORS
from intlower.compiler.spec import our_definition, public_fact
from intlower.compiler.spec_minifloat import MinifloatSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intlower.compiler.calibration import Ranges
    from intlower.compiler.graph import Graph
    from intlower.compiler.program import IntegerProgram, Origin
    from intlower.compiler.recipe import Recipe
    from intlower.compiler.second_moments import SecondMoments


@dataclass(frozen=True, slots=True, kw_only=True)
class MinifloatTarget:
    """A target with minifloats; see `compiler/target.py` for the protocol.

    Attributes:
        spec: the arithmetic contract, which is all that differs between such targets.
    """

    spec: MinifloatSpec

    def recipe(
        self, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
    ) -> Recipe:
        """Return a recipe; see `recipes_half.minifloat_recipe`."""
        # Imported here: passes need torch, and listing targets must not wait for it.
        from intlower.backends.recipes_half import minifloat_recipe

        return minifloat_recipe(self.spec.name, name, added=added, removed=removed)

    def lower(
        self,
        graph: Graph,
        ranges: Ranges,
        recipe: Recipe,
        origin: Origin,
        second_moments: Mapping[str, SecondMoments] | None = None,
    ) -> IntegerProgram:
        """Return the integer program; see `lowering_minifloat.lower.lower_minifloats`."""
        from intlower.backends.lowering_minifloat import lower_minifloats

        return lower_minifloats(graph, ranges, self.spec, recipe, origin)


def minifloat_target(
    name: str, *, bits: int, even: bool, own_biases: bool, trimmed_biases: bool
) -> MinifloatTarget:
    """Return Ristretto's minifloat target.

    Args:
        name: the full one.
        bits: of codes, 8 or 16.
        even: ties go to even, as on its GPU; otherwise away from zero, as on its CPU.
        own_biases: each tensor has an exponent bias of its own; otherwise as published.
        trimmed_biases: a layer's biases are minifloats, as published; otherwise binary32.
    """
    trim = f"{RISTRETTO}/layers/base_ristretto_layer.cpp, Trim2MiniFloat_cpu"
    floats = our_definition(
        "Ristretto leaves it in float, and trims at the next layer; here every tensor has codes"
    )
    return MinifloatTarget(
        spec=MinifloatSpec(
            name=name,
            title=f"Ristretto, {bits}-bit minifloat",
            bits=bits,
            even=even,
            own_biases=own_biases,
            trimmed_biases=trimmed_biases,
            operators=HALF_OPERATORS,
            provenance={
                "bits": public_fact(f"{RISTRETTO}/quantization.cpp tries 16 and 8"),
                "even": public_fact(
                    f"{trim}: C's round, away from zero; the GPU code has rint, to even"
                ),
                "own_biases": our_definition(
                    "weights are mostly below the least number of the published layout, 2**-7 at 4 bits, and would be 0; two octaves "
                    "above a range that is estimated cost less than what saturates"
                )
                if own_biases
                else public_fact(
                    f"{RISTRETTO}/quantization.cpp, Quantize2MiniFloatingPoint: 'no saturation occurs', 'parameters are "
                    "ignored'; at least 4 bits"
                ),
                "trimmed_biases": public_fact(
                    f"{RISTRETTO}/layers/conv_ristretto_layer.cpp and base_ristretto_layer.cpp, QuantizeWeights_cpu: "
                    "biases are trimmed as weights are"
                )
                if trimmed_biases
                else our_definition(
                    "folded batch norm makes biases that 8 bits are too few for"
                ),
                "numbers": public_fact(
                    f"{trim}: implicit 1 in every binade, the greatest exponent is one like the others. That the code is a "
                    "signed integer, in the place of sign and magnitude, is our definition"
                ),
                "zero": our_definition(
                    f"{trim} has 0 beside all 2**bits fields, which do not fit `bits`: 2**-bias gives its place to 0; "
                    "numbers below are 0 there too"
                ),
                "overflow": public_fact(
                    f"{trim} saturates exponents past the greatest; that a mantissa rounded up in the last binade "
                    "saturates too is our definition, for there is no code for it"
                ),
                "summation": our_definition(
                    "Ristretto sums trimmed numbers by a float32 matrix product, whose order no library fixes; it decides "
                    "the last bit, so it has to be stated"
                ),
                "epilogue": our_definition(
                    "Ristretto trims after the bias and leaves the activation to its own layer: the same numbers"
                ),
                "average_pool": floats,
                "addition": floats,
                "max_pool": our_definition("the same numbers as of the values"),
                "concatenation": floats,
                "softmax": our_definition("in float, on the host"),
                "operators": our_definition("what intlower lowers for this target"),
            },
        )
    )
