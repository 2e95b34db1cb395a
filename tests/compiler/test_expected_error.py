"""Expected errors against those of numbers drawn from the densities that they assume."""

from __future__ import annotations

import numpy as np
import pytest
from graph_building import graph_of

from intlower.compiler.calibration.from_moments import POOLED_SHARE
from intlower.compiler.expected_error import (
    SATURATION_PRICE,
    activation_errors,
    shift_errors,
    value_errors,
    weight_errors,
)
from intlower.compiler.graph import Moments
from intlower.compiler.moments import ValueMoments, clipped_normal
from intlower.compiler.operators import (
    Activation,
    AveragePool,
    Clip,
    GlobalAveragePool,
    Relu,
    activation_bounds,
)

NUMBERS = 1 << 20


def moments(mean: float, std: float, activation: Activation | None) -> ValueMoments:
    before = Moments.of(np.array([mean]), np.array([std]))
    after = Moments.of(*clipped_normal([mean], [std], *activation_bounds(activation)))
    return ValueMoments(before=before, after=after)


@pytest.mark.parametrize("activation", [None, Relu(), Clip(minimum=0.0, maximum=1.5)])
def test_fine_steps_that_saturate_nothing_cost_a_twelfth_of_their_square(
    activation: Activation | None,
) -> None:
    value = moments(0.3, 1.0, activation)
    step = np.array([2.0**-4])
    found = activation_errors(value, activation, step, (-32768, 32767), np.ones(1))
    x = np.random.default_rng(0).normal(0.3, 1.0, NUMBERS)
    x = np.clip(x, *activation_bounds(activation))
    actual = np.square(np.rint(x / step) * step - x).mean()
    assert found.errors[0] == pytest.approx(actual, rel=0.02)


@pytest.mark.parametrize("activation", [None, Relu(), Clip(minimum=-4.0, maximum=5.0)])
def test_what_saturates_is_that_of_laplace_numbers(activation: Activation | None) -> None:
    value = moments(0.5, 1.0, activation)
    step = np.array([2.0**-6])
    found = activation_errors(value, activation, step, (-128, 127), np.ones(1))
    x = np.random.default_rng(1).laplace(0.5, 1 / np.sqrt(2), NUMBERS)
    x = np.clip(x, *activation_bounds(activation))
    over = np.maximum(x - 127.5 * step, 0) + np.maximum(-128.5 * step - x, 0)
    # rounding is 2e-5 of about 0.05
    assert found.errors[0] / SATURATION_PRICE == pytest.approx(np.square(over).mean(), rel=0.03)


def test_shifts_count_as_far_as_the_activation_lets_them_through() -> None:
    for mean, std, shift, activation in (
        (0.0, 1.0, 0.1, Relu()),
        (-3.0, 0.5, 0.2, Relu()),
        (1.0, 2.0, -0.4, Clip(minimum=0.0, maximum=2.0)),
        (0.0, 1.0, 0.3, None),
    ):
        x = np.random.default_rng(2).normal(mean, std, NUMBERS)
        bounds = activation_bounds(activation)
        actual = np.square(np.clip(x + shift, *bounds) - np.clip(x, *bounds)).mean()
        found = shift_errors(moments(mean, std, activation), activation, np.array([shift]))
        assert found[0] == pytest.approx(actual, rel=0.05, abs=1e-9)


def test_weights_that_saturate_cost_what_they_lose() -> None:
    weights = np.random.default_rng(3).normal(0, 1, (64, 64))
    steps = 2.0 ** -np.array([4.0, 5.0])
    found = weight_errors(weights, steps, 127)
    for step, error in zip(steps, found.errors, strict=True):
        codes = np.clip(np.rint(weights / step), -127, 127)
        assert error == pytest.approx(np.square(codes * step - weights).mean(), rel=0.1)
    assert found.power == pytest.approx(np.square(weights).mean())


@pytest.mark.parametrize("size", [4, 7])
def test_means_over_maps_are_narrower_than_one_position(size: int) -> None:
    graph = graph_of({"x": (None, 1, size, size)}, [(GlobalAveragePool(), "x", "y")], "y", {})
    whole = moments(1.0, 1.0, None)
    steps, reach, node = np.exp2(-np.arange(3.0, 8.0)), (-128, 127), graph.nodes[0]
    found = value_errors(graph, node, {"y": whole}, steps, reach)
    narrow = moments(1.0, POOLED_SHARE, None)
    expected = activation_errors(narrow, None, steps, reach, np.full(1, POOLED_SHARE))
    assert found is not None
    assert np.array_equal(found.errors, expected.errors)
    assert found.power == POOLED_SHARE**2


def test_means_over_few_positions_are_not_known() -> None:
    pool = AveragePool(kernel_shape=(3, 3))
    graph = graph_of({"x": (None, 1, 6, 6)}, [(pool, "x", "y")], "y", {})
    known = {"y": moments(1.0, 1.0, None)}
    assert value_errors(graph, graph.nodes[0], known, np.ones(1), (-128, 127)) is None


@pytest.mark.parametrize("size", [3, 7])
def test_means_whose_own_moments_are_recorded_are_taken_as_they_are(size: int) -> None:
    graph = graph_of({"x": (None, 1, size, size)}, [(GlobalAveragePool(), "x", "y")], "y", {})
    whole = moments(1.0, 1.0, None)
    graph = graph.edit(moments={"y": whole.before})
    steps, reach = np.exp2(-np.arange(3.0, 8.0)), (-128, 127)
    found = value_errors(graph, graph.nodes[0], {"y": whole}, steps, reach)
    expected = activation_errors(whole, None, steps, reach, np.ones(1))
    assert found is not None
    assert np.array_equal(found.errors, expected.errors)
