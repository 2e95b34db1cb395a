from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import Step, graph_of, random_inputs
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.evaluate import forward
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.operators import (
    Activation,
    AveragePool,
    Clip,
    Conv,
    Flatten,
    Gemm,
    GlobalAveragePool,
    MaxPool,
    Relu,
)
from intlower.compiler.passes.absorb_bias import AbsorbBias

CHANNELS = 4
# Means far above their deviations: all but the last channel are high.
MEAN, STD = np.array([9.0, 20.0, 14.0, 0.5]), np.array([1.0, 2.0, 0.5, 1.0])


def layers(
    second: Conv | Gemm,
    *between: Step,
    activation: Activation | None,
    size: tuple[int, ...],
    seed: int = 0,
) -> Graph:
    """A first layer `a` with moments, operators between, and a second layer that reads the last of them."""
    generator = np.random.default_rng(seed)
    image = isinstance(second, Conv) or bool(between)
    reads = between[-1][2] if between else "a"
    graph = graph_of(
        {"x": (None, 3, 6, 6) if image else (None, 3)},
        [(Conv() if image else Gemm(), "x w1 b1", "a"), *between, (second, f"{reads} w2", "y")],
        "y",
        {
            "w1": 0.3 * generator.normal(size=(CHANNELS, 3, 1, 1) if image else (CHANNELS, 3)),
            "b1": MEAN,
            "w2": generator.normal(size=size),
        },
    )
    return graph.edit(
        nodes=[replace(graph.nodes[0], activation=activation), *graph.nodes[1:]],
        moments={"a": Moments.of(MEAN, STD)},
    )


def assert_same_function(before: Graph, after: Graph) -> None:
    inputs = random_inputs(before, np.random.default_rng(1))
    expected, actual = forward(before, inputs), forward(after, inputs)
    for name in before.outputs:
        np.testing.assert_allclose(actual[name].numpy(), expected[name].numpy(), atol=1e-4)


POOL = AveragePool(kernel_shape=(2, 2), pads=(1, 1, 0, 0), count_include_pad=False)
COUNTED = replace(POOL, count_include_pad=True)
BETWEEN: list[tuple[Step, ...]] = [
    (),
    ((MaxPool(kernel_shape=(2, 2), pads=(1, 1, 0, 0)), "a", "p"),),
    ((POOL, "a", "p"),),
]


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    between=st.sampled_from(BETWEEN),
    groups=st.sampled_from([1, 2, CHANNELS]),
    activation=st.sampled_from(
        [None, Relu(), Clip(minimum=0.0, maximum=30.0), Clip(minimum=0.0, maximum=6.0)]
    ),
)
def test_absorption_keeps_the_function_also_where_channels_fall_low(
    seed: int, between: tuple[Step, ...], groups: int, activation: Activation | None
) -> None:
    second = Conv(groups=groups)
    size = (4, CHANNELS // groups, 3, 3)
    graph = layers(second, *between, activation=activation, size=size, seed=seed)
    after = AbsorbBias(deviations=0.0, gain=-1.0)(graph)
    assert_same_function(graph, after)
    assert after.constants["b1"] != graph.constants["b1"]


def test_absorption_reaches_a_classifier_through_pooling() -> None:
    steps = ((GlobalAveragePool(), "a", "p"), (Flatten(), "p", "f"))
    graph = layers(Gemm(), *steps, activation=Relu(), size=(5, CHANNELS))
    after = AbsorbBias()(graph)
    assert_same_function(graph, after)
    np.testing.assert_allclose(after.moments["a"].mean.array, [3.0, 6.0, 1.5, 0.5])
    np.testing.assert_allclose(after.moments["a"].std.array, STD)


@pytest.mark.parametrize(
    "graph",
    [
        layers(Conv(pads=(0, 0, 0, 1)), activation=Relu(), size=(4, CHANNELS, 3, 3)),
        layers(Conv(), (COUNTED, "a", "p"), activation=Relu(), size=(4, CHANNELS, 3, 3)),
    ],
    ids=["convolution", "mean"],
)
def test_a_reader_that_pads_with_zeros_is_left_alone(graph: Graph) -> None:
    assert AbsorbBias()(graph) == graph


def test_a_value_that_is_read_twice_is_left_alone() -> None:
    graph = layers(Gemm(), activation=Relu(), size=(5, CHANNELS))
    shown = graph.edit(outputs=("y", "a"))
    assert AbsorbBias()(shown) == shown


def test_a_layer_whose_range_would_not_shrink_is_left_alone() -> None:
    graph = layers(Gemm(), activation=Relu(), size=(5, CHANNELS))
    wide = graph.edit(moments={"a": Moments.of(MEAN, np.array([1.0, 2.0, 0.5, 30.0]))})
    assert AbsorbBias()(wide) == wide


def test_a_graph_without_moments_is_left_alone() -> None:
    graph = layers(Gemm(), activation=Relu(), size=(5, CHANNELS)).edit(moments={})
    assert AbsorbBias()(graph) == graph
