from __future__ import annotations

import numpy as np
from graph_building import graph_of

from intlower.compiler.calibration.input_model import estimate_input
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.operators import Add, Conv, Relu
from intlower.compiler.passes.estimate_inputs import EstimateInputs


def image_network(*, moments: bool = True) -> Graph:
    generator = np.random.default_rng(0)
    graph = graph_of(
        {"x": (None, 3, 8, 8), "other": (None, 8, 8, 8)},
        [(Conv(pads=(1, 1, 1, 1)), "x w", "a"), (Add(), "a other", "s"), (Relu(), "s", "y")],
        "y",
        {"w": generator.normal(size=(8, 3, 3, 3))},
    )
    known = Moments.of(generator.normal(size=8), generator.uniform(1, 2, 8))
    return graph.edit(moments={"a": known}) if moments else graph


def test_an_input_gets_the_moments_that_its_first_layer_remembers() -> None:
    graph = image_network()
    after = EstimateInputs()(graph)
    estimate = estimate_input(graph, "x")
    assert estimate is not None
    assert np.array_equal(after.moments["x"].mean.array, estimate.mean)
    assert np.array_equal(after.moments["x"].std.array, np.full(3, estimate.std))
    assert (after.nodes, after.constants) == (graph.nodes, graph.constants)


def test_an_input_that_no_layer_with_moments_reads_gets_none() -> None:
    assert set(EstimateInputs()(image_network()).moments) == {"x", "a"}
    assert EstimateInputs()(image_network(moments=False)) == image_network(moments=False)


def test_an_input_with_moments_keeps_them() -> None:
    graph = image_network()
    given = Moments.of(np.ones(3), np.full(3, 7.0))
    graph = graph.edit(moments={**graph.moments, "x": given})
    assert EstimateInputs()(graph).moments["x"] == given


def test_dynamic_weights_and_dead_layers_tell_nothing() -> None:
    graph = graph_of({"x": (None, 3, 8, 8), "w": (4, 3, 1, 1)}, [(Conv(), "x w", "y")], "y")
    graph = graph.edit(moments={"y": Moments.of(np.zeros(4), np.ones(4))})
    assert estimate_input(graph, "x") is None
    dead = image_network()
    dead = dead.edit(moments={"a": Moments.of(np.zeros(8), np.zeros(8))})
    assert estimate_input(dead, "x") is None
