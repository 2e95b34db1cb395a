from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.positions import (
    INPUT_SCOPE,
    SCOPE,
    ZERO_POSITION,
    greatest_position,
    min_mse_position,
    non_overflow_position,
    ristretto_fraction,
)
from intlower.compiler.calibration.methods.sample import WeightedNumbers
from intlower.compiler.calibration.methods.select import Method, limits, nothing_seen
from intlower.compiler.grids import UniformSpec
from intlower.kernels.numerics import Rounding

Numbers = arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e3, 1e3, width=32))


def published_diffs(x: NDArray[np.float32], bits: int, scope: int) -> int:
    """Return the position of cpu_diff_S, method 2 (half up), number by number."""
    half = 2 ** (bits - 1)
    step = max(float(x.min()) / (-half - 0.5), float(x.max()) / (half - 0.5))
    start = 18 if step <= 2.0**-126 else math.floor(math.log2(1 / step))
    best, least = start, math.inf
    for position in range(start, start + scope):
        codes = [math.floor(float(v) * 2.0**position + 0.5) for v in x]
        errors = [
            (min(max(code, -half), half - 1) * 2.0**-position - float(v)) ** 2
            for code, v in zip(codes, x, strict=True)
        ]
        if (error := math.fsum(errors)) < least * (1 - 1e-12):
            best, least = position, error
    return best


@given(Numbers, st.sampled_from([4, 8, 16]), st.sampled_from([INPUT_SCOPE, SCOPE]))
def test_positions_are_those_of_the_published_search(
    x: NDArray[np.float32], bits: int, scope: int
) -> None:
    numbers = WeightedNumbers.equal(x)
    assert min_mse_position(numbers, bits=bits, scope=scope) == published_diffs(x, bits, scope)


@given(Numbers)
def test_a_weight_is_worth_as_many_numbers(x: NDArray[np.float32]) -> None:
    doubled = WeightedNumbers.equal(np.repeat(x, 2))
    weighted = WeightedNumbers(x.astype(np.float64), np.full(x.size, 2.0))
    assert min_mse_position(weighted) == min_mse_position(doubled)


@given(Numbers)
def test_nothing_saturates_by_more_than_half_a_step_at_the_first_position(
    x: NDArray[np.float32],
) -> None:
    low, high = float(x.min()), float(x.max())
    codes = x.astype(np.float64) * 2.0 ** greatest_position(low, high, 8)
    assert codes.min() >= -128.5
    assert codes.max() <= 127.5


def test_what_is_zero_has_the_position_of_zero_and_a_cap_is_kept() -> None:
    numbers = WeightedNumbers.equal(np.zeros(3))
    assert min_mse_position(numbers) == ZERO_POSITION == non_overflow_position(0.0, 0.0)
    assert min_mse_position(numbers, greatest=12) == 12


@given(st.floats(1e-6, 1e6), st.integers(4, 16))
def test_ristretto_saturates_activations_by_at_most_half_and_parameters_by_a_step(
    bound: float, bits: int
) -> None:
    limit = 2.0 ** (bits - 1)  # of codes
    assert bound * 2.0 ** ristretto_fraction(bound, bits, sign_bit=True) <= limit
    reached = bound * 2.0 ** ristretto_fraction(bound, bits, sign_bit=False)
    assert limit < reached * (1 + 1e-12)
    assert reached <= 2 * limit


@given(seed=st.integers(0, 1 << 20), scale=st.integers(-5, 5), bits=st.sampled_from([8, 16]))
def test_a_grid_over_the_range_of_diffs_has_the_position_of_diffs(
    seed: int, scale: int, bits: int
) -> None:
    numbers = np.random.default_rng(seed).laplace(0.3, 1.0, 500) * 2.0**scale
    form = GridForm(bits=bits)
    low, high = limits(Method.DIFFS, nothing_seen(Method.DIFFS, form).including(numbers), form)
    spec = UniformSpec(
        bits=bits, signed=True, symmetric=True, rounding=Rounding.HALF_UP, power_of_two=True
    )
    position = min_mse_position(WeightedNumbers.equal(numbers), bits=bits)
    assert spec.grid(low, high) == spec.at_position(position)


@given(
    seed=st.integers(0, 1 << 20),
    scales=st.lists(st.integers(-3, 3), min_size=1, max_size=9),
    bits=st.sampled_from([8, 16]),
)
def test_the_mode_is_the_position_of_most_batches(
    seed: int, scales: list[int], bits: int
) -> None:
    generator, form = np.random.default_rng(seed), GridForm(bits=bits)
    batches = [generator.laplace(0.3, 1.0, 200) * 2.0**scale for scale in scales]
    summary = nothing_seen(Method.DIFFS_MODE, form)
    for batch in batches:
        summary = summary.including(batch)
    found = [min_mse_position(WeightedNumbers.equal(batch), bits=bits) for batch in batches]
    most = max(found.count(position) for position in found)
    expected = min(position for position in found if found.count(position) == most)
    low, high = limits(Method.DIFFS_MODE, summary, form)
    spec = UniformSpec(
        bits=bits, signed=True, symmetric=True, rounding=Rounding.HALF_UP, power_of_two=True
    )
    assert spec.grid(low, high) == spec.at_position(expected)


def test_a_batch_that_is_unlike_the_others_moves_diffs_but_not_their_mode() -> None:
    ordinary, outlier = np.linspace(-1, 1, 1000), np.linspace(-64, 64, 1000)
    form, highs = GridForm(), {}
    for method in (Method.DIFFS, Method.DIFFS_MODE):
        summary = nothing_seen(method, form)
        for batch in (ordinary, outlier, ordinary):
            summary = summary.including(batch)
        highs[method] = limits(method, summary, form)[1]
    assert highs[Method.DIFFS] > 32
    assert highs[Method.DIFFS_MODE] == 127 / 128
