"""The recipes of targets with uniform grids."""

from __future__ import annotations

from intlower.compiler.errors import TargetError
from intlower.compiler.passes.equalize import Equalize
from intlower.compiler.passes.estimate_inputs import EstimateInputs
from intlower.compiler.passes.silence_channels import SilenceChannels
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.compiler.recipe import Recipe, WeightRounding
from intlower.compiler.spec import TargetSpec

RECIPE_NAMES = ("default", "none")


def uniform_recipe(spec: TargetSpec, name: str) -> Recipe:
    """Return a recipe for a target.

    `none`: clean-up, batch-norm folding and activation fusion; weights to nearest.
    `default`: also silences dead channels, rounds with cancelling errors, corrects biases; and where one scale serves a
    layer's weights, equalizes across layers (per-channel scales do that by themselves).

    Raises:
        TargetError: there is no such recipe.
    """
    if name == "none":
        return Recipe(
            name=name,
            passes=STANDARD_PASSES,
            rounding=WeightRounding.NEAREST,
            correct_bias=False,
        )
    if name == "default":
        equalize = () if spec.weights.per_channel else (Equalize(),)
        return Recipe(
            name=name,
            passes=(*STANDARD_PASSES, EstimateInputs(), SilenceChannels(), *equalize),
            rounding=WeightRounding.SQUANT,
            correct_bias=True,
        )
    raise TargetError(
        f"{spec.name!r} has no recipe {name!r}", f"its recipes are {', '.join(RECIPE_NAMES)}"
    )
