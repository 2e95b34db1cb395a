from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intlower.kernels.numerics_general import (
    INFINITE,
    OCTAVE_ENTRIES,
    affine,
    bit_length,
    interpolated,
    normalized,
    octave_index,
    octave_place,
    quotient,
    square_root,
)

NUMBERS = st.one_of(
    st.integers(0, (1 << 62) - 1),
    st.integers(0, 61).map(lambda n: 1 << n),
    st.integers(1, 62).map(lambda n: (1 << n) - 1),
)
NORMAL = st.one_of(
    st.integers(1 << 60, (1 << 62) - 1),
    # Squares and what stands just below them, where a root is easily one off.
    st.builds(
        lambda r, d: r * r - d, st.integers((1 << 30) + 1, (1 << 31) - 1), st.integers(0, 1)
    ),
)
CODES = st.integers(-(1 << 16), 1 << 16)


@given(NUMBERS)
def test_lengths_are_pythons(x: int) -> None:
    assert bit_length(x) == x.bit_length()


@given(NORMAL)
def test_roots_are_exact(x: int) -> None:
    assert square_root(x) == math.isqrt(x)


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=30), st.integers(1, 1 << 40))
def test_a_normalized_code_is_within_two_steps_of_the_real_number(
    codes: list[int], epsilon: int
) -> None:
    count, total = len(codes), sum(codes)
    variance = count * sum(c * c for c in codes) - total * total + epsilon
    for code in codes:
        deviation = count * code - total
        exact = deviation / math.sqrt(variance) * (1 << 16)
        assert (
            abs(normalized(deviation, variance) - exact) <= 0.5 + abs(exact) * 2.0**-29 + 1e-6
        )


def test_the_greatest_rows_stay_in_64_bits() -> None:
    # One code of 2**23 at the far end of 8 bits: the greatest deviation for its variance.
    count = 1 << 23
    total = 127 - 128 * (count - 1)
    squares = 127**2 + 128**2 * (count - 1)
    variance = count * squares - total**2 + 1
    deviation = count * 127 - total
    expected = round(deviation / math.sqrt(variance) * (1 << 16))
    found = normalized(np.array([deviation]), np.array([variance]))
    assert abs(int(found[0]) - expected) <= 2
    limit = (1 << 31) - 1
    worst = affine(np.array([1 << 28]), limit, limit, 29, 0)
    assert int(worst[0]) == (1 << 28) * limit + (limit << 29)


@given(CODES, CODES, st.integers(0, (1 << 31) - 1), st.integers(0, 40))
def test_quotients_are_rounded_half_up(a: int, b: int, multiplier: int, shift: int) -> None:
    found = quotient(a, b, multiplier, shift)
    assert int(quotient(np.array([a]), np.array([b]), multiplier, shift)[0]) == found
    if b == 0:
        assert found == (a > 0) * INFINITE - (a < 0) * INFINITE
        return
    exact = Fraction(a * multiplier, b << shift)
    assert found == math.floor(exact + Fraction(1, 2))


@given(st.integers(0, (1 << 31) - 1))
def test_a_table_by_octaves_has_an_entry_below_and_above_every_number(x: int) -> None:
    place = octave_place(x)
    index = octave_index(x, place)
    assert 0 <= index < OCTAVE_ENTRIES - 1
    octave = max((index >> 5) - 1, 0)
    low = (index - (octave << 5)) << octave
    assert low <= x < low + (1 << octave)
    assert octave == place


@given(
    st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-(1 << 31), (1 << 31) - 1), st.data()
)
def test_interpolation_stays_between_the_entries(
    first: int, last: int, data: st.DataObject
) -> None:
    bits = data.draw(st.integers(0, 26))
    fraction = data.draw(st.integers(0, (1 << bits) - 1))
    found = interpolated(first, last, fraction, bits)
    exact = first + Fraction((last - first) * fraction, 1 << bits)
    assert abs(found - exact) <= Fraction(1, 2)
    assert min(first, last) <= found <= max(first, last)
    assert int(interpolated(np.int64(first), np.int64(last), fraction, bits)) == found


@given(st.lists(st.integers(1 << 60, (1 << 62) - 1), min_size=1, max_size=9))
def test_arrays_are_computed_like_numbers(numbers: list[int]) -> None:
    array = np.array(numbers, np.int64)
    assert np.array_equal(square_root(array), [square_root(n) for n in numbers])
    assert np.array_equal(bit_length(array), [bit_length(n) for n in numbers])
    assert np.array_equal(
        normalized(array >> 40, array), [normalized(n >> 40, n) for n in numbers]
    )
