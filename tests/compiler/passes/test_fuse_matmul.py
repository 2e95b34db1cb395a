from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_building import Step, assert_same_function, graph_of, operators
from numpy.typing import NDArray

from intlower.compiler.graph import Moments
from intlower.compiler.operators import Add, Conv, Gemm, MatMul, Relu
from intlower.compiler.passes.fuse_matmul import FuseMatmul

GENERATOR = np.random.default_rng(3)
# Sums of constants are rounded to float32; torch orders the sums of Gemm and MatMul as it likes.
ROUNDED = 1e-6


@pytest.mark.parametrize("shape", [(5,), (1, 5), (1,), ()], ids=str)
def test_matmul_and_add_of_a_row_become_gemm(shape: tuple[int, ...]) -> None:
    graph = graph_of(
        {"x": (None, 3)},
        [(MatMul(), "x w", "a"), (Add(), "c a", "b"), (Relu(), "b", "y")],
        "y",
        {"w": GENERATOR.normal(size=(3, 5)), "c": GENERATOR.normal(size=shape)},
    )
    after = FuseMatmul()(graph)
    assert operators(after) == ["Gemm", "Relu"]
    assert after.nodes[0].output == "b"
    assert_same_function(graph, after, tolerance=ROUNDED)


def test_weights_that_two_matmuls_share_are_copied() -> None:
    graph = graph_of(
        {"x": (None, 4)},
        [(MatMul(), "x w", "a"), (MatMul(), "a w", "y")],
        "y",
        {"w": GENERATOR.normal(size=(4, 4))},
    )
    after = FuseMatmul()(graph)
    assert operators(after) == ["Gemm", "Gemm"]
    assert_same_function(graph, after, tolerance=ROUNDED)


def test_matmul_of_a_sequence_stays() -> None:
    graph = graph_of(
        {"x": (None, 2, 3)}, [(MatMul(), "x w", "y")], "y", {"w": GENERATOR.normal(size=(3, 5))}
    )
    assert FuseMatmul()(graph) == graph


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1), (1,), (), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_a_constant_per_channel_goes_into_the_bias_of_conv(
    shape: tuple[int, ...], bias: bool
) -> None:
    graph = graph_of(
        {"x": (None, 2, 5, 5)},
        [
            (Conv(pads=(1, 1, 1, 1)), "x w b" if bias else "x w", "a"),
            (Add(), "a c", "d"),
            (Add(), "c d", "y"),
        ],
        "y",
        {
            "w": GENERATOR.normal(size=(4, 2, 3, 3)),
            "c": GENERATOR.normal(size=shape),
            "b": GENERATOR.normal(size=4),
        },
    )
    moments = Moments.of(np.zeros(4), np.ones(4))
    after = FuseMatmul()(graph.edit(moments={"a": moments}))
    assert operators(after) == ["Conv"]
    shift = 2 * np.broadcast_to(graph.constants["c"].array.reshape(-1).astype(float), 4)
    assert after.moments == {"y": Moments.of(shift, np.ones(4))}
    assert_same_function(graph, after, tolerance=ROUNDED)


@pytest.mark.parametrize(
    "constant",
    [GENERATOR.normal(size=(4, 5, 5)), GENERATOR.normal(size=5), np.ones((1, 1, 4, 1, 1))],
    ids=["map", "row", "higher rank"],
)
def test_a_constant_that_differs_within_a_channel_stays(constant: NDArray[Any]) -> None:
    graph = graph_of(
        {"x": (1, 2, 5, 5)},
        [(Conv(), "x w", "a"), (Add(), "a c", "y")],
        "y",
        {"w": GENERATOR.normal(size=(4, 2, 1, 1)), "c": constant},
    )
    assert FuseMatmul()(graph) == graph


def test_a_layer_that_is_read_elsewhere_keeps_its_bias() -> None:
    constants = {"w": GENERATOR.normal(size=(4, 3)), "c": GENERATOR.normal(size=4)}
    steps: list[Step] = [(Gemm(), "x w", "a"), (Add(), "a c", "b"), (Add(), "a b", "y")]
    for outputs in ("y", "a y"):
        graph = graph_of({"x": (None, 3)}, steps, outputs, constants)
        assert FuseMatmul()(graph) == graph
