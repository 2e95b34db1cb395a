from __future__ import annotations

import numpy as np
from graph_building import assert_same_function, graph_of

from intlower.compiler.operators import Add, Relu
from intlower.compiler.passes.remove_unused import RemoveUnused


def test_only_what_an_output_depends_on_stays() -> None:
    graph = graph_of(
        {"x": (None, 2), "unread": (None, 2)},
        [(Relu(), "x", "a"), (Add(), "a c", "b"), (Relu(), "b", "d"), (Relu(), "a", "y")],
        "y",
        {"c": np.ones(2)},
    )
    after = RemoveUnused()(graph)
    assert [node.output for node in after.nodes] == ["a", "y"]
    assert not after.constants
    assert after.inputs == graph.inputs
    assert_same_function(graph, after)
