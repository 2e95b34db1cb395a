from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.calibration.methods.sample import EXTREMES, MOST, THINNING, Sample


@given(cuts=st.lists(st.integers(0, 300_000), max_size=5), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=10)
def test_a_sample_is_every_nth_number_however_it_was_batched(
    cuts: list[int], seed: int
) -> None:
    stream = np.random.default_rng(seed).normal(size=300_000).astype(np.float32)
    sample = Sample()
    for piece in np.split(stream, sorted(cuts)):
        sample = sample.including(piece)
    assert sample.stride == THINNING**2
    assert len(sample.values) <= MOST
    assert np.array_equal(sample.values, stream[:: sample.stride])
    ordered = np.sort(stream)
    assert np.array_equal(sample.greatest, ordered[-EXTREMES:])
    assert np.array_equal(sample.least, ordered[:EXTREMES])
    assert sample.count == stream.size
