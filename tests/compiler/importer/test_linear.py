"""Gemm, MatMul, Add and BatchNormalization against onnxruntime, and the forms that are refused."""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from intlower.compiler.errors import InvalidGraph, UnsupportedOperator
from intlower.compiler.importer import import_model
from intlower.compiler.operators import Add, BatchNormalization, Gemm, MatMul

pytestmark = pytest.mark.crosscheck


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from([None, (), (1,), (5,), (1, 1), (1, 5), (2, 1), (2, 5)]),
    st.booleans(),
    st.sampled_from([1.0, 0.5, -3.0]),
    st.sampled_from([1.0, 0.25, 0.0]),
    st.sampled_from([9, 11, 13, 17]),
)
def test_gemm_agrees(
    addend: tuple[int, ...] | None, transposed: bool, alpha: float, beta: float, opset: int
) -> None:
    b = networks.NetworkBuilder(opset=opset)
    weights = b.normal(*((5, 4) if transposed else (4, 5)))
    assume(addend is not None or opset >= 11)  # before that there always is one
    operands = [] if addend is None else [b.normal(*addend)]
    y = b.node("Gemm", "x", weights, *operands, alpha=alpha, beta=beta, transB=int(transposed))
    graph = networks.assert_evaluates_as_in_onnxruntime(b.model({"x": [2, 4]}, y))
    assert isinstance(graph.nodes[0].operator, Gemm)
    row = addend is None or len(addend) < 2 or addend[0] == 1 or beta == 0
    assert [type(node.operator) for node in graph.nodes[1:]] == ([] if row else [Add])
    assert graph.constants[graph.nodes[0].inputs[1]].array.shape == (5, 4)


def test_gemm_as_pytorch_writes_it_keeps_its_constants() -> None:
    b = networks.NetworkBuilder()
    graph = import_model(b.model({"x": ["N", 4]}, b.gemm("x", 4, 5)))
    assert graph.nodes[0].inputs == ("x", "constant_0", "constant_1")


def test_gemm_adds_a_value_of_its_shape() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 4], "z": ["N", 5]}, b.node("Gemm", "x", b.normal(4, 5), "z"))
    graph = networks.assert_evaluates_as_in_onnxruntime(model)
    assert [type(node.operator) for node in graph.nodes] == [Gemm, Add]


@pytest.mark.parametrize(
    ("inputs", "attributes", "reason"),
    [
        (("x", "z"), {"alpha": 2.0}, "scales a product of two values"),
        (("w", "x"), {}, "its first operand is a constant"),
        (("x", "w"), {"transA": 1}, "transposes its first"),
        (("x", "w", "z"), {"beta": 2.0}, "scales an addend"),
    ],
)
def test_other_forms_of_gemm_are_refused(
    inputs: tuple[str, ...], attributes: dict[str, Any], reason: str
) -> None:
    b = networks.NetworkBuilder()
    weights = b.normal(4, 4)
    y = b.node("Gemm", *(weights if i == "w" else i for i in inputs), **attributes)
    model = b.model({"x": [4, 4], "z": [4, 4], "one": [1, 4]}, y)
    with pytest.raises(UnsupportedOperator, match=reason):
        import_model(model)


@pytest.mark.parametrize("transposed", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("addend", [False, True])
def test_gemm_of_two_values_agrees(transposed: tuple[int, int], addend: bool) -> None:
    b = networks.NetworkBuilder()
    inputs = {
        "x": [4, 3] if transposed[0] else [3, 4],
        "w": [5, 4] if transposed[1] else [4, 5],
        "z": [1, 5],
    }
    names = ("x", "w", "z") if addend else ("x", "w")
    y = b.node("Gemm", *names, transA=transposed[0], transB=transposed[1])
    used = {name: inputs[name] for name in names}
    networks.assert_evaluates_as_in_onnxruntime(b.model(used, y))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("N", 3, 4), ("N", 4, 5)),
        (("N", 2, 3, 4), ("N", 1, 4, 5)),
        ((3, 4), ("N", 4, 5)),
        ((2, 4), (4, 3)),
    ],
)
def test_matmul_of_two_values_agrees(
    left: tuple[int | str, ...], right: tuple[int | str, ...]
) -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": left, "z": right}, b.node("MatMul", "x", "z"))
    networks.assert_evaluates_as_in_onnxruntime(model)


@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3)])
def test_matmul_with_a_constant_on_the_left_agrees(shape: tuple[int, ...]) -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 2, 3, 4]}, b.node("MatMul", b.normal(*shape), "x"))
    networks.assert_evaluates_as_in_onnxruntime(model)


@pytest.mark.parametrize("shape", [("N", 4), ("N", 3, 4), (2, 3, 2, 4)])
def test_matmul_agrees(shape: tuple[int | str, ...]) -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": shape}, b.node("MatMul", "x", b.normal(4, 5)))
    graph = networks.assert_evaluates_as_in_onnxruntime(model)
    assert isinstance(graph.nodes[0].operator, MatMul)


@pytest.mark.parametrize(
    ("left", "right", "reason"),
    [
        ("v", "w", "its left operand is a vector"),
        ("x", "v", "its right operand is a vector"),
    ],
)
def test_other_forms_of_matmul_are_refused(left: str, right: str, reason: str) -> None:
    b = networks.NetworkBuilder()
    names = {"w": b.normal(4, 4), "x": "x", "v": "v"}
    model = b.model({"x": [4, 4], "v": [4]}, b.node("MatMul", names[left], names[right]))
    with pytest.raises(UnsupportedOperator, match=reason):
        import_model(model)


@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 1, 1), (1, 3, 1, 1), (1, 3, 4, 4)])
@pytest.mark.parametrize("first", [False, True])
def test_add_of_a_constant_agrees_and_puts_it_second(
    shape: tuple[int, ...], first: bool
) -> None:
    b = networks.NetworkBuilder()
    constant = b.normal(*shape)
    y = b.node("Add", *((constant, "x") if first else ("x", constant)))
    graph = networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, 4, 4]}, y))
    assert graph.nodes[0].inputs == ("x", constant)


def test_add_of_values_broadcasts() -> None:
    b = networks.NetworkBuilder()
    y = b.node("Add", "x", b.node("GlobalAveragePool", "x"))
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, 4, 4]}, y))


def test_a_constant_that_would_move_the_batch_is_invalid() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 3]}, b.node("Add", "x", b.normal(5, 1, 3)))
    with pytest.raises(InvalidGraph, match="moves the batch"):
        import_model(model)


@pytest.mark.parametrize("opset", [9, 13, 14, 15, 17])
@pytest.mark.parametrize("shape", [("N", 4), ("N", 4, 3), ("N", 4, 3, 3)])
def test_batch_normalization_agrees(opset: int, shape: tuple[int | str, ...]) -> None:
    b = networks.NetworkBuilder(opset=opset)
    model = b.model({"x": shape}, b.batch_norm("x", 4))
    model.graph.node[0].attribute.append(helper.make_attribute("epsilon", 0.01))
    graph = networks.assert_evaluates_as_in_onnxruntime(model)
    operator = graph.nodes[0].operator
    assert isinstance(operator, BatchNormalization)
    assert operator.epsilon == np.float32(0.01)


def test_batch_normalization_in_training_is_refused() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 4]}, b.batch_norm("x", 4))
    model.graph.node[0].attribute.append(helper.make_attribute("training_mode", 1))
    model.graph.node[0].output.extend(["mean", "variance"])
    with pytest.raises(UnsupportedOperator, match="training mode"):
        import_model(model)


def test_a_negative_variance_is_invalid() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 4]}, b.batch_norm("x", 4))
    variance = onnx.numpy_helper.from_array(-np.ones(4, np.float32), "constant_3")
    model.graph.initializer[3].CopyFrom(variance)
    with pytest.raises(InvalidGraph, match="variance"):
        import_model(model)
