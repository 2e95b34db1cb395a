"""A target with quantized layers between half-precision tensors: a spec, and the shared lowering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from intlower.compiler.spec_mixed import MixedSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intlower.compiler.calibration import Ranges
    from intlower.compiler.graph import Graph
    from intlower.compiler.program import IntegerProgram, Origin
    from intlower.compiler.recipe import Recipe
    from intlower.compiler.second_moments import SecondMoments


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedTarget:
    """A target with integer products and half-precision tensors; see `compiler/target.py` for the protocol.

    Attributes:
        spec: the arithmetic contract, which is all that differs between such targets.
    """

    spec: MixedSpec

    def recipe(
        self, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
    ) -> Recipe:
        """Return a recipe; see `recipes_half.mixed_recipe`."""
        # Imported here: passes need torch, and listing targets must not wait for it.
        from intlower.backends.recipes_half import mixed_recipe

        return mixed_recipe(self.spec.name, name, added=added, removed=removed)

    def lower(
        self,
        graph: Graph,
        ranges: Ranges,
        recipe: Recipe,
        origin: Origin,
        second_moments: Mapping[str, SecondMoments] | None = None,
    ) -> IntegerProgram:
        """Return the program; see `lowering_half.quantized.lower_mixed`."""
        from intlower.backends.lowering_half.quantized import lower_mixed

        return lower_mixed(graph, ranges, self.spec, recipe, origin, second_moments)
