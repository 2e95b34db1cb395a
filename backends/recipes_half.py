"""The recipes of targets that compute in half precision, wholly or between quantized layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from intlower.backends.recipes import STEPS, composed_recipe, with_convolutions
from intlower.compiler.recipe import Recipe

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

    `none`: clean-up, batch-norm folding and activation fusion. The others: also silence dead channels.
    There are no ranges that synthetic inputs could serve.

    Args:
        target: name of the target, for messages.
        name: of the recipe.
        added: names of HALF_STEPS that it gets as well.
        removed: names of HALF_STEPS that it goes without.

    Raises:
        TargetError: there is no such recipe or step, or a step is both added and removed.
    """
    steps = {step: STEPS[step] for step in HALF_STEPS}
    recipe = composed_recipe(target, name, ("silence_channels",), steps, added, removed)
    return replace(with_convolutions(recipe), needs_ranges=False, synthesize=0)


def mixed_recipe(
    target: str, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
) -> Recipe:
    """Return a recipe for a target with quantized layers between half-precision tensors.

    `none`: as above. `default`: also silences dead channels, fills the ranges in front of depthwise layers, rounds with
    cancelling errors, corrects biases. `data-free-strict`: the same, and refuses samples as well as ranges from noise.
    `synthetic`: the default with ranges of inputs made from the network's statistics as well.

    Args:
        target: name of the target, for messages.
        name: of the recipe.
        added: names of MIXED_STEPS that it gets as well.
        removed: names of MIXED_STEPS that it goes without.

    Raises:
        TargetError: there is no such recipe or step, or a step is both added and removed.
    """
    own = ("estimate_inputs", "silence_channels", "fill_depthwise", "correct_bias", "squant")
    steps = {step: STEPS[step] for step in MIXED_STEPS}
    return with_convolutions(composed_recipe(target, name, own, steps, added, removed))
