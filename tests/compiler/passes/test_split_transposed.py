from __future__ import annotations

import numpy as np
from graph_building import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.evaluate import evaluate
from intlower.compiler.operators import Conv, ConvTranspose
from intlower.compiler.passes.split_transposed import SplitTransposed


@given(
    strides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.integers(1, 2),
    biased=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_a_split_convolution_computes_the_same(
    strides: tuple[int, int],
    kernel: tuple[int, int],
    dilations: tuple[int, int],
    groups: int,
    biased: bool,
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    pads = [
        int(generator.integers(0, (k - 1) * d + 1))
        for k, d in zip(kernel, dilations, strict=True)
    ]
    operator = ConvTranspose(
        strides=strides,
        pads=(pads[0], 0, 0, pads[1]),
        output_padding=(int(generator.integers(0, strides[0])), 0),
        dilations=dilations,
        groups=groups,
    )
    constants = {"w": generator.standard_normal((4, 3, *kernel))}
    if biased:
        constants["b"] = generator.standard_normal(3 * groups)
    inputs = "x w b" if biased else "x w"
    graph = graph_of({"x": (None, 4, 5, 6)}, [(operator, inputs, "y")], "y", constants)
    split = SplitTransposed()(graph)
    assert [type(node.operator) for node in split.nodes][:1] == [Conv]
    x = {"x": generator.standard_normal((2, 4, 5, 6)).astype(np.float32)}
    # The same products, summed in another order.
    np.testing.assert_allclose(
        evaluate(split, x)["y"], evaluate(graph, x)["y"], rtol=1e-4, atol=1e-4
    )


def test_weights_that_are_computed_stay() -> None:
    graph = graph_of(
        {"x": (1, 1, 3, 3), "w": (1, 1, 2, 2)}, [(ConvTranspose(), "x w", "y")], "y", {}
    )
    assert SplitTransposed()(graph) == graph
