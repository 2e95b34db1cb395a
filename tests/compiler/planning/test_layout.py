from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.planning.layout import (
    ALIGNMENT,
    Lifetime,
    inner_strides,
    merged_loops,
    place,
    row_major_strides,
)

LIFETIMES = st.builds(
    lambda size, first, length: Lifetime(size=size, first=first, last=first + length),
    st.integers(1, 1000),
    st.integers(0, 20),
    st.integers(0, 8),
)


@settings(deadline=None)
@given(st.lists(LIFETIMES, max_size=20))
def test_buffers_in_use_together_share_no_byte(lifetimes: list[Lifetime]) -> None:
    offsets, size = place(lifetimes)
    for i, (a, start) in enumerate(zip(lifetimes, offsets, strict=True)):
        assert start % ALIGNMENT == 0
        assert start + a.size <= size
        for b, other in zip(lifetimes[:i], offsets[:i], strict=True):
            if a.first <= b.last and b.first <= a.last:
                assert start + a.size <= other or other + b.size <= start


@settings(deadline=None)
@given(st.lists(LIFETIMES, min_size=1, max_size=20))
def test_an_arena_is_no_larger_than_its_buffers(lifetimes: list[Lifetime]) -> None:
    _, size = place(lifetimes)
    assert size <= sum(-(-a.size // ALIGNMENT) * ALIGNMENT for a in lifetimes)
    assert size >= max(a.size for a in lifetimes)


def test_a_chain_of_buffers_takes_two() -> None:
    chain = [Lifetime(size=640, first=i, last=i + 1) for i in range(10)]
    assert place(chain)[1] == 2 * 640


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple), st.booleans())
def test_merged_loops_copy_every_element(sizes: tuple[int, ...], inward: bool) -> None:
    strides = row_major_strides(sizes), inner_strides(sizes)
    inputs, outputs = strides if inward else strides[::-1]
    source = np.arange(np.prod(sizes))
    target = np.full(source.size, -1)
    loops = merged_loops(sizes, inputs, outputs)
    for index in np.ndindex(*(loop[0] for loop in loops)):
        at = [sum(i * loop[k] for i, loop in zip(index, loops, strict=True)) for k in (1, 2)]
        target[at[1]] = source[at[0]]
    expected = np.full(source.size, -1)
    for index in np.ndindex(*sizes):
        expected[np.dot(index, outputs)] = source[np.dot(index, inputs)]
    assert np.array_equal(target, expected)
