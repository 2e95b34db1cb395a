"""IFMR beside a literal reading of the published code, in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.ifmr import RATIOS, ifmr_range, search_ends
from intlower.compiler.calibration.methods.sample import Sample, WeightedNumbers


def published_search(
    data: NDArray[np.float32], low: float, high: float, with_offset: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scale and mean squared error of each candidate, step by step."""
    x = torch.from_numpy(data).double()
    top = high if with_offset else max(high, -low)
    scales, losses = [], []
    for ratio in torch.arange(0.7, 1.3, 0.01, dtype=torch.float64).tolist():
        end = ratio * top
        start = low if with_offset else -end
        scale = (end - start) / 255 if with_offset else end / (128 if high < -low else 127)
        quantized = torch.round(torch.clamp(x, start, end) / scale) * scale
        scales.append(scale)
        losses.append(float(torch.nn.functional.mse_loss(quantized, x)))
    return np.array(scales), np.array(losses)


@given(
    arrays(np.float32, st.integers(2, 400), elements=st.floats(-100, 100, width=32)),
    st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_the_scale_has_the_least_loss_of_the_published_search(
    data: NDArray[np.float32], with_offset: bool
) -> None:
    low, high = search_ends(Sample().including(data))
    assert (low, high) == (min(data.min(), 0), max(data.max(), 0))
    if high - low < 1e-3:
        return
    form = GridForm(symmetric=not with_offset)
    start, end = ifmr_range(WeightedNumbers.equal(data), low, high, form)
    scale = (end - start) / (255 if with_offset else 254)
    scales, losses = published_search(data, low, high, with_offset)
    nearest = int(np.argmin(np.abs(scales - scale)))
    assert scale == pytest.approx(scales[nearest], rel=1e-9)
    # Sums in another order: either of two candidates that are equal up to rounding may win.
    assert losses[nearest] <= losses.min() * (1 + 1e-9) + 1e-12


def test_candidates_are_those_of_the_published_arange() -> None:
    assert torch.arange(0.7, 1.3, 0.01).numpy() == pytest.approx(RATIOS, abs=1e-6)


def test_the_search_begins_within_the_percentile() -> None:
    data = np.random.default_rng(0).permutation(3_000_000).astype(np.float32)
    n = data.size - int(0.999999 * data.size)
    assert n > 1
    assert search_ends(Sample().including(data)) == (0, data.size - n)
