"""What a target is: the joint at which strangers extend the compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intlower.compiler.calibration import Ranges
    from intlower.compiler.graph import Graph
    from intlower.compiler.program import IntegerProgram, Origin
    from intlower.compiler.recipe import Recipe
    from intlower.compiler.second_moments import SecondMoments
    from intlower.compiler.spec import TargetSpec


@runtime_checkable
class Target(Protocol):
    """A target: its arithmetic as data, its recipes, and its lowering.

    A package provides one by an entry point in the group `intlower.targets` whose name is `spec.name`. Most targets
    are `UniformTarget(spec=...)` of `backends/uniform.py` and write no code.
    """

    @property
    def spec(self) -> TargetSpec:
        """The arithmetic contract."""
        ...

    def recipe(
        self, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
    ) -> Recipe:
        """Return the recipe of a name; "default" and "none" exist for every target.

        Args:
            name: of the recipe.
            added: names of steps that it gets as well.
            removed: names of steps that it goes without.

        Raises:
            TargetError: no such recipe or step; the hint lists those that are.
        """
        ...

    def lower(
        self,
        graph: Graph,
        ranges: Ranges,
        recipe: Recipe,
        origin: Origin,
        second_moments: Mapping[str, SecondMoments] | None = None,
    ) -> IntegerProgram:
        """Return the integer program of a graph, prepared by the recipe's passes, whose values have ranges.

        Second moments of what layers read are given where the recipe rounds by GPTQ.
        """
        ...
