from __future__ import annotations

from dataclasses import replace

import pytest
from graph_building import graph_of
from lowered_graphs import SPECS

from intlower.backends.lowering.encodings import encode, probability_grid
from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.backends.tensorrt import TARGET as TENSORRT
from intlower.compiler.calibration import Range
from intlower.compiler.errors import CalibrationError
from intlower.compiler.operators import (
    AnyOperator,
    Flatten,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
    Softmax,
)
from intlower.compiler.spec import SoftmaxRule, TargetSpec

SNPE = SNPE_FAMILY.member("")

X = Range(-1.0, 3.0, "test")
Y = Range(0.0, 0.5, "test")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize(
    "operator",
    [
        MaxPool(kernel_shape=(2, 2)),
        Flatten(),
        Reshape(shape=(0, -1)),
        Slice(starts=(0,), ends=(1,), axes=(1,), steps=(1,)),
        Pad(pads=(0, 0, 1, 1, 0, 0, 1, 1)),
    ],
    ids=lambda operator: type(operator).__name__,
)
def test_what_moves_codes_keeps_their_grid(spec: TargetSpec, operator: AnyOperator) -> None:
    graph = graph_of({"x": (None, 2, 4, 4)}, [(operator, "x", "y")], "y")
    grids = encode(graph, {"x": X, "y": Y}, spec)
    assert grids["y"] is grids["x"]
    assert grids["x"] == spec.activations.grid(-1.0, 3.0)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_other_values_have_the_grid_of_their_range(spec: TargetSpec) -> None:
    graph = graph_of({"x": (None, 2)}, [(Relu(), "x", "y")], "y")
    assert encode(graph, {"x": X, "y": Y}, spec)["y"] == spec.activations.grid(0.0, 0.5)


def test_probabilities_have_the_published_grid() -> None:
    graph = graph_of({"x": (None, 2)}, [(Softmax(axis=1), "x", "y")], "y")
    grid = encode(graph, {"x": X, "y": Y}, SNPE.spec)["y"]
    assert grid == probability_grid(SNPE.spec.activations)
    assert grid.real_limits == pytest.approx((0.0, 1.0))
    assert (grid.zero_point, grid.maximum) == (0, 255)
    signed = replace(TENSORRT.spec, softmax=SoftmaxRule.INTEGER_TABLE)
    grid = encode(graph, {"x": X, "y": Y}, signed)["y"]
    assert grid.real_limits[1] == pytest.approx(1.0)


def test_a_value_without_a_range_is_named() -> None:
    graph = graph_of({"x": (None, 2)}, [(Relu(), "x", "y")], "y")
    with pytest.raises(CalibrationError, match="'y' has no range"):
        encode(graph, {"x": X}, SNPE.spec)
