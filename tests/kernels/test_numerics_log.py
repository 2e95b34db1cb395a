from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intlower.kernels import numerics_log
from intlower.kernels.numerics import shift_half_up
from intlower.kernels.numerics_log import (
    FORMATS,
    GREATEST_SHIFT,
    LEAST_SHIFT,
    LINEAR_HIGH,
    LINEAR_LOW,
    LogFormat,
)

layouts = st.sampled_from(list(FORMATS.values()))
accumulators = st.one_of(
    st.integers(-(2**62) + 1, 2**62 - 1),
    st.integers(0, 61).flatmap(lambda bits: st.integers(-(2**bits), 2**bits)),
)


def is_at_most(integer: Fraction, exponent: Fraction) -> bool:
    """Whether a positive number is at most 2**exponent, exactly: both to the exponent's denominator."""
    return integer**exponent.denominator <= Fraction(2) ** exponent.numerator


@given(st.integers(-300, 300), st.integers(0, 5), st.integers(0, 30))
def test_floor_and_ceiling_enclose_the_power(numerator: int, bits: int, fraction: int) -> None:
    exponent = Fraction(numerator, 1 << bits) + fraction
    floor = numerics_log.floor_power(numerator, bits, fraction)
    ceiling = numerics_log.ceil_power(numerator, bits, fraction)
    assert floor == 0 or is_at_most(Fraction(floor), exponent)
    assert not is_at_most(Fraction(floor + 1), exponent)
    assert ceiling == floor if exponent.denominator == 1 and exponent >= 0 else floor + 1


def test_the_mantissas_of_8_bits_are_those_of_the_definition() -> None:
    expected = [16384, 17109, 17867, 18658, 19484, 20347, 21247, 22188, 23170, 24196]
    expected += [25268, 26386, 27554, 28774, 30048, 31379]
    assert list(numerics_log.mantissas(FORMATS[8])) == expected


@pytest.mark.parametrize("bits", [8, 16])
def test_a_mantissa_is_the_nearest_integer(bits: int) -> None:
    for f, mantissa in enumerate(numerics_log.mantissas(FORMATS[bits])):
        exponent = Fraction(f, FORMATS[bits].steps) + 14
        assert is_at_most(mantissa - Fraction(1, 2), exponent)
        assert not is_at_most(mantissa + Fraction(1, 2), exponent)


@given(
    accumulators, st.integers(1 << 14, (1 << 15) - 1), st.integers(LEAST_SHIFT, GREATEST_SHIFT)
)
def test_the_64_bit_read_outs_equal_the_one_on_unbounded_integers(
    accumulator: int, mantissa: int, shift: int
) -> None:
    rule = numerics_log.read_out_wide if shift > 16 else numerics_log.read_out_narrow
    expected = numerics_log.read_out(accumulator, mantissa, shift)
    with np.errstate(over="raise"):
        actual = rule(np.array([accumulator], np.int64), mantissa, shift)
    assert actual.tolist() == [expected]


@given(
    accumulators, st.integers(1 << 14, (1 << 15) - 1), st.integers(LEAST_SHIFT, GREATEST_SHIFT)
)
def test_a_read_out_is_the_quotient_rounded_to_nearest_ties_up(
    accumulator: int, mantissa: int, shift: int
) -> None:
    real = Fraction(accumulator * mantissa) / Fraction(2) ** shift
    nearest = min(max((real + Fraction(1, 2)).__floor__(), LINEAR_LOW), LINEAR_HIGH)
    assert numerics_log.read_out(accumulator, mantissa, shift) == nearest


@given(layouts, st.integers(0, 8190))
def test_a_product_is_the_power_but_for_the_rounding_of_its_mantissa(
    layout: LogFormat, k: int
) -> None:
    k %= 2 * layout.magnitudes - 1
    table = numerics_log.mantissas(layout)
    exact = numerics_log.product_magnitude(table, k, 0)
    octave, fraction = divmod(k, layout.steps)
    assert exact == table[fraction] * 2**octave
    dropped = numerics_log.product_magnitude(table, k, layout.product_shift)
    assert dropped == exact // 2**layout.product_shift < 1 << 47


@given(layouts, st.integers(-200, 200), st.data())
def test_codes_change_exactly_at_the_boundaries_of_the_real_grid(
    layout: LogFormat, octaves: int, data: st.DataObject
) -> None:
    steps, count = layout.steps, layout.magnitudes
    clip = data.draw(st.integers(-8 * steps, 19 * steps))
    z = clip - count + 1
    thresholds, negative = numerics_log.encode_thresholds(layout, z)
    value = data.draw(
        st.one_of(
            st.integers(LINEAR_LOW, LINEAR_HIGH),
            st.sampled_from(thresholds).flatmap(lambda t: st.integers(t - 1, t + 1)),
            st.integers(-negative - 1, -negative + 1),
        )
    )
    magnitude = Fraction(abs(value), 4096)

    def reaches(exponent: Fraction) -> bool:
        return not magnitude < 0 and _at_least_power(magnitude, exponent)

    code = numerics_log.encode_one(value, thresholds, negative)
    k = code % count
    if value >= 0:
        assert (code != count) == reaches(Fraction(z, steps) - 1)
    else:
        assert (code != count) == (not _at_most_power(magnitude, Fraction(z + 1, steps) - 1))
        assert code >= count
    if code != count:
        assert k == 0 or k == 1 or reaches(Fraction(2 * (z + k) - 1, 2 * steps))
        if value > 0 and k == 1:
            assert reaches(Fraction(2 * (z + k) - 1, 2 * steps))
        assert k == count - 1 or not reaches(Fraction(2 * (z + k) + 1, 2 * steps))


def _at_least_power(x: Fraction, exponent: Fraction) -> bool:
    return x > 0 and x**exponent.denominator >= Fraction(2) ** exponent.numerator


def _at_most_power(x: Fraction, exponent: Fraction) -> bool:
    return x == 0 or x**exponent.denominator <= Fraction(2) ** exponent.numerator


@given(st.integers(-300, 170))
def test_decoded_levels_ascend_and_are_symmetric(clip: int) -> None:
    layout = FORMATS[8]
    levels = numerics_log.decode_table(layout, clip - 127)
    assert levels[128] == 0
    assert list(levels[129:]) == [-level for level in levels[1:128]]
    assert list(levels[:128]) == sorted(levels[:128])
    one = (
        shift_half_up(numerics_log.mantissas(layout)[clip % 16], 2 - clip // 16)
        if clip < 48
        else None
    )
    assert one is None or levels[127] == one


@given(st.integers(-(2**60), 2**60), st.integers(1, 2**28))
def test_a_mean_is_rounded_to_nearest_ties_away(total: int, count: int) -> None:
    real = abs(Fraction(total, count))
    nearest = (real + Fraction(1, 2)).__floor__()
    expected = -nearest if total < 0 else nearest
    assert numerics_log.divide_half_away(total, count) == expected
    assert numerics_log.divide_half_away(np.array([total]), count).tolist() == [expected]


@given(st.integers(LINEAR_LOW, LINEAR_HIGH), st.integers(LINEAR_LOW, LINEAR_HIGH))
def test_a_sum_saturates(a: int, b: int) -> None:
    assert numerics_log.add_saturating(a, b) == min(max(a + b, LINEAR_LOW), LINEAR_HIGH)
