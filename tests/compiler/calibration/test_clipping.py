from __future__ import annotations

import math

import numpy as np
import pytest
from graph_building import graph_of
from hypothesis import given
from hypothesis import strategies as st

from intlower.compiler.calibration.clipping import clipped_signal_db, warn_of_clipping
from intlower.compiler.calibration.from_samples import ranges_from_samples
from intlower.compiler.calibration.methods.magnitudes import Magnitudes
from intlower.compiler.calibration.methods.select import Method
from intlower.compiler.divergence import sqnr_db
from intlower.compiler.errors import CalibrationWarning
from intlower.compiler.operators import Elementwise, Function


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.9))
def test_of_a_histogram_it_is_the_ratio_of_the_numbers(seed: int, part: float) -> None:
    numbers = np.random.default_rng(seed).normal(size=4096)
    threshold = part * float(np.abs(numbers).max())
    expected = sqnr_db(numbers[None], numbers.clip(-threshold, threshold)[None])
    found = clipped_signal_db(Magnitudes().including(numbers), threshold)
    assert expected is not None
    assert found == pytest.approx(expected, abs=0.2)


def test_without_clipping_it_is_infinite() -> None:
    numbers = np.linspace(-1, 1, 999)
    assert clipped_signal_db(Magnitudes().including(numbers), 1.0) == math.inf


def test_the_worst_is_named_and_the_others_counted() -> None:
    with pytest.warns(CalibrationWarning, match=r"clip 'b' .* 1.0 dB, .* for 1 more") as caught:
        warn_of_clipping({"a": 5.0, "b": 1.0, "c": 30.0}, "entropy")
    warning = caught[0].message
    assert isinstance(warning, CalibrationWarning)
    assert "min-max" in warning.hint


def test_what_keeps_its_signal_is_not_warned_of() -> None:
    warn_of_clipping({"a": 15.0, "b": math.inf}, "entropy")  # warnings are errors in tests


def test_entropy_mistakes_a_hard_swish() -> None:
    """Most of its numbers lie in [-0.375, 0], as in networks that read text; those beyond are the signal."""
    x = np.random.default_rng(0).normal(-2.0, 1.5, (2, 16, 32, 32)).astype(np.float32)
    functions = [(Function.HARD_SWISH, "x", "h"), (Function.TANH, "h", "y")]
    graph = graph_of(
        {"x": (None, 16, 32, 32)},
        [(Elementwise(function=function), a, b) for function, a, b in functions],
        "y",
    )
    with pytest.warns(CalibrationWarning, match="entropy ranges clip 'h'"):
        ranges_from_samples(graph, {"x": x}, Method.ENTROPY, "samples")
    ranges_from_samples(graph, {"x": x}, Method.MIN_MAX, "samples")  # without a warning
