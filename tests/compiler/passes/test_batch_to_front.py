from __future__ import annotations

import numpy as np
import pytest
from graph_building import Step, graph_of, operators
from numpy.typing import NDArray

from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph
from intlower.compiler.operators import (
    Add,
    AnyOperator,
    Concat,
    Conv,
    Elementwise,
    Flatten,
    Function,
    Gather,
    Gemm,
    LayerNormalization,
    MatMul,
    Mul,
    Pad,
    Reduce,
    Reduction,
    Reshape,
    Shape,
    Slice,
    Softmax,
    Transpose,
)
from intlower.compiler.passes.batch_to_front import BatchToFront

GENERATOR = np.random.default_rng(0)


def normal(*shape: int) -> NDArray[np.float32]:
    return GENERATOR.normal(size=shape).astype(np.float32)


def assert_in_front(graph: Graph) -> Graph:
    """The same function, every value of which has its batch in front."""
    turned = BatchToFront()(graph)
    assert turned != graph
    assert all(value.shape[0] == 1 for value in turned.values.values())
    moving = [n.operator for n in turned.nodes if isinstance(n.operator, Transpose)]
    assert all(operator.permutation[0] == 0 for operator in moving)
    inputs = {value.name: normal(*(d or 1 for d in value.shape)) for value in graph.inputs}
    before, after = evaluate(graph, inputs), evaluate(turned, inputs)
    for name in graph.outputs:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-5, atol=1e-5)
    return turned


def chain(*steps: AnyOperator, shape: Shape = (1, 3, 4)) -> Graph:
    """Operators one after another, on one input."""
    names = ["x", *(f"v{i}" for i in range(len(steps) - 1)), "y"]
    return graph_of(
        {"x": shape},
        [(step, names[i], names[i + 1]) for i, step in enumerate(steps)],
        "y",
    )


@pytest.mark.parametrize(
    "middle",
    [
        Softmax(axis=0),
        Softmax(axis=-1),
        Reduce(reduction=Reduction.MEAN, axes=(0, 2)),
        Slice(starts=(0,), ends=(2,), axes=(0,), steps=(1,)),
        Gather(axis=0, indices=(1, 0)),
        Pad(pads=(1, 0, 2, 0, 0, 1)),
        Elementwise(function=Function.TANH),
        Transpose(permutation=(2, 1, 0)),
    ],
    ids=str,
)
def test_operators_between_have_their_axes_one_further(middle: AnyOperator) -> None:
    # [1, 3, 4] to [3, 1, 4], the operator, and one number of all for each sample.
    last = Reduce(reduction=Reduction.SUM, axes=(0, 1, 2))
    graph = chain(Transpose(permutation=(1, 0, 2)), middle, last, Flatten(axis=1))
    assert_in_front(graph)


def test_attention_as_timm_writes_it() -> None:
    steps: list[Step] = [
        (Reshape(shape=(1, 5, 3, 2, 4)), "x", "split"),
        (Transpose(permutation=(2, 0, 3, 1, 4)), "split", "parts"),
        *(
            (Slice(starts=(i,), ends=(i + 1,), axes=(0,), steps=(1,)), "parts", f"{name}5")
            for i, name in enumerate("qkv")
        ),
        *((Reshape(shape=(1, 2, 5, 4)), f"{name}5", name) for name in "qkv"),
        (Transpose(permutation=(0, 1, 3, 2)), "k", "turned"),
        (MatMul(), "q turned", "scores"),
        (Softmax(), "scores", "weights"),
        (MatMul(), "weights v", "heads"),
        (Transpose(permutation=(0, 2, 1, 3)), "heads", "tokens"),
        (Reshape(shape=(1, 5, 8)), "tokens", "y"),
    ]
    assert_in_front(graph_of({"x": (1, 5, 24)}, steps, "y"))


def test_layers_on_tokens_of_one_sample() -> None:
    steps: list[Step] = [
        (Reshape(shape=(5, 8)), "x", "tokens"),
        (Gemm(), "tokens w b", "product"),
        (LayerNormalization(axis=-1), "product s t", "normal"),
        (Add(), "normal tokens", "sum"),
        (Concat(axis=0), "sum tokens", "both"),
        (Reshape(shape=(1, 80)), "both", "y"),
    ]
    constants = {"w": normal(8, 8), "b": normal(8), "s": normal(8), "t": normal(8)}
    turned = assert_in_front(graph_of({"x": (1, 5, 8)}, steps, "y", constants))
    assert "MatMul" in operators(turned)


def test_a_token_of_its_own_is_joined_along_the_first_axis() -> None:
    # A class token, [1, 1, E], in front of the tokens of one sample, [L, 1, E].
    steps: list[Step] = [
        (Transpose(permutation=(1, 0, 2)), "x", "a"),
        (Concat(axis=0), "token a", "b"),
        (Transpose(permutation=(1, 0, 2)), "b", "y"),
    ]
    assert_in_front(graph_of({"x": (1, 3, 4)}, steps, "y", {"token": normal(1, 1, 4)}))


def test_windows_of_an_image_and_a_factor_of_each_channel() -> None:
    steps: list[Step] = [
        (Reshape(shape=(4, 3, 2, 2)), "x", "windows"),
        (Conv(groups=3), "windows w b", "scaled"),
        (Mul(), "scaled c", "product"),
        (Reshape(shape=(1, 48)), "product", "y"),
    ]
    constants = {"w": normal(3, 1, 1, 1), "b": normal(3), "c": normal(3, 1, 1)}
    assert_in_front(graph_of({"x": (1, 3, 4, 4)}, steps, "y", constants))


@pytest.mark.parametrize(
    "graph",
    [
        chain(Softmax(axis=1)),
        chain(Transpose(permutation=(1, 0, 2)), shape=(2, 3, 4)),
        chain(Transpose(permutation=(1, 0, 2))),
        graph_of(
            {"x": (1, 12, 4, 4)},
            [
                (Reshape(shape=(4, 3, 4, 4)), "x", "images"),
                (Conv(), "images w", "c"),
                (Reshape(shape=(1, 128)), "c", "y"),
            ],
            "y",
            {"w": np.ones((2, 3, 1, 1))},
        ),
    ],
    ids=["nothing crosses", "two samples", "the output has no batch", "several images"],
)
def test_what_has_no_such_form_stays(graph: Graph) -> None:
    assert BatchToFront()(graph) is graph
