from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intlower.kernels.numerics_fixed import reciprocal, share_of_total

TOTALS = st.integers(1 << 19, (1 << 31) - 1)


@given(TOTALS)
def test_the_reciprocal_is_that_of_the_leading_bits(total: int) -> None:
    leading_zeros = 32 - total.bit_length()
    exact = Fraction(1 << (62 - leading_zeros), total)
    assert abs(reciprocal(total) - exact) < 16  # of 2**31: Newton's method and its roundings
    assert (1 << 30) - 16 < reciprocal(total) < 1 << 31


@given(TOTALS, st.integers(0, (1 << 31) - 1))
def test_a_share_is_within_a_step_of_the_fraction(total: int, exponential: int) -> None:
    exponential = min(exponential, total << 12)
    exact = Fraction(exponential * 256, total << 12)
    assert abs(share_of_total(exponential, total, 8) - exact) <= Fraction(501, 1000)


@given(st.lists(TOTALS, min_size=1, max_size=20))
def test_arrays_are_computed_like_numbers(totals: list[int]) -> None:
    expected = [reciprocal(total) for total in totals]
    assert np.array_equal(reciprocal(np.array(totals, np.int64)), expected)
