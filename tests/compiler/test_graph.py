from __future__ import annotations

import numpy as np
import pytest
from graph_building import graph_of

from intlower.compiler.constant import Constant
from intlower.compiler.errors import InvalidGraph
from intlower.compiler.graph import Graph, Moments, Node, Value, fresh_name, rename_inputs
from intlower.compiler.operators import Add, Conv, Relu

X = Value(name="x", shape=(None, 2, 4, 4))


def relu(name: str, source: str, output: str) -> Node:
    return Node(name=name, operator=Relu(), inputs=(source,), output=output)


def graph(
    *nodes: Node, outputs: tuple[str, ...] = ("y",), inputs: tuple[Value, ...] = (X,)
) -> Graph:
    return Graph(inputs=inputs, outputs=outputs, nodes=nodes, constants={})


def test_shapes_follow_from_the_operators() -> None:
    found = graph_of(
        {"x": (None, 2, 4, 4)},
        [(Conv(), "x w", "a"), (Relu(), "a", "y")],
        "y",
        {"w": np.zeros((5, 2, 3, 3))},
    )
    assert {name: value.shape for name, value in found.values.items()} == {
        "x": (None, 2, 4, 4),
        "a": (None, 5, 2, 2),
        "y": (None, 5, 2, 2),
    }


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ((relu("n", "x", "y"), relu("n", "y", "z")), ("z",), "two nodes are called 'n'"),
        ((relu("n", "x", "y"), relu("m", "x", "y")), ("y",), "'y' is defined twice"),
        ((relu("n", "x", "x"),), ("x",), "'x' is defined twice"),
        ((relu("n", "z", "y"), relu("m", "x", "z")), ("y",), "'z' is not defined before it"),
        ((relu("n", "x", "y"),), ("z",), "output 'z' is not computed"),
        (
            (Node(name="n", operator=Add(), inputs=("x",), output="y"),),
            ("y",),
            "n: Add takes 2 inputs, not 1",
        ),
    ],
)
def test_names_order_and_arity_are_proved(
    nodes: tuple[Node, ...], outputs: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InvalidGraph, match=message):
        graph(*nodes, outputs=outputs)


@pytest.mark.parametrize("shape", [(None, None), (2, 0), (-1, 3)])
def test_only_the_batch_may_be_free_and_no_dimension_empty(
    shape: tuple[int | None, ...],
) -> None:
    with pytest.raises(InvalidGraph, match="impossible shape"):
        graph(relu("n", "x", "y"), inputs=(Value(name="x", shape=shape),))


def test_moments_fit_the_channels_of_a_value() -> None:
    valid = graph(relu("n", "x", "y"))
    known = Moments.of(np.zeros(2), np.ones(2))
    assert valid.edit(moments={"y": known}).moments == {"y": known}
    with pytest.raises(InvalidGraph, match="moments of 'y'"):
        valid.edit(moments={"y": Moments.of(np.zeros(3), np.ones(3))})
    with pytest.raises(InvalidGraph):
        Moments.of(np.zeros(2), np.array([1.0, -1.0]))
    with pytest.raises(InvalidGraph):
        Moments.of(np.zeros(2), np.array([1.0, np.nan]))


def test_a_graph_cannot_be_changed_from_outside() -> None:
    constants = {"w": Constant.of(np.ones((1, 2, 1, 1)), np.float32)}
    found = Graph(
        inputs=(X,),
        outputs=("y",),
        nodes=(Node(name="n", operator=Conv(), inputs=("x", "w"), output="y"),),
        constants=constants,
    )
    constants.clear()
    assert set(found.constants) == {"w"}
    with pytest.raises(TypeError):
        found.values["z"] = X  # type: ignore[index]


def test_readers_are_listed_once_for_each_reading() -> None:
    twice = Node(name="n", operator=Add(), inputs=("x", "x"), output="y")
    found = graph(twice, relu("m", "y", "z"), outputs=("z",))
    readers = found.consumers()
    assert readers == {"x": (twice, twice), "y": (found.nodes[1],), "z": ()}
    assert found.producers() == {"y": twice, "z": found.nodes[1]}


def test_an_edit_drops_what_nothing_refers_to() -> None:
    full = graph_of(
        {"x": (None, 2, 4, 4)},
        [(Conv(), "x w", "a"), (Relu(), "x", "y")],
        "y",
        {"w": np.zeros((2, 2, 1, 1))},
    ).edit(moments={"a": Moments.of(np.zeros(2), np.ones(2))})
    edited = full.edit(nodes=full.nodes[1:])
    assert (dict(edited.constants), dict(edited.moments)) == ({}, {})
    assert full.edit() == full


def test_renaming_touches_only_readers() -> None:
    nodes = (relu("n", "x", "y"), relu("m", "y", "z"))
    renamed = rename_inputs(nodes, {"y": "x"})
    assert renamed[0] is nodes[0]
    assert renamed[1].inputs == ("x",)


def test_fresh_names_are_new() -> None:
    assert fresh_name("a", set()) == "a"
    assert fresh_name("a", {"a", "a_1", "a_2"}) == "a_3"
