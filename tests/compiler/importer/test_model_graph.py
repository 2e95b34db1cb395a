"""Whole models: their inputs, outputs and names, what is refused, and that it is refused at once."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from shared_data import model_path, needs_shared_data

from intlower.compiler.errors import (
    DynamicShape,
    InvalidGraph,
    ModelError,
    UnsupportedOperator,
)
from intlower.compiler.evaluate import evaluate
from intlower.compiler.importer import functions, import_model, read_model
from intlower.compiler.operators import Conv
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES


def relu_model(*dimensions: int | str | None) -> onnx.ModelProto:
    b = networks.NetworkBuilder()
    return b.model({"x": dimensions}, b.relu("x"))


@pytest.mark.parametrize("batch", ["N", "unk__0", -1, 0, None])
def test_a_dynamic_batch_is_free(batch: int | str | None) -> None:
    graph = import_model(relu_model(batch, 3))
    assert graph.inputs[0].shape == (None, 3)
    assert graph.values[graph.outputs[0]].shape == (None, 3)


def test_a_fixed_batch_stays_fixed() -> None:
    assert import_model(relu_model(4, 3)).inputs[0].shape == (4, 3)


@pytest.mark.parametrize("size", ["H", -1, None])
def test_other_dynamic_dimensions_are_refused_with_their_axes(size: int | str | None) -> None:
    with pytest.raises(DynamicShape) as caught:
        import_model(relu_model("N", 3, size, size))
    assert "'x' is not known at axes 2 and 3: its shape is [N, 3, ?, ?]" in str(caught.value)
    assert "--shape x=N,3,224,224" in caught.value.hint


def test_an_input_without_a_shape_is_refused() -> None:
    model = relu_model("N", 3)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(InvalidGraph, match="Field 'shape' of 'type' is required"):
        import_model(model)


@pytest.mark.parametrize("shape", [(None, 3, 8, 8), (2, 3, 8, 8)])
def test_given_shapes_take_the_place_of_those_in_the_file(
    shape: tuple[int | None, ...],
) -> None:
    for dimensions in (("N", 3, "H", "W"), (1, 3, 8, 8)):
        graph = import_model(relu_model(*dimensions), shapes={"x": shape})
        assert graph.inputs[0].shape == shape


@pytest.mark.parametrize(
    ("shapes", "error", "message"),
    [
        ({"y": (1, 3)}, ModelError, "no input 'y'"),
        ({"x": (1, 3, 4)}, ModelError, r"\[1, 3, 4\] cannot be that of input 'x'"),
        ({"x": (1, 0)}, ModelError, "cannot be that"),
        ({"x": (-1, 3)}, ModelError, "cannot be that"),
        ({"x": (None, None)}, DynamicShape, "at axis 1"),
    ],
)
def test_given_shapes_are_checked(
    shapes: dict[str, tuple[int | None, ...]], error: type[ModelError], message: str
) -> None:
    with pytest.raises(error, match=message):
        import_model(relu_model("N", 3), shapes=shapes)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_float_inputs_are_taken_as_float32(kind: int) -> None:
    model = relu_model("N", 3)
    model.graph.input[0].type.tensor_type.elem_type = kind
    model.graph.output[0].type.tensor_type.elem_type = kind
    graph = import_model(model)
    evaluate(graph, {"x": np.ones((1, 3), np.float32)})


def test_integer_inputs_are_refused() -> None:
    model = relu_model("N", 3)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    with pytest.raises(ModelError, match="input 'x' is of type uint8, not float32"):
        import_model(model)


def test_sequence_inputs_are_refused() -> None:
    model = relu_model("N", 3)
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, ["N"])
    model.graph.input.append(sequence)
    with pytest.raises(ModelError, match="input 's' is not a tensor"):
        import_model(model)


def test_initializers_listed_as_inputs_are_no_inputs() -> None:
    b = networks.NetworkBuilder(opset=9)
    model = b.model({"x": ["N", 4], "constant_0": [5, 4]}, b.gemm("x", 4, 5))
    model.ir_version = 3
    model.graph.input.append(helper.make_tensor_value_info("constant_1", 1, [5]))
    graph = networks.assert_evaluates_as_in_onnxruntime(model)
    assert [value.name for value in graph.inputs] == ["x"]


def test_a_model_without_inputs_is_refused() -> None:
    b = networks.NetworkBuilder()
    with pytest.raises(ModelError, match="has no inputs"):
        import_model(b.model({}, b.relu(b.normal(2))))


def test_outputs_that_are_not_computed_are_refused() -> None:
    b = networks.NetworkBuilder()
    constant = b.node("Identity", b.normal(2))
    for output in ("x", constant):
        with pytest.raises(ModelError, match="is an input or a constant"):
            import_model(b.model({"x": ["N", 2]}, b.relu("x"), output))


def test_values_keep_their_names_and_nodes_get_unique_ones() -> None:
    b = networks.NetworkBuilder()
    y = b.relu(b.relu(b.relu("x")))
    for node, name in zip(b.nodes, ("same", "same", ""), strict=True):
        node.name = name
    graph = import_model(b.model({"x": ["N", 2]}, y))
    assert [node.name for node in graph.nodes] == ["same", "same_1", "Relu_2"]
    assert [node.output for node in graph.nodes] == ["relu_0_out", "relu_1_out", "relu_2_out"]


def test_nodes_that_no_output_needs_are_left_out() -> None:
    b = networks.NetworkBuilder()
    b.node("Sin", "x")
    graph = import_model(b.model({"x": ["N", 2]}, b.relu("x")))
    assert [node.name for node in graph.nodes] == ["relu_1"]


def test_everything_unsupported_is_named_at_once() -> None:
    b = networks.NetworkBuilder(opset=17)
    y = b.node("Acos", b.conv("x", 3, 4, 1), name="angle")
    y = b.node("Sinh", y, name="curve")
    y = b.conv(y, 4, 4, 2, dilations=[2, 2], auto_pad="SAME_UPPER", name="dilated")
    y = b.node("Special", b.relu(y), name="special", domain="com.example")
    y = b.node("Atan", b.node("Shape", b.relu(y)), name="after the unknown")
    with pytest.raises(UnsupportedOperator) as caught:
        import_model(b.model({"x": ["N", 3, 8, 8]}, y, domains=["com.example"]))
    found = [(node.operator, node.name) for node in caught.value.nodes]
    assert found == [
        ("Acos", "angle"),
        ("Sinh", "curve"),
        ("Conv", "dilated"),
        ("com.example.Special", "special"),
        ("Atan", "after the unknown"),
    ]
    assert "auto_pad SAME_UPPER with dilations" in caught.value.nodes[2].reason


def test_control_flow_that_data_decide_is_refused() -> None:
    b = networks.NetworkBuilder()
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["t"])],
        "branch",
        [],
        [helper.make_tensor_value_info("t", 1, ["N", 2])],
    )
    condition = b.node("Greater", "x", b.constant(0.0))
    y = b.node("If", condition, name="choice", then_branch=branch, else_branch=branch)
    with pytest.raises(UnsupportedOperator, match="If at 'choice'"):
        import_model(b.model({"x": [1]}, y))


def test_functions_are_inlined() -> None:
    b = networks.NetworkBuilder()
    y = b.node("DoubleRelu", "x", domain="local")
    function = _function("DoubleRelu", "Relu", "")
    model = b.model({"x": ["N", 2]}, y, functions=[function], domains=["local"])
    graph = networks.assert_evaluates_as_in_onnxruntime(model)
    assert len(graph.nodes) == 2


def _function(name: str, operator: str, domain: str) -> onnx.FunctionProto:
    """A function that applies an operator twice."""
    return helper.make_function(
        "local",
        name,
        ["a"],
        ["c"],
        [
            helper.make_node(operator, ["a"], ["b"], domain=domain),
            helper.make_node(operator, ["b"], ["c"], domain=domain),
        ],
        [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)],
    )


def test_functions_that_stand_for_too_many_nodes_are_refused() -> None:
    b = networks.NetworkBuilder()
    y = b.node("F40", "x", domain="local")
    chain = [_function("F0", "Relu", "")]
    chain += [_function(f"F{i}", f"F{i - 1}", "local") for i in range(1, 41)]
    graph = b.model({"x": ["N", 2]}, "x", domains=["local"]).graph
    graph.output[0].name = y
    model = helper.make_model(
        graph,
        functions=chain,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("local", 1)],
    )
    with pytest.raises(ModelError, match=f"more than {functions.LARGEST_GRAPH} nodes"):
        import_model(model)


def test_functions_that_call_themselves_are_refused() -> None:
    model = relu_model("N", 2)
    model.functions.append(_function("Self", "Self", "local"))
    model.graph.node[0].op_type = "Self"
    model.graph.node[0].domain = "local"
    model.opset_import.append(helper.make_opsetid("local", 1))
    with pytest.raises(InvalidGraph, match="Cycle"):
        import_model(model)
    with pytest.raises(ModelError, match="call themselves"):  # without onnx's own check
        functions.without_functions(model)


def test_old_opsets_are_refused() -> None:
    model = relu_model("N", 2)
    model.opset_import[0].version = 6
    with pytest.raises(ModelError, match="opset 6; 7 is the oldest"):
        import_model(model)


def test_a_model_without_an_opset_is_refused() -> None:
    model = relu_model("N", 2)
    model.opset_import[0].domain = "com.example"
    with pytest.raises(ModelError, match="which version"):
        import_model(model)


def test_nodes_out_of_order_are_invalid_in_one_sentence() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 2]}, b.relu(b.relu("x")))
    model.graph.node[0].CopyFrom(b.nodes[1])
    model.graph.node[1].CopyFrom(b.nodes[0])
    with pytest.raises(InvalidGraph, match="not valid ONNX: Nodes in a graph must") as caught:
        import_model(model)
    assert "\n" not in str(caught.value)


def test_shapes_that_do_not_fit_name_their_node() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 3, 8, 8]}, "y")
    model.graph.node.append(
        helper.make_node("Conv", ["x", b.normal(4, 2, 1, 1)], ["y"], name="conv")
    )
    model.graph.initializer.extend(b.initializers)
    with pytest.raises(InvalidGraph, match=r"^conv: Conv: weights"):
        import_model(model)


def test_values_of_impossible_size_are_refused() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 2]}, b.pad("x", [0, 1 << 40, 0, 0]))
    with pytest.raises(ModelError, match="elements per sample"):
        import_model(model)


def test_sparse_weights_are_refused() -> None:
    model = relu_model("N", 2)
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "sparse")
    indices = onnx.numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    with pytest.raises(ModelError, match="sparse"):
        import_model(model)


def test_importing_leaves_the_model_as_it_was() -> None:
    model = networks.classifier()
    before = model.SerializeToString()
    import_model(model, shapes={"input": (2, 3, 8, 8)})
    assert model.SerializeToString() == before


ALTERED = [
    networks.slice_pad_shortcut(channels=2, opset=opset).SerializeToString()
    for opset in (9, 13, 18)
] + [networks.classifier(channels=2).SerializeToString()]


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(ALTERED),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_altered_files_are_imported_or_refused_in_one_sentence(
    tmp_path: Path, data: bytes, changes: list[tuple[int, int]]
) -> None:
    altered = bytearray(data)
    for position, byte in changes:
        altered[position % len(altered)] = byte
    path = tmp_path / "model.onnx"
    path.write_bytes(altered)
    refusals: list[str] = []
    try:
        import_model(read_model(path)[0])
    except ModelError as error:
        refusals.append(str(error))
    assert not any("\n" in refusal for refusal in refusals)


@needs_shared_data
def test_a_real_export_with_a_free_size_takes_a_given_one() -> None:
    model, _ = read_model(model_path("ppocr_mobile_v2_cls"))
    with pytest.raises(DynamicShape, match="at axes 2 and 3"):
        import_model(model)
    graph = import_model(model, shapes={"x": (None, 3, 48, 192)})
    inputs = {"x": np.random.default_rng(0).standard_normal((2, 3, 48, 192), np.float32)}
    expected = networks.onnxruntime_outputs(model, inputs)
    actual = evaluate(graph, inputs)
    for name, array in expected.items():
        # Probabilities, after 50 layers in float32.
        np.testing.assert_allclose(actual[name], array, atol=1e-5)


@needs_shared_data
def test_a_real_network_keeps_its_names_and_parameters() -> None:
    model, _ = read_model(model_path("cifar10_resnet20"))
    graph = import_model(model)
    assert [node.name for node in graph.nodes] == [node.name for node in model.graph.node]
    assert set(graph.constants) == {tensor.name for tensor in model.graph.initializer}
    convolutions = [node for node in graph.nodes if isinstance(node.operator, Conv)]
    assert len(convolutions) == 21


def test_a_chain_of_ten_thousand_nodes_is_imported_and_simplified() -> None:
    """Recursion would not get so far, and a step in quadratic time would take minutes."""
    b = networks.NetworkBuilder()
    x = "x"
    for index in range(10_000):
        x = b.node("Sigmoid" if index % 2 else "Relu", x)
    graph = import_model(b.model({"x": ["N", 3]}, x))
    assert len(run_passes(graph, STANDARD_PASSES).nodes) == 10_000


@pytest.mark.parametrize("opset", range(7, 24))
def test_every_opset_from_7_to_23_is_read(opset: int) -> None:
    b = networks.NetworkBuilder(opset=opset)
    y = b.clip(b.conv("x", 3, 4, 3, pads=[1, 1, 1, 1]), -1.0, 1.0)
    y = b.pad(b.slice(y, [1], [5], [2]), [0, 0, 1, 0, 0, 0, 1, 0])
    y = b.node("Softmax", b.node("Flatten", b.node("Sigmoid", y)), axis=1)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, 6, 6]}, y))
