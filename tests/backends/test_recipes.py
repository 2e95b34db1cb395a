from __future__ import annotations

from dataclasses import replace

import pytest

from intlower.backends.recipes import CONVOLUTION_PASSES, RECIPE_NAMES, uniform_recipe
from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.backends.tensorrt import TARGET as TENSORRT
from intlower.backends.uniform import UniformTarget
from intlower.compiler.errors import TargetError
from intlower.compiler.passes.equalize import Equalize
from intlower.compiler.passes.estimate_inputs import EstimateInputs
from intlower.compiler.passes.fill_depthwise import FillDepthwise
from intlower.compiler.passes.imagine_moments import ImagineMoments
from intlower.compiler.passes.silence_channels import SilenceChannels
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.compiler.recipe import WeightRounding

SNPE = SNPE_FAMILY.member("")

TARGETS = (SNPE, TENSORRT)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.spec.name)
def test_none_only_cleans_up(target: UniformTarget) -> None:
    recipe = target.recipe("none")
    assert recipe.passes == (*STANDARD_PASSES, *CONVOLUTION_PASSES)
    assert recipe.rounding is WeightRounding.NEAREST
    assert not recipe.correct_bias


def test_default_equalizes_where_one_scale_serves_a_layer() -> None:
    always = (*STANDARD_PASSES, *CONVOLUTION_PASSES)
    shared = SNPE.recipe("default")
    assert shared.passes == (
        *always,
        ImagineMoments(),
        EstimateInputs(),
        SilenceChannels(),
        Equalize(),
    )
    own = TENSORRT.recipe("default")
    assert own.passes == (
        *always,
        ImagineMoments(),
        EstimateInputs(),
        SilenceChannels(),
        FillDepthwise(),
    )
    for recipe in (shared, own):
        assert recipe.rounding is WeightRounding.SQUANT
        assert recipe.correct_bias
    per_channel = replace(SNPE.spec, weights=TENSORRT.spec.weights)
    assert Equalize() not in uniform_recipe(per_channel, "default").passes


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.spec.name)
def test_an_unknown_recipe_is_refused_with_those_that_are(target: UniformTarget) -> None:
    with pytest.raises(TargetError, match="has no recipe 'fast'") as caught:
        target.recipe("fast")
    assert all(name in caught.value.hint for name in RECIPE_NAMES)


def test_a_recipe_is_spelled_out_by_its_repr() -> None:
    text = repr(SNPE.recipe("default"))
    assert "Equalize(sweeps=30, tolerance=0.01, deviations=6.0)" in text
    assert text == repr(SNPE.recipe("default"))
