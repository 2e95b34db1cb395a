from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from intlower.kernels import numerics, numerics_sums
from intlower.kernels.numerics import Rounding

INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
MANTISSAS = st.one_of(
    st.integers(1 << 23, (1 << 24) - 1), st.sampled_from([0, 1 << 23, (1 << 24) - 1])
)
MULTIPLIERS = st.one_of(
    st.integers(1 << 30, (1 << 31) - 1), st.sampled_from([0, 1 << 30, (1 << 31) - 1])
)

judged = settings(deadline=None, max_examples=300)


def half_up(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2))


def half_away(x: Fraction) -> int:
    return int(math.copysign(1, x)) * math.floor(abs(x) + Fraction(1, 2))


JUDGES: dict[Rounding, Callable[[Fraction], int]] = {
    Rounding.FLOOR: math.floor,
    Rounding.HALF_UP: half_up,
    Rounding.HALF_AWAY: half_away,
    Rounding.HALF_EVEN: round,
}


def to_single(x: Fraction) -> Fraction:
    """Return x rounded to 24 significant bits, ties to even."""
    if x == 0:
        return x
    exponent = math.floor(math.log2(abs(x))) - 24
    while abs(x) >= Fraction(2) ** (exponent + 24):
        exponent += 1
    while abs(x) < Fraction(2) ** (exponent + 23):
        exponent -= 1
    unit = Fraction(2) ** exponent
    return round(x / unit) * unit


@pytest.mark.parametrize("rounding", list(Rounding))
@judged
@given(x=st.integers(-(1 << 62), 1 << 62), n=st.integers(0, 62))
def test_a_rounding_shift_is_its_rule_on_the_exact_quotient(
    rounding: Rounding, x: int, n: int
) -> None:
    assert numerics.ROUNDING_SHIFTS[rounding](x, n) == JUDGES[rounding](Fraction(x, 1 << n))


@pytest.mark.parametrize("rounding", list(Rounding))
@judged
@given(quotient=st.integers(-1000, 1000), n=st.integers(1, 40))
def test_a_rounding_shift_decides_ties_by_its_rule(
    rounding: Rounding, quotient: int, n: int
) -> None:
    tie = (2 * quotient + 1) << (n - 1)
    for x in (tie - 1, tie, tie + 1):
        expected = JUDGES[rounding](Fraction(x, 1 << n))
        assert numerics.ROUNDING_SHIFTS[rounding](x, n) == expected
        array = np.array([x], np.int64)
        assert numerics.ROUNDING_SHIFTS[rounding](array, n)[0] == expected


@judged
@given(x=st.integers(-(1 << 40), 1 << 40), ends=st.tuples(INT32, INT32))
def test_clamp_is_min_and_max(x: int, ends: tuple[int, int]) -> None:
    low, high = sorted(ends)
    assert numerics.clamp(x, low, high) == min(max(x, low), high)


@judged
@given(magnitude=st.integers(0, (1 << 55) - 1), precision=st.integers(24, 31))
def test_excess_bits_is_the_bit_length_past_the_precision(
    magnitude: int, precision: int
) -> None:
    expected = max(0, magnitude.bit_length() - precision)
    assert numerics.excess_bits(magnitude, precision) == expected
    assert numerics.excess_bits(np.array([magnitude], np.int64), precision)[0] == expected


@judged
@given(st.integers(-(1 << 55) + 1, (1 << 55) - 1))
@example((1 << 24) + 1)
@example((1 << 25) + 2)
@example(-(1 << 55) + 1)
def test_round_to_float32_is_the_conversion_to_single_precision(x: int) -> None:
    assert numerics.round_to_float32(x) == to_single(Fraction(x))
    assert numerics.round_to_float32(x) == int(np.float32(x))


@judged
@given(accumulator=INT32, mantissa=MANTISSAS, shift=st.integers(1, 62))
def test_scale_float32_is_one_single_precision_multiplication(
    accumulator: int, mantissa: int, shift: int
) -> None:
    scale = Fraction(mantissa, 1 << shift)
    exact = round(to_single(to_single(Fraction(accumulator)) * scale))
    assert numerics.scale_float32(accumulator, mantissa, shift) == exact
    product = np.float32(accumulator) * np.float32(np.ldexp(float(mantissa), -shift))
    assert exact == int(np.rint(product))


@judged
@given(
    a=st.integers(-(1 << 16) + 1, (1 << 16) - 1),
    b=st.integers(-(1 << 16) + 1, (1 << 16) - 1),
    mantissas=st.tuples(MANTISSAS, MANTISSAS),
    base=st.integers(1, 48),
    apart=st.tuples(st.integers(0, 14), st.integers(0, 14)),
)
def test_sum_float32_rounds_both_products_and_their_sum(
    a: int, b: int, mantissas: tuple[int, int], base: int, apart: tuple[int, int]
) -> None:
    shifts = base + apart[0], base + apart[1]
    products = [
        to_single(a * Fraction(mantissas[0], 1 << shifts[0])),
        to_single(b * Fraction(mantissas[1], 1 << shifts[1])),
    ]
    result = numerics_sums.sum_float32(a, mantissas[0], shifts[0], b, mantissas[1], shifts[1])
    assert result == round(to_single(sum(products, Fraction(0))))
    scales = [
        np.float32(np.ldexp(float(m), -s)) for m, s in zip(mantissas, shifts, strict=True)
    ]
    assert result == int(np.rint(np.float32(a) * scales[0] + np.float32(b) * scales[1]))


@judged
@given(a=INT32, multiplier=st.integers(0, (1 << 31) - 1))
def test_doubling_high_multiply_rounds_the_exact_product_half_up(
    a: int, multiplier: int
) -> None:
    expected = half_up(Fraction(a * multiplier, 1 << 31))
    assert numerics.doubling_high_multiply(a, multiplier) == expected


@judged
@given(accumulator=INT32, multiplier=MULTIPLIERS, shift=st.integers(1, 62))
def test_scale_double_rounding_rounds_up_and_then_away(
    accumulator: int, multiplier: int, shift: int
) -> None:
    left, right = max(31 - shift, 0), max(shift - 31, 0)
    limit = ((1 << 31) - 1) >> left
    accumulator = max(min(accumulator, limit), -limit)
    first = half_up(Fraction((accumulator << left) * multiplier, 1 << 31))
    expected = half_away(Fraction(first, 1 << right))
    assert numerics.scale_double_rounding(accumulator, multiplier, shift) == expected


@judged
@given(accumulator=INT32, multiplier=MULTIPLIERS, shift=st.integers(1, 62))
def test_scale_single_rounding_rounds_the_exact_product_half_up(
    accumulator: int, multiplier: int, shift: int
) -> None:
    expected = half_up(Fraction(accumulator * multiplier, 1 << shift))
    assert numerics.scale_single_rounding(accumulator, multiplier, shift) == expected


@judged
@given(
    codes=st.tuples(st.integers(-255, 255), st.integers(-255, 255)),
    multipliers=st.tuples(MULTIPLIERS, MULTIPLIERS, MULTIPLIERS),
    shifts=st.tuples(st.integers(31, 62), st.integers(31, 62), st.integers(31, 62)),
)
def test_sum_double_rounding_is_three_scalings(
    codes: tuple[int, int], multipliers: tuple[int, int, int], shifts: tuple[int, int, int]
) -> None:
    def scaled(x: int, stage: int) -> int:
        first = half_up(Fraction(x * multipliers[stage], 1 << 31))
        return half_away(Fraction(first, 1 << (shifts[stage] - 31)))

    expected = scaled(scaled(codes[0] << 20, 0) + scaled(codes[1] << 20, 1), 2)
    result = numerics_sums.sum_double_rounding(
        codes[0],
        multipliers[0],
        shifts[0],
        codes[1],
        multipliers[1],
        shifts[1],
        multipliers[2],
        shifts[2],
        20,
    )
    assert result == expected


@judged
@given(numerator=st.integers(-(1 << 40), 1 << 40), denominator=st.integers(1, 1 << 30))
def test_divide_half_up_rounds_the_exact_quotient(numerator: int, denominator: int) -> None:
    expected = half_up(Fraction(numerator, denominator))
    assert numerics.divide_half_up(numerator, denominator) == expected


@judged
@given(
    accumulator=st.integers(-(1 << 30), 1 << 30),
    bias=st.integers(-(1 << 30), 1 << 30),
    mantissa=MANTISSAS,
    shift=st.integers(1, 62),
)
@example((1 << 24) + 1, 1, 1 << 23, 23)
def test_scale_float32_biased_is_the_float_unit_step_by_step(
    accumulator: int, bias: int, mantissa: int, shift: int
) -> None:
    single = np.float32(bias)
    total = np.float32(accumulator) + single
    product = total * np.float32(np.ldexp(float(mantissa), -shift))
    result = numerics.scale_float32_biased(accumulator, int(single), mantissa, shift)
    assert result == int(np.rint(product))


POWER_RULES = [
    (numerics.scale_power_half_up, numerics_sums.sum_power_half_up, half_up),
    (numerics.scale_power_half_away, numerics_sums.sum_power_half_away, half_away),
    (numerics.scale_power_half_even, numerics_sums.sum_power_half_even, round),
]


@pytest.mark.parametrize(("scale", "add", "judge"), POWER_RULES)
@judged
@given(
    a=INT32,
    b=st.integers(-(1 << 16), 1 << 16),
    lefts=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    shift=st.integers(0, 62),
)
def test_a_power_of_two_is_rounded_once(
    scale: Callable[..., int],
    add: Callable[..., int],
    judge: Callable[[Fraction], int],
    a: int,
    b: int,
    lefts: tuple[int, int],
    shift: int,
) -> None:
    powers = 1 << lefts[0], 1 << lefts[1]
    assert scale(a, powers[0], shift) == judge(Fraction(a * powers[0], 1 << shift))
    exact = Fraction(b * powers[0] + (a >> 16) * powers[1], 1 << shift)
    assert add(b, powers[0], a >> 16, powers[1], shift) == judge(exact)


@judged
@given(
    codes=st.tuples(st.integers(-(1 << 17), 1 << 17), st.integers(-(1 << 17), 1 << 17)),
    multipliers=st.tuples(MULTIPLIERS, st.integers(0, 1 << 23)),
    shifts=st.tuples(st.integers(0, 62), st.integers(0, 62), st.integers(0, 62)),
)
def test_sum_single_rounding_is_three_roundings_up(
    codes: tuple[int, int], multipliers: tuple[int, int], shifts: tuple[int, int, int]
) -> None:
    total = sum(
        half_up(Fraction(code * multiplier, 1 << shift))
        for code, multiplier, shift in zip(codes, multipliers, shifts, strict=False)
    )
    result = numerics_sums.sum_single_rounding(
        codes[0], multipliers[0], shifts[0], codes[1], multipliers[1], shifts[1], shifts[2]
    )
    assert result == half_up(Fraction(total, 1 << shifts[2]))
