"""Relu, Clip, Softmax, Identity and Dropout against onnxruntime, and the forms that are refused."""

from __future__ import annotations

import math
from typing import Any

import networks
import numpy as np
import pytest

from intlower.compiler.errors import InvalidGraph, UnsupportedOperator
from intlower.compiler.importer import import_model
from intlower.compiler.operators import Clip, Identity, Softmax

pytestmark = pytest.mark.crosscheck
GREATEST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize("opset", [9, 11, 13, 17])
@pytest.mark.parametrize("operator", ["Relu", "Identity"])
def test_simple_operators_agree(operator: str, opset: int) -> None:
    b = networks.NetworkBuilder(opset=opset)
    networks.assert_evaluates_as_in_onnxruntime(
        b.model({"x": ["N", 3, 4]}, b.node(operator, "x"))
    )


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 17])
@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 1.0), (None, 0.5), (-0.5, None), (None, None), (-GREATEST, GREATEST)],
)
def test_clip_agrees_with_bounds_given_or_left_out(
    opset: int, low: float | None, high: float | None
) -> None:
    b = networks.NetworkBuilder(opset=opset)
    if opset < 11:
        given: dict[str, Any] = {
            key: v for key, v in (("min", low), ("max", high)) if v is not None
        }
        y = b.node("Clip", "x", **given)
    else:
        y = b.node("Clip", "x", *("" if v is None else b.constant(v) for v in (low, high)))
    graph = networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 8]}, y))
    clip = graph.nodes[0].operator
    assert isinstance(clip, Clip)
    assert clip.minimum == (-math.inf if low in (None, -GREATEST) else low)
    assert clip.maximum == (math.inf if high in (None, GREATEST) else high)


def test_clip_with_computed_bounds_is_refused() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 8], "m": []}, b.node("Clip", "x", "m"))
    with pytest.raises(UnsupportedOperator, match="its minimum is not a constant"):
        import_model(model)


@pytest.mark.parametrize(("low", "high"), [(1.0, 0.0), (math.nan, 1.0)])
def test_bounds_without_order_are_invalid(low: float, high: float) -> None:
    b = networks.NetworkBuilder()
    with pytest.raises(InvalidGraph, match="not ordered"):
        import_model(b.model({"x": ["N", 8]}, b.clip("x", low, high)))


def test_a_bound_is_one_float() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 2]}, b.node("Clip", "x", b.normal(2)))
    with pytest.raises(InvalidGraph, match="not one float"):
        import_model(model)


@pytest.mark.parametrize(
    ("opset", "shape", "axis", "expected"),
    [
        (9, ("N", 6), None, 1),
        (11, ("N", 6), -1, 1),
        (11, ("N", 6, 1, 1), 1, 1),
        (11, ("N", 1, 6, 1), 1, 2),
        (11, ("N", 3, 6), 2, 2),
        (12, ("N", 1, 1), 1, 1),
        (13, ("N", 6), None, 1),
        (13, ("N", 6, 2, 2), 1, 1),
        (17, (4, 6), 0, 0),
    ],
)
def test_softmax_agrees_along_one_axis(
    opset: int, shape: tuple[int | str, ...], axis: int | None, expected: int
) -> None:
    b = networks.NetworkBuilder(opset=opset)
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    y = b.node("Softmax", "x", **attributes)
    graph = networks.assert_evaluates_as_in_onnxruntime(b.model({"x": shape}, y))
    assert graph.nodes[0].operator == Softmax(axis=expected)


@pytest.mark.parametrize(
    ("opset", "shape", "axis", "reason"),
    [
        (11, ("N", 6), 0, "over the free batch"),
        (13, ("N", 6), 0, "over the free batch"),
    ],
)
def test_other_forms_of_softmax_are_refused(
    opset: int, shape: tuple[int | str, ...], axis: int, reason: str
) -> None:
    b = networks.NetworkBuilder(opset=opset)
    model = b.model({"x": shape}, b.node("Softmax", "x", axis=axis))
    with pytest.raises(UnsupportedOperator, match=reason):
        import_model(model)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_old_softmax_normalizes_several_axes_together(operator: str, axis: int) -> None:
    b = networks.NetworkBuilder(opset=11)
    model = b.model({"x": ["N", 6, 2, 2]}, b.node(operator, "x", axis=axis))
    networks.assert_evaluates_as_in_onnxruntime(model)


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 22])
def test_dropout_is_identity(opset: int) -> None:
    b = networks.NetworkBuilder(opset=opset)
    y = b.node("Dropout", "x")
    b.nodes[0].output.append("mask")
    graph = networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3]}, y))
    assert graph.nodes[0].operator == Identity()


def test_dropout_in_training_or_with_its_mask_is_refused() -> None:
    b = networks.NetworkBuilder()
    training = b.node("Dropout", "x", "", b.constant(True, np.bool_), name="train")
    masked = b.node("Dropout", "x", name="masked")
    b.nodes[-1].output.append("mask")
    used = b.node("Cast", "mask", to=1)
    with pytest.raises(UnsupportedOperator) as caught:
        import_model(b.model({"x": ["N", 3]}, training, masked, used))
    reasons = {node.name: node.reason for node in caught.value.nodes}
    assert reasons["train"] == "it is in training mode"
    assert reasons["masked"] == "its output 'mask' is used"
