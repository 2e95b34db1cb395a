"""The constants of the DPU's pools."""

from __future__ import annotations

import pytest

from intlower.backends.lowering.mean_divisors import DPU_CONSTANTS, dpu_divisor


@pytest.mark.parametrize("window", sorted(DPU_CONSTANTS))
def test_constants_of_windows_stand_for_their_counts(window: tuple[int, int]) -> None:
    count = window[0] * window[1]
    numerator, shift = dpu_divisor(window, count)
    assert abs(numerator / 2**shift * count - 1) < 0.03


@pytest.mark.parametrize("count", range(1, 260))
def test_others_are_within_a_part_of_128(count: int) -> None:
    numerator, shift = dpu_divisor((1, count), count)
    assert abs(numerator / 2**shift * count - 1) <= 1 / 128
