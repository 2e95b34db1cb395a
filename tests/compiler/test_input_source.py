from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from shared_data import model_path, needs_shared_data

from intlower.compiler.errors import CalibrationWarning, DataError
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.input_source import InputSource, input_source, likely_ranges
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.compiler.recipe import Recipe, WeightRounding
from intlower.compiler.synthesis.view import CANVAS, inputs_from

SAMPLES = {"input": np.zeros((2, 3, 4, 4), np.float32)}
SHARED = {CANVAS: np.zeros((2, 3, 8, 8), np.float32)}
PLAIN = Recipe(name="default", passes=(), rounding=WeightRounding.NEAREST, correct_bias=False)


def source(
    recipe: Recipe, samples: dict[str, NDArray[Any]] | None = None, count: int | None = None
) -> InputSource:
    return input_source(samples, count, recipe, budget_seconds=None, ranges=None, seed=0)


@given(
    st.sampled_from([None, SAMPLES, SHARED]),
    st.sampled_from([None, 4]),
    st.booleans(),
    st.sampled_from([0, 8]),
    st.sampled_from([WeightRounding.NEAREST, WeightRounding.GPTQ]),
)
def test_a_source_is_one_or_none_and_a_step_that_needs_one_has_one(
    samples: dict[str, NDArray[Any]] | None,
    count: int | None,
    data_free: bool,
    synthesize: int,
    rounding: WeightRounding,
) -> None:
    recipe = replace(PLAIN, data_free=data_free, synthesize=synthesize, rounding=rounding)
    try:
        found = source(recipe, samples, count)
    except DataError:
        return
    given = [found.samples is not None, found.canvas is not None, found.count is not None]
    assert sum(given) <= 1
    assert given[0] == (samples is SAMPLES)
    assert given[1] == (samples is SHARED)
    assert sum(given) == 1 or not recipe.sample_step
    assert not (data_free or synthesize) or not given[0]


def test_two_sources_are_refused_and_the_reason_is_named() -> None:
    with pytest.raises(DataError, match="only in the place of samples"):
        source(PLAIN, SAMPLES, 4)
    with pytest.raises(DataError, match="synthesized already"):
        source(PLAIN, SHARED, 4)
    with pytest.raises(DataError, match="takes no samples"):
        source(replace(PLAIN, data_free=True), SAMPLES)
    with pytest.raises(DataError, match="needs samples"):
        source(replace(PLAIN, rounding=WeightRounding.GPTQ))


def test_the_caller_s_count_goes_before_the_recipe_s() -> None:
    making = replace(PLAIN, synthesize=8)
    assert (source(making).count, source(making, count=3).count) == (8, 3)
    assert source(making, SHARED).count is None
    assert source(PLAIN).count is None


@needs_shared_data
def test_a_canvas_of_others_is_seen_within_every_usual_preprocessing() -> None:
    model, _ = read_model(model_path("cifar10_resnet20"))
    graph = run_passes(import_model(model), STANDARD_PASSES).edit(moments={})
    canvas = np.random.default_rng(0).random((8, 3, 32, 32)).astype(np.float32)
    with pytest.warns(CalibrationWarning, match="tell what input"):
        ranges = likely_ranges(graph, None)
    (name,) = ranges
    low, high = ranges[name]
    # Black and white of ImageNet's normalization, which the network was trained with.
    assert low <= -2.1
    assert high >= 2.6
    seen = inputs_from(graph, canvas, ranges[name])[name]
    assert low <= seen.min()
    assert seen.max() <= high
    assert likely_ranges(graph, {name: (-1.0, 1.0)}) == {name: (-1.0, 1.0)}
