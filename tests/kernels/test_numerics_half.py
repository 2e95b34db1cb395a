"""Equations (H1) to (H3) against exact fractions and NumPy's float16."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from half_programs import RULES
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.kernels.half_rule import HalfRule, Subnormals
from intlower.kernels.numerics_half import (
    HALF_NAN,
    from_total_order,
    half_of_float32,
    quantize_half,
    total_order,
)
from intlower.kernels.reference_half import round_half

ALL_HALVES: NDArray[np.float16] = np.arange(1 << 16).astype(np.uint16).view(np.float16)
NUMBERS = ALL_HALVES[np.isfinite(ALL_HALVES)]

# Rules that differ in rounding; sums do not matter here.
ROUNDINGS = [rule for rule in RULES if not rule.half_sums]


def around_every_half() -> NDArray[np.uint32]:
    """Every half as float32, and what lies around it and around the ties beside it."""
    with np.errstate(invalid="ignore"):
        bits = ALL_HALVES.astype(np.float32).view(np.uint32)[:, None]
    steps = np.array([-4097, -4096, -4095, -1, 0, 1, 4095, 4096, 4097])
    return (bits.astype(np.int64) + steps).astype(np.uint32).reshape(-1)


def exactly_rounded(x: Fraction, rule: HalfRule) -> Fraction | None:
    """The binary16 number nearest to x, None for infinity; written from the definition alone."""
    least = Fraction(1, 1 << 14)
    if rule.subnormals is Subnormals.FLUSHED_FIRST and abs(x) < least:
        return Fraction(0)
    unit = Fraction(1, 1 << 24)
    while abs(x) >= unit * 2048:
        unit *= 2
    rounded = round(x / unit) * unit  # Python rounds fractions half to even
    if abs(rounded) >= 65536:
        return Fraction(65504 if x > 0 else -65504) if rule.saturate else None
    if rule.subnormals is Subnormals.FLUSHED and abs(rounded) < least:
        return Fraction(0)
    return rounded


@pytest.mark.parametrize("rule", ROUNDINGS, ids=str)
@given(
    st.one_of(
        st.floats(width=32, allow_nan=False, allow_infinity=False),
        st.floats(2.0**-26, 2.0**-13, width=32),
        st.floats(65472, 65552, width=32),
        st.integers(-4096, 4096).map(lambda n: n * 2.0**-25),
    )
)
def test_rounding_is_that_of_exact_fractions(rule: HalfRule, value: float) -> None:
    result = quantize_half(value, rule)
    expected = exactly_rounded(Fraction(value), rule)
    if expected is None:
        assert np.isinf(result)
    else:
        assert Fraction(float(result)) == expected
    assert np.signbit(result) == np.signbit(np.float32(value))


@pytest.mark.parametrize("rule", ROUNDINGS, ids=str)
def test_integer_rounding_is_numpys(rule: HalfRule) -> None:
    bits = around_every_half()
    expected = round_half(bits.view(np.float32), rule).view(np.uint16)
    assert np.array_equal(half_of_float32(bits, rule), expected)


def test_every_half_is_itself() -> None:
    assert np.array_equal(
        quantize_half(NUMBERS.astype(np.float32), HalfRule()).view(np.uint16),
        NUMBERS.view(np.uint16),
    )


def test_there_is_one_nan() -> None:
    patterns = np.array([0x7F800001, 0x7FC00000, 0xFFC00000, 0xFFFFFFFF])
    for rule in ROUNDINGS:
        assert (half_of_float32(patterns, rule) == HALF_NAN).all()


def test_the_flush_decides_after_or_before_rounding() -> None:
    just_below = np.float32(2.0**-14) - np.float32(2.0**-27)  # rounds up to 2**-14
    after, before = (
        quantize_half(just_below, HalfRule(subnormals=s))
        for s in (Subnormals.FLUSHED, Subnormals.FLUSHED_FIRST)
    )
    assert (float(after), float(before)) == (2.0**-14, 0.0)


def test_the_total_order_is_that_of_numbers() -> None:
    keys = total_order(NUMBERS)
    ordered = NUMBERS[np.argsort(keys)].astype(np.float64)
    assert (np.diff(ordered) >= 0).all()
    assert len(np.unique(keys)) == len(NUMBERS)
    assert (
        total_order(np.array([-0.0], np.float16))
        == total_order(np.array([0.0], np.float16)) - 1
    )
    nan = np.array([HALF_NAN], np.uint16).view(np.float16)
    assert total_order(nan) > keys.max()
    assert np.array_equal(from_total_order(keys).view(np.uint16), NUMBERS.view(np.uint16))
