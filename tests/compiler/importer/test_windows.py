"""Conv and the pools, in every form that ONNX gives them, against onnxruntime."""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from intlower.compiler.errors import InvalidGraph, UnsupportedOperator
from intlower.compiler.evaluate import evaluate
from intlower.compiler.importer import import_model
from intlower.compiler.operators import AveragePool, Conv, MaxPool

OPSETS = st.sampled_from([9, 11, 13, 17, 19, 22])
pytestmark = pytest.mark.crosscheck


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def windows(draw: st.DrawFn, *, pads_below: str) -> tuple[tuple[int, int], dict[str, Any]]:
    """An image size, and kernel_shape, strides, dilations and padding of windows that fit into it."""
    image, kernel = draw(pairs(4, 9)), draw(pairs(1, 4))
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": draw(pairs(1, 3))}
    dilations = draw(pairs(1, 2))
    extents = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    if dilations != (1, 1):
        attributes["dilations"] = dilations
    form = draw(
        st.sampled_from(["pads", "none", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
    )
    pads: tuple[int, ...] = (0, 0, 0, 0)
    if form in ("pads", "NOTSET"):
        highest = [k - 1 for k in kernel] if pads_below == "kernel" else [3, 3]
        pads = tuple(draw(st.integers(0, highest[i % 2])) for i in range(4))
        attributes["pads"] = pads
    if form.startswith("SAME"):
        assume(dilations == (1, 1))
    if form.isupper():
        attributes["auto_pad"] = form
    for axis in (0, 1):
        assume(image[axis] + pads[axis] + pads[axis + 2] >= extents[axis])
    return image, attributes


@settings(deadline=None, max_examples=60)
@given(
    windows(pads_below="anything"),
    OPSETS,
    st.sampled_from([1, 2, 4]),
    st.booleans(),
    st.booleans(),
)
def test_conv_agrees(
    window: tuple[tuple[int, int], dict[str, Any]],
    opset: int,
    groups: int,
    bias: bool,
    kernel_shape_given: bool,
) -> None:
    (height, width), attributes = window
    kernel = attributes["kernel_shape"]
    if not kernel_shape_given:
        attributes = {key: v for key, v in attributes.items() if key != "kernel_shape"}
    b = networks.NetworkBuilder(opset=opset)
    y = b.conv("x", 4, 8, kernel, bias=bias, group=groups, **attributes)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 4, height, width]}, y))


@settings(deadline=None, max_examples=60)
@given(windows(pads_below="kernel"), OPSETS, st.booleans())
def test_max_pool_agrees(
    window: tuple[tuple[int, int], dict[str, Any]], opset: int, ceil_mode: bool
) -> None:
    (height, width), attributes = window
    if opset < 10:  # neither attribute exists
        attributes = {key: v for key, v in attributes.items() if key != "dilations"}
    else:
        attributes["ceil_mode"] = int(ceil_mode)
    _assume_onnxruntime_takes(attributes)
    b = networks.NetworkBuilder(opset=opset)
    model = b.model({"x": ["N", 2, height, width]}, b.node("MaxPool", "x", **attributes))
    inputs = networks.random_inputs(model)
    inputs["x"] -= 10  # padding with zeros would win
    networks.assert_evaluates_as_in_onnxruntime(model, inputs)


@settings(deadline=None, max_examples=100)
@given(windows(pads_below="kernel"), OPSETS, st.booleans(), st.booleans())
def test_average_pool_agrees(
    window: tuple[tuple[int, int], dict[str, Any]],
    opset: int,
    ceil_mode: bool,
    count_include_pad: bool,
) -> None:
    (height, width), attributes = window
    attributes = {key: v for key, v in attributes.items() if key != "dilations"}
    attributes["count_include_pad"] = int(count_include_pad)
    if opset >= 10:
        attributes["ceil_mode"] = int(ceil_mode)
    _assume_onnxruntime_takes(attributes)
    b = networks.NetworkBuilder(opset=opset)
    model = b.model({"x": ["N", 2, height, width]}, b.node("AveragePool", "x", **attributes))
    networks.assert_evaluates_as_in_onnxruntime(model)


def _assume_onnxruntime_takes(attributes: dict[str, Any]) -> None:
    """Leave out SAME with a window shorter than its stride: onnxruntime computes negative pads."""
    if str(attributes.get("auto_pad")).startswith("SAME"):
        for kernel, stride in zip(
            attributes["kernel_shape"], attributes["strides"], strict=True
        ):
            assume(kernel >= stride)


def test_global_average_pool_agrees() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 3, 5, 7]}, b.node("GlobalAveragePool", "x"))
    networks.assert_evaluates_as_in_onnxruntime(model)


@pytest.mark.parametrize(
    ("form", "pads"),
    [("SAME_UPPER", (0, 0, 1, 1)), ("SAME_LOWER", (1, 1, 0, 0)), ("VALID", (0, 0, 0, 0))],
)
def test_auto_pad_becomes_explicit(form: str, pads: tuple[int, ...]) -> None:
    b = networks.NetworkBuilder()
    y = b.conv("x", 3, 4, 2, auto_pad=form)
    y = b.node("MaxPool", y, kernel_shape=[2, 2], auto_pad=form)
    y = b.node("AveragePool", y, kernel_shape=[2, 2], auto_pad=form)
    graph = import_model(b.model({"x": ["N", 3, 6, 6]}, y))
    for node in graph.nodes:
        assert isinstance(node.operator, Conv | MaxPool | AveragePool)
        assert node.operator.pads == pads


@pytest.mark.parametrize("operator", ["Conv", "MaxPool", "AveragePool"])
@pytest.mark.parametrize("spatial", [1, 3])
def test_one_axis_is_an_image_and_volumes_are_refused(operator: str, spatial: int) -> None:
    b = networks.NetworkBuilder()
    if operator == "Conv":
        y = b.node("Conv", "x", b.normal(4, 3, *[2] * spatial))
    else:
        y = b.node(operator, "x", kernel_shape=[2] * spatial)
    model = b.model({"x": ["N", 3, *[4] * spatial]}, y)
    if spatial == 1:
        networks.assert_evaluates_as_in_onnxruntime(model)
        return
    with pytest.raises(UnsupportedOperator, match="volumes"):
        import_model(model)


@pytest.mark.parametrize("operator", ["Conv", "MaxPool", "AveragePool"])
@pytest.mark.parametrize("along", [0, 2, None])
@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER"])
def test_windows_along_one_end_of_a_volume_are_of_an_image(
    operator: str, along: int | None, auto_pad: str
) -> None:
    """ChannelNet's convolutions, and torch's local response normalization, over channels as depth."""
    b = networks.NetworkBuilder()
    kernel, strides, pads = [1, 1, 1], [1, 1, 1], [0] * 6
    if along is not None:
        kernel[along], strides[along], pads[along], pads[3 + along] = 3, 2, 1, 2
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides}
    if auto_pad == "NOTSET":
        attributes["pads"] = pads
    else:
        attributes["auto_pad"] = auto_pad
    weights = [b.normal(4, 2, *kernel)] if operator == "Conv" else []
    y = b.node(operator, "x", *weights, **attributes)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 2, 6, 4, 5]}, y))


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("size", [(5,), (3, 4, 5)])
def test_global_pools_of_any_axes_agree(operator: str, size: tuple[int, ...]) -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 3, *size]}, b.node(operator, "x"))
    networks.assert_evaluates_as_in_onnxruntime(model)


def test_weights_that_are_computed_are_refused() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 3, 4, 4], "w": [4, 3, 1, 1]}, b.node("Conv", "x", "w"))
    with pytest.raises(UnsupportedOperator, match="its weight operand is not a constant"):
        import_model(model)


def test_a_dilated_average_is_refused() -> None:
    b = networks.NetworkBuilder(opset=19)
    y = b.node("AveragePool", "x", kernel_shape=[2, 2], dilations=[2, 2])
    with pytest.raises(UnsupportedOperator, match="dilated"):
        import_model(b.model({"x": ["N", 3, 4, 4]}, y))


@pytest.mark.parametrize("form", ["SAME_UPPER", "SAME_LOWER"])
def test_auto_pad_with_dilations_is_refused(form: str) -> None:
    b = networks.NetworkBuilder()
    y = b.node("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 2], auto_pad=form)
    with pytest.raises(UnsupportedOperator, match="runtimes disagree"):
        import_model(b.model({"x": ["N", 3, 6, 6]}, y))


def test_indices_are_refused_only_where_something_reads_them() -> None:
    b = networks.NetworkBuilder()
    y = b.node("MaxPool", "x", kernel_shape=[2, 2], storage_order=1)
    b.nodes[0].output.append("indices")
    assert isinstance(import_model(b.model({"x": [1, 3, 4, 4]}, y)).nodes[0].operator, MaxPool)
    z = b.node("Cast", "indices", to=1)
    with pytest.raises(UnsupportedOperator, match="its output 'indices' is used"):
        import_model(b.model({"x": [1, 3, 4, 4]}, y, z))


@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel_shape": [3, 3]},
        {"pads": [1, 1]},
        {"strides": [0, 1]},
        {"strides": [2]},
        {"pads": [-1, 0, 0, 0]},
        {"auto_pad": "SOME"},
        {"auto_pad": "SAME_UPPER", "strides": [0, 0]},
        {"group": 3},
        {"group": 0},
        {"dilations": [9, 9]},
    ],
)
def test_a_conv_that_does_not_fit_is_invalid(attributes: dict[str, Any]) -> None:
    b = networks.NetworkBuilder()
    y = b.node("Conv", "x", b.normal(4, 3, 2, 2), name="the_conv", **attributes)
    model = b.model({"x": [1, 3, 4, 4]}, y)
    with pytest.raises(InvalidGraph, match="the_conv"):
        import_model(model)


def test_the_average_counts_no_overhang() -> None:
    b = networks.NetworkBuilder(opset=19)
    y = b.node(
        "AveragePool",
        "x",
        kernel_shape=[1, 2],
        strides=[1, 2],
        pads=[0, 1, 0, 0],
        ceil_mode=1,
        count_include_pad=1,
    )
    model = b.model({"x": [1, 1, 1, 4]}, y)
    x = np.array([6, 2, 4, 8], np.float32).reshape(1, 1, 1, 4)
    graph = networks.assert_evaluates_as_in_onnxruntime(model, {"x": x})
    (result,) = evaluate(graph, {"x": x}).values()
    # (0+6)/2 counts the padding; 8/1 does not count what hangs over.
    assert result.reshape(-1).tolist() == [3, 3, 8]
