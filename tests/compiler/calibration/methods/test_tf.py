"""SNPE's rules beside the documentation's examples and beside AIMET's own encodings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.tf import (
    BINS,
    MINIMUM_RANGE,
    Density,
    enhanced_range,
    tf_range,
)
from intlower.compiler.grids import UniformSpec
from intlower.kernels.numerics import Rounding

Draw = Callable[[np.random.Generator], NDArray[np.float64]]

DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda g: g.normal(size=20000),
    "shifted": lambda g: g.normal(0.7, 1, size=8000),
    "relu": lambda g: np.maximum(g.normal(size=20000), 0),
    "laplace": lambda g: g.laplace(size=5000),
    "heavy": lambda g: g.standard_t(3, size=30000),
    "positive": lambda g: g.uniform(5, 10, size=999),
}

# Scale and offset of the asymmetric encoding, scale of the symmetric one: aimet-onnx 2.42.0, BlockTensorQuantizer([], 8,
# QUANTIZATION_TF_ENHANCED), updateStats of the two batches below, computeEncodings(False) and (True).
AIMET = [
    ("normal", 0, 0.0357678495, -125, 0.0348826088),
    ("normal", 1, 0.0320569091, -118, 0.0303808898),
    ("shifted", 0, 0.03124444, -106, 0.0349411294),
    ("shifted", 1, 0.0304815397, -103, 0.0355992056),
    ("relu", 0, 0.0185552035, 0, 0.0363681763),
    ("relu", 1, 0.0172635335, 0, 0.0334912352),
    ("laplace", 0, 0.0799034685, -106, 0.0925713629),
    ("laplace", 1, 0.0645448714, -129, 0.0639591292),
    ("heavy", 0, 0.283519447, -89, 0.363721132),
    ("heavy", 1, 0.273172945, -143, 0.27256453),
    ("positive", 0, 0.039188683, 0, 0.0791610926),
    ("positive", 1, 0.0391799957, 0, 0.0791435465),
]


def seen(kind: str, seed: int) -> Density:
    generator = np.random.default_rng(seed)
    density = Density()
    for _ in range(2):
        density = density.including(DISTRIBUTIONS[kind](generator).astype(np.float32))
    return density


@pytest.mark.parametrize(("kind", "seed", "scale", "offset", "symmetric_scale"), AIMET)
def test_enhanced_encodings_are_those_of_aimet(
    kind: str, seed: int, scale: float, offset: int, symmetric_scale: float
) -> None:
    density = seen(kind, seed)
    low, high = enhanced_range(density, GridForm(symmetric=False))
    # AIMET computes in float32.
    assert (high - low) / 255 == pytest.approx(scale, rel=1e-5)
    assert round(low / ((high - low) / 255)) == offset
    low, high = enhanced_range(density, GridForm(symmetric=True))
    assert -low == high
    assert high / 127 == pytest.approx(symmetric_scale, rel=1e-5)


def test_the_examples_of_the_snpe_documentation() -> None:
    spec = UniformSpec(bits=8, signed=False, symmetric=False, rounding=Rounding.HALF_AWAY)
    # The half-way offset 127.5 goes to 128, as in AIMET; the documentation's picture has 127: -5.08 to 5.12.
    low, high = spec.grid(*tf_range(-5.1, 5.1)).real_limits
    assert {round(-low, 4), round(high, 4)} == {5.08, 5.12}
    assert spec.grid(*tf_range(5.0, 10.0)).real_limits == pytest.approx((0.0, 10.0))


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_tf_holds_the_range_and_zero_and_is_not_too_narrow(one: float, other: float) -> None:
    minimum, maximum = min(one, other), max(one, other)
    low, high = tf_range(minimum, maximum)
    assert low == min(minimum, 0)
    assert high == max(maximum, 0, low + MINIMUM_RANGE)


def test_shares_are_the_mean_of_batches_and_what_lies_far_out_is_not_counted() -> None:
    density = Density().including(np.linspace(-1, 1, 1000, dtype=np.float32))
    assert density.shares.sum() == pytest.approx(1)
    density = density.including(np.full(5, 100.0, np.float32))
    assert density.shares.sum() == pytest.approx(0.5)
    assert density.shares.shape == (BINS,)


def test_nothing_but_zero_waits_for_numbers() -> None:
    density = Density().including(np.zeros(9, np.float32))
    assert enhanced_range(density, GridForm()) == (0.0, MINIMUM_RANGE)
    density = density.including(np.array([-1.0, 1.0], np.float32))
    assert density.batches == 1


@given(
    arrays(np.float32, st.integers(1, 100), elements=st.floats(-1e4, 1e4, width=32)),
    st.booleans(),
)
def test_an_enhanced_range_is_no_wider_than_what_was_seen(
    numbers: NDArray[np.float32], symmetric: bool
) -> None:
    low, high = enhanced_range(Density().including(numbers), GridForm(symmetric=symmetric))
    assert low <= 0 <= high
    assert low < high <= 1.05 * max(float(np.abs(numbers).max()), 2 * MINIMUM_RANGE)
