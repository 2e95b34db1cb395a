"""Flatten, Reshape, Concat, Pad and Slice against onnxruntime, and the forms that are refused."""

from __future__ import annotations

from collections.abc import Sequence

import networks
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from intlower.compiler.errors import InvalidGraph, UnsupportedOperator
from intlower.compiler.importer import import_model
from intlower.compiler.operators import Flatten, Identity, Pad, Slice

pytestmark = pytest.mark.crosscheck


@pytest.mark.parametrize("opset", [9, 11, 13])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [(("N", 3, 4), 1), (("N", 3, 4), -2), ((2, 3, 4), 0), ((2, 3, 4), 2), ((2, 3, 4), 3)],
)
def test_flatten_agrees(opset: int, shape: Sequence[int | str], axis: int) -> None:
    if opset < 11:  # axes counted from the end came later
        axis = axis + 3 if axis < 0 else axis
    b = networks.NetworkBuilder(opset=opset)
    model = b.model({"x": shape}, b.node("Flatten", "x", axis=axis))
    graph = networks.assert_evaluates_as_in_onnxruntime(model)
    assert graph.nodes[0].operator == Flatten(axis=axis % 3 if axis < 3 else 3)


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        (("N", 3, 4), (0, 12)),
        (("N", 3, 4), (-1, 12)),
        (("N", 3, 4), (0, -1)),
        (("N", 3, 4), (0, 0, 2, 2)),
        (("N", 12), (-1, 3, 2, 2)),
        ((2, 3, 4), (6, -1)),
        ((2, 3, 4), (24,)),
    ],
)
@pytest.mark.parametrize("opset", [9, 13, 14])
def test_reshape_agrees(
    shape: Sequence[int | str], target: tuple[int, ...], opset: int
) -> None:
    b = networks.NetworkBuilder(opset=opset)
    model = b.model({"x": shape}, b.node("Reshape", "x", b.integers(*target)))
    networks.assert_evaluates_as_in_onnxruntime(model)


def test_a_reshape_that_mixes_samples_is_invalid() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": ["N", 12]}, b.node("Reshape", "x", b.integers(-1, 4)))
    with pytest.raises(InvalidGraph, match="does not keep the batch apart"):
        import_model(model)


def test_a_reshape_to_nothing_or_to_a_computed_shape_is_refused() -> None:
    b = networks.NetworkBuilder()
    empty = b.node("Reshape", "x", b.integers(0, 12), allowzero=1, name="empty")
    computed = b.node("Reshape", "x", b.node("Cast", "s", to=7, name="cast"), name="computed")
    with pytest.raises(UnsupportedOperator) as caught:
        import_model(b.model({"x": ["N", 12], "s": [2]}, empty, computed))
    assert [node.name for node in caught.value.nodes] == ["empty", "cast"]


@pytest.mark.parametrize(("shape", "axis"), [(("N", 3, 4), 1), (("N", 3), -1), ((2, 3), 0)])
def test_concat_agrees(shape: Sequence[int | str], axis: int) -> None:
    b = networks.NetworkBuilder()
    y = b.node("Concat", "x", b.relu("x"), "x", axis=axis)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": shape}, y))


def test_concat_of_a_constant_agrees() -> None:
    b = networks.NetworkBuilder()
    model = b.model({"x": [1, 3]}, b.node("Concat", "x", b.normal(1, 3), axis=1))
    networks.assert_evaluates_as_in_onnxruntime(model)


def test_a_constant_of_one_sample_is_joined_to_each() -> None:
    """A class token, as exporters write it: expanded to the batch that Shape finds."""
    b = networks.NetworkBuilder()
    batch = b.node("Slice", b.node("Shape", "x"), b.integers(0), b.integers(1))
    shape = b.node("Concat", batch, b.integers(-1), b.integers(-1), axis=0)
    unknown = b.node("Equal", shape, b.integers(-1, -1, -1))
    shape = b.node("Where", unknown, b.integers(1, 1, 1), shape)
    token = b.node("Expand", b.normal(1, 1, 4), shape)
    model = b.model({"x": ["N", 3, 4]}, b.node("Concat", token, "x", axis=1))
    networks.assert_evaluates_as_in_onnxruntime(model)


def test_concat_along_the_free_batch_is_refused() -> None:
    b = networks.NetworkBuilder()
    with pytest.raises(UnsupportedOperator, match="along the free batch"):
        import_model(b.model({"x": ["N", 3]}, b.node("Concat", "x", "x", axis=0)))


SIZES = (5, 6, 4)


@st.composite
def selections(
    draw: st.DrawFn, size: int, steps: st.SearchStrategy[int]
) -> tuple[int, int, int]:
    """A start, end and step that select something of an axis, in one of their spellings."""
    step = draw(steps)
    low = draw(st.integers(0, size - 1))
    high = draw(st.integers(low, size - 1))
    beyond = [1 << 40, (1 << 63) - 1]
    if step > 0:
        starts = [low, low - size] + [-(1 << 40)] * (low == 0)
        ends = [high + 1, *(beyond if high == size - 1 else [high + 1 - size])]
    else:
        starts = [high, high - size, *(beyond if high == size - 1 else [])]
        ends = [low - 1 - size] + ([low - 1] if low else [-(1 << 40), -(1 << 31)])
    return draw(st.sampled_from(starts)), draw(st.sampled_from(ends)), step


@settings(deadline=None, max_examples=80)
@given(st.data(), st.sampled_from([9, 10, 13, 17]))
def test_slice_agrees(data: st.DataObject, opset: int) -> None:
    axes = data.draw(st.permutations([1, 2, 3]).map(lambda p: p[:2]))
    allowed = st.just(1) if opset < 10 else st.sampled_from([1, 2, 3, -1, -2])
    drawn = [data.draw(selections(SIZES[axis - 1], allowed)) for axis in axes]
    starts, ends, steps = zip(*drawn, strict=True)
    b = networks.NetworkBuilder(opset=opset)
    counted = [axis - 4 if opset >= 10 and data.draw(st.booleans()) else axis for axis in axes]
    y = b.slice("x", starts, ends, counted, steps)
    graph = networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", *SIZES]}, y))
    operator = graph.nodes[0].operator
    if isinstance(operator, Slice):
        assert all(0 <= start < 6 for start in operator.starts)
        assert all(-8 < end <= 6 for end in operator.ends)
    else:
        assert operator == Identity()


def test_slice_without_axes_begins_at_the_first_and_may_keep_the_batch() -> None:
    b = networks.NetworkBuilder()
    y = b.node("Slice", "x", b.integers(0, 1), b.integers((1 << 63) - 1, 3))
    graph = networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 4]}, y))
    assert graph.nodes[0].operator == Slice(starts=(1,), ends=(3,), axes=(1,), steps=(1,))


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps", "message"),
    [
        ([0], [2], [0], [1], "batch"),
        ([0, 0], [2, 2], [1, 1], [1, 1], "do not match"),
        ([0, 0], [2], [1, 2], [1, 1], "do not match"),
        ([0], [2], [7], [1], "axis 7"),
        ([0], [2], [1], [0], "step of 0"),
        ([3], [3], [1], [1], "nothing is left"),
    ],
)
def test_slices_that_do_not_fit_are_invalid(
    starts: list[int], ends: list[int], axes: list[int], steps: list[int], message: str
) -> None:
    b = networks.NetworkBuilder()
    y = b.node("Slice", "x", *(b.integers(*v) for v in (starts, ends, axes, steps)))
    with pytest.raises(InvalidGraph, match=message):
        import_model(b.model({"x": ["N", 4, 4]}, y))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(-2, 2), min_size=6, max_size=6),
    st.sampled_from([0.0, 1.5, None]),
    st.sampled_from([9, 10, 11, 13, 18]),
)
def test_pad_agrees(pads: list[int], value: float | None, opset: int) -> None:
    begins, ends = pads[:3], pads[3:]
    assume(all(size + b + e > 0 for size, b, e in zip(SIZES, begins, ends, strict=True)))
    # One end may not crop what is not there.
    assume(
        all(
            size + min(b, 0) + min(e, 0) > 0
            for size, b, e in zip(SIZES, begins, ends, strict=True)
        )
    )
    b = networks.NetworkBuilder(opset=opset)
    if opset == 18:
        constant = "" if value is None else b.constant(value)
        lists = b.integers(*begins[1:], *ends[1:]), b.integers(-2, 3)
        y = b.node("Pad", "x", lists[0], constant, lists[1])
    else:
        y = b.pad("x", [0, *begins, 0, *ends], 0.0 if value is None else value)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", *SIZES]}, y))


def test_pads_that_crop_become_a_slice_before() -> None:
    b = networks.NetworkBuilder()
    y = b.pad("x", [0, 0, -1, 0, 2, 0])
    graph = networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 3, 4]}, y))
    crop, pad = graph.nodes
    assert crop.operator == Slice(starts=(1,), ends=(4,), axes=(2,), steps=(1,))
    assert pad.operator == Pad(pads=(0, 0, 0, 0, 2, 0))


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@given(pads=st.lists(st.integers(0, 3), min_size=6, max_size=6))
@settings(deadline=None, max_examples=10)
def test_other_modes_of_pad_agree(mode: str, pads: list[int]) -> None:
    b = networks.NetworkBuilder(opset=19)
    begins, ends = pads[:3], pads[3:]
    y = b.node("Pad", "x", b.integers(0, *begins, 0, *ends), mode=mode)
    networks.assert_evaluates_as_in_onnxruntime(b.model({"x": ["N", 4, 5, 6]}, y))


def test_pads_that_crop_and_reflect_are_refused() -> None:
    b = networks.NetworkBuilder(opset=19)
    y = b.node("Pad", "x", b.integers(0, 1, 0, -1), mode="reflect")
    with pytest.raises(UnsupportedOperator, match="it crops, and pads in mode 'reflect'"):
        import_model(b.model({"x": ["N", 4]}, y))


def test_reflecting_more_than_there_is_is_invalid() -> None:
    b = networks.NetworkBuilder(opset=19)
    y = b.node("Pad", "x", b.integers(0, 4, 0, 0), mode="reflect")
    with pytest.raises(InvalidGraph, match="too few elements"):
        import_model(b.model({"x": ["N", 4]}, y))


def test_padding_with_infinity_is_refused() -> None:
    b = networks.NetworkBuilder()
    with pytest.raises(UnsupportedOperator, match="pads with inf"):
        import_model(b.model({"x": ["N", 4]}, b.pad("x", [0, 1, 0, 1], float("inf"))))


def test_padding_the_free_batch_is_invalid() -> None:
    b = networks.NetworkBuilder()
    with pytest.raises(InvalidGraph, match="batch"):
        import_model(b.model({"x": ["N", 4]}, b.pad("x", [1, 0, 0, 0])))
