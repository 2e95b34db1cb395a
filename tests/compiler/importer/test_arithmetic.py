"""Arithmetic on two or more operands against onnxruntime, constants on either side."""

from __future__ import annotations

import networks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.errors import InvalidGraph, UnsupportedOperator
from intlower.compiler.importer import import_model
from intlower.compiler.operators import Clip, Elementwise, Function, Identity

pytestmark = pytest.mark.crosscheck

BINARY = ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean"]
SHAPES = [(), (1,), (4,), (3, 1, 1), (1, 3, 1, 1), (3, 5, 1), (1, 3, 5, 4)]


def inputs(count: int) -> dict[str, np.ndarray]:
    """Values away from 0, to divide by."""
    random = np.random.default_rng(1)
    return {
        f"x{i}": random.uniform(0.5, 2, (2, 3, 5, 4)).astype(np.float32)
        * random.choice(np.array([-1, 1], np.float32), (2, 3, 5, 4))
        for i in range(count)
    }


@pytest.mark.parametrize("operator", BINARY)
@given(shape=st.sampled_from(SHAPES), first=st.booleans(), opset=st.sampled_from([8, 13, 17]))
@settings(deadline=None, max_examples=10)
def test_a_constant_on_either_side_agrees(
    operator: str, shape: tuple[int, ...], first: bool, opset: int
) -> None:
    b = networks.NetworkBuilder(opset=opset)
    constant = b.constant(b.random.uniform(0.5, 2, shape))
    names = (constant, "x0") if first else ("x0", constant)
    model = b.model({"x0": ["N", 3, 5, 4]}, b.node(operator, *names))
    networks.assert_evaluates_as_in_onnxruntime(model, inputs(1))


@pytest.mark.parametrize("operator", BINARY)
@pytest.mark.parametrize("gate", [(3, 5, 4), (3, 1, 1), (1, 5, 1)])
def test_two_values_broadcast(operator: str, gate: tuple[int, ...]) -> None:
    b = networks.NetworkBuilder()
    y = b.node(operator, "x0", "x1")
    model = b.model({"x0": ["N", 3, 5, 4], "x1": ["N", *gate]}, y)
    given_inputs = inputs(2)
    given_inputs["x1"] = given_inputs["x1"][:, : gate[0], : gate[1], : gate[2]]
    networks.assert_evaluates_as_in_onnxruntime(model, given_inputs)


@pytest.mark.parametrize("operator", ["Max", "Min", "Sum", "Mean"])
@pytest.mark.parametrize("count", [1, 3])
def test_variadic_operators_take_any_number(operator: str, count: int) -> None:
    b = networks.NetworkBuilder()
    given_inputs = inputs(count)
    y = b.node(operator, *given_inputs, *([b.normal(3, 1, 1)] if count > 1 else []))
    model = b.model({name: ["N", 3, 5, 4] for name in given_inputs}, y)
    networks.assert_evaluates_as_in_onnxruntime(model, given_inputs)


def test_a_maximum_with_one_number_is_a_clip() -> None:
    b = networks.NetworkBuilder()
    graph = import_model(b.model({"x": ["N", 3]}, b.node("Max", b.constant(0.5), "x")))
    assert graph.nodes[0].operator == Clip(minimum=0.5)


@pytest.mark.parametrize(
    ("exponent", "expected"),
    [
        (1.0, Identity()),
        (-1.0, Elementwise(function=Function.RECIPROCAL)),
        (0.5, Elementwise(function=Function.SQRT)),
        (2.0, Elementwise(function=Function.POW, alpha=2.0)),
        (-0.5, Elementwise(function=Function.POW, alpha=-0.5)),
    ],
)
def test_powers_agree(exponent: float, expected: Elementwise | Identity) -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x0": ["N", 3, 5, 4]}, b.node("Pow", "x0", b.constant(exponent)))
    given_inputs = {"x0": np.abs(inputs(1)["x0"])}
    graph = networks.assert_evaluates_as_in_onnxruntime(model, given_inputs)
    assert graph.nodes[0].operator == expected


def test_exponents_that_differ_are_refused() -> None:
    b = networks.NetworkBuilder()
    with pytest.raises(UnsupportedOperator, match="exponents differ"):
        import_model(b.model({"x": ["N", 3]}, b.node("Pow", "x", b.normal(3))))


def test_a_division_by_zero_is_invalid() -> None:
    b = networks.NetworkBuilder()
    with pytest.raises(InvalidGraph, match="divides by 0"):
        import_model(b.model({"x": ["N", 2]}, b.node("Div", "x", b.constant([1.0, 0.0]))))
