from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import assert_same_function, graph_of

from intlower.compiler.discovery import load_target
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.operators import Activation, Clip, Conv, Relu, activation_bounds
from intlower.compiler.passes.center_ranges import CenterRanges

MEAN, STD = np.array([2.0, 0.5, 4.0, -1.0]), np.array([1.0, 0.7, 2.0, 1.0])
RELU6 = Clip(minimum=0.0, maximum=6.0)


def layers(activation: Activation | None, second: Conv) -> Graph:
    generator = np.random.default_rng(0)
    graph = graph_of(
        {"x": (None, 3, 6, 6)},
        [(Conv(), "x w1 b1", "a"), (second, "a w2", "y")],
        "y",
        {
            "w1": 0.4 * generator.normal(size=(4, 3, 1, 1)),
            "b1": MEAN,
            "w2": generator.normal(size=(5, 4, 3, 3)),
        },
    )
    return graph.edit(
        nodes=[replace(graph.nodes[0], activation=activation), *graph.nodes[1:]],
        moments={"a": Moments.of(MEAN, STD)},
    )


def test_the_function_is_kept_and_the_range_halved() -> None:
    graph = layers(RELU6, Conv())
    after = CenterRanges()(graph)
    assert_same_function(graph, after, tolerance=1e-5)
    low, high = (np.asarray(b) for b in activation_bounds(after.nodes[0].activation))
    reached = np.minimum(high, after.moments["a"].mean.array + 5 * STD)
    assert max(-low.min(), reached.max()) <= 3.0
    np.testing.assert_allclose(after.moments["a"].mean.array, MEAN + low)


@pytest.mark.parametrize(
    ("activation", "second"),
    [
        (Relu(), Conv()),
        (None, Conv()),
        (RELU6, Conv(pads=(1, 1, 1, 1))),
        (Clip(minimum=-6.0, maximum=6.0), Conv()),
    ],
    ids=["Relu", "no activation", "padding", "symmetric already"],
)
def test_other_layers_are_left_alone(activation: Activation | None, second: Conv) -> None:
    graph = layers(activation, second)
    assert CenterRanges()(graph) == graph


def test_it_is_a_default_where_codes_are_signed_powers_of_two_and_biases_not_on_the_weights_grid() -> (
    None
):
    for target, taken in (
        ("vitis", True),
        ("ristretto", True),
        ("ristretto:bias=parameters", False),
        ("cvflow", False),
        ("snpe", False),
        ("tensorrt", False),
    ):
        assert ("center_ranges" in load_target(target).recipe("default").steps) is taken
