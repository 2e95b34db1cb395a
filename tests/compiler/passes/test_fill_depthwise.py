from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import graph_of, random_inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.backends.tensorrt import TARGET
from intlower.compiler.evaluate import forward
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.operators import Activation, Clip, Conv, Relu
from intlower.compiler.passes.fill_depthwise import FillDepthwise

CHANNELS = 4
MEAN = np.zeros(CHANNELS)
STD = np.array([8.0, 2.0, 0.5, 4.0])


def layers(
    *,
    groups: int = CHANNELS,
    rows: int = CHANNELS,
    activation: Activation | None,
    seed: int = 0,
) -> Graph:
    """A 1x1 layer `a` with moments, and a 3x3 layer that reads it."""
    generator = np.random.default_rng(seed)
    graph = graph_of(
        {"x": (None, 3, 6, 6)},
        [
            (Conv(), "x w1 b1", "a"),
            (Conv(groups=groups, pads=(1, 1, 1, 1)), "a w2 b2", "y"),
        ],
        "y",
        {
            "w1": generator.normal(size=(CHANNELS, 3, 1, 1)),
            "b1": generator.normal(size=CHANNELS),
            "w2": generator.normal(size=(rows, CHANNELS // groups, 3, 3)),
            "b2": generator.normal(size=rows),
        },
    )
    return graph.edit(
        nodes=[replace(graph.nodes[0], activation=activation), graph.nodes[1]],
        moments={"a": Moments.of(MEAN, STD)},
    )


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000),
    rows=st.sampled_from([CHANNELS, 2 * CHANNELS]),
    activation=st.sampled_from([None, Relu(), Clip(minimum=0.0, maximum=6.0)]),
)
def test_filling_keeps_the_function(
    seed: int, rows: int, activation: Activation | None
) -> None:
    graph = layers(rows=rows, activation=activation, seed=seed)
    after = FillDepthwise()(graph)
    inputs = random_inputs(graph, np.random.default_rng(seed))
    np.testing.assert_allclose(
        forward(after, inputs)["y"].numpy(), forward(graph, inputs)["y"].numpy(), atol=1e-4
    )
    assert after.constants["w1"] != graph.constants["w1"]


def codes(weights: NDArray[np.float32]) -> NDArray[np.int8]:
    bounds = np.abs(weights).max(axis=(1, 2, 3))
    return TARGET.spec.weights.channel_grid(bounds, axis=0).quantize(weights)


def test_every_channel_reaches_as_far_and_no_weight_code_changes() -> None:
    graph = layers(activation=Relu())
    after = FillDepthwise()(graph)
    assert np.array_equal(after.moments["a"].std.array, np.full(CHANNELS, 8.0))
    for name in ("w1", "w2"):  # the factors are powers of two, so that nothing is rounded
        before = codes(graph.constants[name].array)
        assert np.array_equal(codes(after.constants[name].array), before)


def test_a_still_channel_keeps_its_scale_and_a_faint_one_is_raised_in_bounds() -> None:
    graph = layers(activation=Relu())
    std = np.array([8.0, 0.0, 1e-9, 4.0])
    after = FillDepthwise()(graph.edit(moments={"a": Moments.of(MEAN, std)}))
    raised = after.constants["b1"].array / graph.constants["b1"].array
    np.testing.assert_allclose(raised, [1.0, 1.0, 256.0, 2.0], rtol=1e-6)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_layer_that_mixes_channels_is_left_alone(groups: int) -> None:
    graph = layers(groups=groups, activation=Relu())
    assert FillDepthwise()(graph) == graph


def test_a_layer_without_moments_is_left_alone() -> None:
    graph = layers(activation=Relu()).edit(moments={})
    assert FillDepthwise()(graph).constants["w1"] == graph.constants["w1"]
