from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.kernels.winograd_transforms import (
    TRANSFORMS,
    Transform,
    filters_fit,
    on_both_axes,
    sum_fits,
    transformed_filters,
    windows_fit,
)

SIZES = pytest.mark.parametrize(
    "transform", TRANSFORMS.values(), ids=lambda t: f"{t.edge}x{t.edge}"
)


def transformed_window(transform: Transform, window: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.array(on_both_axes(transform.input, [list(row) for row in window]))


@SIZES
@given(seed=st.integers(0, 2**32 - 1))
def test_equation_w1_is_the_convolution_times_the_factors(
    transform: Transform, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    window = generator.integers(-255, 256, (transform.window,) * 2)
    weights = generator.integers(-128, 128, (1, 3, 3, 1))
    filters = transformed_filters(transform, weights).reshape(window.shape)
    products = filters * transformed_window(transform, window)
    sums = np.array(on_both_axes(transform.output, [list(row) for row in products]))
    factors = np.array([transform.odd << shift for shift in transform.shifts])
    expected = [
        [
            (window[i : i + 3, j : j + 3] * weights[0, :, :, 0]).sum()
            for j in range(transform.edge)
        ]
        for i in range(transform.edge)
    ]
    assert np.array_equal(sums, np.outer(factors, factors) * expected)


@SIZES
def test_a_sum_survives_its_factor_up_to_the_proved_limit(transform: Transform) -> None:
    shift = 2 * max(transform.shifts)
    limit = 1 << (31 - shift)
    factor = transform.odd**2 << shift
    for value in (-limit, -1, 0, 1, limit - 1):
        wrapped = np.array([value * factor]).astype(np.int32)
        divided = (wrapped * np.int32(transform.inverse)) >> shift
        assert divided[0] == value
    assert sum_fits(transform, np.array([[limit - 1, -limit]]), 0, 1)
    assert not sum_fits(transform, np.array([[limit, 0]]), 0, 1)
    assert not sum_fits(transform, np.array([[0, -limit - 1]]), 0, 1)


@SIZES
@pytest.mark.parametrize("zero_point", [0, 7, 128, 255])
def test_windows_of_8_bit_codes_fit_16_bits(transform: Transform, zero_point: int) -> None:
    low, high = -zero_point, 255 - zero_point
    assert windows_fit(transform, low, high)
    generator = np.random.default_rng(1)
    for _ in range(200):
        window = generator.choice([low, high], (transform.window,) * 2)
        assert abs(transformed_window(transform, window)).max() < 1 << 15


@SIZES
def test_the_limit_of_windows_is_met_by_one_and_no_more(transform: Transform) -> None:
    """The widest range that fits: one step more, and some window of its ends does not."""
    widest, beyond = 1, 1 << 15
    while beyond - widest > 1:
        middle = (widest + beyond) // 2
        fits = windows_fit(transform, -middle, middle)
        widest, beyond = (middle, beyond) if fits else (widest, middle)
    unit = np.eye(transform.positions, dtype=np.int64)
    shape = (transform.window, transform.window)
    forms = np.array([transformed_window(transform, u.reshape(shape)).ravel() for u in unit]).T
    windows = [np.where(form >= 0, beyond, -beyond).reshape(shape) for form in forms]
    assert max(abs(transformed_window(transform, w)).max() for w in windows) >= 1 << 15
    within = [np.where(form >= 0, widest, -widest).reshape(shape) for form in forms]
    assert all(abs(transformed_window(transform, w)).max() <= 1 << 15 for w in within)


@SIZES
def test_filters_of_8_bits_fit_16(transform: Transform) -> None:
    corners = np.array(list(product((-128, 127), repeat=9))).reshape(-1, 3, 3, 1)
    assert filters_fit(transform, corners)
    assert abs(transformed_filters(transform, corners)).max() < 1 << 15


@SIZES
def test_filters_whose_transform_would_pass_16_bits_are_refused(transform: Transform) -> None:
    """Of the filters of weights as large as each other, that of equal signs or of one axis grows most."""
    corners = np.array(list(product((-1, 1), repeat=9))).reshape(-1, 3, 3, 1)
    for size in (127, 255, 600, 700, 3600, 3700, 32767):
        greatest = abs(transformed_filters(transform, corners * size)).max()
        assert filters_fit(transform, corners * size) == (greatest < 1 << 15)
