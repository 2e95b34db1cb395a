"""Batches that are not in front for a few nodes, against onnxruntime."""

from __future__ import annotations

import networks
import pytest

from intlower.compiler.errors import ModelError, UnsupportedOperator
from intlower.compiler.importer import import_model
from intlower.compiler.operators import Transpose

pytestmark = pytest.mark.crosscheck

SHAPE = ["N", 5, 12]


def split_into_heads(b: networks.NetworkBuilder) -> str:
    """[N, 5, 12] as [3, N, 2, 5, 2]: queries, keys and values of two heads."""
    x = b.node("Reshape", "x", b.integers(0, 5, 3, 2, 2))
    return b.node("Transpose", x, perm=[2, 0, 3, 1, 4])


def test_queries_keys_and_values_are_picked_by_index() -> None:
    b = networks.NetworkBuilder()
    x = split_into_heads(b)
    parts = [b.node("Gather", x, b.constant(i, "int64"), axis=0) for i in (0, 1, -1)]
    model = b.model({"x": SHAPE}, *parts)
    inputs = networks.random_inputs(model)
    graph = networks.assert_evaluates_as_in_onnxruntime(model, inputs)
    assert graph.values[parts[0]].shape == (None, 2, 5, 2)


@pytest.mark.parametrize("opset", [11, 17])
def test_queries_keys_and_values_are_split_and_squeezed(opset: int) -> None:
    b = networks.NetworkBuilder(opset=opset)
    x = split_into_heads(b)
    outputs = [f"part_{i}" for i in range(3)]
    b.nodes.append(networks.helper.make_node("Split", [x], outputs, axis=0))
    if opset < 13:
        parts = [b.node("Squeeze", part, axes=[0]) for part in outputs]
    else:
        parts = [b.node("Squeeze", part, b.integers(0)) for part in outputs]
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": SHAPE}, *parts))


@pytest.mark.parametrize("opset", [9, 17])
def test_queries_keys_and_values_are_sliced_and_squeezed(opset: int) -> None:
    b = networks.NetworkBuilder(opset=opset)
    x = split_into_heads(b)
    last = 1 << 62
    slices = [
        b.slice(x, [0], [1], [0]),
        b.slice(x, [0, 1, 0], [last, 2, last], [1, 0, 2]),  # every sample, the keys, both heads
        b.slice(x, [2], [last], [-5]),
    ]
    if opset < 13:
        parts = [b.node("Squeeze", part, axes=[0]) for part in slices]
    else:
        parts = [b.node("Squeeze", part, b.integers(0)) for part in slices]
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": SHAPE}, *parts))


@pytest.mark.parametrize("keep", [0, 1])
def test_branches_stacked_in_front_of_the_batch_are_averaged(keep: int) -> None:
    b = networks.NetworkBuilder()
    branches = [b.node(name, "x") for name in ("Relu", "Tanh", "Sigmoid")]
    raised = [b.node("Unsqueeze", branch, b.integers(0)) for branch in branches]
    x = b.node("Concat", *raised, axis=0)
    y = b.node("ReduceMean", x, axes=[0], keepdims=keep)
    y = b.node("Squeeze", y, b.integers(0)) if keep else y
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, 4, 4]}, y))


def test_axes_are_added_while_the_batch_is_away() -> None:
    b = networks.NetworkBuilder()
    x = b.node("Transpose", "x", perm=[1, 0, 2])
    x = b.node("Unsqueeze", x, b.integers(0, 3))  # [1, 5, N, 1, 12]
    x = b.node("Transpose", x, perm=[2, 0, 1, 4, 3])
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": SHAPE}, x))


def test_a_batch_that_moves_there_and_back_leaves_one_transpose_or_none() -> None:
    b = networks.NetworkBuilder()
    x = b.node("Transpose", "x", perm=[2, 1, 0])
    there = b.node("Transpose", x, perm=[2, 1, 0])
    turned = b.node("Transpose", x, perm=[2, 0, 1])
    graph = import_model(b.model({"x": SHAPE}, there, turned))
    found = [n.operator for n in graph.nodes if isinstance(n.operator, Transpose)]
    assert found == [Transpose(permutation=(0, 2, 1))]


def test_what_needs_the_batch_in_front_is_refused_with_its_name() -> None:
    b = networks.NetworkBuilder()
    x = b.node("Transpose", "x", perm=[1, 0, 2])
    b.node("Softmax", x, name="far", axis=0)
    with pytest.raises(UnsupportedOperator, match=r"'far'.*moves the free batch"):
        import_model(b.model({"x": SHAPE}, "far_out"))
    reduced = b.node("ReduceMean", x, axes=[1])
    with pytest.raises(UnsupportedOperator, match="moves the free batch"):
        import_model(b.model({"x": SHAPE}, reduced))


def test_an_output_that_is_not_batch_first_is_refused() -> None:
    b = networks.NetworkBuilder()
    with pytest.raises(ModelError, match="moves the free batch"):
        import_model(b.model({"x": SHAPE}, b.node("Transpose", "x", perm=[1, 0, 2])))
