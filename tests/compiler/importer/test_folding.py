"""Constants that a model computes: shapes as exporters write them, weights, and hostile sizes."""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from intlower.compiler.errors import InvalidGraph, UnsupportedOperator
from intlower.compiler.importer import folding, import_model
from intlower.compiler.operators import Reshape


def constant_node(b: networks.NetworkBuilder, **value: Any) -> str:
    """Append a Constant node."""
    return b.node("Constant", **value)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"value": numpy_helper.from_array(np.array([[1.0, 2.0]], np.float32))}, [[1, 2]]),
        ({"value": numpy_helper.from_array(np.array([1.0], np.float64))}, [1]),
        ({"value": numpy_helper.from_array(np.array(2.0, np.float16))}, 2),
        ({"value_float": 0.5}, 0.5),
        ({"value_floats": [0.5, 1.5]}, [0.5, 1.5]),
    ],
)
def test_constant_nodes_are_constants(form: dict[str, Any], expected: Any) -> None:
    b = networks.NetworkBuilder()
    name = constant_node(b, **form)
    graph = import_model(b.model({"x": ["N", 2]}, b.node("Add", "x", name)))
    (node,) = graph.nodes
    array = graph.constants[node.inputs[1]].array
    assert array.dtype == np.float32
    assert array.tolist() == expected


@pytest.mark.parametrize("form", [{"value_ints": [0, 4]}, {"value_int": -1}])
def test_integer_constant_nodes_are_shapes(form: dict[str, Any]) -> None:
    b = networks.NetworkBuilder()
    shape = constant_node(b, **form)
    if "value_int" in form:
        shape = b.node("Concat", b.integers(0), b.node("Reshape", shape, b.integers(1)), axis=0)
    graph = import_model(b.model({"x": ["N", 2, 2]}, b.node("Reshape", "x", shape)))
    assert graph.values[graph.outputs[0]].shape == (None, 4)


@pytest.mark.parametrize("opset", [9, 11, 13, 17])
def test_a_reshape_to_its_own_batch_keeps_the_batch_free(opset: int) -> None:
    """x.view(x.size(0), -1), as PyTorch writes it."""
    b = networks.NetworkBuilder(opset=opset)
    size = b.node("Gather", b.node("Shape", "x"), b.constant(0, np.int64), axis=0)
    if opset < 13:
        size = b.node("Unsqueeze", size, axes=[0])
    else:
        size = b.node("Unsqueeze", size, b.integers(0))
    shape = b.node("Concat", size, b.integers(-1), axis=0)
    model = b.model({"x": ["N", 3, 2, 2]}, b.node("Reshape", "x", shape))
    graph = networks.assert_evaluates_as_in_onnxruntime(model)
    (node,) = graph.nodes
    assert node.operator == Reshape(shape=(0, -1))


def test_a_reshape_to_its_own_batch_as_paddle_writes_it() -> None:
    b = networks.NetworkBuilder(opset=11)
    shape = b.node("Cast", b.node("Shape", "x"), to=onnx.TensorProto.INT32)
    batch = b.node("Slice", shape, b.integers(0), b.integers(1), b.integers(0))
    rest = b.constant([12], np.int32)
    shape = b.node("Concat", batch, rest, axis=0)
    shape = b.node("Cast", shape, to=onnx.TensorProto.INT64)
    model = b.model({"x": ["N", 3, 2, 2]}, b.node("Reshape", "x", shape))
    networks.assert_evaluates_as_in_onnxruntime(model)


def test_a_known_part_of_a_shape_may_be_calculated_with() -> None:
    b = networks.NetworkBuilder()
    channels = b.node("Gather", b.node("Shape", "x"), b.integers(1), axis=0)
    halves = b.node("Div", channels, b.integers(2))
    shape = b.node("Concat", b.integers(0, 2), halves, b.integers(-1), axis=0)
    model = b.model({"x": ["N", 4, 3, 3]}, b.node("Reshape", "x", shape))
    graph = networks.assert_evaluates_as_in_onnxruntime(model)
    assert graph.values[graph.outputs[0]].shape == (None, 2, 2, 9)


def test_a_part_of_a_shape_by_start_and_end() -> None:
    b = networks.NetworkBuilder()
    shape = b.node("Concat", b.integers(0), b.node("Shape", "y", start=1), axis=0)
    model = b.model(
        {"x": ["N", 36], "y": ["N", 4, 9]}, b.node("Reshape", "x", shape), b.relu("y")
    )
    graph = networks.assert_evaluates_as_in_onnxruntime(model)
    assert graph.values[graph.outputs[0]].shape == (None, 4, 9)


def test_a_fixed_batch_is_a_number_like_any_other() -> None:
    b = networks.NetworkBuilder()
    elements = b.node("ReduceProd", b.node("Shape", "x"), axes=[0])
    networks.assert_evaluates_as_in_onnxruntime(
        b.model({"x": [2, 3]}, b.node("Reshape", "x", elements))
    )


def test_calculating_with_the_free_batch_is_refused() -> None:
    b = networks.NetworkBuilder()
    doubled = b.node("Mul", b.node("Shape", "x"), b.integers(2, 1), name="doubled")
    behind = b.node("Concat", b.integers(3), b.node("Shape", "x", end=1), axis=0)
    cut = b.node(
        "Slice", "x", b.integers(0), b.node("Shape", "x", end=1), b.integers(1), name="cut"
    )
    outputs = (
        b.node("Reshape", "x", doubled),
        b.node("Reshape", "x", behind, name="behind"),
        cut,
    )
    with pytest.raises(UnsupportedOperator) as caught:
        import_model(b.model({"x": ["N", 3]}, *outputs))
    assert {node.name: node.reason for node in caught.value.nodes} == {
        "doubled": "it calculates with the free batch",
        "behind": "its shape has the free batch elsewhere than in front",
        "cut": "its list of ends depends on the free batch",
    }


def test_weights_may_be_computed_from_constants() -> None:
    b = networks.NetworkBuilder()
    weights = b.node("Transpose", b.normal(5, 4), perm=[1, 0])
    scaled = b.node("Mul", weights, b.constant(0.5))
    graph = networks.assert_evaluates_as_in_onnxruntime(
        b.model({"x": ["N", 4]}, b.node("MatMul", "x", scaled))
    )
    assert list(graph.constants) == [scaled]


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_of_other_float_types_become_float32(dtype: Any) -> None:
    b = networks.NetworkBuilder()
    weights = b.constant(b.random.standard_normal((4, 2)), dtype)
    model = b.model({"x": ["N", 4]}, b.node("MatMul", "x", weights))
    model.graph.input[0].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(
        np.dtype(dtype)
    )
    assert import_model(model).constants[weights].array.dtype == np.float32


@pytest.mark.parametrize(
    ("value", "dtype"), [(np.nan, np.float32), (np.inf, np.float32), (1e300, np.float64)]
)
def test_weights_that_are_not_finite_are_named(value: float, dtype: Any) -> None:
    b = networks.NetworkBuilder()
    weights = b.constant([value, 1.0], dtype)
    model = b.model({"x": ["N", 2]}, b.node("Add", "x", weights))
    with pytest.raises(
        InvalidGraph, match="'constant_0' holds values that are NaN or infinite"
    ):
        import_model(model)


def test_integer_weights_are_refused() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 2]}, b.node("Add", "x", b.integers(1, 2)))
    with pytest.raises(UnsupportedOperator, match="its operand is int64, not a float type"):
        import_model(model)


def test_constants_that_nothing_reads_are_dropped() -> None:
    b = networks.NetworkBuilder()
    b.constant([np.nan])
    b.node("Transpose", b.normal(2, 2))
    graph = import_model(b.model({"x": ["N", 2]}, b.relu("x")))
    assert graph.constants == {}
    assert len(graph.nodes) == 1


@pytest.mark.parametrize("operator", ["ConstantOfShape", "Expand", "Tile", "Range", "Pad"])
def test_nodes_that_make_huge_constants_are_refused_before_they_run(operator: str) -> None:
    b = networks.NetworkBuilder()
    huge = {
        "ConstantOfShape": (b.integers(1 << 20, 1 << 20),),
        "Expand": (b.constant([1.0]), b.integers(1 << 20, 1 << 20)),
        "Tile": (b.constant([1.0]), b.integers(1 << 40)),
        "Range": (
            b.constant(0, np.int64),
            b.constant(1 << 40, np.int64),
            b.constant(1, np.int64),
        ),
        "Pad": (b.constant([1.0]), b.integers(0, 1 << 40)),
    }
    made = b.node(operator, *huge[operator], name="bomb")
    model = b.model({"x": ["N", 2]}, b.node("Add", "x", made))
    with pytest.raises(UnsupportedOperator, match=r"'bomb' \(it makes 10995\d* elements;"):
        import_model(model)


def test_nodes_that_make_huge_constants_together_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(folding, "LARGEST_TENSOR", 100)
    b = networks.NetworkBuilder()
    one, shape = b.constant([1.0]), b.integers(30)
    x = "x"
    for i in range(4):
        x = b.node("Add", x, b.node("Expand", one, shape, name=f"bomb_{i}"))
    with pytest.raises(UnsupportedOperator) as caught:
        import_model(b.model({"x": ["N", 30]}, x))
    assert [node.name for node in caught.value.nodes] == ["bomb_3"]


def test_random_constants_are_refused() -> None:
    b = networks.NetworkBuilder()
    noise = b.node("RandomNormalLike", b.normal(2), name="noise")
    alone = b.node("RandomNormal", shape=[2], name="alone")
    y = b.node("Add", b.node("Add", "x", noise), alone)
    with pytest.raises(UnsupportedOperator) as caught:
        import_model(b.model({"x": ["N", 2]}, y))
    assert [node.name for node in caught.value.nodes] == ["noise", "alone"]


def test_a_size_that_depends_on_the_data_is_refused() -> None:
    b = networks.NetworkBuilder()
    found = b.node("NonZero", b.normal(2), name="found")
    y = b.node("Reshape", "x", b.node("Squeeze", found))
    with pytest.raises(UnsupportedOperator, match=r"'found' \(the size of its output"):
        import_model(b.model({"x": ["N", 2]}, y))


def test_a_constant_node_that_fails_says_why() -> None:
    b = networks.NetworkBuilder()
    b.nodes.append(
        helper.make_node("Gather", [b.integers(1, 2), b.integers(7)], ["g"], name="beyond")
    )
    model = b.model({"x": ["N", 2]}, b.node("Reshape", "x", "g"))
    with pytest.raises(UnsupportedOperator, match=r"'beyond' \(it cannot be computed"):
        import_model(model)


def test_data_that_does_not_fit_its_shape_is_invalid() -> None:
    b = networks.NetworkBuilder()
    name = b.normal(4)
    model = b.model({"x": ["N", 4]}, b.node("Add", "x", name))
    model.graph.initializer[0].dims[0] = 5
    with pytest.raises(InvalidGraph):
        import_model(model)


def test_text_constants_are_refused() -> None:
    b = networks.NetworkBuilder()
    model = b.model(
        {"x": ["N", 4]}, b.relu("x"), b.node("Constant", value_string="s", name="s")
    )
    with pytest.raises(UnsupportedOperator, match="neither dense nor numeric"):
        import_model(model)


def test_fills_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_MOST_FOLDED", 1 << 10)
    b = networks.NetworkBuilder()
    fills = [b.node("ConstantOfShape", constant_node(b, value_ints=[300])) for _ in range(4)]
    x = b.node("Add", "x", b.node("Concat", *fills, axis=0))
    with pytest.raises(UnsupportedOperator, match="all such nodes may make"):
        import_model(b.model({"x": ["N", 1200]}, x))
