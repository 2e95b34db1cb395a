from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st
from lowered_graphs import NEAREST, instruction, lower

from intlower.backends.lowering.correction import corrected_bias
from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.moments import propagate_moments
from intlower.compiler.operators import Conv, Gemm

SNPE = SNPE_FAMILY.member("")

LAYERS: list[tuple[Conv | Gemm, tuple[int, ...]]] = [
    (Gemm(), (5, 4)),
    (Conv(), (5, 4, 3, 3)),
    (Conv(pads=(1, 0, 2, 1), strides=(2, 1)), (5, 4, 3, 3)),
    (Conv(groups=2, dilations=(2, 1), pads=(1, 1, 1, 1)), (6, 2, 2, 3)),
    (Conv(groups=4, pads=(1, 1, 1, 1)), (4, 1, 3, 3)),
]


def layer(
    operator: Conv | Gemm, weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> Graph:
    spatial = (6, 5) if isinstance(operator, Conv) else ()
    bias = np.linspace(-1.0, 1.0, len(weights))
    return graph_of(
        {"x": (None, 4, *spatial)}, [(operator, "x w b", "y")], "y", {"w": weights, "b": bias}
    )


@pytest.mark.parametrize(("operator", "shape"), LAYERS)
@given(seed=st.integers(0, 999))
@settings(deadline=None, max_examples=15)
def test_the_mean_error_of_a_layer_vanishes(
    operator: Conv | Gemm, shape: tuple[int, ...], seed: int
) -> None:
    """On channels of constant mean, the error of the weights changes no output channel's mean."""
    generator = np.random.default_rng(seed)
    weights, error = generator.normal(size=shape), generator.normal(size=shape)
    graph = layer(operator, weights)
    mean = generator.normal(size=4)
    moments = propagate_moments(graph, {"x": Moments.of(mean, np.ones(4))})
    bias = np.linspace(-1.0, 1.0, shape[0])
    corrected = corrected_bias(graph, graph.nodes[0], moments, bias, error)
    wrong = layer(operator, weights + error)
    constants = {**wrong.constants, "b": type(wrong.constants["b"]).of(corrected, np.float32)}
    size = graph.values["x"].shape[1:]
    x = np.broadcast_to(mean.reshape(4, *(1,) * (len(size) - 1)), size)[None].astype(np.float32)
    axes = (0, 2, 3)[: 1 if len(size) == 1 else 3]
    expected = evaluate(graph, {"x": x})["y"].mean(axis=axes)
    actual = evaluate(wrong.edit(constants=constants), {"x": x})["y"].mean(axis=axes)
    np.testing.assert_allclose(actual, expected, atol=2e-4)


def test_a_layer_whose_input_has_no_moments_keeps_its_bias() -> None:
    graph = layer(Gemm(), np.ones((5, 4)))
    bias = np.arange(5.0)
    assert corrected_bias(graph, graph.nodes[0], {}, bias, np.ones((5, 4))) is bias


def test_a_recipe_may_correct_or_not() -> None:
    generator = np.random.default_rng(0)
    graph = layer(Gemm(), generator.normal(size=(5, 4)))
    graph = graph.edit(moments={"x": Moments.of(np.full(4, 3.0), np.ones(4))})
    ranges = {"x": (0.0, 6.0), "y": (-20.0, 20.0)}
    codes = [
        instruction(
            lower(graph, SNPE.spec, ranges, replace(NEAREST, correct_bias=correct)), "node_y"
        )
        .constants["bias"]
        .array
        for correct in (False, True)
    ]
    assert not np.array_equal(*codes)
