from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.backends.lowering.gptq import gptq_codes
from intlower.backends.lowering.rounding import round_weights
from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.backends.tensorrt import TARGET as TENSORRT
from intlower.compiler.constant import Constant
from intlower.compiler.grids import UniformGrid
from intlower.compiler.recipe import WeightRounding
from intlower.compiler.second_moments import SecondMoments

SNPE = SNPE_FAMILY.member("")


def moments(covariance: NDArray[np.float64], count: int = 10**6) -> SecondMoments:
    return SecondMoments(
        mean=Constant.of(np.zeros(covariance.shape[:2]), np.float64),
        covariance=Constant.of(covariance, np.float64),
        count=count,
    )


def correlated(groups: int, size: int, seed: int) -> NDArray[np.float64]:
    factors = np.random.default_rng(seed).standard_normal((groups, size, 3))
    own = 0.1 * np.eye(size)
    return np.asarray(np.matmul(factors, factors.transpose(0, 2, 1)) + own)


def grid_of(weights: NDArray[np.float64], per_channel: bool) -> UniformGrid:
    if per_channel:
        bounds = np.abs(weights).max(axis=tuple(range(1, weights.ndim)))
        return TENSORRT.spec.weights.channel_grid(bounds, axis=0)
    return SNPE.spec.weights.grid(float(weights.min()), float(weights.max()))


def loss(
    codes: NDArray[np.int64],
    weights: NDArray[np.float64],
    grid: UniformGrid,
    covariance: NDArray[np.float64],
) -> float:
    """Return the mean square of the error of the layer's outputs."""
    groups, size = covariance.shape[:2]
    error = (grid.dequantize(codes) - weights).reshape(groups, -1, size)
    return float(np.einsum("gri,gij,grj->", error, covariance, error))


@settings(deadline=None, max_examples=30)
@given(
    groups=st.integers(1, 3),
    rows=st.integers(1, 4),
    seed=st.integers(0, 100),
    per_channel=st.booleans(),
)
def test_codes_are_on_the_grid_and_the_output_error_does_not_grow(
    groups: int, rows: int, seed: int, per_channel: bool
) -> None:
    weights = np.random.default_rng(seed).standard_normal((groups * rows, 4, 3, 3))
    covariance = correlated(groups, 36, seed)
    grid = grid_of(weights, per_channel)
    codes = gptq_codes(weights, grid, moments(covariance))
    assert codes.shape == weights.shape
    assert codes.dtype == grid.dtype
    low, high = grid.limits
    assert codes.min() >= low
    assert codes.max() <= high
    nearest = loss(grid.quantize(weights), weights, grid, covariance)
    assert loss(codes, weights, grid, covariance) < nearest


@pytest.mark.parametrize("per_channel", [False, True])
def test_inputs_that_vary_on_their_own_give_the_nearest_codes(per_channel: bool) -> None:
    weights = np.random.default_rng(0).standard_normal((6, 20))
    grid = grid_of(weights, per_channel)
    alone = np.diag(np.linspace(1, 2, 20))[None]
    assert np.array_equal(gptq_codes(weights, grid, moments(alone)), grid.quantize(weights))


def test_weights_on_the_grid_stay() -> None:
    weights = np.random.default_rng(0).standard_normal((4, 12))
    grid = grid_of(weights, True)
    codes = grid.quantize(weights)
    exact = grid.dequantize(codes).astype(np.float64)
    assert np.array_equal(gptq_codes(exact, grid, moments(correlated(1, 12, 0))), codes)


def test_inputs_that_never_vary_are_no_trouble() -> None:
    weights = np.random.default_rng(0).standard_normal((4, 12))
    grid = grid_of(weights, False)
    covariance = correlated(1, 12, 0)
    covariance[:, 3], covariance[:, :, 3] = 0, 0
    for silent in (covariance, np.zeros_like(covariance)):
        codes = gptq_codes(weights, grid, moments(silent))
        assert np.array_equal(codes[:, 3], grid.quantize(weights)[:, 3])


def test_few_columns_count_for_little() -> None:
    weights = np.random.default_rng(0).standard_normal((8, 30))
    grid = grid_of(weights, False)
    codes = gptq_codes(weights, grid, moments(correlated(1, 30, 0), count=1))
    far = gptq_codes(weights, grid, moments(correlated(1, 30, 0)))
    nearest = grid.quantize(weights)
    assert (codes != nearest).mean() < (far != nearest).mean()


def test_without_moments_the_rounding_is_squants() -> None:
    weights = np.random.default_rng(0).standard_normal((4, 3, 3, 3))
    grid = grid_of(weights, True)
    found = round_weights(weights, grid, WeightRounding.GPTQ)
    assert np.array_equal(found, round_weights(weights, grid, WeightRounding.SQUANT))
