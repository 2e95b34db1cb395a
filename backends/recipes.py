"""The recipes of targets with uniform grids, composed of named steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from intlower.compiler.errors import TargetError
from intlower.compiler.passes.absorb_bias import AbsorbBias
from intlower.compiler.passes.base import Pass
from intlower.compiler.passes.batch_to_front import BatchToFront
from intlower.compiler.passes.center_ranges import CenterRanges
from intlower.compiler.passes.equalize import Equalize
from intlower.compiler.passes.estimate_inputs import EstimateInputs
from intlower.compiler.passes.fill_depthwise import FillDepthwise
from intlower.compiler.passes.fit_powers_of_two import FitPowersOfTwo
from intlower.compiler.passes.imagine_moments import ImagineMoments
from intlower.compiler.passes.lift_matmul import LiftMatmul
from intlower.compiler.passes.silence_channels import SilenceChannels
from intlower.compiler.passes.split_slopes import SplitSlopes
from intlower.compiler.passes.split_transposed import SplitTransposed
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.compiler.power_spec import BiasPlace, PowerOfTwoSpec
from intlower.compiler.recipe import Recipe, WeightRounding
from intlower.compiler.spec import TargetSpec

RECIPE_NAMES = ("default", "none", "data-free-strict", "synthetic")

# As many as the figures of docs/accuracy.md were measured with.
SYNTHETIC_INPUTS = 32

# What makes of other forms those that targets have: convolutions of other products with weights, and the batch in front.
CONVOLUTION_PASSES: tuple[Pass, ...] = (
    BatchToFront(),
    SplitTransposed(),
    LiftMatmul(),
    SplitSlopes(),
)

Step = Callable[[Recipe], Recipe]


@dataclass(frozen=True, slots=True)
class AddPass:
    """A step that appends a pass."""

    rewrite: Pass

    def __call__(self, recipe: Recipe) -> Recipe:
        """Return the recipe with the pass."""
        return replace(recipe, passes=(*recipe.passes, self.rewrite))


def _round_by_squant(recipe: Recipe) -> Recipe:
    return replace(recipe, rounding=WeightRounding.SQUANT)


def _round_by_gptq(recipe: Recipe) -> Recipe:
    return replace(recipe, rounding=WeightRounding.GPTQ)


def _correct_bias(recipe: Recipe) -> Recipe:
    return replace(recipe, correct_bias=True)


def _correct_on_samples(recipe: Recipe) -> Recipe:
    return replace(recipe, correct_on_samples=True)


# Every step, in the order in which they take effect: later ones rely on what earlier ones leave.
STEPS: MappingProxyType[str, Step] = MappingProxyType(
    {
        "imagine_moments": AddPass(ImagineMoments()),
        "estimate_inputs": AddPass(EstimateInputs()),
        "silence_channels": AddPass(SilenceChannels()),
        "equalize": AddPass(Equalize()),
        "fill_depthwise": AddPass(FillDepthwise()),
        "center_ranges": AddPass(CenterRanges()),
        "absorb_bias": AddPass(AbsorbBias()),
        "correct_bias": _correct_bias,
        "squant": _round_by_squant,
        "gptq": _round_by_gptq,
        "correct_on_samples": _correct_on_samples,
    }
)


def _steps(spec: TargetSpec) -> Mapping[str, Step]:
    """Return the steps that a target knows; `fit_powers_of_two` is one where scales are powers of two."""
    if not spec.activations.power_of_two:
        return STEPS
    fit = AddPass(FitPowersOfTwo(activations=spec.activations, weights=spec.weights))
    names = list(STEPS)
    place = names.index("correct_bias")
    order = (*names[:place], "fit_powers_of_two", *names[place:])
    return MappingProxyType({name: STEPS.get(name, fit) for name in order})


def uniform_recipe(
    spec: TargetSpec, name: str, *, added: Sequence[str] = (), removed: Sequence[str] = ()
) -> Recipe:
    """Return a recipe for a target.

    `none`: clean-up, batch-norm folding and activation fusion; weights to nearest.
    `default`: also silences dead channels, rounds with cancelling errors, corrects biases; and where one scale serves a
    layer's weights, equalizes across layers (per-channel scales do that by themselves); where each channel has a scale,
    fills the ranges in front of depthwise layers.
    `data-free-strict`: the same, and refuses samples as well as ranges from noise.
    `synthetic`: the default with inputs made from the network's statistics, for ranges, for `correct_on_samples` where the
    bias has its 32 bits, and for `gptq` where weights have at most 4 bits (at 8 it is worth nothing; docs/accuracy.md).

    Args:
        spec: the target's.
        name: of the recipe.
        added: names of STEPS that it gets as well.
        removed: names of STEPS that it goes without.

    Raises:
        TargetError: there is no such recipe or step, or a step is both added and removed.
    """
    wide_bias = (spec.bias_bits, spec.accumulator.bits) == (32, 32)
    if "correct_on_samples" in added and not wide_bias:
        raise TargetError(
            f"the step 'correct_on_samples' needs a 32-bit bias, and that of {spec.name!r} is narrower",
            "leave it out",
        )
    own_steps = default_steps(spec)
    if name == "synthetic":
        own_steps += ("correct_on_samples",) if wide_bias else ()
        own_steps += ("gptq",) if spec.weights.bits <= 4 else ()
    recipe = composed_recipe(spec.name, name, own_steps, _steps(spec), added, removed)
    return with_convolutions(recipe)


def with_convolutions(recipe: Recipe) -> Recipe:
    """Return a composed recipe that makes convolutions of other products after the passes that every target begins with."""
    own = recipe.passes[len(STANDARD_PASSES) :]
    return replace(recipe, passes=(*STANDARD_PASSES, *CONVOLUTION_PASSES, *own))


def composed_recipe(
    target: str,
    name: str,
    own: Sequence[str],
    steps: Mapping[str, Step],
    added: Sequence[str],
    removed: Sequence[str],
) -> Recipe:
    """Return the recipe of a name: `own` steps or none, and those added, less those removed.

    Args:
        target: its name, for messages.
        name: of RECIPE_NAMES.
        own: names of the steps of the default recipe.
        steps: that the target knows, in the order in which they take effect.
        added: names of steps that it gets as well.
        removed: names of steps that it goes without.

    Raises:
        TargetError: there is no such recipe or step, or a step is both added and removed.
    """
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
    taken = {*(() if name == "none" else own), *added} - {*removed}
    chosen = tuple(step for step in steps if step in taken)
    recipe = Recipe(
        name=name,
        passes=STANDARD_PASSES,
        rounding=WeightRounding.NEAREST,
        correct_bias=False,
        steps=chosen,
        data_free=name == "data-free-strict",
        synthesize=SYNTHETIC_INPUTS if name == "synthetic" else 0,
    )
    for step in chosen:
        recipe = steps[step](recipe)
    return recipe


def default_steps(spec: TargetSpec) -> tuple[str, ...]:
    """Return the names of the steps that the default recipe of a target takes, in order.

    Left to be asked for: `gptq` and `correct_on_samples`, which need samples, and `absorb_bias`, which was worth nothing beside `correct_bias` on
    the networks of docs/accuracy.md.
    """
    omitted = {"absorb_bias", "gptq", "correct_on_samples"}
    # Elsewhere a zero point does it, or unsigned codes do; and biases on the weights' grid cannot hold the shift.
    if not (
        isinstance(spec, PowerOfTwoSpec)
        and not spec.unsigned
        and spec.bias is not BiasPlace.WEIGHTS
    ):
        omitted.add("center_ranges")
    # One weight scale for all channels cannot take up a factor of each; a scale of its own needs no equalizing.
    omitted.add("equalize" if spec.weights.per_channel else "fill_depthwise")
    return tuple(step for step in _steps(spec) if step not in omitted)
