from __future__ import annotations

import pytest

from intlower.backends.adreno import TARGET as ADRENO
from intlower.backends.ascend310 import TARGET as ASCEND
from intlower.backends.half import HalfTarget
from intlower.backends.mixed import MixedTarget
from intlower.backends.recipes_half import half_recipe, mixed_recipe
from intlower.backends.tensorrt_fp16 import TARGET as TENSORRT_FP16
from intlower.compiler.errors import TargetError
from intlower.compiler.target import TargetFamily
from intlower.kernels.half_rule import HalfRule, Subnormals


@pytest.mark.parametrize(
    ("family", "options", "rule"),
    [
        (TENSORRT_FP16, "", HalfRule()),
        (TENSORRT_FP16, "acc=fp16", HalfRule(half_sums=True)),
        (ADRENO, "", HalfRule(subnormals=Subnormals.FLUSHED)),
        (ADRENO, "flush=before", HalfRule(subnormals=Subnormals.FLUSHED_FIRST)),
        (
            ADRENO,
            "overflow=saturate,acc=fp16",
            HalfRule(half_sums=True, subnormals=Subnormals.FLUSHED, saturate=True),
        ),
        (ASCEND, "bits=fp16", HalfRule()),
    ],
)
def test_options_are_the_arithmetic(family: TargetFamily, options: str, rule: HalfRule) -> None:
    target = family.member(options)
    assert isinstance(target, HalfTarget)
    assert target.spec.rule == rule
    assert target.spec.summary()["requantize"] == str(rule)


def test_ascend_quantizes_products_unless_told_otherwise() -> None:
    target = ASCEND.member("bits=8")
    assert isinstance(target, MixedTarget)
    assert target.spec.name == "ascend310"
    words = {field: text for field, text, _ in target.spec.contract()}
    assert words["scale_mask"] == "float32 & 0xFFFFE000"
    assert "half_sums" in words


def test_half_precision_needs_no_ranges_and_few_steps() -> None:
    recipe = half_recipe("adreno", "default")
    assert (recipe.steps, recipe.needs_ranges) == (("silence_channels",), False)
    assert half_recipe("adreno", "none").steps == ()
    assert "equalize" in half_recipe("adreno", "default", added=["equalize"]).steps


def test_quantized_layers_need_ranges() -> None:
    recipe = mixed_recipe("ascend310", "default", removed=["squant"])
    assert recipe.needs_ranges
    assert recipe.correct_bias
    assert "squant" not in recipe.steps


@pytest.mark.parametrize(
    ("name", "added", "removed", "message"),
    [
        ("best", [], [], "no recipe"),
        ("default", ["squant"], [], "no step"),
        ("default", ["equalize"], ["equalize"], "both"),
    ],
)
def test_impossible_recipes_are_errors(
    name: str, added: list[str], removed: list[str], message: str
) -> None:
    with pytest.raises(TargetError, match=message):
        half_recipe("adreno", name, added=added, removed=removed)
