"""A draft follows its changes: what it says is what the graph says that comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from graph_building import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.operators import Add, Conv, Identity, Relu
from intlower.compiler.passes.draft import GraphDraft


def chain(length: int) -> Graph:
    """Relu, Add of the value to itself, Relu, ... on [N, 2, 3, 3]."""
    steps = []
    for i in range(length):
        source = f"v{i - 1}" if i else "x"
        steps.append(
            (Relu(), source, f"v{i}") if i % 2 == 0 else (Add(), f"{source} {source}", f"v{i}")
        )
    return graph_of({"x": (None, 2, 3, 3)}, steps, f"v{length - 1}")


def assert_true(draft: GraphDraft) -> None:
    """Compare what a draft says with a graph that was made anew."""
    graph = draft.graph()
    assert dict(draft.producers()) == dict(graph.producers())
    assert {name: value.shape for name, value in draft.values.items()} == {
        name: value.shape for name, value in graph.values.items()
    }
    for name, readers in graph.consumers().items():
        ours = sorted(node.name for node in draft.consumers().get(name, ()))
        assert ours == sorted(node.name for node in readers)
    for node in graph.nodes:
        assert draft.node(node.name) is node


def test_an_unchanged_draft_is_its_graph() -> None:
    graph = chain(5)
    assert GraphDraft(graph).graph() == graph


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_draft_is_true_after_any_changes(data: st.DataObject) -> None:
    draft = GraphDraft(chain(8))
    for number in range(data.draw(st.integers(1, 6))):
        names = [node.name for node in draft.graph().nodes if node.output not in draft.outputs]
        node = draft.node(data.draw(st.sampled_from(names))) if names else None
        if node is None:
            return
        match data.draw(st.sampled_from(["remove", "double", "change"])):
            case "remove":
                draft.rename_readers(node.output, node.inputs[0])
                draft.replace({node.name: ()})
            case "double":
                middle = draft.fresh("middle")
                first = Node(
                    name=draft.fresh(f"first_{number}"),
                    operator=Identity(),
                    inputs=node.inputs[:1],
                    output=middle,
                )
                inputs = (middle, *node.inputs[1:])
                draft.replace({node.name: (first, replace(node, inputs=inputs))})
            case _:
                draft.replace(
                    {node.name: replace(node, operator=Identity(), inputs=node.inputs[:1])}
                )
        assert_true(draft)


def test_a_constant_that_others_read_keeps_its_array() -> None:
    weights = np.ones((2, 2, 1, 1), np.float32)
    graph = graph_of(
        {"x": (None, 2, 3, 3)},
        [(Conv(), "x w", "a"), (Conv(), "a w", "b")],
        "b",
        {"w": weights},
    )
    draft = GraphDraft(graph)
    first, second = graph.nodes
    draft.replace({first.name: draft.with_parameters(first, {1: 2 * weights, 2: [1, 2]})})
    changed = draft.graph()
    assert changed.nodes[1].inputs == ("a", "w")
    assert np.array_equal(changed.constants["w"].array, weights)
    assert np.array_equal(changed.constants[changed.nodes[0].inputs[1]].array, 2 * weights)
    # Now it is the only reader: the array takes the constant's place.
    draft.replace({second.name: draft.with_parameters(second, {1: 3 * weights})})
    assert np.array_equal(draft.graph().constants["w"].array, 3 * weights)


def test_moments_of_values_that_are_gone_are_dropped() -> None:
    draft = GraphDraft(chain(3))
    draft.moments["v0"] = Moments.of(np.zeros(2), np.ones(2))
    draft.rename_readers("v0", "x")
    draft.replace({"node_v0": ()})
    assert draft.moments == {}
    assert draft.fresh("v0") == "v0"
    assert draft.fresh("v1") == "v1_1"
