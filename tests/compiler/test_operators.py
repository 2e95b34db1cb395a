from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from intlower.compiler import operators
from intlower.compiler.constant import Constant
from intlower.compiler.errors import InvalidGraph
from intlower.compiler.operators import (
    Add,
    AveragePool,
    BatchNormalization,
    ChannelClip,
    Clip,
    Concat,
    Conv,
    Flatten,
    Gemm,
    GlobalAveragePool,
    MatMul,
    MaxPool,
    Operator,
    Pad,
    Relu,
    Reshape,
    Shape,
    Slice,
    Softmax,
    activation_bounds,
    broadcast,
    known,
    window_size,
)


def test_every_public_name_is_exported() -> None:
    assert all(hasattr(operators, name) for name in operators.__all__)


@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 4),
    pad=st.integers(0, 2),
    dilation=st.integers(1, 3),
    ceil_mode=st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_windows_are_counted_as_torch_does(
    size: int, kernel: int, stride: int, pad: int, dilation: int, ceil_mode: bool
) -> None:
    assume(pad <= kernel // 2)  # torch's own limit
    assume(size + 2 * pad >= dilation * (kernel - 1) + 1)
    x = torch.zeros(1, 1, size)
    expected = functional.max_pool1d(x, kernel, stride, pad, dilation, ceil_mode).shape[2]
    assert window_size(size, kernel, stride, pad, pad, dilation, ceil_mode) == expected


ACCEPTED: list[tuple[Operator, Sequence[Shape], Shape]] = [
    (Conv(pads=(1, 1, 1, 1), groups=2), [(None, 4, 5, 5), (6, 2, 3, 3), (6,)], (None, 6, 5, 5)),
    (Gemm(), [(None, 4), (3, 4), (3,)], (None, 3)),
    (MatMul(), [(None, 7, 4), (4, 3)], (None, 7, 3)),
    (BatchNormalization(), [(None, 4, 5), (4,), (4,), (4,), (4,)], (None, 4, 5)),
    (Add(), [(None, 4, 5), (4, 1)], (None, 4, 5)),
    (GlobalAveragePool(), [(None, 4, 5, 6)], (None, 4, 1, 1)),
    (Flatten(), [(None, 4, 5)], (None, 20)),
    (Flatten(axis=3), [(2, 4, 5)], (40, 1)),
    (Flatten(axis=0), [(2, 4, 5)], (1, 40)),
    (Reshape(shape=(-1, 20)), [(None, 4, 5)], (None, 20)),
    (Reshape(shape=(0, 0, -1, 5)), [(None, 4, 10)], (None, 4, 2, 5)),
    (Reshape(shape=(10, -1)), [(2, 4, 5)], (10, 4)),
    (Concat(axis=-1), [(None, 4, 5), (None, 4, 1)], (None, 4, 6)),
    (Pad(pads=(0, 1, 0, 2)), [(None, 4)], (None, 7)),
    (Slice(starts=(-3,), ends=(1 << 62,), axes=(1,), steps=(2,)), [(None, 4)], (None, 2)),
    (Slice(starts=(3,), ends=(-(1 << 62),), axes=(1,), steps=(-1,)), [(None, 4)], (None, 4)),
    (Softmax(axis=-2), [(None, 4, 5)], (None, 4, 5)),
]


@pytest.mark.parametrize(("operator", "inputs", "output"), ACCEPTED)
def test_the_shape_of_a_result(
    operator: Operator, inputs: Sequence[Shape], output: Shape
) -> None:
    assert operator.output_shape(inputs) == output


REFUSED: list[tuple[Operator, Sequence[Shape]]] = [
    (Conv(), [(None, 4, 5, 5), (6, 3, 3, 3)]),
    (Conv(), [(None, 4, 5, 5), (6, 4, 6, 3)]),
    (Conv(), [(None, 4, 5), (6, 4, 3)]),
    (Conv(), [(None, 4, 5, 5), (6, 4, 3, 3), (5,)]),
    (Conv(groups=4), [(None, 4, 5, 5), (6, 1, 3, 3)]),
    (Conv(groups=0), [(None, 4, 5, 5), (6, 4, 3, 3)]),
    (Conv(strides=(0, 1)), [(None, 4, 5, 5), (6, 4, 3, 3)]),
    (Conv(pads=(0, -1, 0, 0)), [(None, 4, 5, 5), (6, 4, 3, 3)]),
    (Gemm(), [(None, 4), (3, 5)]),
    (Gemm(), [(None, 4), (3, 4), (4,)]),
    (Gemm(), [(None, 4)]),
    (MatMul(), [(None, 4), (3, 4)]),
    (BatchNormalization(), [(None, 4), (4,), (4,), (4,), (5,)]),
    (Clip(minimum=1.0, maximum=0.0), [(None, 4)]),
    (Clip(minimum=math.nan), [(None, 4)]),
    (Add(), [(None, 4), (5,)]),
    (Add(), [(None, 4), (1, None, 4)]),
    (AveragePool(kernel_shape=(2, 2), pads=(2, 0, 0, 0)), [(None, 1, 5, 5)]),
    (AveragePool(kernel_shape=(2, 2)), [(None, 5, 5)]),
    (MaxPool(kernel_shape=(2, 2), strides=(1, 0)), [(None, 1, 5, 5)]),
    (MaxPool(kernel_shape=(6, 2)), [(None, 1, 5, 5)]),
    (GlobalAveragePool(), [(None, 4)]),
    (Flatten(axis=0), [(None, 4)]),
    (Flatten(axis=3), [(1, 4)]),
    (Reshape(shape=(2, -1)), [(None, 4)]),
    (Reshape(shape=(-1, -1)), [(2, 4)]),
    (Reshape(shape=(3, -1)), [(2, 4)]),
    (Reshape(shape=(0, 0, 0)), [(2, 4)]),
    (Reshape(shape=(-2, 4)), [(2, 4)]),
    (Concat(), []),
    (Concat(), [(None, 4, 5), (None, 4, 6)]),
    (Concat(axis=0), [(None, 4), (None, 4)]),
    (Concat(axis=2), [(None, 4), (None, 4)]),
    (Pad(pads=(0, 0, 1)), [(None, 4)]),
    (Pad(pads=(0, -1, 0, 0)), [(None, 4)]),
    (Pad(pads=(1, 0, 0, 0)), [(None, 4)]),
    (Slice(starts=(2,), ends=(2,), axes=(1,), steps=(1,)), [(None, 4)]),
    (Slice(starts=(0,), ends=(2,), axes=(1,), steps=(0,)), [(None, 4)]),
    (Slice(starts=(0, 1), ends=(2,), axes=(1,), steps=(1,)), [(None, 4)]),
    (Slice(starts=(0,), ends=(1,), axes=(0,), steps=(1,)), [(None, 4)]),
    (Softmax(axis=2), [(None, 4)]),
]


@pytest.mark.parametrize(("operator", "inputs"), REFUSED)
def test_inputs_that_do_not_fit_are_refused(
    operator: Operator, inputs: Sequence[Shape]
) -> None:
    with pytest.raises(InvalidGraph):
        operator.output_shape(inputs)


dimensions = st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=4).map(tuple)


@given(dimensions, dimensions)
def test_broadcasting_is_that_of_numpy(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(InvalidGraph):
            broadcast(a, b)
    else:
        assert broadcast(a, b) == expected


def test_the_free_batch_stands_for_no_number() -> None:
    with pytest.raises(InvalidGraph, match="batch"):
        known(None)
    assert known(3) == 3


def test_bounds_of_activations() -> None:
    assert activation_bounds(None) == (-math.inf, math.inf)
    assert activation_bounds(Relu()) == (0.0, math.inf)
    assert activation_bounds(Clip(minimum=-1.0, maximum=6.0)) == (-1.0, 6.0)
    low, high = Constant.of([0.0, -1.0]), Constant.of([6.0, 6.0])
    found = activation_bounds(ChannelClip(minimum=low, maximum=high))
    assert np.array_equal(found, (low.array, high.array))


@pytest.mark.parametrize(
    ("low", "high"),
    [([1.0], [0.0]), ([0.0], [1.0, 2.0]), ([[0.0]], [[1.0]]), ([np.nan], [1.0])],
)
def test_a_channel_clip_has_ordered_bounds_for_each_channel(
    low: list[float], high: list[float]
) -> None:
    with pytest.raises(InvalidGraph):
        ChannelClip(minimum=Constant.of(low), maximum=Constant.of(high))
