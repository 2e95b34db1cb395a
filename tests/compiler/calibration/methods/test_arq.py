from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from intlower.compiler.calibration.methods.arq import arq_scales

Weights = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    elements=st.floats(-9, 9, width=32),
)


@given(Weights)
@example(np.array([[-8.90625, 8.875]], np.float32))
def test_the_extreme_uses_an_end_and_saturates_by_a_step_at_most(
    weights: NDArray[np.float32],
) -> None:
    for row, scale in zip(weights.astype(np.float64), arq_scales(weights), strict=True):
        if np.abs(row).max() < 1e-4:
            continue
        codes = np.rint(row / float(scale))
        assert codes.min() >= -128
        # -128 is used only where the least number is further from 0 than the greatest; one that is nearly as far rounds to
        # 128 then, and becomes 127: so is the published rule.
        expected = 127 if abs(row.max()) >= abs(row.min()) else 128
        assert codes.max() <= expected
        assert np.abs(codes).max() == expected


@given(Weights)
def test_channels_lie_along_the_axis(weights: NDArray[np.float32]) -> None:
    assert np.array_equal(arq_scales(weights, axis=0), arq_scales(weights.T, axis=1))
    assert np.array_equal(arq_scales(weights, axis=None), arq_scales(weights.reshape(1, -1))[0])


def test_a_channel_without_weights_has_the_scale_one() -> None:
    assert arq_scales(np.zeros((2, 3))).tolist() == [1, 1]
    assert arq_scales(np.array([[-8.0, 7.0]]), bits=4).tolist() == [1]
