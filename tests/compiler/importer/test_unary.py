"""Functions of one number against onnxruntime, at every opset that changed them."""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.errors import UnsupportedOperator
from intlower.compiler.importer import import_model
from intlower.compiler.importer.unary import FUNCTION_NAMES
from intlower.compiler.operators import Elementwise, Function, Identity, PRelu

pytestmark = pytest.mark.crosscheck

POSITIVE = {"Log", "Sqrt", "Reciprocal"}
FIRST_OPSET = {"Celu": 12, "HardSwish": 14, "Mish": 18, "Round": 11, "ThresholdedRelu": 10}
FIRST_OPSET |= {"Erf": 9, "Sign": 9}


def assert_agrees(operator: str, opset: int, **attributes: Any) -> Elementwise:
    b = networks.NetworkBuilder(opset=opset)
    model = b.model({"x": ["N", 3, 5]}, b.node(operator, "x", **attributes))
    x = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32) * 3
    x[0, 0, :3] = (0.0, 0.5, -2.5)  # kinks, and a tie of Round
    if operator in POSITIVE:
        x = np.abs(x) + np.float32(0.1)
    graph = networks.assert_evaluates_as_in_onnxruntime(model, {"x": x})
    found = graph.nodes[0].operator
    assert isinstance(found, Elementwise)
    return found


@pytest.mark.parametrize("opset", [7, 13, 18, 23])
@pytest.mark.parametrize("operator", FUNCTION_NAMES)
def test_functions_agree_with_their_defaults(operator: str, opset: int) -> None:
    if opset < FIRST_OPSET.get(operator, 1):
        pytest.skip("the operator is younger than this opset")
    assert assert_agrees(operator, opset).function.value == operator


@pytest.mark.parametrize(
    ("operator", "keys"),
    [
        ("Celu", ["alpha"]),
        ("Elu", ["alpha"]),
        ("HardSigmoid", ["alpha", "beta"]),
        ("LeakyRelu", ["alpha"]),
        ("Selu", ["alpha", "gamma"]),
        ("ThresholdedRelu", ["alpha"]),
    ],
)
@given(numbers=st.lists(st.floats(0.125, 3, width=32), min_size=2, max_size=2))
@settings(deadline=None, max_examples=8)
def test_functions_agree_with_parameters(
    operator: str, keys: list[str], numbers: list[float]
) -> None:
    assert_agrees(operator, 17, **dict(zip(keys, numbers, strict=False)))


@pytest.mark.parametrize(
    ("form", "function"), [("none", Function.GELU), ("tanh", Function.GELU_TANH)]
)
def test_gelu_agrees_in_both_forms(form: str, function: Function) -> None:
    assert assert_agrees("Gelu", 20, approximate=form).function is function


@pytest.mark.parametrize("shape", [(3, 1, 1), (1,), (), (1, 3, 1, 1), (3, 4, 5), (5,)])
def test_prelu_agrees(shape: tuple[int, ...]) -> None:
    b = networks.NetworkBuilder(opset=16)
    model = b.model({"x": ["N", 3, 4, 5]}, b.node("PRelu", "x", b.normal(*shape)))
    graph = networks.assert_evaluates_as_in_onnxruntime(model)
    one = int(np.prod(shape)) == 1
    assert isinstance(graph.nodes[0].operator, Elementwise if one else PRelu)


@pytest.mark.parametrize("to", ["FLOAT", "FLOAT16", "DOUBLE"])
def test_casts_between_floats_are_identities(to: str) -> None:
    import onnx

    b = networks.NetworkBuilder()
    y = b.node("Cast", "x", to=onnx.TensorProto.DataType.Value(to))
    graph = import_model(b.model({"x": ["N", 3]}, y))
    assert graph.nodes[0].operator == Identity()


def test_casts_to_integers_are_refused() -> None:
    b = networks.NetworkBuilder()
    with pytest.raises(UnsupportedOperator, match="makes integers"):
        import_model(b.model({"x": ["N", 3]}, b.node("Cast", "x", to=7)))
