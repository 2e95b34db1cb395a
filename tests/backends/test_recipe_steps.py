from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.backends.recipes import STEPS, default_steps, uniform_recipe
from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.compiler.errors import CalibrationError, DataError, TargetError
from intlower.compiler.pipeline import compile_model

TARGET = SNPE_FAMILY.member("")

steps = st.sets(st.sampled_from(sorted(STEPS)))


@settings(deadline=None, max_examples=50)
@given(added=steps, removed=steps)
def test_a_recipe_has_its_own_steps_with_those_added_without_those_removed(
    added: set[str], removed: set[str]
) -> None:
    added -= removed
    recipe = uniform_recipe(
        TARGET.spec, "default", added=sorted(added), removed=sorted(removed)
    )
    assert set(recipe.steps) == {*default_steps(TARGET.spec), *added} - removed


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(sorted(STEPS)))
def test_the_order_in_which_steps_are_named_does_not_matter(order: list[str]) -> None:
    assert uniform_recipe(TARGET.spec, "none", added=order) == uniform_recipe(
        TARGET.spec, "none", added=sorted(STEPS)
    )


def test_the_strict_recipe_refuses_what_is_no_property_of_the_model(tmp_path: Path) -> None:
    builder = networks.NetworkBuilder()
    path = tmp_path / "plain.onnx"
    x = builder.conv("x", 3, 4, 3)
    onnx.save(builder.model({"x": ["N", 3, 8, 8]}, x), path)
    recipe = "data-free-strict"
    with pytest.raises(CalibrationError, match="no batch-norm statistics"):
        compile_model(path, target="snpe", recipe=recipe)
    with pytest.raises(DataError, match="takes no samples"):
        compile_model(path, target="snpe", recipe=recipe, samples={"x": np.zeros((1, 3, 8, 8))})


def test_gptq_needs_samples_and_uses_them(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(networks.residual_block(), path)
    with pytest.raises(DataError, match=r"step .gptq. needs samples"):
        compile_model(path, target="tensorrt", added=("gptq",))
    samples = {
        "input": np.random.default_rng(0).standard_normal((8, 8, 8, 8)).astype(np.float32)
    }
    programs = [
        compile_model(path, target="tensorrt", samples=samples, added=added)
        for added in ((), ("gptq",), ("gptq",))
    ]
    weights = [
        [i.constants["weights"] for i in program.instructions if "weights" in i.constants]
        for program in programs
    ]
    assert weights[0] != weights[1]
    assert weights[1] == weights[2]
    assert "GPTQ" in programs[1].origin.pipeline


def test_the_verdict_on_the_correction_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(networks.residual_block(), path)
    random = np.random.default_rng(0)
    samples = {"input": random.standard_normal((8, 8, 8, 8)).astype(np.float32)}
    added = ("correct_on_samples",)
    program = compile_model(path, target="tensorrt", samples=samples, added=added)
    assert program.origin.verdicts[-1].startswith("bias correction on samples")
    with pytest.raises(DataError, match="'correct_on_samples' needs samples"):
        compile_model(path, target="tensorrt", added=added)


def test_a_narrow_bias_is_not_corrected_on_samples() -> None:
    narrow = replace(TARGET.spec, bias_bits=16)
    with pytest.raises(TargetError, match="needs a 32-bit bias"):
        uniform_recipe(narrow, "default", added=("correct_on_samples",))
