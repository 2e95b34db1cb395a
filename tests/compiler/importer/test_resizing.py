"""Resize and Upsample against onnxruntime: every mode, scales and sizes."""

from __future__ import annotations

import math
from typing import Any

import networks
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from intlower.compiler.errors import UnsupportedOperator
from intlower.compiler.importer import import_model
from intlower.compiler.operators import Coordinates, Identity, NearestRule, Resize

pytestmark = pytest.mark.crosscheck

SIZE = (5, 6)
COORDINATES = [c.value for c in Coordinates if c is not Coordinates.TF_HALF_PIXEL_FOR_NN]


def hangs_on_a_bit(size: int, factor: float, by_size: bool) -> bool:
    """Whether a position of half_pixel_symmetric is where `nearest` turns over, but for float32: runtimes differ there."""
    out = max(1, math.floor(size * factor))
    scale = out / size if by_size else factor
    if math.log2(scale).is_integer():
        return False
    positions = (size - 1) / 2 + (np.arange(out) - (out - 1) / 2) / scale
    return bool(np.abs(2 * positions - np.rint(2 * positions)).min() < 1e-4)


@given(st.integers(1, 64), st.floats(0.25, 4, width=32))
def test_the_middle_of_a_symmetric_resize_is_the_middle(size: int, scale: float) -> None:
    out = math.floor(np.float32(size) * np.float32(scale))
    assume(out % 2 == 1)
    resize = Resize(sizes=(out,), scales=(scale,), coordinates=Coordinates.HALF_PIXEL_SYMMETRIC)
    assert resize.positions(0, size)[out // 2] == (size - 1) / 2


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@given(
    factors=st.tuples(*[st.sampled_from([0.5, 0.6, 1.0, 1.5, 2.0, 2.3, 3.0])] * 2),
    by_size=st.booleans(),
    nearest=st.sampled_from([rule.value for rule in NearestRule]),
    exclude=st.booleans(),
)
@settings(deadline=None, max_examples=12)
def test_resize_agrees(
    mode: str,
    coordinates: str,
    factors: tuple[float, float],
    by_size: bool,
    nearest: str,
    exclude: bool,
) -> None:
    if (mode, coordinates) == ("nearest", "half_pixel_symmetric"):
        factors = tuple(
            2.0 if hangs_on_a_bit(size, f, by_size) else f
            for size, f in zip(SIZE, factors, strict=True)
        )
    b = networks.NetworkBuilder(opset=19)
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        attributes["nearest_mode"] = nearest
    if mode == "cubic":
        attributes |= {"cubic_coeff_a": -0.5, "exclude_outside": int(exclude)}
    region = ""
    if coordinates == "tf_crop_and_resize":
        # Runtimes disagree about scales, and onnxruntime does not crop an axis that keeps its size.
        assume(by_size)
        factors = tuple(factor if factor != 1 else 1.5 for factor in factors)
        region = b.constant([0, 0, 0.1, 0.2, 1, 1, 0.8, 1.1])
        attributes["extrapolation_value"] = 7.0
    if by_size:
        sizes = [max(1, math.floor(s * f)) for s, f in zip(SIZE, factors, strict=True)]
        y = b.node("Resize", "x", region, "", b.integers(2, 3, *sizes), **attributes)
    else:
        y = b.node("Resize", "x", region, b.constant([1, 1, *factors]), **attributes)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": [2, 3, *SIZE]}, y))


@pytest.mark.parametrize("opset", [7, 9])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample_agrees(opset: int, mode: str) -> None:
    b = networks.NetworkBuilder(opset=opset)
    scales = [1.0, 1.0, 2.0, 3.0]
    if opset < 9:
        y = b.node("Upsample", "x", mode=mode, scales=scales)
    else:
        y = b.node("Upsample", "x", b.constant(scales), mode=mode)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, *SIZE]}, y))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_of_opset_10_agrees(mode: str) -> None:
    b = networks.NetworkBuilder(opset=10)
    y = b.node("Resize", "x", b.constant([1, 1, 2, 1.5]), mode=mode)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, *SIZE]}, y))


def test_sizes_computed_from_another_value_agree() -> None:
    """Interpolate(size=other.shape[2:]), as PyTorch writes it for a free batch."""
    b = networks.NetworkBuilder(opset=13)
    wanted = b.node("Slice", b.node("Shape", "z"), b.integers(2), b.integers(4))
    kept = b.node("Slice", b.node("Shape", "x"), b.integers(0), b.integers(2))
    sizes = b.node("Concat", kept, wanted, axis=0)
    y = b.node("Resize", "x", "", "", sizes, mode="nearest", nearest_mode="floor")
    y = b.node("Add", y, "z")
    model = b.model({"x": ["N", 3, 4, 4], "z": ["N", 3, 8, 10]}, y)
    networks.assert_evaluates_as_in_onnxruntime(model)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_sizes_that_keep_the_aspect_agree(policy: str) -> None:
    b = networks.NetworkBuilder(opset=19)
    sizes = b.integers(9, 7)
    attributes: dict[str, Any] = {"axes": [2, 3], "keep_aspect_ratio_policy": policy}
    y = b.node("Resize", "x", "", "", sizes, mode="linear", **attributes)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, *SIZE]}, y))


def test_resize_to_its_own_size_is_identity() -> None:
    b = networks.NetworkBuilder(opset=13)
    y = b.node("Resize", "x", "", b.constant([1, 1, 1, 1]))
    graph = import_model(b.model({"x": ["N", 3, *SIZE]}, y))
    assert graph.nodes[0].operator == Identity()


@pytest.mark.parametrize(
    ("attributes", "scales", "reason"),
    [
        (
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            [1, 1, 2, 2],
            "runtimes disagree",
        ),
        ({"antialias": 1, "mode": "linear"}, [1, 1, 0.5, 0.5], "antialias"),
        ({}, [1, 2, 1, 1], "the batch or the channels"),
    ],
)
def test_other_forms_are_refused(
    attributes: dict[str, Any], scales: list[float], reason: str
) -> None:
    b = networks.NetworkBuilder(opset=19)
    region = b.constant([0, 0, 0.1, 0, 1, 1, 0.9, 1])
    y = b.node("Resize", "x", region, b.constant(scales), **attributes)
    with pytest.raises(UnsupportedOperator, match=reason):
        import_model(b.model({"x": ["N", 3, *SIZE]}, y))


def test_positions_are_float32() -> None:
    """Ties of nearest hang on the last bit of a position."""
    resize = Resize(sizes=(7,), scales=(float(np.float32(7 / 3)),))
    positions = resize.positions(0, 3)
    assert np.array_equal(positions, positions.astype(np.float32))
