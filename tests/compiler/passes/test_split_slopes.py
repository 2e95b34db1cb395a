from __future__ import annotations

import numpy as np
from graph_building import graph_of, operators

from intlower.compiler.evaluate import evaluate
from intlower.compiler.operators import PRelu
from intlower.compiler.passes.split_slopes import SplitSlopes

GENERATOR = np.random.default_rng(0)
X = (None, 3, 4, 5)


def test_slopes_of_each_element_become_a_sum() -> None:
    for shape in ((3, 4, 5), (1, 4, 1), (5,)):
        slopes = GENERATOR.uniform(-1, 2, shape)
        graph = graph_of({"x": X}, [(PRelu(), "x s", "y")], "y", {"s": slopes})
        split = SplitSlopes()(graph)
        assert operators(split) == ["Minimum", "Mul", "Add"]
        x = {"x": GENERATOR.normal(size=(2, 3, 4, 5)).astype(np.float32)}
        np.testing.assert_allclose(
            evaluate(split, x)["y"], evaluate(graph, x)["y"], rtol=1e-5, atol=1e-6
        )


def test_slopes_of_channels_stay() -> None:
    for shape in ((3, 1, 1), (1,)):
        graph = graph_of({"x": X}, [(PRelu(), "x s", "y")], "y", {"s": np.ones(shape)})
        assert SplitSlopes()(graph) is graph
