"""A target whose arithmetic is all data: uniform grids, shared recipes, the shared lowering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from intlower.compiler.spec import TargetSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from intlower.compiler.calibration import Ranges
    from intlower.compiler.graph import Graph
    from intlower.compiler.program import IntegerProgram, Origin
    from intlower.compiler.recipe import Recipe
    from intlower.compiler.second_moments import SecondMoments


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformTarget:
    """A target with uniform grids; see `compiler/target.py` for the protocol.

    Attributes:
        spec: the arithmetic contract, which is all that differs between such targets.
    """

    spec: TargetSpec

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
        """Return the integer program; see `lowering.lower.lower_uniform`."""
        from intlower.backends.lowering import lower_uniform

        return lower_uniform(graph, ranges, self.spec, recipe, origin, second_moments)


# Every float operator that the shared lowering has an integer form for.
UNIFORM_OPERATORS = frozenset(
    {
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Clip",
        "Concat",
        "Conv",
        "DepthToSpace",
        "Elementwise",
        "Flatten",
        "Gather",
        "Gemm",
        "GlobalAveragePool",
        "Identity",
        "MatMul",
        "MaxPool",
        "Maximum",
        "Minimum",
        "Mul",
        "PRelu",
        "Pad",
        "Reduce",
        "Relu",
        "Reshape",
        "Resize",
        "Slice",
        "Softmax",
        "SpaceToDepth",
        "Sub",
        "Transpose",
    }
)
