from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from intlower.compiler.divergence import are_probabilities, kl_divergence, softmax, sqnr_db

logits = arrays(np.float64, (3, 5), elements=st.floats(-20, 20, width=32))


@settings(deadline=None, max_examples=50)
@given(first=logits, second=logits)
def test_the_divergence_is_0_of_equals_and_never_negative(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> None:
    assert kl_divergence(first, first) == 0
    assert kl_divergence(first, second) >= -1e-12


@settings(deadline=None, max_examples=50)
@given(first=logits, second=logits)
def test_logits_and_their_softmax_diverge_alike(
    first: NDArray[np.float64], second: NDArray[np.float64]
) -> None:
    expected = kl_divergence(softmax(first), softmax(second))
    if not are_probabilities(first):
        assert kl_divergence(first, second) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_codes_of_0_share_what_the_others_leave() -> None:
    p = np.array([[0.80, 0.15, 0.03, 0.02]])
    q = np.array([[0.80, 0.16, 0.00, 0.00]])  # a grid of step 0.08
    filled = np.array([[0.80, 0.16, 0.02, 0.02]])
    expected = float((p * np.log(p / filled)).sum())
    assert kl_divergence(p, q, step=0.08) == pytest.approx(expected)


def test_codes_of_0_stand_for_half_a_step_where_the_others_leave_nothing() -> None:
    p = np.array([[0.98, 0.01, 0.01]])
    q = np.array([[1.0, 0.0, 0.0]])
    filled = np.array([[1.0, 0.01, 0.01]]) / 1.02
    expected = float((p * np.log(p / filled)).sum())
    assert kl_divergence(p, q, step=0.04) == pytest.approx(expected)


def test_a_probability_of_0_off_any_grid_gives_a_finite_divergence() -> None:
    p, q = np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]])
    assert np.isfinite(kl_divergence(p, q))
    assert kl_divergence(q, p) == pytest.approx(np.log(2))


def test_equal_outputs_have_no_ratio_of_signal_to_noise() -> None:
    assert sqnr_db(np.eye(2), np.eye(2)) is None
    assert sqnr_db(np.zeros((1, 2)), np.ones((1, 2))) is not None
