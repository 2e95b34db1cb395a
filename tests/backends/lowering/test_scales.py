from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intlower.backends.lowering.scales import (
    align_float32_scales,
    factor_of,
    integer_scale,
    round_bias,
)
from intlower.compiler.errors import ScaleOutOfRange
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

factors = st.floats(min_value=2.0**-60, max_value=2.0**20)


@given(factors)
def test_a_single_precision_factor_is_held_exactly(factor: float) -> None:
    factor = float(np.float32(factor))
    multiplier, shift = integer_scale(Requantize.F32EVEN, factor, "test")
    assert 1 <= shift <= 62
    assert multiplier < 1 << 24
    if factor >= 2.0**-38:
        assert Fraction(multiplier, 1 << shift) == Fraction(factor)
    else:  # fewer mantissa bits, still within half of the last one
        assert abs(Fraction(multiplier, 1 << shift) - Fraction(factor)) <= Fraction(1, 1 << 63)


@given(factors)
def test_a_q31_factor_is_within_half_a_step(factor: float) -> None:
    multiplier, shift = integer_scale(Requantize.MUL31DOUBLE, factor, "test")
    if multiplier == 0:
        assert factor < 2.0**-31
        return
    assert 1 << 30 <= multiplier < 1 << 31
    assert 1 <= shift <= 62
    assert abs(Fraction(multiplier, 1 << shift) - Fraction(factor)) <= Fraction(
        1, 1 << (shift + 1)
    )


def test_a_q31_mantissa_that_rounds_to_one_is_renormalised() -> None:
    just_below_one = math.nextafter(1.0, 0.0)
    assert integer_scale(Requantize.MUL31DOUBLE, just_below_one, "test") == (1 << 30, 30)


@pytest.mark.parametrize("rule", [Requantize.F32EVEN, Requantize.MUL31DOUBLE])
@pytest.mark.parametrize("factor", [0.0, math.nan, math.inf, -1.0, 2.0**40])
def test_an_impossible_factor_is_refused_and_names_the_place(
    rule: Requantize, factor: float
) -> None:
    with pytest.raises(ScaleOutOfRange, match="conv_3"):
        integer_scale(rule, factor, "conv_3")


def test_single_precision_factors_are_rounded_at_each_step() -> None:
    x, w, y = np.float32(0.1), np.float32(0.3), np.float32(0.7)
    expected = np.float32(np.float32(x * w) / y)
    assert factor_of(Requantize.F32EVEN, (float(x), float(w)), float(y)) == float(expected)
    assert factor_of(Requantize.MUL31DOUBLE, (float(x), float(w)), float(y)) == float(
        x
    ) * float(w) / float(y)


@given(factors, factors)
def test_aligned_scales_stay_near_and_keep_the_greater_one(a: float, b: float) -> None:
    scales = tuple(
        integer_scale(Requantize.F32EVEN, float(np.float32(factor)), "test")
        for factor in (a, b)
    )
    aligned = align_float32_scales((scales[0], scales[1]))
    assert abs(aligned[0][1] - aligned[1][1]) <= 14
    greater = min(range(2), key=lambda i: scales[i][1])
    assert aligned[greater] == scales[greater]
    for before, after in zip(scales, aligned, strict=True):
        lost = abs(Fraction(before[0], 1 << before[1]) - Fraction(after[0], 1 << after[1]))
        assert lost <= Fraction(1, 1 << (after[1] + 1))


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        (Rounding.HALF_EVEN, [-2, -2, 2, 2]),
        (Rounding.HALF_AWAY, [-3, -2, 2, 3]),
        (Rounding.HALF_UP, [-2, -1, 2, 3]),
        (Rounding.FLOOR, [-3, -2, 1, 2]),
    ],
)
def test_a_bias_is_rounded_by_the_rule_of_the_target(
    rounding: Rounding, expected: list[int]
) -> None:
    assert [round_bias(x, rounding) for x in (-2.5, -1.5, 1.5, 2.5)] == expected
