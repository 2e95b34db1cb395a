from __future__ import annotations

import numpy as np
import pytest
from graph_building import Step, graph_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shared_data import model_path, needs_shared_data

from intlower.compiler.calibration.input_model import (
    InputEstimate,
    estimate_input,
    weights_profile,
)
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.operators import Conv
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES

ROWS, PLACES, FILTERS = 24, 10, 64


def features(
    generator: np.random.Generator, mean: NDArray[np.float64], std: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Inputs [96, 1, ROWS, places] whose columns are independent, neighbouring rows alike."""
    noise = generator.normal(size=(96, 1, ROWS + 1, len(mean)))
    rows = 0.9 * noise[:, :, 1:] + np.sqrt(1 - 0.9**2) * noise[:, :, :-1]
    return np.asarray(mean + std * rows)


def first_layer(
    inputs: NDArray[np.float64],
    *,
    transposed: bool = False,
    normalized: bool = False,
    seed: int = 0,
) -> Graph:
    """A convolution with the moments of its outputs, or without any and its outputs normalized, as folding leaves them."""
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(FILTERS, 1, 5, 4))
    strides, pads = (2, 2), (2, 1, 2, 1)
    if transposed:
        inputs, weights = inputs.swapaxes(2, 3), weights.swapaxes(2, 3)
        pads = (1, 2, 1, 2)
    conv: Step = (Conv(strides=strides, pads=pads), "x w b", "y")
    shapes = {"x": (None, *inputs.shape[1:])}
    bias = np.zeros(FILTERS)
    plain = graph_of(shapes, [conv], "y", {"w": weights, "b": bias})
    outputs = evaluate(plain, {"x": inputs.astype(np.float32)})["y"].astype(np.float64)
    mean, std = outputs.mean(axis=(0, 2, 3)), outputs.std(axis=(0, 2, 3))
    if normalized:
        constants = {"w": weights / std[:, None, None, None], "b": -mean / std}
        return graph_of(shapes, [conv], "y", constants)
    return plain.edit(moments={"y": Moments.of(mean, std)})


def estimated(graph: Graph) -> InputEstimate:
    estimate = estimate_input(graph, "x")
    assert estimate is not None
    return estimate


def one_stands_out(factor: float, shift: float) -> tuple[NDArray[np.float64], ...]:
    mean, std = np.zeros(PLACES), np.ones(PLACES)
    mean[0], std[0] = shift, factor
    return mean, std


@given(st.floats(6.0, 40.0), st.floats(-30.0, 30.0), st.booleans(), st.integers(0, 3))
@settings(max_examples=8, deadline=None)
def test_a_feature_that_stands_out_is_found(
    factor: float, shift: float, transposed: bool, seed: int
) -> None:
    mean, std = one_stands_out(factor, shift)
    inputs = features(np.random.default_rng(seed), mean, std)
    estimate = estimated(first_layer(inputs, transposed=transposed, seed=seed))
    profile = estimate.profile
    assert profile is not None
    assert profile.axis == (0 if transposed else 1)
    size = float(np.hypot(shift, factor))
    assert abs(profile.mean[0] - shift) < 0.15 * size
    assert profile.std[0] == pytest.approx(factor, abs=0.15 * size)
    assert profile.std[1:].max() < 4.0
    assert estimate.std == pytest.approx(inputs.std(), rel=0.2)
    # The range holds nearly everything, and is no wider than a range of mean +- 5 deviations of what stands out.
    low, high = estimate.range.minimum, estimate.range.maximum
    assert ((inputs < low) | (inputs > high)).mean() < 1e-3
    assert high - low < 1.2 * (abs(shift) + 10 * factor)
    assert estimate.range.source.endswith("row by row" if transposed else "column by column")


@given(st.floats(8.0, 40.0), st.booleans(), st.integers(0, 3))
@settings(max_examples=6, deadline=None)
def test_folded_weights_tell_it_too(factor: float, transposed: bool, seed: int) -> None:
    inputs = features(np.random.default_rng(seed), *one_stands_out(factor, -factor / 2))
    profile = weights_profile(
        first_layer(inputs, transposed=transposed, normalized=True, seed=seed), "x"
    )
    assert profile is not None
    assert profile.axis == (0 if transposed else 1)
    assert profile.std[0] == pytest.approx(factor, rel=0.2)


@given(st.floats(-3.0, 3.0), st.floats(0.1, 50.0), st.integers(0, 5))
@settings(max_examples=8, deadline=None)
def test_inputs_alike_everywhere_have_no_profile(mean: float, std: float, seed: int) -> None:
    inputs = features(
        np.random.default_rng(seed), np.full(PLACES, mean * std), np.full(PLACES, std)
    )
    assert estimated(first_layer(inputs, seed=seed)).profile is None


def test_weights_at_random_have_no_profile() -> None:
    generator = np.random.default_rng(0)
    for size in ((64, 1, 5, 4), (64, 1, 3, 3), (8, 1, 7, 7), (64, 3, 3, 3)):
        conv: Step = (Conv(strides=(2, 2), pads=(1, 1, 1, 1)), "x w b", "y")
        weights = generator.normal(size=size) * generator.lognormal(size=(size[0], 1, 1, 1))
        graph = graph_of(
            {"x": (None, size[1], 32, 32)},
            [conv],
            "y",
            {"w": weights, "b": generator.normal(size=size[0])},
        )
        assert weights_profile(graph, "x") is None


@needs_shared_data
def test_the_first_cepstral_coefficient_is_found() -> None:
    model, _ = read_model(model_path("mlperf_kws_ds_cnn"))
    graph = run_passes(import_model(model), STANDARD_PASSES)
    estimate = estimate_input(graph, graph.inputs[0].name)
    assert estimate is not None
    profile = estimate.profile
    assert profile is not None
    assert profile.axis == 1
    # Measured on 500 inputs: mean -14.6, deviation 24.1; the other nine have 0.9 to 3.8.
    assert profile.mean[0] == pytest.approx(-14.6, abs=3.0)
    assert profile.std[0] == pytest.approx(24.1, rel=0.1)
    assert profile.std[1:].max() < 4.0
