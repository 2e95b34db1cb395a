"""What ties add to the means of residual sums, against sums of drawn numbers."""

from __future__ import annotations

import numpy as np
from graph_building import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.backends.lowering.positions import power_grid
from intlower.backends.lowering.ties import held_shares, tie_shift
from intlower.backends.vitis import TARGET
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.moments import ValueMoments, clipped_normal
from intlower.compiler.operators import Add, Concat
from intlower.kernels.numerics import shift_half_away, shift_half_up
from intlower.kernels.signature import Requantize

SPEC = TARGET.member("").spec.activations
NUMBERS = 1 << 13
SHAPE = (None, 2, 4, 4)


def sum_graph() -> Graph:
    return graph_of({"a": SHAPE, "b": SHAPE}, [(Add(), "a b", "y")], "y", {})


def told(mean: np.ndarray, std: np.ndarray) -> ValueMoments:
    known = Moments.of(mean, std)
    return ValueMoments(before=known, after=known)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1 << 20),
    positions=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    output=st.integers(2, 6),
    away=st.booleans(),
)
def test_predicted_shifts_are_those_of_drawn_sums(
    seed: int, positions: tuple[int, int], output: int, away: bool
) -> None:
    generator = np.random.default_rng(seed)
    mean, std = generator.normal(size=(2, 2)), np.full((2, 2), 1.0)
    graph = sum_graph()
    moments = {name: told(mean[k], std[k]) for k, name in enumerate("ab")}
    moments["y"] = told(mean.sum(axis=0), np.hypot(std[0], std[1]))
    encodings = {
        name: power_grid(SPEC, p, False)
        for name, p in zip("aby", (*positions, output), strict=True)
    }
    rule = Requantize.POWERAWAY if away else Requantize.POWERUP
    found = tie_shift(graph, graph.nodes[0], encodings, moments, rule)
    finest = max(*positions, output)
    codes = np.zeros((2, NUMBERS), np.int64)
    for k in range(2):
        drawn = mean[k][:, None] + generator.normal(size=(2, NUMBERS))
        codes += np.rint(drawn * 2.0 ** positions[k]).astype(np.int64) << (
            finest - positions[k]
        )
    rounded = (shift_half_away if away else shift_half_up)(codes, finest - output)
    actual = (rounded * 2.0**-output - codes * 2.0**-finest).mean(axis=1)
    expected = np.zeros(2) if found is None else found
    np.testing.assert_allclose(expected, actual, atol=0.03 * 2.0**-output)


def test_ties_to_even_and_other_operators_shift_nothing() -> None:
    graph = sum_graph()
    encodings = {name: power_grid(SPEC, p, False) for name, p in (("a", 5), ("b", 4), ("y", 4))}
    moments = {name: told(np.zeros(2), np.ones(2)) for name in "aby"}
    node = graph.nodes[0]
    up = tie_shift(graph, node, encodings, moments, Requantize.POWERUP)
    assert up is not None
    assert np.array_equal(up, np.full(2, 2.0**-6))
    assert tie_shift(graph, node, encodings, moments, Requantize.POWEREVEN) is None
    assert tie_shift(graph, node, encodings, {}, Requantize.POWERUP) is None
    joined = graph_of({"a": SHAPE, "b": SHAPE}, [(Concat(axis=1), "a b", "y")], "y", {})
    assert tie_shift(joined, joined.nodes[0], encodings, moments, Requantize.POWERUP) is None


@given(seed=st.integers(0, 1 << 20))
def test_held_and_free_shares_tell_the_mean_of_a_clipped_number(seed: int) -> None:
    generator = np.random.default_rng(seed)
    mean, std = generator.normal(size=3), np.exp(generator.normal(size=3))
    low, high = held_shares(Moments.of(mean, std), (-0.5, 1.0))
    # d E[clip(x, low, high)] / d mean is the share that is free
    step = 1e-4
    up = clipped_normal(mean + step, std, -0.5, 1.0)[0]
    down = clipped_normal(mean - step, std, -0.5, 1.0)[0]
    np.testing.assert_allclose((up - down) / (2 * step), 1 - low - high, atol=1e-4)
