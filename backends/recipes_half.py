"""The recipes of targets that compute in half precision, wholly or between quantized layers."""

from __future__ import annotations

from collections.abc import Sequence

from intlower.backends.recipes import RECIPE_NAMES, STEPS
from intlower.compiler.errors import TargetError
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.compiler.recipe import Recipe, WeightRounding

# Halves need no ranges. Equalizing helps only where numbers leave [2**-24, 65504], so it has to be asked for.
HALF_STEPS = ("silence_channels", "equalize")

# Layers with int8 weights, a scale for each channel, and int8 inputs.
MIXED_STEPS = (
    "estimate_inputs",
    "silence_channels",
    "equalize",
    "fill_depthwise",
    "absorb_bias",
    "correct_bias",
    "squant",
    "gptq",
)


def half_recipe(
    target: str, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
) -> Recipe:
    """Return a recipe for a target in half precision.

    `none`: clean-up, batch-norm folding and activation fusion. `default` and `data-free-strict`: also silence dead
    channels.

    Args:
        target: name of the target, for messages.
        name: of the recipe.
        added: names of HALF_STEPS that it gets as well.
        removed: names of HALF_STEPS that it goes without.

    Raises:
        TargetError: there is no such recipe or step, or a step is both added and removed.
    """
    return _recipe(
        target, name, HALF_STEPS, ("silence_channels",), added, removed, needs_ranges=False
    )


def mixed_recipe(
    target: str, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
) -> Recipe:
    """Return a recipe for a target with quantized layers between half-precision tensors.

    `none`: as above. `default`: also silences dead channels, fills the ranges in front of depthwise layers, rounds with
    cancelling errors, corrects biases. `data-free-strict`: the same, and refuses samples as well as ranges from noise.

    Args:
        target: name of the target, for messages.
        name: of the recipe.
        added: names of MIXED_STEPS that it gets as well.
        removed: names of MIXED_STEPS that it goes without.

    Raises:
        TargetError: there is no such recipe or step, or a step is both added and removed.
    """
    own = ("estimate_inputs", "silence_channels", "fill_depthwise", "correct_bias", "squant")
    return _recipe(target, name, MIXED_STEPS, own, added, removed, needs_ranges=True)


def _recipe(
    target: str,
    name: str,
    steps: tuple[str, ...],
    own: tuple[str, ...],
    added: Sequence[str],
    removed: Sequence[str],
    *,
    needs_ranges: bool,
) -> Recipe:
    if name not in RECIPE_NAMES:
        raise TargetError(
            f"{target!r} has no recipe {name!r}", f"its recipes are {', '.join(RECIPE_NAMES)}"
        )
    for step in (*added, *removed):
        if step not in steps:
            raise TargetError(
                f"{target!r} has no step {step!r}", f"its steps are {', '.join(steps)}"
            )
        if step in added and step in removed:
            raise TargetError(
                f"the step {step!r} is both added and removed", "name it on one side only"
            )
    wanted = {*(() if name == "none" else own), *added} - {*removed}
    chosen = tuple(step for step in STEPS if step in wanted)
    recipe = Recipe(
        name=name,
        passes=STANDARD_PASSES,
        rounding=WeightRounding.NEAREST,
        correct_bias=False,
        steps=chosen,
        data_free=name == "data-free-strict",
        needs_ranges=needs_ranges,
    )
    for step in chosen:
        recipe = STEPS[step](recipe, None)
    return recipe
