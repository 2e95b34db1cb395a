"""The recipes of targets with logarithmic codes."""

from __future__ import annotations

from collections.abc import Sequence

from intlower.backends.recipes import STEPS, composed_recipe
from intlower.compiler.recipe import Recipe

# What the arithmetic has no use or no form for: relative steps need no filled ranges, and what needs samples here works
# on uniform grids.
_LEFT_OUT = {"fill_depthwise", "gptq", "correct_on_samples"}
LOG_STEPS = {name: step for name, step in STEPS.items() if name not in _LEFT_OUT}
DEFAULT_STEPS = tuple(name for name in LOG_STEPS if name != "absorb_bias")


def log_recipe(
    target: str, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
) -> Recipe:
    """Return a recipe for a target with logarithmic codes; the names are those of `recipes.uniform_recipe`.

    `default` silences dead channels, equalizes, rounds weights so that errors cancel, and corrects biases.

    Args:
        target: its name, for messages.
        name: of the recipe.
        added: names of LOG_STEPS that it gets as well.
        removed: names of LOG_STEPS that it goes without.

    Raises:
        TargetError: there is no such recipe or step, or a step is both added and removed.
    """
    return composed_recipe(target, name, DEFAULT_STEPS, LOG_STEPS, added, removed)
