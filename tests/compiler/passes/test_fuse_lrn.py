"""Local response normalizations, found in what PyTorch writes for them."""

from __future__ import annotations

import numpy as np
import pytest
from graph_building import Step, assert_same_function, graph_of
from hypothesis import given
from hypothesis import strategies as st

from intlower.compiler.graph import Graph
from intlower.compiler.operators import (
    LRN,
    Add,
    AveragePool,
    Div,
    Elementwise,
    Function,
    Mul,
    Pad,
    Reshape,
)
from intlower.compiler.passes.fuse_lrn import FuseLrn
from intlower.compiler.passes.remove_unused import RemoveUnused

ROOT = Elementwise(function=Function.POW, alpha=0.75)


def as_torch_writes_it(
    size: int, *, channels: int = 6, before: int | None = None, root: Elementwise = ROOT
) -> Graph:
    """x / (2 + 0.5 * mean)**0.75, over channels as the depth of a volume."""
    before = (size - 1) // 2 if before is None else before
    padded = channels + size - 1
    steps: list[Step] = [
        (Mul(), "x x", "squared"),
        (Reshape(shape=(0, 1, channels, 3, -1)), "squared", "volume"),
        (Pad(pads=(0, 0, before, 0, 0, 0, 0, size - 1 - before, 0, 0)), "volume", "padded"),
        (Reshape(shape=(0, 1, padded, 12)), "padded", "image"),
        (AveragePool(kernel_shape=(size, 1), count_include_pad=True), "image", "mean"),
        (Reshape(shape=(0, 1, channels, 3, 4)), "mean", "means"),
        (Reshape(shape=(0, channels, 3, 4)), "means", "restored"),
        (Mul(), "restored half", "scaled"),
        (Add(), "scaled two", "line"),
        (root, "line", "power"),
        (Div(), "x power", "y"),
    ]
    constants = {"half": np.float32(0.5), "two": np.float32(2.0)}
    return graph_of({"x": (None, channels, 3, 4)}, steps, "y", constants)


@given(size=st.integers(2, 7), exponent=st.sampled_from([0.5, 0.75, 1.5]))
def test_the_pools_of_torch_become_one_node(size: int, exponent: float) -> None:
    graph = as_torch_writes_it(size, root=Elementwise(function=Function.POW, alpha=exponent))
    result = RemoveUnused()(FuseLrn()(graph))
    (node,) = result.nodes
    assert node.operator == LRN(size=size, alpha=0.5, beta=exponent, bias=2.0)
    assert_same_function(graph, result, tolerance=1e-5)


@pytest.mark.parametrize(
    "graph",
    [
        as_torch_writes_it(4, before=2),  # PyTorch's windows of even size
        as_torch_writes_it(5, before=0),
        as_torch_writes_it(5, root=Elementwise(function=Function.EXP)),
    ],
)
def test_what_is_no_local_response_normalization_stays(graph: Graph) -> None:
    assert FuseLrn()(graph).nodes == graph.nodes
