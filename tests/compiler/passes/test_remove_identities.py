from __future__ import annotations

import math

import numpy as np
import pytest
from graph_building import Step, assert_same_function, graph_of, operators
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.graph import Moments
from intlower.compiler.operators import (
    Activation,
    Add,
    AnyOperator,
    AveragePool,
    Clip,
    Concat,
    Flatten,
    Identity,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
)
from intlower.compiler.passes.remove_identities import RemoveIdentities
from intlower.compiler.passes.rewriting import compose

IMAGE = {"x": (None, 3, 4, 5)}
IDENTITIES: list[AnyOperator] = [
    Identity(),
    Clip(),
    Pad(pads=(0,) * 8, value=7.0),
    Slice(starts=(0, -9), ends=(3, 100), axes=(1, -1), steps=(1, 1)),
    Concat(axis=1),
    Reshape(shape=(0, 3, -1, 5)),
    AveragePool(kernel_shape=(1, 1)),
    MaxPool(kernel_shape=(1, 1)),
]
NOT_IDENTITIES: list[AnyOperator] = [
    Clip(minimum=-1.0),
    Pad(pads=(0, 0, 0, 0, 0, 0, 0, 1)),
    Slice(starts=(2,), ends=(-9,), axes=(1,), steps=(-1,)),
    Slice(starts=(1,), ends=(3,), axes=(2,), steps=(1,)),
    Reshape(shape=(0, 3, 5, 4)),
    MaxPool(kernel_shape=(1, 1), strides=(2, 1)),
    AveragePool(kernel_shape=(1, 1), strides=(1, 2)),
]


@pytest.mark.parametrize("operator", IDENTITIES, ids=lambda o: type(o).__name__)
def test_an_identity_between_two_nodes_is_removed(operator: AnyOperator) -> None:
    graph = graph_of(
        IMAGE, [(Relu(), "x", "a"), (operator, "a", "b"), (Add(), "b x", "y")], "y"
    )
    after = RemoveIdentities()(graph)
    assert operators(after) == ["Relu", "Add"]
    assert_same_function(graph, after)


@pytest.mark.parametrize("operator", NOT_IDENTITIES, ids=repr)
def test_what_changes_a_value_stays(operator: AnyOperator) -> None:
    graph = graph_of(IMAGE, [(operator, "x", "y")], "y")
    assert RemoveIdentities()(graph) == graph


def test_flatten_of_a_flat_value_is_removed() -> None:
    steps: list[Step] = [(Flatten(), "x", "a"), (Flatten(), "a", "b"), (Relu(), "b", "y")]
    after = RemoveIdentities()(graph_of(IMAGE, steps, "y"))
    assert operators(after) == ["Flatten", "Relu"]


def test_the_producer_takes_over_the_name_of_an_output() -> None:
    graph = graph_of(
        IMAGE,
        [
            (Relu(), "x", "a"),
            (Identity(), "a", "b"),
            (Identity(), "b", "y"),
            (Add(), "a x", "z"),
        ],
        "y z",
    )
    moments = Moments.of(np.ones(3), np.ones(3))
    after = RemoveIdentities()(graph.edit(moments={"a": moments}))
    assert operators(after) == ["Relu", "Add"]
    assert after.moments == {"y": moments}
    assert_same_function(graph, after)


def test_an_output_that_is_an_input_or_a_second_output_keeps_an_identity() -> None:
    graph = graph_of(
        IMAGE, [(Clip(), "x", "a"), (Relu(), "x", "b"), (Concat(), "b", "c")], "a b c"
    )
    after = RemoveIdentities()(graph)
    assert operators(after) == ["Identity", "Relu", "Identity"]
    assert_same_function(graph, after)


def test_an_activation_within_which_a_value_already_lies_is_removed() -> None:
    graph = graph_of(
        IMAGE,
        [(Clip(minimum=0.0, maximum=6.0), "x", "a"), (Relu(), "a", "b"), (Add(), "a b", "y")],
        "y",
    )
    after = RemoveIdentities()(graph)
    assert operators(after) == ["Clip", "Add"]
    assert_same_function(graph, after)


def test_two_clips_become_one_only_where_the_first_has_no_other_reader() -> None:
    steps: list[Step] = [(Relu(), "x", "a"), (Clip(minimum=-1.0, maximum=1.0), "a", "y")]
    assert RemoveIdentities()(graph_of(IMAGE, steps, "y")).nodes[0].operator == Clip(
        minimum=0.0, maximum=1.0
    )
    shared = graph_of(IMAGE, steps, "a y")
    assert RemoveIdentities()(shared) == shared


limits = st.sampled_from([-math.inf, -2.0, -1.0, 0.0, 1.0, 2.0, math.inf])
intervals = (
    st.tuples(limits, limits)
    .map(sorted)
    .filter(lambda pair: pair[0] < math.inf and pair[1] > -math.inf)
)


@given(first=intervals, second=intervals)
@settings(deadline=None)
def test_a_composition_clips_as_its_parts_in_turn(
    first: list[float], second: list[float]
) -> None:
    x = np.arange(-3.0, 3.5, 0.5)
    inner: Activation = Clip(minimum=first[0], maximum=first[1])
    outer: Activation = Clip(minimum=second[0], maximum=second[1])
    both = compose(inner, outer)
    assert np.array_equal(
        x.clip(inner.minimum, inner.maximum).clip(outer.minimum, outer.maximum),
        x.clip(both.minimum, both.maximum),
    )
