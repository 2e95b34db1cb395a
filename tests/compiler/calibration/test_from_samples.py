from __future__ import annotations

import numpy as np
import pytest
from graph_building import Step, graph_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from intlower.compiler.calibration.from_samples import BINS, ranges_from_samples
from intlower.compiler.calibration.methods.percentile import TAIL
from intlower.compiler.calibration.methods.select import Method
from intlower.compiler.errors import CalibrationError, DataError
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph
from intlower.compiler.operators import (
    Conv,
    Flatten,
    GlobalAveragePool,
    Relu,
    Reshape,
    Softmax,
)


def network(batch: int | None = None) -> Graph:
    return graph_of(
        {"x": (batch, 2, 4, 4)},
        [(Conv(), "x w", "a"), (Relu(), "a", "b"), (GlobalAveragePool(), "b", "y")],
        "y",
        {"w": np.random.default_rng(0).normal(size=(3, 2, 2, 2))},
    )


@given(
    samples=arrays(
        np.float32,
        st.tuples(st.integers(1, 19), st.just(2), st.just(4), st.just(4)),
        elements=st.floats(-100, 100, width=32),
    )
)
@settings(deadline=None, max_examples=20)
def test_min_max_is_exactly_what_was_seen(samples: NDArray[np.float32]) -> None:
    graph = network()
    ranges = ranges_from_samples(graph, {"x": samples}, Method.MIN_MAX, "seen")
    assert set(ranges) == set(graph.values)
    seen = [
        evaluate(graph, {"x": samples[i : i + 8]}, keep=tuple(graph.values))
        for i in range(0, len(samples), 8)
    ]
    for name, found in ranges.items():
        assert found.minimum == min(float(piece[name].min()) for piece in seen)
        assert found.maximum == max(float(piece[name].max()) for piece in seen)
        assert found.source == "seen"


def relu_only(size: int) -> Graph:
    return graph_of({"x": (None, size)}, [(Relu(), "x", "a"), (Softmax(axis=1), "a", "y")], "y")


@given(seed=st.integers(0, 99), outliers=st.integers(0, 5))
@settings(deadline=None, max_examples=15)
def test_percentiles_are_those_of_all_numbers_within_a_bin(seed: int, outliers: int) -> None:
    generator = np.random.default_rng(seed)
    samples = generator.normal(size=(20, 2000)).astype(np.float32)
    samples.ravel()[:outliers] = 50.0
    found = ranges_from_samples(relu_only(2000), {"x": samples}, Method.PERCENTILE, "seen")["x"]
    # The input reaches the output through Relu alone, but is not among what is kept whole.
    bin_width = (float(samples.max()) - float(samples.min())) / BINS
    ordered = np.sort(samples.ravel())
    cut = int(TAIL * samples.size)
    low, high = float(ordered[cut]), float(ordered[-1 - cut])
    assert low - bin_width - 1e-5 <= found.minimum <= low + 1e-5
    assert high - 1e-5 <= found.maximum <= high + bin_width + 1e-5


TAILS: list[tuple[list[Step], str]] = [
    ([(Relu(), "x", "a")], "a"),
    ([(Relu(), "x", "a"), (Softmax(axis=1), "a", "y")], "y"),
    ([(Relu(), "x", "a"), (Flatten(), "a", "b"), (Reshape(shape=(0, -1)), "b", "y")], "y"),
]


@pytest.mark.parametrize(("steps", "output"), TAILS, ids=["output", "softmax", "reshaped"])
def test_logits_are_never_clipped(steps: list[Step], output: str) -> None:
    samples = np.random.default_rng(0).normal(size=(10, 20000)).astype(np.float32)
    samples[0, 0] = 50.0
    graph = graph_of({"x": (None, 20000)}, steps, output)
    ranges = ranges_from_samples(graph, {"x": samples}, Method.PERCENTILE, "seen")
    assert ranges["a"].maximum == 50.0
    assert ranges["x"].maximum < 10.0


def test_a_value_that_never_changes_keeps_its_number() -> None:
    samples = np.full((3, 2, 4, 4), 2.5, np.float32)
    found = ranges_from_samples(network(), {"x": samples}, Method.PERCENTILE, "seen")["x"]
    assert (found.minimum, found.maximum) == (2.5, 2.5)


@pytest.mark.parametrize("low", [0.7, -3e4, 1e-44])
def test_percentiles_of_neighbours_in_float32_are_between_them(low: float) -> None:
    least = np.float32(low)
    most = np.nextafter(least, np.float32(np.inf), dtype=np.float32)
    samples = np.array([[least], [most]] * 2, np.float32)
    graph = graph_of({"x": (None, 1)}, [(Relu(), "x", "a"), (Relu(), "a", "y")], "y")
    found = ranges_from_samples(graph, {"x": samples}, Method.PERCENTILE, "seen")
    assert least <= found["x"].minimum <= found["x"].maximum <= most


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(wrong: float) -> None:
    samples = np.zeros((9, 2, 4, 4), np.float32)
    samples[8, 1, 2, 3] = wrong
    with pytest.raises(CalibrationError, match="'x' is not finite"):
        ranges_from_samples(network(), {"x": samples}, Method.MIN_MAX, "seen")


@pytest.mark.parametrize(
    ("samples", "batch"),
    [
        ({}, None),
        ({"x": np.zeros((0, 2, 4, 4), np.float32)}, None),
        ({"x": np.zeros((5, 2, 4, 4), np.float32)}, 2),
        ({"x": np.zeros((4, 2, 5, 4), np.float32)}, 2),
        ({"x": np.zeros((4, 2, 4, 4))}, None),
        ({"x": np.zeros((4, 2, 4, 4), np.float32), "z": np.zeros(4, np.float32)}, None),
    ],
    ids=["none", "empty", "half a batch", "shape", "float64", "unknown input"],
)
def test_samples_that_do_not_fit_the_inputs_are_refused(
    samples: dict[str, NDArray[np.float32]], batch: int | None
) -> None:
    with pytest.raises(DataError):
        ranges_from_samples(network(batch), samples, Method.MIN_MAX, "seen")


def test_inputs_with_different_numbers_of_samples_are_refused() -> None:
    graph = graph_of(
        {"x": (None, 3), "z": (None, 3)}, [(Relu(), "x", "a"), (Relu(), "z", "b")], "a b"
    )
    samples = {"x": np.zeros((8, 3), np.float32), "z": np.zeros((16, 3), np.float32)}
    with pytest.raises(DataError, match="8 of 'x', 16 of 'z'"):
        ranges_from_samples(graph, samples, Method.MIN_MAX, "seen")


def test_a_fixed_batch_is_seen_batch_by_batch() -> None:
    samples = np.random.default_rng(1).normal(size=(6, 2, 4, 4)).astype(np.float32)
    fixed = ranges_from_samples(network(2), {"x": samples}, Method.MIN_MAX, "seen")
    assert (
        fixed["x"]
        == ranges_from_samples(network(), {"x": samples}, Method.MIN_MAX, "seen")["x"]
    )


def test_progress_counts_samples() -> None:
    lines: list[str] = []
    samples = np.zeros((9, 2, 4, 4), np.float32)
    ranges_from_samples(network(), {"x": samples}, Method.MIN_MAX, "seen", lines.append)
    assert lines == ["calibrate: sample 0 of 9", "calibrate: sample 8 of 9"]
