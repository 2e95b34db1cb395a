"""A target whose arithmetic is half precision throughout: a spec, and the shared lowering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from intlower.compiler.spec_half import HalfSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intlower.compiler.calibration import Ranges
    from intlower.compiler.graph import Graph
    from intlower.compiler.program import IntegerProgram, Origin
    from intlower.compiler.recipe import Recipe
    from intlower.compiler.second_moments import SecondMoments


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfTarget:
    """A target in half precision; see `compiler/target.py` for the protocol.

    Attributes:
        spec: the arithmetic contract, which is all that differs between such targets.
    """

    spec: HalfSpec

    def recipe(
        self, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
    ) -> Recipe:
        """Return a recipe; see `recipes_half.half_recipe`."""
        # Imported here: passes need torch, and listing targets must not wait for it.
        from intlower.backends.recipes_half import half_recipe

        return half_recipe(self.spec.name, name, added=added, removed=removed)

    def lower(
        self,
        graph: Graph,
        ranges: Ranges,
        recipe: Recipe,
        origin: Origin,
        second_moments: Mapping[str, SecondMoments] | None = None,
    ) -> IntegerProgram:
        """Return the program; see `lowering_half.lower.lower_half`."""
        from intlower.backends.lowering_half import lower_half

        return lower_half(graph, ranges, self.spec, recipe, origin)


# Every float operator that the half-precision lowering has a form for.
HALF_OPERATORS = frozenset(
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
