"""If with a condition that is known, against onnxruntime."""

from __future__ import annotations

import networks
import numpy as np
import onnx
import pytest
from onnx import helper

from intlower.compiler.errors import InvalidGraph, UnsupportedOperator
from intlower.compiler.importer import import_model

pytestmark = pytest.mark.crosscheck
FLOAT = onnx.TensorProto.FLOAT


def branch(*nodes: onnx.NodeProto, output: str = "inside") -> onnx.GraphProto:
    info = helper.make_tensor_value_info(output, FLOAT, None)
    return helper.make_graph(list(nodes), "branch", [], [info])


def doubled(source: str, output: str = "inside") -> onnx.NodeProto:
    return helper.make_node("Add", [source, source], [output])


def negated(source: str, output: str = "inside") -> onnx.NodeProto:
    return helper.make_node("Neg", [source], [output])


@pytest.mark.parametrize("size", [1, 2])
def test_the_size_of_an_axis_chooses(size: int) -> None:
    """As PyTorch's exporter writes `squeeze` of an axis that it did not know."""
    b = networks.NetworkBuilder()
    hidden = b.relu("x")  # read within the branches alone
    second = b.node("Gather", b.node("Shape", "x"), b.constant(1, np.int64), axis=0)
    chosen = b.node(
        "If",
        b.node("Equal", second, b.constant(1, np.int64)),
        then_branch=branch(doubled(hidden)),
        else_branch=branch(negated(hidden)),
    )
    model = b.model({"x": ["N", size, 3]}, b.relu(chosen))
    graph = networks.assert_evaluates_as_in_onnxruntime(model)
    assert len(graph.nodes) == 4  # the branch's node, its output's name, and those around


def test_a_branch_within_a_branch() -> None:
    b = networks.NetworkBuilder()
    yes = b.constant(True, np.bool_)
    constant = helper.make_node("Constant", [], ["half"], value_float=0.5)
    scaled = helper.make_node("Mul", ["x", "half"], ["scaled"])
    inner = helper.make_node(
        "If",
        [yes],
        ["chosen"],
        then_branch=branch(constant, scaled, output="scaled"),
        else_branch=branch(negated("x")),
    )
    outer = branch(inner, doubled("chosen"))
    y = b.node(
        "If", yes, then_branch=outer, else_branch=branch(negated("x", "other"), output="other")
    )
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3]}, y))


def test_a_computed_condition_is_refused() -> None:
    b = networks.NetworkBuilder()
    condition = b.node("Greater", b.node("ReduceMax", "x", keepdims=0), b.constant(0.0))
    y = b.node(
        "If", condition, then_branch=branch(doubled("x")), else_branch=branch(negated("x"))
    )
    with pytest.raises(UnsupportedOperator, match="If"):
        import_model(b.model({"x": [1, 3]}, y))


def test_names_that_are_taken_are_refused() -> None:
    b = networks.NetworkBuilder()
    yes = b.constant(True, np.bool_)
    parts = [
        b.node("If", yes, then_branch=branch(doubled("x")), else_branch=branch(negated("x")))
        for _ in range(2)
    ]
    with pytest.raises(UnsupportedOperator, match="'inside'"):
        import_model(b.model({"x": ["N", 3]}, b.node("Add", *parts)))


def test_a_branch_with_other_outputs_is_invalid() -> None:
    b = networks.NetworkBuilder()
    two = branch(doubled("x"), negated("x", "second"))
    two.output.append(helper.make_tensor_value_info("second", FLOAT, None))
    y = b.node("If", b.constant(True, np.bool_), then_branch=two, else_branch=two)
    with pytest.raises(InvalidGraph):
        import_model(b.model({"x": ["N", 3]}, y))
