from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import Step, assert_same_function, graph_of, operators

from intlower.compiler.graph import Moments
from intlower.compiler.operators import (
    Activation,
    Add,
    AnyOperator,
    AveragePool,
    Clip,
    Conv,
    Flatten,
    Gemm,
    GlobalAveragePool,
    MaxPool,
    Relu,
    Reshape,
    Slice,
)
from intlower.compiler.passes.fuse_activations import FuseActivations

GENERATOR = np.random.default_rng(5)
IMAGE = {"x": (None, 2, 6, 6)}
WEIGHTS = {"w": GENERATOR.normal(size=(4, 2, 3, 3))}
RELU6 = Clip(minimum=0.0, maximum=6.0)


@pytest.mark.parametrize("activation", [Relu(), Clip(minimum=-0.25, maximum=0.5)])
@pytest.mark.parametrize(
    ("operator", "inputs"),
    [
        (Conv(), "x w"),
        (Add(), "x x"),
        (AveragePool(kernel_shape=(2, 2)), "x"),
        (GlobalAveragePool(), "x"),
    ],
    ids=["Conv", "Add", "AveragePool", "GlobalAveragePool"],
)
def test_an_activation_becomes_part_of_the_node_it_alone_reads(
    operator: AnyOperator, inputs: str, activation: Activation
) -> None:
    graph = graph_of(IMAGE, [(operator, inputs, "a"), (activation, "a", "y")], "y", WEIGHTS)
    after = FuseActivations()(graph)
    assert [(node.operator, node.activation, node.output) for node in after.nodes] == [
        (operator, activation, "y")
    ]
    assert_same_function(graph, after)


def test_moments_follow_the_node_and_describe_its_result_before_the_activation() -> None:
    graph = graph_of(IMAGE, [(Conv(), "x w", "a"), (Relu(), "a", "y")], "y", WEIGHTS)
    linear = Moments.of(GENERATOR.normal(size=4), np.ones(4))
    limited = Moments.of(np.ones(4), np.ones(4))
    after = FuseActivations()(graph.edit(moments={"a": linear, "y": limited}))
    assert after.moments == {"y": linear}
    assert not FuseActivations()(graph.edit(moments={"y": limited})).moments


def test_a_second_activation_is_composed_with_the_first() -> None:
    steps: list[Step] = [
        (Gemm(), "x w", "a"),
        (Relu(), "a", "b"),
        (Clip(minimum=-1.0, maximum=0.5), "b", "y"),
    ]
    graph = graph_of({"x": (None, 3)}, steps, "y", {"w": GENERATOR.normal(size=(4, 3))})
    after = FuseActivations()(graph)
    assert [node.activation for node in after.nodes] == [Clip(minimum=0.0, maximum=0.5)]
    assert_same_function(graph, after)


@pytest.mark.parametrize("outputs", ["y z", "a y"])
def test_a_value_that_is_also_used_before_the_activation_is_not_limited(outputs: str) -> None:
    steps: list[Step] = [(Conv(), "x w", "a"), (Relu(), "a", "y"), (Add(), "a y", "z")]
    graph = graph_of(IMAGE, steps[: len(outputs.split()) + ("z" in outputs)], outputs, WEIGHTS)
    assert FuseActivations()(graph) == graph


def test_relu_moves_before_max_pool_and_other_rearrangements() -> None:
    graph = graph_of(
        IMAGE,
        [
            (Conv(pads=(1, 1, 1, 1)), "x w", "a"),
            (MaxPool(kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1)), "a", "b"),
            (Slice(starts=(1,), ends=(3,), axes=(1,), steps=(1,)), "b", "c"),
            (Reshape(shape=(0, 3, -1)), "c", "d"),
            (Flatten(), "d", "e"),
            (RELU6, "e", "y"),
        ],
        "y",
        WEIGHTS,
    )
    moments = {name: Moments.of(np.ones(4), np.ones(4)) for name in "ab"}
    after = FuseActivations()(graph.edit(moments=moments))
    assert operators(after) == ["Conv", "MaxPool", "Slice", "Reshape", "Flatten"]
    assert after.nodes[0].activation == RELU6
    assert after.moments == {"a": moments["a"]}
    assert_same_function(graph, after)


def test_relu_stays_after_a_max_pool_that_may_see_only_padding() -> None:
    pool = MaxPool(kernel_shape=(2, 2), dilations=(2, 2), pads=(3, 3, 3, 3))
    steps: list[Step] = [(Conv(), "x w", "a"), (pool, "a", "b"), (Relu(), "b", "y")]
    graph = graph_of(IMAGE, steps, "y", WEIGHTS)
    assert FuseActivations()(graph) == graph


def test_relu_stays_where_a_node_between_limits_too() -> None:
    steps: list[Step] = [
        (Conv(), "x w", "a"),
        (MaxPool(kernel_shape=(2, 2)), "a", "b"),
        (Relu(), "b", "y"),
    ]
    graph = graph_of(IMAGE, steps, "y", WEIGHTS)
    limited = replace(graph.nodes[1], activation=RELU6)
    graph = graph.edit(nodes=(graph.nodes[0], limited, graph.nodes[2]))
    assert FuseActivations()(graph) == graph


def test_relu_of_a_graph_input_stays_a_node() -> None:
    graph = graph_of(IMAGE, [(MaxPool(kernel_shape=(2, 2)), "x", "a"), (Relu(), "a", "y")], "y")
    assert FuseActivations()(graph) == graph
