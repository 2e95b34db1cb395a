"""SiLU, HardSwish, HardSigmoid, Mish, GELU and layer norm, found in the arithmetic that exporters write."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from graph_building import Step, assert_same_function, graph_of

from intlower.compiler.graph import Graph
from intlower.compiler.operators import (
    Add,
    AveragePool,
    Clip,
    Div,
    Elementwise,
    Function,
    LayerNormalization,
    Mul,
    Reduce,
    Reduction,
    Relu,
    Shape,
    Sub,
)
from intlower.compiler.passes.base import Pass
from intlower.compiler.passes.fuse_gates import FuseGates
from intlower.compiler.passes.fuse_gelu import FuseGelu
from intlower.compiler.passes.fuse_hard_sigmoid import FuseHardSigmoid
from intlower.compiler.passes.fuse_layer_norm import FuseLayerNorm
from intlower.compiler.passes.remove_unused import RemoveUnused

SIGMOID = Elementwise(function=Function.SIGMOID)
TANH = Elementwise(function=Function.TANH)
ERF = Elementwise(function=Function.ERF)
SOFTPLUS = Elementwise(function=Function.SOFTPLUS)
SQRT = Elementwise(function=Function.SQRT)
SQUARE = Elementwise(function=Function.POW, alpha=2.0)
CUBE = Elementwise(function=Function.POW, alpha=3.0)
HARD = Elementwise(function=Function.HARD_SIGMOID, alpha=1 / 6, beta=0.5)
RELU6 = Clip(minimum=0.0, maximum=6.0)

CONSTANTS: dict[str, Any] = {
    "half": 0.5,
    "one": 1.0,
    "two": 2.0,
    "three": 3.0,
    "sixth": 1 / 6,
    "quick": 1.702,
    "root": math.sqrt(0.5),
    "cubic": 0.044715,
    "slope": math.sqrt(2 / math.pi),
}


def run(rewrite: Pass, steps: list[Step], shape: Shape = (None, 4, 3)) -> Graph:
    used = {name for _, names, _ in steps for name in names.split()}
    constants = {name: array for name, array in CONSTANTS.items() if name in used}
    graph = graph_of({"x": shape}, steps, "y", constants)
    result = RemoveUnused()(rewrite(graph))
    # The constants of the split form are float32.
    assert_same_function(graph, result, tolerance=1e-6)
    return result


MATCHES: list[tuple[Pass, list[Step], Elementwise]] = [
    (
        FuseGates(),
        [(SIGMOID, "x", "s"), (Mul(), "s x", "y")],
        Elementwise(function=Function.SILU, alpha=1.0),
    ),
    (
        FuseGates(),
        [(Mul(), "x quick", "q"), (SIGMOID, "q", "s"), (Mul(), "x s", "y")],
        Elementwise(function=Function.SILU, alpha=float(np.float32(1.702))),
    ),
    (
        FuseGates(),
        [(SOFTPLUS, "x", "p"), (TANH, "p", "t"), (Mul(), "x t", "y")],
        Elementwise(function=Function.MISH),
    ),
    (
        FuseGates(),
        [(HARD, "x", "h"), (Mul(), "x h", "y")],
        Elementwise(function=Function.HARD_SWISH),
    ),
    (
        FuseGates(),
        [
            (Add(), "x three", "a"),
            (RELU6, "a", "c"),
            (Mul(), "c x", "m"),
            (Mul(), "m sixth", "y"),
        ],
        Elementwise(function=Function.HARD_SWISH),
    ),
    (
        FuseGates(),
        [
            (Add(), "x three", "a"),
            (RELU6, "a", "c"),
            (Mul(), "c sixth", "m"),
            (Mul(), "x m", "y"),
        ],
        Elementwise(function=Function.HARD_SWISH),
    ),
    (
        FuseHardSigmoid(),
        [(Add(), "x three", "a"), (RELU6, "a", "c"), (Mul(), "c sixth", "y")],
        Elementwise(
            function=Function.HARD_SIGMOID,
            alpha=float(np.float32(1 / 6)),
            beta=3 * float(np.float32(1 / 6)),
        ),
    ),
    (
        FuseGelu(),
        [
            *((Mul(), "x root", "r"), (ERF, "r", "e"), (Add(), "e one", "a")),
            *((Mul(), "x a", "m"), (Mul(), "m half", "y")),
        ],
        Elementwise(function=Function.GELU),
    ),
    (
        FuseGelu(),
        [
            *((Mul(), "x half", "h"), (Mul(), "x root", "r"), (ERF, "r", "e")),
            *((Add(), "e one", "a"), (Mul(), "h a", "y")),
        ],
        Elementwise(function=Function.GELU),
    ),
    (
        FuseGelu(),
        [
            *((CUBE, "x", "c"), (Mul(), "c cubic", "k"), (Add(), "x k", "s")),
            *((Mul(), "s slope", "u"), (TANH, "u", "t"), (Add(), "t one", "a")),
            *((Mul(), "x half", "h"), (Mul(), "h a", "y")),
        ],
        Elementwise(function=Function.GELU_TANH),
    ),
    (
        FuseGelu(),
        [
            *((Mul(), "x x", "q"), (Mul(), "q x", "c"), (Mul(), "c cubic", "k")),
            *((Add(), "k x", "s"), (Mul(), "s slope", "u"), (TANH, "u", "t")),
            *((Add(), "t one", "a"), (Mul(), "x a", "m"), (Mul(), "m half", "y")),
        ],
        Elementwise(function=Function.GELU_TANH),
    ),
]


@pytest.mark.parametrize(("rewrite", "steps", "expected"), MATCHES)
def test_the_split_form_becomes_one_node(
    rewrite: Pass, steps: list[Step], expected: Elementwise
) -> None:
    result = run(rewrite, steps)
    assert [node.operator for node in result.nodes] == [expected]
    assert result.nodes[0].inputs == ("x",)


OTHERS: list[tuple[Pass, list[Step]]] = [
    (FuseGates(), [(SIGMOID, "x", "s"), (TANH, "x", "t"), (Mul(), "s t", "y")]),
    (FuseGates(), [(SIGMOID, "x", "s"), (Relu(), "x", "r"), (Mul(), "r s", "y")]),
    (FuseGates(), [(Add(), "x two", "a"), (RELU6, "a", "c"), (Mul(), "c x", "m"), (Mul(), "m sixth", "y")]),
    (FuseGates(), [(Add(), "x three", "a"), (RELU6, "a", "c"), (Mul(), "c x", "y")]),
    (FuseHardSigmoid(), [(Add(), "x three", "a"), (RELU6, "a", "c"), (Mul(), "c half", "y")]),
    (
        FuseGelu(),
        [
            *((Mul(), "x root", "r"), (ERF, "r", "e"), (Add(), "e two", "a")),
            *((Mul(), "x a", "m"), (Mul(), "m half", "y")),
        ],
    ),
    (
        FuseGelu(),
        [(ERF, "x", "e"), (Add(), "e one", "a"), (Mul(), "x a", "m"), (Mul(), "m half", "y")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rewrite", "steps"), OTHERS)
def test_what_only_looks_alike_stays(rewrite: Pass, steps: list[Step]) -> None:
    result = run(rewrite, steps)
    assert [node.operator for node in result.nodes] == [operator for operator, _, _ in steps]


def test_a_gate_that_others_read_stays_for_them() -> None:
    graph = graph_of(
        {"x": (None, 4)}, [(SIGMOID, "x", "s"), (Mul(), "x s", "m"), (Add(), "m s", "y")], "y"
    )
    result = RemoveUnused()(FuseGates()(graph))
    assert_same_function(graph, result, tolerance=1e-12)
    assert len(result.nodes) == 3


def layer_norm(mean: Any, affine: bool) -> list[Step]:
    steps: list[Step] = [
        *((mean, "x", "m"), (Sub(), "x m", "d"), (SQUARE, "d", "q"), (mean, "q", "v")),
        *((Add(), "v epsilon", "p"), (SQRT, "p", "s")),
        (Div(), "d s", "n" if affine else "y"),
    ]
    return steps + ([(Mul(), "n scale", "g"), (Add(), "g shift", "y")] if affine else [])


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(
    ("mean", "shape"),
    [
        (Reduce(reduction=Reduction.MEAN, axes=(-1,)), (None, 3, 5)),
        (Reduce(reduction=Reduction.MEAN, axes=(3,)), (None, 3, 4, 5)),
        (AveragePool(kernel_shape=(1, 5)), (None, 3, 4, 5)),
    ],
)
def test_a_split_layer_norm_becomes_one_node(mean: Any, shape: Shape, affine: bool) -> None:
    random = np.random.default_rng(0)
    constants = {"epsilon": 1e-3}
    if affine:
        constants |= {"scale": random.normal(size=5), "shift": random.normal(size=5)}
    graph = graph_of({"x": shape}, layer_norm(mean, affine), "y", constants)
    result = RemoveUnused()(FuseLayerNorm()(graph))
    assert_same_function(graph, result, tolerance=1e-9)
    (node,) = result.nodes
    assert isinstance(node.operator, LayerNormalization)
    assert node.operator.axis == len(shape) - 1


def test_a_norm_over_inner_axes_stays() -> None:
    mean = Reduce(reduction=Reduction.MEAN, axes=(1,))
    graph = graph_of({"x": (None, 3, 5)}, layer_norm(mean, False), "y", {"epsilon": 1e-3})
    assert FuseLayerNorm()(graph) == graph
