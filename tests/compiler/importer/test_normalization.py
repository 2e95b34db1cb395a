"""Normalizations, reductions and transposed convolutions against onnxruntime."""

from __future__ import annotations

from typing import Any

import networks
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from intlower.compiler.errors import UnsupportedOperator
from intlower.compiler.importer import import_model
from intlower.compiler.importer.reductions import REDUCTION_NAMES
from intlower.compiler.operators import GlobalAveragePool, MaxPool

pytestmark = pytest.mark.crosscheck


@pytest.mark.parametrize("rank", [3, 4])
def test_instance_normalization_agrees(rank: int) -> None:
    b = networks.NetworkBuilder()
    y = b.node("InstanceNormalization", "x", b.normal(3), b.normal(3), epsilon=1e-3)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, 4, 5][:rank]}, y))


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("shift", [False, True])
def test_layer_normalization_agrees(axis: int, shift: bool) -> None:
    b = networks.NetworkBuilder()
    normal = (3, 4, 5)[axis - 1 if axis > 0 else axis :]
    parameters = [b.normal(*normal)] + ([b.normal(*normal)] if shift else [])
    y = b.node("LayerNormalization", "x", *parameters, axis=axis)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, 4, 5]}, y))


def test_group_normalization_agrees() -> None:
    b = networks.NetworkBuilder(opset=21)
    y = b.node("GroupNormalization", "x", b.normal(6), b.normal(6), num_groups=2)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 6, 4, 5]}, y))


@given(
    size=st.sampled_from([1, 3, 5]),
    alpha=st.floats(0.125, 2, width=32),
    beta=st.floats(0.25, 2, width=32),
    bias=st.floats(0.5, 2, width=32),
)
@settings(deadline=None, max_examples=15)
def test_lrn_agrees(size: int, alpha: float, beta: float, bias: float) -> None:
    b = networks.NetworkBuilder()
    y = b.node("LRN", "x", size=size, alpha=alpha, beta=beta, bias=bias)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 4, 2, 3]}, y))


@pytest.mark.parametrize("operator", sorted(set(REDUCTION_NAMES) - {"ReduceLogSum"}))
@given(
    axes=st.sets(st.sampled_from([1, 2, 3]), min_size=1),
    keepdims=st.booleans(),
    opset=st.sampled_from([11, 13, 18]),
)
@settings(deadline=None, max_examples=10)
def test_reductions_agree(operator: str, axes: set[int], keepdims: bool, opset: int) -> None:
    b = networks.NetworkBuilder(opset=opset)
    attributes: dict[str, Any] = {"keepdims": int(keepdims)}
    lists = []
    if opset < (13 if operator == "ReduceSum" else 18):
        attributes["axes"] = sorted(axes)
    else:
        lists = [b.integers(*sorted(axes))]
    y = b.node(operator, "x", *lists, **attributes)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, 4, 5]}, y))


def test_reductions_of_an_image_are_pools() -> None:
    b = networks.NetworkBuilder(opset=11)
    model = b.model({"x": ["N", 3, 4, 5]}, b.node("ReduceMean", "x", axes=[2, 3]))
    assert import_model(model).nodes[0].operator == GlobalAveragePool()
    b = networks.NetworkBuilder()
    graph = networks.assert_evaluates_as_in_onnxruntime(
        b.model({"x": ["N", 3, 4, 5]}, b.node("GlobalMaxPool", "x"))
    )
    assert graph.nodes[0].operator == MaxPool(kernel_shape=(4, 5))


def test_reductions_of_the_free_batch_are_refused() -> None:
    b = networks.NetworkBuilder(opset=11)
    with pytest.raises(UnsupportedOperator, match="free batch"):
        import_model(b.model({"x": ["N", 3]}, b.node("ReduceMean", "x")))


@given(
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    pads=st.lists(st.integers(0, 1), min_size=4, max_size=4),
    more=st.integers(0, 1),
    groups=st.sampled_from([1, 2]),
    bias=st.booleans(),
    form=st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "shape"]),
)
@settings(deadline=None, max_examples=60)
def test_transposed_convolutions_agree(
    kernel: int,
    stride: int,
    dilation: int,
    pads: list[int],
    more: int,
    groups: int,
    bias: bool,
    form: str,
) -> None:
    assume(more < stride)  # as onnxruntime wants it
    # A kernel smaller than the stride would leave less than is asked for: runtimes disagree on what to add.
    assume(form in ("NOTSET", "VALID") or kernel >= stride)
    b = networks.NetworkBuilder(opset=13)
    attributes: dict[str, Any] = {
        "strides": [stride, stride],
        "dilations": [dilation, dilation],
        "group": groups,
    }
    if form == "shape":
        attributes["output_shape"] = [5 * stride, 6 * stride]
    else:
        attributes["auto_pad"] = form
    if form == "NOTSET":
        attributes |= {"pads": pads, "output_padding": [more, more]}
    biases = [b.normal(3 * groups)] if bias else []
    y = b.node("ConvTranspose", "x", b.normal(4, 3, kernel, kernel), *biases, **attributes)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 4, 5, 6]}, y))


def test_a_transposed_convolution_of_one_axis_agrees() -> None:
    b = networks.NetworkBuilder()
    y = b.node("ConvTranspose", "x", b.normal(4, 3, 4), strides=[2], pads=[1, 1])
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 4, 6]}, y))
