from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.backends.lowering.rounding import round_weights
from intlower.compiler.grids import UniformGrid, UniformSpec
from intlower.compiler.recipe import WeightRounding
from intlower.kernels.numerics import Rounding

PER_CHANNEL = UniformSpec(
    bits=8, signed=True, symmetric=True, rounding=Rounding.HALF_EVEN, per_channel=True
)
PER_TENSOR = UniformSpec(bits=8, signed=False, symmetric=False, rounding=Rounding.HALF_AWAY)
FOUR_BITS = UniformSpec(
    bits=4, signed=True, symmetric=True, rounding=Rounding.HALF_EVEN, per_channel=True
)


def grid_for(spec: UniformSpec, weights: NDArray[np.float64]) -> UniformGrid:
    if spec.per_channel:
        return spec.channel_grid(np.abs(weights).reshape(len(weights), -1).max(axis=1), axis=0)
    return spec.grid(float(weights.min()), float(weights.max()))


def errors(
    codes: NDArray[np.int8], weights: NDArray[np.float64], grid: UniformGrid
) -> NDArray[np.float64]:
    """Code less exact code, in steps, [O, I, K]."""
    scale = np.broadcast_to(grid.scale.array.astype(np.float64), (len(weights),))
    exact = weights / scale.reshape(-1, *(1,) * (weights.ndim - 1)) + grid.zero_point
    return np.asarray((codes - exact).reshape(*weights.shape[:2], -1))


shapes = st.sampled_from([(3, 4, 3, 3), (2, 1, 3, 3), (4, 16, 1, 1), (3, 30), (1, 2, 5, 5)])
specs = st.sampled_from([PER_CHANNEL, PER_TENSOR, FOUR_BITS])


@given(shape=shapes, spec=specs, seed=st.integers(0, 9999))
@settings(deadline=None, max_examples=120)
def test_squant_moves_no_code_by_more_than_a_step_nor_off_the_grid(
    shape: tuple[int, ...], spec: UniformSpec, seed: int
) -> None:
    weights = np.random.default_rng(seed).normal(size=shape)
    grid = grid_for(spec, weights)
    nearest = round_weights(weights, grid, WeightRounding.NEAREST)
    codes = round_weights(weights, grid, WeightRounding.SQUANT)
    assert codes.dtype == nearest.dtype == grid.dtype
    assert codes.shape == shape
    assert np.abs(codes.astype(int) - nearest).max() <= 1
    assert grid.minimum <= codes.min() <= codes.max() <= grid.maximum


@given(shape=shapes, spec=specs, seed=st.integers(0, 9999))
@settings(deadline=None, max_examples=120)
def test_the_errors_of_each_window_and_of_each_channel_cancel(
    shape: tuple[int, ...], spec: UniformSpec, seed: int
) -> None:
    weights = np.random.default_rng(seed).normal(size=shape)
    grid = grid_for(spec, weights)
    error = errors(round_weights(weights, grid, WeightRounding.SQUANT), weights, grid)
    nearest = errors(round_weights(weights, grid, WeightRounding.NEAREST), weights, grid)
    assert np.abs(error.sum(axis=2)).max() <= 0.5 + 1 + 1e-6
    before = np.abs(nearest.sum(axis=(1, 2)))
    after = np.abs(error.sum(axis=(1, 2)))
    assert (after <= np.maximum(before, 0.5) + 1e-6).all()


@given(seed=st.integers(0, 999))
@settings(deadline=None, max_examples=30)
def test_a_channel_of_many_weights_keeps_its_sum_to_half_a_step(seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(4, 16, 3, 3))
    grid = grid_for(PER_CHANNEL, weights)
    error = errors(round_weights(weights, grid, WeightRounding.SQUANT), weights, grid)
    assert np.abs(error.sum(axis=(1, 2))).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("rounding", list(WeightRounding))
def test_weights_that_are_codes_already_are_left(rounding: WeightRounding) -> None:
    codes = np.random.default_rng(0).integers(-127, 128, (3, 4, 3, 3))
    codes[:, 0, 0, 0] = 127
    weights = codes / 64.0
    found = round_weights(weights, grid_for(PER_CHANNEL, weights), rounding)
    assert np.array_equal(found, codes)


def test_weights_of_one_sign_do_not_drift() -> None:
    """All errors alike: nearest is wrong by a fifth of a step on each weight, always upward."""
    weights = np.full((1, 8, 3, 3), 100.8)
    weights[0, 0, 0, 0] = 127.0
    grid = grid_for(PER_CHANNEL, weights)
    nearest = errors(round_weights(weights, grid, WeightRounding.NEAREST), weights, grid)
    squant = errors(round_weights(weights, grid, WeightRounding.SQUANT), weights, grid)
    assert nearest.sum() > 14
    assert abs(squant.sum()) <= 0.5 + 1e-6
