"""Entropy, MSE and percentile thresholds beside NVIDIA's tools, and entropy beside a literal reading of the algorithm."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.compiler.calibration.methods.entropy import (
    START,
    ThresholdForm,
    divergences,
    entropy_threshold,
)
from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.magnitudes import BINS, Magnitudes
from intlower.compiler.calibration.methods.mse import mse_threshold
from intlower.compiler.calibration.methods.percentile import (
    magnitude_percentile,
    weighted_tails,
)


def seen(kind: str, seed: int) -> Magnitudes:
    generator = np.random.default_rng(seed)
    found = Magnitudes()
    for batch in range(2):
        x = (
            generator.normal(0, 1 + batch, 5000)
            if kind == "normal"
            else np.maximum(generator.normal(size=8000), 0)
        )
        found = found.including(x.astype(np.float32))
    return found


# nvidia-modelopt 0.47.0, HistogramCalibrator(8, None, False) on the batches above: number of bins, then thresholds in bins of
# entropy, of entropy with unsigned codes, of mse and of percentile 99.99.
MODEL_OPTIMIZER = [
    ("normal", 0, 3658, 3658.0, 3438.0, 3548.5, 3657.0),
    ("normal", 1, 3999, 3615.0, 3615.0, 3861.5, 3998.0),
    ("relu", 0, 2481, 2009.0, 2009.0, 2370.5, 2189.0),
]


@pytest.mark.parametrize(
    ("kind", "seed", "bins", "entropy", "unsigned", "mse", "percentile"), MODEL_OPTIMIZER
)
def test_thresholds_are_those_of_model_optimizer(
    kind: str,
    seed: int,
    bins: int,
    entropy: float,
    unsigned: float,
    mse: float,
    percentile: float,
) -> None:
    found = seen(kind, seed)
    symmetric, asymmetric = GridForm(), GridForm(symmetric=False)
    assert len(found.counts) == bins
    edge = ThresholdForm.EDGE
    assert entropy_threshold(found, 0.0, symmetric, edge) == found.width * entropy
    assert entropy_threshold(found, 0.0, asymmetric, edge) == found.width * unsigned
    assert mse_threshold(found, 0.0, 1.0, symmetric) == pytest.approx(found.width * mse)
    assert magnitude_percentile(found) == pytest.approx(found.width * percentile)


def literal_divergence(counts: NDArray[np.float64], i: int, levels: int) -> float:
    """Return KL(P || Q) for the first i bins, bin by bin."""
    bins = counts.copy()
    bins[0] = bins[1]
    p = bins[:i].copy()
    p[-1] += bins[i:].sum()
    level = np.digitize(range(i), np.linspace(0, i, levels + 1)) - 1
    q = np.zeros(i)
    for k in range(levels):
        filled = (level == k) & (bins[:i] > 0)
        if filled.any():
            q[filled] = bins[:i][filled].mean()
    if q.sum() == 0:
        return np.inf
    p, q = p / p.sum(), q / q.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(p > 0, p * np.log(p / q), 0.0).sum())


@given(
    size=st.integers(START, 400),
    levels=st.sampled_from([8, 128, 256]),
    share=st.floats(0.05, 1),
    seed=st.integers(0, 999),
)
@settings(deadline=None, max_examples=25)
def test_running_sums_give_the_divergence_of_the_algorithm(
    size: int, levels: int, share: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    counts = generator.poisson(20 * np.exp(-np.arange(size) / 60), size).astype(np.float64)
    counts *= generator.random(size) < share
    counts[1] = 3
    found = divergences(counts, levels)
    assert len(found) == size - START + 1
    for i in {START, (START + size) // 2, size}:
        # Two orders of summation: rounding errors of float64 on sums of order 1.
        assert found[i - START] == pytest.approx(
            literal_divergence(counts, i, levels), abs=1e-9
        )


def test_a_softmax_gets_the_scale_that_tensorrt_caches() -> None:
    # The last of equal divergences: all 2048 bins of a value that ends at 1, 3c010a14 in the cache.
    magnitudes = Magnitudes(1 / BINS, np.ones(BINS))
    threshold = entropy_threshold(magnitudes, 0.0, GridForm(), ThresholdForm.HALF_BIN)
    assert struct.pack(">f", threshold / 127).hex() == "3c010a14"
    assert entropy_threshold(magnitudes, 0.0, GridForm(), ThresholdForm.EDGE) == 1.0


def test_outliers_are_clipped_and_nothing_but_zero_is_not() -> None:
    x = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    x[0] = (
        12  # within the reach of bins that are not empty: beyond one, the divergence is infinite
    )
    magnitudes = Magnitudes().including(x)
    edge = ThresholdForm.EDGE
    assert entropy_threshold(magnitudes, -1.0, GridForm(), edge) < 6
    assert magnitude_percentile(magnitudes) < 6
    nothing = Magnitudes().including(np.zeros(4))
    assert entropy_threshold(nothing, 0.0, GridForm(), edge) == 0
    assert mse_threshold(nothing, 0.0, 0.0, GridForm()) == magnitude_percentile(nothing) == 0


@given(low=st.floats(0.1, 0.9), seed=st.integers(0, 99))
def test_numbers_none_of_which_are_near_0_are_not_clipped_to_the_least(
    low: float, seed: int
) -> None:
    # Behind a sigmoid, once scaled: at the bin of the least number P and Q are alike, one bin each.
    x = np.random.default_rng(seed).uniform(low, 1.0, 960).astype(np.float32)
    magnitudes = Magnitudes().including(x)
    threshold = entropy_threshold(magnitudes, low, GridForm(), ThresholdForm.EDGE)
    assert np.mean(x > threshold) <= 0.5


@given(st.integers(0, 99))
def test_weighted_tails_of_equal_weights_leave_out_that_share(seed: int) -> None:
    x = np.random.default_rng(seed).permutation(10_000).astype(np.float64)
    assert weighted_tails(x, np.ones(x.size), 0.01) == pytest.approx((100, 9899), abs=1)
