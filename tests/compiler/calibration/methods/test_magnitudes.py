from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from intlower.compiler.calibration.methods.magnitudes import BINS, MOST_BINS, Magnitudes


def histogram(batches: list[NDArray[np.float32]]) -> Magnitudes:
    found = Magnitudes()
    for batch in batches:
        found = found.including(batch)
    return found


@given(
    st.lists(
        arrays(np.float32, st.integers(1, 50), elements=st.floats(-1e4, 1e4, width=32)),
        min_size=1,
        max_size=4,
    )
)
def test_every_number_is_counted_in_a_bin_that_holds_it(
    batches: list[NDArray[np.float32]],
) -> None:
    found = histogram(batches)
    numbers = np.sort(np.abs(np.concatenate(batches)).astype(np.float64))
    if found.width == 0:
        assert found.zeros == numbers.size
        assert not numbers.any()
        return
    assert found.counts.sum() == numbers.size
    assert BINS <= len(found.counts) <= MOST_BINS
    below = np.concatenate([[0], np.cumsum(found.counts)])
    # A number on an edge may fall on either side of it.
    least = np.searchsorted(numbers, found.edges * (1 - 1e-12), side="left")
    most = np.searchsorted(numbers, found.edges * (1 + 1e-12), side="right")
    assert (least <= below).all()
    assert (below <= most).all()


def test_growth_keeps_the_width_and_appends_bins() -> None:
    first = histogram([np.linspace(0, 1, 100, dtype=np.float32)])
    second = first.including(np.array([2.5], np.float32))
    assert second.width == first.width == 1 / BINS
    assert len(second.counts) == 2.5 * BINS
    assert np.array_equal(second.counts[:BINS], first.counts)
    assert second.counts[-1] == 1


def test_bins_become_wider_instead_of_too_many() -> None:
    grown = histogram([np.array([0.0, 1e-30], np.float32), np.array([1.0], np.float32)])
    assert BINS <= len(grown.counts) <= MOST_BINS
    assert grown.counts.sum() == 3
    assert grown.edges[-1] == pytest.approx(1.0, rel=1e-3)


def test_zeros_before_any_number_are_counted_in_the_first_bin() -> None:
    found = histogram([np.zeros(7, np.float32), np.array([0.0, 4.0], np.float32)])
    assert found.counts[0] == 8
    assert found.counts[-1] == 1
