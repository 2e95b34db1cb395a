from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import graph_of, random_inputs

from intlower.compiler.evaluate import forward
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.operators import Activation, Clip, Conv, Relu, activation_bounds
from intlower.compiler.passes.center_channels import CenterChannels
from intlower.compiler.passes.snap_limits import SnapLimits

MEAN, STD = np.array([3.0, 0.8, 1.5, -0.5]), np.array([1.0, 0.5, 0.1, 1.0])


def layers(activation: Activation | None, second: Conv | None = None) -> Graph:
    """Two convolutions, the first with moments and an activation."""
    generator = np.random.default_rng(0)
    graph = graph_of(
        {"x": (None, 3, 6, 6)},
        [(Conv(), "x w1 b1", "a"), (second or Conv(), "a w2 b2", "y")],
        "y",
        {
            "w1": 0.3 * generator.normal(size=(4, 3, 1, 1)),
            "b1": MEAN,
            "w2": generator.normal(size=(5, 4, 3, 3)),
            "b2": generator.normal(size=5),
        },
    )
    return graph.edit(
        nodes=[replace(graph.nodes[0], activation=activation), *graph.nodes[1:]],
        moments={"a": Moments.of(MEAN, STD)},
    )


@pytest.mark.parametrize("activation", [None, Relu(), Clip(minimum=0.0, maximum=2.5)])
@pytest.mark.parametrize("rewrite", [CenterChannels(), SnapLimits()])
def test_the_function_is_kept(
    rewrite: CenterChannels | SnapLimits, activation: Activation | None
) -> None:
    before = layers(activation)
    after = rewrite(before)
    inputs = random_inputs(before, np.random.default_rng(1))
    # Float32 sums in another order: a few units in the last place of numbers near 10.
    np.testing.assert_allclose(
        forward(after, inputs)["y"], forward(before, inputs)["y"], rtol=1e-4, atol=1e-4
    )


def test_channels_come_near_0_and_their_zeros_onto_levels() -> None:
    after = CenterChannels()(layers(Relu()))
    moved = -np.asarray(activation_bounds(after.nodes[0].activation)[0])
    steps = 16 * np.log2(moved)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    x = np.random.default_rng(0).normal(MEAN, STD, (100_000, 4))
    expected = np.where(x > 0, x, 0).sum(axis=0) / (x > 0).sum(axis=0)
    np.testing.assert_allclose(moved, expected, rtol=2 ** (0.5 / 16) - 1 + 5e-3)
    np.testing.assert_allclose(after.moments["a"].mean.array, MEAN - moved)


def test_a_channel_that_is_always_held_stays() -> None:
    after = CenterChannels()(layers(Clip(minimum=0.0, maximum=0.0)))
    assert (np.asarray(activation_bounds(after.nodes[0].activation)[1]) == 0).all()


def test_a_layer_whose_reader_pads_is_left_alone() -> None:
    graph = layers(Relu(), Conv(pads=(1, 1, 1, 1)))
    assert CenterChannels()(graph) == graph


def test_limits_come_onto_levels_by_a_small_factor() -> None:
    after = SnapLimits()(layers(Clip(minimum=0.0, maximum=6.0)))
    limit = np.asarray(activation_bounds(after.nodes[0].activation)[1])
    np.testing.assert_allclose(limit, 2 ** (41 / 16))
    np.testing.assert_allclose(after.moments["a"].mean.array, MEAN * 2 ** (41 / 16) / 6)


def test_no_limit_no_change() -> None:
    graph = layers(Relu())
    assert SnapLimits()(graph) == graph
