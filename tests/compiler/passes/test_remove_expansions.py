"""Repetitions that readers make anyway are removed, and no others."""

from __future__ import annotations

import networks
import numpy as np
import pytest

from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph
from intlower.compiler.importer import import_model
from intlower.compiler.operators import operator_name
from intlower.compiler.passes.remove_expansions import RemoveExpansions

SHAPES = {"x": ["N", 4, 3, 5], "gate": ["N", 4, 1, 1]}


def compared(b: networks.NetworkBuilder, *outputs: str) -> Graph:
    """Return the graph after the pass, which computes the same."""
    model = b.model(SHAPES, *outputs)
    graph, inputs = import_model(model), networks.random_inputs(model)
    changed = RemoveExpansions()(graph)
    before, after = evaluate(graph, inputs), evaluate(changed, inputs)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)
        assert changed.values[name].shape == graph.values[name].shape
    return changed


def operators(graph: Graph) -> list[str]:
    return [operator_name(node.operator) for node in graph.nodes]


@pytest.mark.parametrize("operator", ["Mul", "Add", "Sub"])
def test_a_gate_that_is_repeated_for_an_elementwise_node_is_read_directly(
    operator: str,
) -> None:
    b = networks.NetworkBuilder()
    wide = b.node("Expand", b.node("Sigmoid", "gate"), b.integers(1, 4, 3, 5))
    assert operators(compared(b, b.node(operator, "x", wide))) == ["Sigmoid", operator]


def test_repetitions_one_behind_the_other_go_together() -> None:
    b = networks.NetworkBuilder()
    tall = b.node("Expand", "gate", b.integers(1, 4, 3, 1))
    wide = b.node("Expand", tall, b.integers(1, 4, 3, 5))
    assert operators(compared(b, b.node("Mul", wide, "x"))) == ["Mul"]


def test_a_repetition_stays_where_a_reader_needs_its_shape() -> None:
    b = networks.NetworkBuilder()
    wide = b.node("Expand", "gate", b.integers(1, 4, 3, 5))
    joined = b.node("Concat", b.node("Mul", "x", wide), wide, axis=1)
    assert "Concat" in operators(compared(b, joined))
    assert operators(compared(b, joined)).count("Mul") == 2
    b = networks.NetworkBuilder()
    wide = b.node("Expand", "gate", b.integers(1, 4, 3, 5))
    assert operators(compared(b, b.node("Mul", wide, "gate"))) == ["Mul", "Mul"]


def test_a_repetition_that_is_an_output_stays() -> None:
    b = networks.NetworkBuilder()
    wide = b.node("Expand", "gate", b.integers(1, 4, 3, 5))
    assert len(compared(b, wide, b.node("Mul", "x", wide)).nodes) == 2
