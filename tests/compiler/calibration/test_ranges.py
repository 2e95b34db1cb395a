from __future__ import annotations

import math

import pytest

from intlower.compiler.calibration import Range
from intlower.compiler.errors import CalibrationError


@pytest.mark.parametrize(("low", "high"), [(1.0, 0.0), (math.nan, 1.0), (0.0, math.inf)])
def test_a_range_is_finite_and_ordered(low: float, high: float) -> None:
    with pytest.raises(CalibrationError, match="somewhere"):
        Range(low, high, "somewhere")


def test_clipping_moves_both_ends_inside() -> None:
    assert Range(-3.0, 5.0, "s").clipped(0.0, 4.0) == Range(0.0, 4.0, "s")
    assert Range(-3.0, -1.0, "s").clipped(0.0, 4.0) == Range(0.0, 0.0, "s")


def test_joining_holds_both_and_keeps_the_source() -> None:
    assert Range(-3.0, 5.0, "s").joined(Range(-4.0, 1.0, "t")) == Range(-4.0, 5.0, "s")
