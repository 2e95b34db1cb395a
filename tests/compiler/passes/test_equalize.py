from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from graph_building import Step, assert_same_function, graph_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.compiler.graph import Graph, Moments
from intlower.compiler.moments import propagate_moments
from intlower.compiler.operators import (
    Activation,
    Add,
    AveragePool,
    ChannelClip,
    Clip,
    Conv,
    Flatten,
    Gemm,
    GlobalAveragePool,
    MaxPool,
    Pad,
    Relu,
    Softmax,
    activation_bounds,
)
from intlower.compiler.passes.equalize import Equalize

# Scaled weights are rounded to float32 once in each of five layers, and terms of the sums may cancel.
ROUNDED = 1e-5
RELU6 = Clip(minimum=0.0, maximum=6.0)


def uneven(generator: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    """Weights whose output channels differ in size by up to two orders of magnitude."""
    size = 10.0 ** generator.uniform(-1, 1, shape[0])
    return np.asarray(generator.normal(size=shape) * size.reshape(-1, *(1,) * (len(shape) - 1)))


def activated(graph: Graph, activation: Activation | None) -> Graph:
    """The graph with an activation on each layer that has another behind it."""
    return graph.edit(
        nodes=[
            replace(node, activation=activation)
            if isinstance(node.operator, Conv | Gemm) and node.output not in graph.outputs
            else node
            for node in graph.nodes
        ]
    )


def separable(
    activation: Activation | None, seed: int, between: tuple[Step, ...] = ()
) -> Graph:
    """Conv, depthwise, grouped, then whatever `between` makes of c, Flatten and two Gemm."""
    generator = np.random.default_rng(seed)
    last = between[-1][2] if between else "c"
    size = 8 if not between else 2 if any(step[2] == "pooled" for step in between) else 1
    steps: list[Step] = [
        (Conv(pads=(1, 1, 1, 1)), "x w1 b1", "a"),
        (Conv(groups=8, pads=(1, 1, 1, 1)), "a w2", "b"),
        (Conv(groups=2), "b w3 b3", "c"),
        *between,
        (Flatten(), last, "flat"),
        (Gemm(), "flat w4 b4", "d"),
        (Gemm(), "d w5", "y"),
    ]
    return activated(
        graph_of(
            {"x": (None, 3, 8, 8)},
            steps,
            "y",
            {
                "w1": uneven(generator, 8, 3, 3, 3),
                "b1": generator.normal(size=8),
                "w2": uneven(generator, 8, 1, 3, 3),
                "w3": uneven(generator, 6, 4, 1, 1),
                "b3": generator.normal(size=6),
                "w4": uneven(generator, 5, 6 * size * size),
                "b4": generator.normal(size=5),
                "w5": uneven(generator, 4, 5),
            },
        ),
        activation,
    )


def ranges(weights: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.abs(weights).reshape(len(weights), -1).max(axis=1), np.float64)


def spread(weights: NDArray[Any]) -> float:
    found = ranges(weights)
    return float(found.max() / found.min())


POOLS: tuple[tuple[Step, ...], ...] = (
    (),
    ((GlobalAveragePool(), "c", "mean"),),
    (
        (MaxPool(kernel_shape=(2, 2), strides=(2, 2)), "c", "p"),
        (Pad(pads=(0, 0, 1, 1, 0, 0, 1, 1)), "p", "q"),
        (AveragePool(kernel_shape=(3, 3), strides=(3, 3)), "q", "pooled"),
    ),
)


@given(
    activation=st.sampled_from([None, Relu(), RELU6, Clip(minimum=-1.0, maximum=2.0)]),
    between=st.sampled_from(POOLS),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=20)
def test_equalizing_keeps_the_output(
    activation: Activation | None, between: tuple[Step, ...], seed: int
) -> None:
    graph = separable(activation, seed, between)
    after = Equalize()(graph)
    assert any(
        after.constants[name] != graph.constants[name] for name in ("w1", "w2", "w3", "w4")
    )
    assert_same_function(graph, after, tolerance=ROUNDED, seed=seed)


@pytest.mark.parametrize("activation", [None, Relu()])
def test_channels_are_as_wide_before_a_layer_as_after_it(activation: Activation | None) -> None:
    after = Equalize()(separable(activation, 1))
    first, second = (after.constants[name].array for name in ("w1", "w2"))
    np.testing.assert_allclose(ranges(first), ranges(second), rtol=0.02)
    flat = np.abs(after.constants["w4"].array).reshape(5, 6, -1).max(axis=(0, 2))
    np.testing.assert_allclose(ranges(after.constants["w3"].array), flat, rtol=0.02)


def test_weight_ranges_come_nearer_to_each_other() -> None:
    graph = separable(Relu(), 2)
    after = Equalize()(graph)
    before_spread = np.prod([spread(graph.constants[n].array) for n in ("w1", "w2", "w3")])
    after_spread = np.prod([spread(after.constants[n].array) for n in ("w1", "w2", "w3")])
    assert after_spread < before_spread / 10


def test_relu6_stays_exact_with_bounds_of_its_own_for_each_channel() -> None:
    graph = separable(RELU6, 3)
    after = Equalize()(graph)
    scale = ranges(graph.constants["w1"].array) / ranges(after.constants["w1"].array)
    clip = after.nodes[0].activation
    assert isinstance(clip, ChannelClip)
    assert not clip.minimum.array.any()
    np.testing.assert_allclose(clip.maximum.array, 6.0 / scale, rtol=1e-6)


def test_a_second_run_changes_little() -> None:
    once = Equalize()(separable(Relu(), 4))
    twice = Equalize()(once)
    for name, constant in once.constants.items():
        if name.startswith("w"):
            np.testing.assert_allclose(
                ranges(twice.constants[name].array), ranges(constant.array), rtol=0.05
            )


def recorded(seed: int, activation: Activation | None) -> Graph:
    """Two 1x1 layers, uneven weights, moments of the first's output and of a pool between."""
    generator = np.random.default_rng(seed)
    graph = graph_of(
        {"x": (None, 4, 4, 4)},
        [
            (Conv(), "x w1 b1", "a"),
            (MaxPool(kernel_shape=(2, 2)), "a", "p"),
            (Conv(), "p w2", "y"),
        ],
        "y",
        {
            "w1": uneven(generator, 6, 4, 1, 1),
            "b1": generator.normal(size=6),
            "w2": uneven(generator, 5, 6, 1, 1)
            * 10.0 ** generator.uniform(-2, 2, (1, 6, 1, 1)),
        },
    )
    moments = {
        name: Moments.of(
            generator.normal(size=6), np.asarray(10.0 ** generator.uniform(-1, 1, 6))
        )
        for name in ("a", "p")
    }
    return activated(graph.edit(moments=moments), activation)


@given(activation=st.sampled_from([None, Relu(), RELU6]), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_no_channel_grows_past_the_widest_one_before(
    activation: Activation | None, seed: int
) -> None:
    graph = recorded(seed, activation)

    def reach(graph: Graph) -> NDArray[np.float64]:
        moments = propagate_moments(graph)["a"].before
        low, high = activation_bounds(graph.nodes[0].activation)
        mean, deviation = moments.mean.array, 6.0 * moments.std.array
        ends = np.clip([mean - deviation, mean + deviation], low, high)
        return np.asarray(np.abs(ends).max(axis=0))

    after = Equalize()(graph)
    assert reach(after).max() <= reach(graph).max() * (1 + 1e-6)
    assert_same_function(graph, after, tolerance=ROUNDED, seed=seed)


def test_moments_follow_the_channels_also_between_the_layers() -> None:
    graph = recorded(5, Relu())
    after = Equalize()(graph)
    scale = ranges(graph.constants["w1"].array) / ranges(after.constants["w1"].array)
    assert spread(scale[:, None]) > 2
    for name in ("a", "p"):
        old, new = graph.moments[name], after.moments[name]
        np.testing.assert_allclose(new.mean.array, old.mean.array / scale, rtol=1e-6)
        np.testing.assert_allclose(new.std.array, old.std.array / scale, rtol=1e-6)


def test_a_channel_without_weights_on_either_side_is_left_as_it_is() -> None:
    graph = recorded(6, Relu())
    first, second = (graph.constants[name].array.copy() for name in ("w1", "w2"))
    first[1], second[:, 2] = 0.0, 0.0
    constants = {
        **graph.constants,
        "w1": type(graph.constants["w1"])(first),
        "w2": type(graph.constants["w2"])(second),
    }
    graph = graph.edit(constants=constants)
    after = Equalize()(graph)
    assert np.array_equal(
        after.constants["b1"].array[[1, 2]], graph.constants["b1"].array[[1, 2]]
    )
    assert np.array_equal(after.constants["w1"].array[2], first[2])
    assert_same_function(graph, after, tolerance=ROUNDED)


WEIGHTS = {"w1": uneven(np.random.default_rng(0), 4, 4, 1, 1)}
WEIGHTS["w2"] = uneven(np.random.default_rng(1), 4, 4, 1, 1)


@pytest.mark.parametrize(
    ("steps", "outputs"),
    [
        ([(Conv(), "x w1", "a"), (Conv(), "a w2", "y"), (Relu(), "a", "z")], "y z"),
        ([(Conv(), "x w1", "a"), (Conv(), "a w2", "y")], "y a"),
        ([(Conv(), "x w1", "a"), (Add(), "a x", "s"), (Conv(), "s w2", "y")], "y"),
        ([(Conv(), "x w1", "a"), (Conv(), "a w1", "y")], "y"),
        ([(Conv(), "x w1", "a"), (Softmax(axis=1), "a", "s"), (Conv(), "s w2", "y")], "y"),
        (
            [
                (Conv(), "x w1", "a"),
                (Pad(pads=(0,) * 8, value=1.0), "a", "s"),
                (Conv(), "s w2", "y"),
            ],
            "y",
        ),
        ([(Conv(), "x w1", "a"), (RELU6, "a", "s"), (Conv(), "s w2", "y")], "y"),
    ],
    ids=["second reader", "graph output", "Add", "shared weights", "Softmax", "Pad 1", "Clip"],
)
def test_nothing_moves_where_the_function_would_change(steps: list[Step], outputs: str) -> None:
    names = {name for step in steps for name in step[1].split()}
    constants = {name: WEIGHTS[name] for name in WEIGHTS if name in names}
    graph = graph_of({"x": (None, 4, 4, 4)}, steps, outputs, constants)
    after = Equalize()(graph)
    assert after == graph


def test_an_activation_that_excludes_zero_blocks_the_pair() -> None:
    graph = activated(
        graph_of(
            {"x": (None, 4, 4, 4)},
            [(Conv(), "x w1", "a"), (Conv(), "a w2", "y")],
            "y",
            WEIGHTS,
        ),
        Clip(minimum=1.0, maximum=3.0),
    )
    assert Equalize()(graph) == graph
