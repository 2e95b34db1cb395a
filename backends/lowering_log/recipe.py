"""The recipes of targets with logarithmic codes."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from intlower.backends.recipes import (
    STEPS,
    AddPass,
    Step,
    composed_recipe,
    with_convolutions,
)
from intlower.compiler.passes.center_channels import CenterChannels
from intlower.compiler.passes.snap_limits import SnapLimits
from intlower.compiler.recipe import Recipe

# Every step, in the order in which they take effect; all are part of the default recipe. What moves ranges of whole
# tensors is of no use to relative steps, and what needs samples works on uniform grids.
LOG_STEPS: MappingProxyType[str, Step] = MappingProxyType(
    {
        "estimate_inputs": STEPS["estimate_inputs"],
        "silence_channels": STEPS["silence_channels"],
        "equalize": STEPS["equalize"],
        "snap_limits": AddPass(SnapLimits()),
        "center_channels": AddPass(CenterChannels()),
        "correct_bias": STEPS["correct_bias"],
        "squant": STEPS["squant"],
    }
)


def log_recipe(
    target: str, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
) -> Recipe:
    """Return a recipe for a target with logarithmic codes; the names are those of `recipes.uniform_recipe`.

    `default` silences dead channels, equalizes, puts the limits of activations on levels and channels near 0, rounds
    weights so that errors cancel, and corrects biases.

    Args:
        target: its name, for messages.
        name: of the recipe.
        added: names of LOG_STEPS that it gets as well.
        removed: names of LOG_STEPS that it goes without.

    Raises:
        TargetError: there is no such recipe or step, or a step is both added and removed.
    """
    recipe = composed_recipe(target, name, tuple(LOG_STEPS), LOG_STEPS, added, removed)
    return with_convolutions(recipe)
