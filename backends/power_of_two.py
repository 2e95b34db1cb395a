"""A target whose scales are powers of two; all that differs between such targets is data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from intlower.compiler.power_spec import PowerOfTwoSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intlower.compiler.calibration import Ranges
    from intlower.compiler.graph import Graph
    from intlower.compiler.program import IntegerProgram, Origin
    from intlower.compiler.recipe import Recipe
    from intlower.compiler.second_moments import SecondMoments


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOfTwoTarget:
    """A target on grids of powers of two; see `compiler/target.py` for the protocol.

    Attributes:
        spec: the arithmetic contract.
    """

    spec: PowerOfTwoSpec

    def recipe(
        self, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
    ) -> Recipe:
        """Return a recipe; see `recipes.uniform_recipe`."""
        # Imported here: passes need torch, and listing targets must not wait for it.
        from intlower.backends.recipes import uniform_recipe

        return uniform_recipe(self.spec, name, added=added, removed=removed)

    def lower(
        self,
        graph: Graph,
        ranges: Ranges,
        recipe: Recipe,
        origin: Origin,
        second_moments: Mapping[str, SecondMoments] | None = None,
    ) -> IntegerProgram:
        """Return the integer program; see `lowering.powers.lower_powers`."""
        from intlower.backends.lowering.powers import lower_powers

        return lower_powers(graph, ranges, self.spec, recipe, origin, second_moments)
