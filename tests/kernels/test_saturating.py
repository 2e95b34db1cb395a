"""Sums that saturate at every product: the oracle against a literal reading of the instruction, and the order it states."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intlower.kernels.reference_saturating import saturating_sums


def literal(x: list[int], w: list[int], bias: int, bits: int) -> int:
    """EE.VMULAS.S8.QACC for one lane, in Python's integers."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    total = bias
    for a, b in zip(x, w, strict=True):
        total = min(max(total + a * b, low), high)
    return total


@given(data=st.data(), depth=st.integers(1, 60), bits=st.integers(16, 20))
def test_matrix_products_are_the_instruction_repeated(
    data: st.DataObject, depth: int, bits: int
) -> None:
    codes = st.lists(st.sampled_from([-128, -127, 0, 1, 127]), min_size=depth, max_size=depth)
    x, w = data.draw(codes), data.draw(codes)
    limit = 1 << (bits - 1)
    bias = data.draw(st.integers(-limit, limit - 1))
    sums = saturating_sums(
        np.array([x]),
        weights=np.array([w]),
        bias=np.array([bias]),
        input_zero_point=0,
        weight_zero_point=0,
        accumulator_bits=bits,
    )
    assert sums.tolist() == [[literal(x, w, bias, bits)]]


@given(seed=st.integers(0, 1 << 20), groups=st.sampled_from([1, 2, 4]))
def test_convolutions_take_rows_then_columns_then_channels(seed: int, groups: int) -> None:
    generator = np.random.default_rng(seed)
    x = generator.choice([-128, 127, 5], (1, 4, 3, 3))
    w = generator.choice([-128, 127], (4, 4 // groups, 3, 3))
    sums = saturating_sums(
        x,
        weights=w,
        bias=np.zeros(4, np.int32),
        input_zero_point=0,
        weight_zero_point=0,
        accumulator_bits=16,
        groups=groups,
    )
    for o in range(4):
        depth = 4 // groups
        first = o // (4 // groups) * depth
        taps = x[0, first : first + depth].transpose(1, 2, 0).ravel().tolist()
        weights = w[o].transpose(1, 2, 0).ravel().tolist()
        assert sums[0, o, 0, 0] == literal(taps, weights, 0, 16)


def test_the_order_decides_where_sums_saturate() -> None:
    arguments = {"bias": np.zeros(1, np.int32), "input_zero_point": 0, "weight_zero_point": 0}
    x = np.array([[127] * 3 + [-128] * 3])
    up_first = saturating_sums(
        x, weights=np.full((1, 6), 127), accumulator_bits=16, **arguments
    )
    down_first = saturating_sums(
        x[:, ::-1], weights=np.full((1, 6), 127), accumulator_bits=16, **arguments
    )
    assert up_first.item() == 32767 - 3 * 128 * 127
    assert down_first.item() == -32768 + 3 * 127 * 127


def test_a_wide_accumulator_is_an_ordinary_one() -> None:
    generator = np.random.default_rng(0)
    x, w = generator.integers(-128, 128, (5, 40)), generator.integers(-128, 128, (7, 40))
    sums = saturating_sums(
        x,
        weights=w,
        bias=np.arange(7),
        input_zero_point=3,
        weight_zero_point=-2,
        accumulator_bits=31,
    )
    assert np.array_equal(sums, (x - 3) @ (w + 2).T + np.arange(7))
