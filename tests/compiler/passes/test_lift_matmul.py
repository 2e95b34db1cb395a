from __future__ import annotations

import numpy as np
import pytest
from graph_building import graph_of

from intlower.compiler.evaluate import evaluate
from intlower.compiler.operators import Add, Conv, MatMul
from intlower.compiler.passes.lift_matmul import LiftMatmul


@pytest.mark.parametrize("middle", [(5,), (2, 3)])
@pytest.mark.parametrize("biased", [False, True])
def test_a_lifted_product_computes_the_same(middle: tuple[int, ...], biased: bool) -> None:
    generator = np.random.default_rng(1)
    constants = {"w": generator.standard_normal((4, 3)), "b": generator.standard_normal(3)}
    nodes = [(MatMul(), "x w", "y")]
    if biased:
        nodes = [(MatMul(), "x w", "p"), (Add(), "p b", "y")]
    graph = graph_of({"x": (None, *middle, 4)}, nodes, "y", constants)
    lifted = LiftMatmul()(graph)
    operators = [type(node.operator) for node in lifted.nodes]
    assert operators.count(Conv) == 1
    assert MatMul not in operators
    assert Add not in operators
    x = {"x": generator.standard_normal((2, *middle, 4)).astype(np.float32)}
    np.testing.assert_allclose(
        evaluate(lifted, x)["y"], evaluate(graph, x)["y"], rtol=1e-5, atol=1e-5
    )


def test_a_product_of_two_values_stays() -> None:
    values = {"x": (None, 2, 4), "z": (None, 4, 3)}
    graph = graph_of(values, [(MatMul(), "x z", "y")], "y")
    assert LiftMatmul()(graph) == graph
