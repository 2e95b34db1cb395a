from __future__ import annotations

import numpy as np
import pytest

from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.compiler.spec import SoftmaxRule
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

TARGET = SNPE_FAMILY.member("")

SPEC = TARGET.spec


def test_grids_are_unsigned_and_shifted_so_that_zero_is_a_code() -> None:
    # The example of SNPE's documentation, Quantized Models: data in [-1.8, 1.0] has offset -164.
    grid = SPEC.activations.grid(-1.8, 1.0)
    assert float(grid.scale.array) == pytest.approx(2.8 / 255)
    assert (grid.zero_point, grid.limits) == (164, (0, 255))
    assert np.array_equal(grid.quantize([-1.8, -1.0, 0.0, 0.5, 1.0]), [0, 73, 164, 210, 255])


def test_a_range_is_at_least_a_hundredth_wide() -> None:
    assert float(SPEC.activations.grid(0.0, 0.0).scale.array) == pytest.approx(0.01 / 255)


def test_weights_share_one_grid() -> None:
    assert not SPEC.weights.per_channel
    assert SPEC.weights == SPEC.activations


def test_the_arithmetic_is_fixed_point_over_int32() -> None:
    assert SPEC.requantize is Requantize.MUL31DOUBLE
    assert SPEC.accumulator.limit == (1 << 31) - 1
    assert (SPEC.bias_bits, SPEC.bias_rounding) == (32, Rounding.HALF_AWAY)
    assert SPEC.softmax is SoftmaxRule.INTEGER_TABLE
