from __future__ import annotations

from dataclasses import replace

import numpy as np
from graph_building import assert_same_function, graph_of, operators

from intlower.compiler.operators import Add, Clip, Conv, Identity, Relu, Reshape
from intlower.compiler.passes.fold_constants import FoldConstants


def test_a_chain_of_constant_nodes_becomes_one_constant() -> None:
    generator = np.random.default_rng(0)
    graph = graph_of(
        {"x": (None, 2, 4, 4)},
        [
            (Reshape(shape=(3, 2, 1, 1)), "w", "shaped"),
            (Add(), "shaped one", "sum"),
            (Conv(), "x sum", "y"),
        ],
        "y",
        {"w": generator.normal(size=6), "one": generator.normal(size=1)},
    )
    clipped = replace(graph.nodes[1], activation=Clip(minimum=-0.5, maximum=0.5))
    graph = graph.edit(nodes=(graph.nodes[0], clipped, graph.nodes[2]))
    after = FoldConstants()(graph)
    assert operators(after) == ["Conv"]
    assert set(after.constants) == {"sum"}
    # The weights are rounded to float32 once.
    assert_same_function(graph, after, tolerance=1e-6)


def test_a_constant_output_stays_a_node() -> None:
    graph = graph_of({"x": (None, 2)}, [(Relu(), "c", "y")], "y", {"c": np.ones(2)})
    assert FoldConstants()(graph) == graph


def test_adding_zeros_becomes_identity_unless_it_changes_the_shape() -> None:
    graph = graph_of(
        {"x": (None, 1, 4, 4)},
        [
            (Add(), "x flat", "a"),
            (Add(), "flat a", "b"),
            (Add(), "b wide", "c"),
            (Add(), "c one", "y"),
        ],
        "y",
        {"flat": np.zeros((1, 1, 1)), "wide": np.zeros((2, 1, 1)), "one": np.ones(1)},
    )
    after = FoldConstants()(graph)
    assert operators(after) == ["Identity", "Identity", "Add", "Add"]
    assert after.nodes[1].operator == Identity()
    assert_same_function(graph, after)
