"""Division by a root mean square or a length is one normalization, the same function, and more accurate in integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnxruntime
import pytest
from graph_building import Step, assert_same_function, graph_of

import intlower
from intlower.compiler.importer import import_model
from intlower.compiler.operators import (
    Add,
    Clip,
    Div,
    Elementwise,
    Function,
    LayerNormalization,
    Mul,
    Reduce,
    Reduction,
    Shape,
)
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.fuse_root_mean_square import FuseRootMeanSquare
from intlower.compiler.passes.remove_unused import RemoveUnused
from intlower.compiler.passes.standard import STANDARD_PASSES

SQUARE = Elementwise(function=Function.POW, alpha=2.0)
SQRT = Elementwise(function=Function.SQRT)
RECIPROCAL = Elementwise(function=Function.RECIPROCAL)
INVERSE_ROOT = Elementwise(function=Function.POW, alpha=-0.5)


def norm(reduction: Reduction, axes: tuple[int, ...], ending: str) -> list[Step]:
    steps: list[Step] = [
        (SQUARE, "x", "q"),
        (Reduce(reduction=reduction, axes=axes), "q", "v"),
        (Add(), "v epsilon", "p"),
    ]
    endings: dict[str, list[Step]] = {
        "div": [(SQRT, "p", "s"), (Div(), "x s", "n")],
        "clip": [(SQRT, "p", "s"), (Clip(minimum=1e-12), "s", "c"), (Div(), "x c", "n")],
        "reciprocal": [(SQRT, "p", "s"), (RECIPROCAL, "s", "r"), (Mul(), "r x", "n")],
        "power": [(INVERSE_ROOT, "p", "r"), (Mul(), "x r", "n")],
    }
    return steps + endings[ending]


def fused(graph: Any) -> Any:
    return RemoveUnused()(FuseRootMeanSquare()(graph))


@pytest.mark.parametrize("ending", ["div", "clip", "reciprocal", "power"])
@pytest.mark.parametrize("reduction", [Reduction.MEAN, Reduction.SUM])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((None, 5), (1,)),
        ((None, 3, 5), (-1,)),
        ((None, 3, 4, 5), (2, 3)),
        ((None, 3, 4, 5), (1,)),
        ((2, 3, 4, 5), (2,)),
    ],
)
def test_every_form_is_one_normalization(
    shape: Shape, axes: tuple[int, ...], reduction: Reduction, ending: str
) -> None:
    steps = [*norm(reduction, axes, ending), (Mul(), "n two", "y")]
    graph = graph_of({"x": shape}, steps, "y", {"epsilon": 1e-3, "two": 2.0})
    result = fused(graph)
    assert_same_function(graph, result, tolerance=1e-7)  # scales are float32
    kinds = [type(node.operator) for node in result.nodes]
    assert kinds.count(LayerNormalization) == 1
    assert Reduce not in kinds
    assert Div not in kinds


def test_scale_and_shift_become_its_own() -> None:
    random = np.random.default_rng(0)
    steps = [*norm(Reduction.MEAN, (-1,), "div"), (Mul(), "n g", "m"), (Add(), "m b", "y")]
    constants = {"epsilon": 1e-3, "g": random.normal(size=5), "b": random.normal(size=5)}
    graph = graph_of({"x": (None, 3, 5)}, steps, "y", constants)
    result = fused(graph)
    assert_same_function(graph, result, tolerance=1e-9)
    assert len(result.nodes) == 4


@pytest.mark.parametrize(
    ("steps", "constants"),
    [
        # of another value than the one that is divided
        ([(SQUARE, "z", "q"), (Reduce(reduction=Reduction.MEAN, axes=(1,)), "q", "v"), (SQRT, "v", "s"), (Div(), "x s", "y")], {}),
        # a least length that rows meet
        ([(SQUARE, "x", "q"), (Reduce(reduction=Reduction.SUM, axes=(1,)), "q", "v"), (SQRT, "v", "s"), (Clip(minimum=0.5), "s", "c"), (Div(), "x c", "y")], {}),
        # no squares
        ([(Reduce(reduction=Reduction.MEAN, axes=(1,)), "x", "v"), (SQRT, "v", "s"), (Div(), "x s", "y")], {}),
    ],
)  # fmt: skip
def test_what_is_something_else_stays(steps: list[Step], constants: Any) -> None:
    graph = graph_of({"x": (None, 4), "z": (None, 4)}, steps, "y", constants)
    assert [n.operator for n in fused(graph).nodes] == [
        n.operator for n in RemoveUnused()(graph).nodes
    ]


def embedding(form: str) -> onnx.ModelProto:
    b = networks.NetworkBuilder(seed=2, opset=23 if form == "RMSNormalization" else 17)
    x = b.node("MatMul", "input", b.normal(32, 32, scale=0.3))
    if form == "RMSNormalization":
        y = b.node("RMSNormalization", x, b.normal(32), axis=-1)
    else:
        y = b.node("Div", x, b.node("ReduceL2", x, axes=[-1], keepdims=1))
    return b.model({"input": ["N", 6, 32]}, y)


@pytest.mark.parametrize("form", ["RMSNormalization", "ReduceL2"])
@pytest.mark.parametrize("target", ["tensorrt", "vitis", "litert"])
def test_integers_keep_the_accuracy_of_their_grid(
    target: str, form: str, tmp_path: Path
) -> None:
    model = embedding(form)
    graph = run_passes(import_model(model), STANDARD_PASSES)
    assert any(isinstance(node.operator, LayerNormalization) for node in graph.nodes)
    onnx.save(model, tmp_path / "model.onnx")
    random = np.random.default_rng(0)
    x = random.standard_normal((16, 6, 32)) * random.uniform(0.2, 2, (16, 6, 1))
    inputs = {"input": x.astype(np.float32)}
    program = intlower.compile(tmp_path / "model.onnx", target=target, samples=inputs)
    (found,) = intlower.simulate(program, inputs).values()
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    (expected,) = session.run(None, inputs)
    noise = np.square(found - expected).mean() / np.square(expected).mean()
    # As squares, a mean, a root and a quotient in 8 bits each it is 2 to 15 dB on these targets.
    assert 10 * np.log10(1 / noise) > 25
