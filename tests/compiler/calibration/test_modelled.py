"""Models of values beside random numbers that are distributed so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import classifier

from intlower.compiler.calibration import calibrate
from intlower.compiler.calibration.final import final_values
from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.positions import min_mse_position
from intlower.compiler.calibration.methods.sample import WeightedNumbers
from intlower.compiler.calibration.methods.select import Method, limits, nothing_seen
from intlower.compiler.calibration.modelled import (
    LimitedNormals,
    best_cut,
    best_normal_cut,
    modelled_summary,
    quantile_sample,
)
from intlower.compiler.errors import CalibrationError
from intlower.compiler.importer import import_model
from intlower.compiler.moments import clipped_normal
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES

MEANS, STDS = np.array([-0.5, 0.3, 1.0, 2.0]), np.array([1.0, 0.5, 2.0, 0.0])
RELU = LimitedNormals.of(MEANS, STDS, 0.0, np.inf)
SIGNED = LimitedNormals.of(MEANS, STDS)


def drawn(mixture: LimitedNormals, count: int = 100_000) -> np.ndarray:
    z = np.random.default_rng(0).normal(size=(len(mixture.mean), count))
    x = mixture.mean[:, None] + mixture.std[:, None] * z
    return np.clip(x, mixture.low[:, None], mixture.high[:, None]).astype(np.float32)


def test_a_quantile_sample_has_the_moments_of_each_channel() -> None:
    numbers = quantile_sample(RELU)
    values = numbers.values.reshape(len(MEANS), -1)
    weights = numbers.weights.reshape(len(MEANS), -1) * len(MEANS)
    mean, std = clipped_normal(MEANS, STDS, 0.0, np.inf)
    found = (values * weights).sum(axis=1)
    assert weights.sum(axis=1) == pytest.approx(1)
    assert found == pytest.approx(mean, abs=1e-4)  # 5 deviations hold all but 6e-7
    spread = (weights * np.square(values - found[:, None])).sum(axis=1)
    assert np.sqrt(spread) == pytest.approx(std, abs=1e-4)


@pytest.mark.parametrize("mixture", [RELU, SIGNED], ids=["relu", "signed"])
@pytest.mark.parametrize("method", [Method.MSE, Method.PERCENTILE_ABS, Method.IFMR])
@pytest.mark.parametrize("symmetric", [True, False])
def test_a_rule_without_data_agrees_with_the_rule_on_data(
    mixture: LimitedNormals, method: Method, symmetric: bool
) -> None:
    form = GridForm(symmetric=symmetric)
    expected = limits(method, nothing_seen(method, form).including(drawn(mixture)), form)
    found = limits(method, modelled_summary(mixture, method), form)
    # Thresholds of the tail of a sample vary by some percent; its extremes, a low end kept whole, by more:
    # 5 deviations against the 4.2 that 100 000 numbers reach.
    assert found[1] == pytest.approx(expected[1], rel=0.1)
    assert found[0] == pytest.approx(expected[0], rel=0.25, abs=1e-6)


def test_positions_without_data_agree_with_those_on_data() -> None:
    for mixture in (RELU, SIGNED):
        on_data = min_mse_position(WeightedNumbers.equal(drawn(mixture)))
        assert min_mse_position(quantile_sample(mixture)) == on_data


def test_a_value_that_is_all_zero_has_a_range_under_every_method() -> None:
    nothing = LimitedNormals.of(np.zeros(2), np.zeros(2))
    for method in Method:
        low, high = limits(method, modelled_summary(nothing, method), GridForm())
        # IFMR gives such a value the scale 1.
        assert low <= 0 <= high <= (127 if method is Method.IFMR else 0.01)


def test_moments_that_are_not_finite_are_refused() -> None:
    with pytest.raises(CalibrationError, match="not finite"):
        LimitedNormals.of([np.nan], [1.0])


@pytest.mark.parametrize("method", list(Method))
def test_every_method_gives_every_value_a_range_with_and_without_samples(
    method: Method,
) -> None:
    graph = run_passes(import_model(classifier()), STANDARD_PASSES)
    value = graph.inputs[0]
    shape = (6, *(size or 1 for size in value.shape[1:]))
    samples = {value.name: np.random.default_rng(1).normal(size=shape).astype(np.float32)}
    for shown in (samples, None):
        found = calibrate(graph, samples=shown, method=method)
        plain = calibrate(graph, samples=shown)
        assert set(found.ranges) == set(graph.values)
        assert (method is Method.MIN_MAX) or method.value in found.summary
        for name in final_values(graph):
            if shown is not None or name in graph.outputs:
                assert found.ranges[name].maximum <= plain.ranges[name].maximum
        assert calibrate(graph, samples=shown, method=method) == found


@given(
    st.lists(st.tuples(st.floats(-10, 10), st.floats(0.1, 30)), min_size=1, max_size=6),
    st.integers(3, 10),
)
@settings(max_examples=30, deadline=None)
def test_no_other_range_of_a_mixture_has_a_smaller_error(
    parts: list[tuple[float, float]], bits: int
) -> None:
    mean, std = np.array(parts).T
    low, high = best_cut(mean, std, bits)

    def error(low: float, high: float) -> float:
        z = np.linspace(-12, 12, 20001)
        x = mean[:, None] + std[:, None] * z
        density = np.exp(-0.5 * z * z)
        beyond = np.square(x - np.clip(x, low, high)) @ (density / density.sum())
        return float(beyond.mean()) + (high - low) ** 2 / (12 * 4**bits)

    best = error(low, high)
    width = high - low
    for moved_low, moved_high in ((-0.05, 0), (0.05, 0), (0, -0.05), (0, 0.05)):
        assert best <= error(low + moved_low * width, high + moved_high * width) * (1 + 1e-6)


def test_parts_alike_are_cut_as_one() -> None:
    low, high = best_cut([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], 8)
    reach = 2.0 * best_normal_cut(8)
    assert (low, high) == (pytest.approx(1.0 - reach), pytest.approx(1.0 + reach))
