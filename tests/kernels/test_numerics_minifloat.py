"""Equations (M1) and (M2) against exact fractions and against the published rule."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minifloat_programs import RULES
from numpy.typing import NDArray

from intlower.kernels.minifloat_rule import MinifloatRule
from intlower.kernels.numerics_minifloat import float32_of_minifloat, minifloat_of_float32
from intlower.kernels.reference_minifloat import codes_of, values

FLOATS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(-600, 600, width=32),
    st.floats(2.0**-9, 2.0**-6, width=32),
)


def every_code(rule: MinifloatRule) -> NDArray[np.int64]:
    return np.arange(-rule.greatest, rule.greatest + 1)


def published(x: float, rule: MinifloatRule, bias: int) -> Fraction:
    """What Trim2MiniFloat makes of a number, in exact arithmetic, written from its text."""
    if abs(x) < 2.0**-126:
        return Fraction(0)
    exponent = math.frexp(abs(x))[1] - 1 + bias
    if exponent < 0:
        return Fraction(0)
    scale = 1 << rule.mantissa_bits
    mantissa = Fraction(abs(x)) / Fraction(2) ** (exponent - bias) * scale - scale
    if exponent > (1 << rule.exponent_bits) - 1:
        exponent, mantissa = (1 << rule.exponent_bits) - 1, Fraction(scale - 1)
    elif rule.even:
        mantissa = Fraction(round(mantissa))
    else:
        mantissa = Fraction(math.floor(mantissa + Fraction(1, 2)))
    magnitude = (mantissa + scale) / scale * Fraction(2) ** (exponent - bias)
    return -magnitude if x < 0 else magnitude


@pytest.mark.parametrize("rule", RULES, ids=str)
@given(FLOATS)
def test_codes_are_the_published_numbers_but_for_two(rule: MinifloatRule, x: float) -> None:
    bias = (1 << (rule.exponent_bits - 1)) - 1
    bits = np.array([x], np.float32).view(np.uint32)
    code = minifloat_of_float32(bits, rule, bias)
    number = Fraction(float(float32_of_minifloat(code, rule, bias)[0]))
    least = Fraction(1, 1 << bias)
    greatest = Fraction(float(float32_of_minifloat(rule.greatest, rule, bias)))
    expected = published(x, rule, bias)
    if abs(expected) == least:  # its code stands for 0
        expected = Fraction(0)
    assert number == max(-greatest, min(greatest, expected))


@pytest.mark.parametrize("rule", RULES, ids=str)
@given(st.lists(FLOATS, min_size=1), st.integers(16, 48))
def test_two_ways_of_rounding_agree(
    rule: MinifloatRule, numbers: list[float], bias: int
) -> None:
    x = np.array(numbers, np.float32)
    by_bits = minifloat_of_float32(x.view(np.uint32), rule, bias)
    assert np.array_equal(by_bits, codes_of(x, rule, bias))


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("bias", [16, 31, 48])
def test_every_code_is_the_nearest_to_its_number(rule: MinifloatRule, bias: int) -> None:
    codes = every_code(rule)
    numbers = float32_of_minifloat(codes, rule, bias)
    assert np.array_equal(numbers, values(codes, rule, bias))
    assert (np.diff(numbers) > 0).all()
    assert np.array_equal(minifloat_of_float32(numbers.view(np.uint32), rule, bias), codes)


def test_ties_go_where_the_rule_says() -> None:
    x = np.array([1.0625, 1.1875, -1.0625, -1.1875], np.float32).view(np.uint32)
    away, even = (MinifloatRule.of(8, 4, even) for even in (False, True))
    assert minifloat_of_float32(x, away, 7).tolist() == [57, 58, -57, -58]
    assert minifloat_of_float32(x, even, 7).tolist() == [56, 58, -56, -58]


@pytest.mark.parametrize(("bits", "exponent_bits"), [(8, 3), (8, 7), (12, 4), (16, 7)])
def test_other_layouts_are_refused(bits: int, exponent_bits: int) -> None:
    with pytest.raises(ValueError, match="minifloat"):
        MinifloatRule.of(bits, exponent_bits)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_is_read_back(rule: MinifloatRule) -> None:
    assert MinifloatRule.parse(str(rule)) == rule
