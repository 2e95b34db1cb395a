from __future__ import annotations

import numpy as np
import pytest

from intlower.backends.tensorrt import TARGET
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

SPEC = TARGET.spec


def test_activations_are_signed_symmetric_per_tensor() -> None:
    grid = SPEC.activations.grid(-1.0, 2.54)
    assert (grid.zero_point, grid.limits, grid.axis) == (0, (-128, 127), None)
    assert float(grid.scale.array) == pytest.approx(0.02)
    assert np.array_equal(grid.quantize([0.01, 0.03, -0.01, -9.0]), [0, 2, 0, -128])


def test_each_output_channel_has_its_weight_scale() -> None:
    grid = SPEC.weights.channel_grid(np.array([1.27, 12.7]), axis=0)
    np.testing.assert_allclose(grid.scale.array, [0.01, 0.1], rtol=1e-6)
    assert (SPEC.weights.per_channel, grid.zero_point) == (True, 0)


def test_the_arithmetic_is_single_precision_over_int32() -> None:
    assert SPEC.requantize is Requantize.F32EVEN
    assert SPEC.accumulator.limit == (1 << 31) - 1
    assert (SPEC.bias_bits, SPEC.bias_rounding) == (32, Rounding.HALF_EVEN)
