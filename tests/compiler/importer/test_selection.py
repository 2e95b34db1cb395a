"""Quotients with a value for the divisor 0, and other comparisons, against onnxruntime."""

from __future__ import annotations

import networks
import numpy as np
import pytest

from intlower.compiler.errors import ModelError, UnsupportedOperator
from intlower.compiler.importer import import_model
from intlower.compiler.operators import Div
from intlower.compiler.passes.remove_unused import RemoveUnused

pytestmark = pytest.mark.crosscheck


def divide_no_nan(b: networks.NetworkBuilder, otherwise: float = 0.0, zero: float = 0.0) -> str:
    """As tf2onnx writes TensorFlow's `divide_no_nan`."""
    quotient = b.node("Div", "x", "d")
    return b.node(
        "Where", b.node("Equal", "d", b.constant(zero)), b.constant(otherwise), quotient
    )


def test_a_quotient_over_zero_may_be_zero() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 3], "d": ["N", 3]}, divide_no_nan(b))
    inputs = {
        "x": np.array([[1, 0, -2]], np.float32),
        "d": np.array([[0, 0, 4]], np.float32),
    }
    graph = networks.assert_evaluates_as_in_onnxruntime(model, inputs)
    (node,) = RemoveUnused()(graph).nodes
    assert node.operator == Div(no_nan=True)


@pytest.mark.parametrize("numbers", [{"otherwise": 1.0}, {"zero": 1.0}])
def test_other_choices_are_refused(numbers: dict[str, float]) -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 3], "d": ["N", 3]}, divide_no_nan(b, **numbers))
    with pytest.raises(UnsupportedOperator, match="compares numbers that are computed"):
        import_model(model)


def test_a_comparison_is_no_number() -> None:
    b = networks.NetworkBuilder()
    test = b.node("Equal", "x", b.constant(0.0))
    model = b.model({"x": ["N", 3]}, b.node("Cast", test, to=1))
    with pytest.raises(UnsupportedOperator, match="reads a comparison"):
        import_model(model)


def test_a_comparison_is_no_output() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 3]}, b.relu("x"), b.node("Equal", "x", b.constant(0.0)))
    model.graph.output[1].type.tensor_type.elem_type = 9
    with pytest.raises(ModelError, match="is a comparison"):
        import_model(model)
