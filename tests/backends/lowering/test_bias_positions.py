"""Biases of few bits, and weights that make up for them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intlower.backends.lowering.bias_positions import place_bias, settle_means
from intlower.backends.vitis import TARGET
from intlower.compiler.constant import Constant
from intlower.compiler.grids import UniformGrid
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import ElementType

SPEC = TARGET.member("").spec


def squares(error: np.ndarray) -> float:
    return float(np.square(error).sum())


@given(seed=st.integers(0, 1 << 20), scale=st.integers(-6, 6))
def test_a_bias_of_its_own_is_8_bits_within_the_shifts(seed: int, scale: int) -> None:
    bias = np.random.default_rng(seed).normal(size=20) * 2.0**scale
    read, weights, written = 4, np.array([9 - scale]), 6
    placed = place_bias(SPEC, bias, read, weights, written, squares)
    accumulator = int(weights[0]) + read
    assert np.array_equal(placed.real, np.array(placed.codes) * 2.0**-accumulator)
    assert SPEC.shifts is not None
    fits = [
        shift
        for shift in range(SPEC.shifts.bias_most + 1)
        if all(
            code % (1 << shift) == 0 and -128 <= code >> shift <= 127 for code in placed.codes
        )
    ]
    assert fits
    # the covering position errs by half a step at most, and the least price is no greater
    step = 2.0 ** -min(np.floor(np.log2(127.5 / np.abs(bias).max())), 12)
    assert squares(placed.real - bias) <= bias.size * (step / 2) ** 2 * (1 + 1e-9)


@given(seed=st.integers(0, 1 << 20))
def test_settling_moves_means_nearer_and_codes_by_less_than_a_step(seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=(6, 8, 3, 3)) * 20
    grid = UniformGrid(
        scale=Constant.of(1.0, np.float32),
        zero_point=0,
        element=ElementType.INT8,
        minimum=-128,
        maximum=127,
        rounding=Rounding.HALF_AWAY,
    )
    codes = grid.quantize(weights)
    means = np.abs(generator.normal(size=weights.shape))
    missing = generator.choice([-8.0, 8.0], 6)
    noise = np.full(weights.shape, 1e-3)
    settled = settle_means(weights, codes, grid, means, noise, missing)
    moved = ((settled.astype(int) - codes) * means).reshape(6, -1).sum(axis=1)
    assert np.abs(missing - moved).max() < 2.5  # means reach 4, and turns are whole
    assert np.abs(settled - weights).max() < 1


def test_nothing_is_turned_where_it_would_move_no_mean() -> None:
    weights = np.full((2, 4), 1.4)
    grid = SPEC.weights.at_position(0)
    codes = grid.quantize(weights)
    zero = np.zeros(weights.shape)
    assert np.array_equal(
        settle_means(weights, codes, grid, zero, zero + 1, np.array([3.0, -3.0])), codes
    )
