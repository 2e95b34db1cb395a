from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import Step, graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.calibration import Range
from intlower.compiler.calibration.from_moments import SOFTMAX_REACH, ranges_from_moments
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.operators import (
    Activation,
    Add,
    AveragePool,
    Clip,
    Concat,
    Conv,
    Flatten,
    Gemm,
    GlobalAveragePool,
    Identity,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
    Softmax,
)

X = Range(-1.0, 3.0, "given")


def with_activation(graph: Graph, output: str, activation: Activation) -> Graph:
    nodes = [
        replace(node, activation=activation) if node.output == output else node
        for node in graph.nodes
    ]
    return graph.edit(nodes=nodes)


@given(
    seed=st.integers(0, 99),
    activation=st.sampled_from([None, Relu(), Clip(minimum=0.0, maximum=6.0)]),
)
@settings(deadline=None, max_examples=15)
def test_ranges_cover_what_normal_inputs_drive(
    seed: int, activation: Activation | None
) -> None:
    generator = np.random.default_rng(seed)
    mean, std = generator.normal(size=12), generator.uniform(0.5, 2.0, 12)
    weights = generator.normal(size=12)
    # Living channels: a Relu that is hardly ever open leaves what no normal distribution describes.
    bias = np.abs(weights) * std * generator.uniform(-1, 1, 12) - weights * mean
    graph = graph_of(
        {"x": (None, 12, 6, 6), "z": (None, 12, 6, 6)},
        [
            (Conv(groups=12), "x w1 b1", "a"),  # so the next layer sums what is independent
            (Conv(pads=(1, 1, 1, 1)), "a w2", "b"),
            (Add(), "b z", "s"),
            (GlobalAveragePool(), "s", "p"),
            (Flatten(), "p", "f"),
            (Gemm(), "f w3 b3", "y"),
        ],
        "y",
        {
            "w1": weights.reshape(12, 1, 1, 1),
            "b1": bias,
            "w2": generator.normal(size=(12, 12, 3, 3)) / 10,
            "w3": generator.normal(size=(5, 12)),
            "b3": generator.normal(size=5),
        },
    )
    if activation is not None:
        graph = with_activation(graph, "a", activation)
    graph = graph.edit(moments={name: Moments.of(mean, std) for name in ("x", "z")})
    ranges = ranges_from_moments(graph, {})
    samples = {
        name: mean[:, None, None] + std[:, None, None] * generator.normal(size=(60, 12, 6, 6))
        for name in ("x", "z")
    }
    values = evaluate(
        graph,
        {name: array.astype(np.float32) for name, array in samples.items()},
        keep=["a", "b", "s", "p", "f", "y"],
    )
    for name, array in values.items():
        inside = (array >= ranges[name].minimum - 1e-5) & (array <= ranges[name].maximum + 1e-5)
        assert inside.mean() > 0.9999


def layer(activation: Activation | None = None) -> Graph:
    """A 1x1 Conv `a` with recorded moments, mean 1 and 2, std 0.5 and 3."""
    graph = graph_of(
        {"x": (None, 2, 4, 4)}, [(Conv(), "x w", "a")], "a", {"w": np.ones((2, 2, 1, 1))}
    )
    if activation is not None:
        graph = with_activation(graph, "a", activation)
    return graph.edit(moments={"a": Moments.of(np.array([1.0, 2.0]), np.array([0.5, 3.0]))})


@pytest.mark.parametrize(
    ("activation", "low", "high"),
    [
        (None, -13.0, 17.0),
        (Relu(), 0.0, 17.0),
        (Clip(minimum=0.0, maximum=6.0), 0.0, 6.0),
        (Clip(minimum=-1.0, maximum=50.0), -1.0, 17.0),
    ],
)
def test_recorded_moments_reach_five_deviations_within_the_activation(
    activation: Activation | None, low: float, high: float
) -> None:
    assert ranges_from_moments(layer(activation), {})["a"] == Range(
        low, high, "batch-norm moments"
    )


MOVED: list[tuple[Step, float, float]] = [
    ((MaxPool(kernel_shape=(2, 2)), "x", "y"), -1.0, 3.0),
    ((Flatten(), "x", "y"), -1.0, 3.0),
    ((Reshape(shape=(0, -1)), "x", "y"), -1.0, 3.0),
    ((Slice(starts=(0,), ends=(2,), axes=(2,), steps=(1,)), "x", "y"), -1.0, 3.0),
    ((Identity(), "x", "y"), -1.0, 3.0),
    ((Relu(), "x", "y"), 0.0, 3.0),
    ((Clip(minimum=-0.5, maximum=2.0), "x", "y"), -0.5, 2.0),
    ((Pad(pads=(0, 0, 1, 1, 0, 0, 1, 1), value=4.0), "x", "y"), -1.0, 4.0),
    ((Softmax(axis=1), "x", "y"), 0.0, 1.0),
    ((GlobalAveragePool(), "x", "y"), -1.0, 3.0),
]


@pytest.mark.parametrize(
    ("step", "low", "high"), MOVED, ids=[type(step[0]).__name__ for step, _, _ in MOVED]
)
def test_what_moves_or_limits_values_follows_its_input(
    step: Step, low: float, high: float
) -> None:
    found = ranges_from_moments(graph_of({"x": (None, 2, 4, 4)}, [step], "y"), {"x": X})["y"]
    assert (found.minimum, found.maximum) == (low, high)


@pytest.mark.parametrize(("counted", "low"), [(False, 1.0), (True, 0.0)])
def test_an_average_stays_inside_the_range_of_its_input(counted: bool, low: float) -> None:
    pool = AveragePool(kernel_shape=(3, 3), pads=(1, 1, 1, 1), count_include_pad=counted)
    graph = graph_of({"x": (None, 2, 4, 4)}, [(pool, "x", "y")], "y")
    found = ranges_from_moments(graph, {"x": Range(1.0, 3.0, "given")})["y"]
    assert (found.minimum, found.maximum) == (low, 3.0)
    graph = graph.edit(moments={"x": Moments.of(np.full(2, 2.0), np.full(2, 50.0))})
    wide = ranges_from_moments(graph, {"x": Range(1.0, 3.0, "given")})["y"]
    assert (wide.minimum, wide.maximum) == (low, 3.0)
    graph = graph.edit(moments={"x": Moments.of(np.full(2, 2.0), np.full(2, 0.01))})
    narrow = ranges_from_moments(graph, {"x": Range(1.0, 3.0, "given")})["y"]
    assert low <= narrow.minimum < narrow.maximum <= 2.07


def test_a_mean_over_many_positions_varies_less_than_they_do() -> None:
    moments = {"x": Moments.of(np.array([1.0, 2.0]), np.array([0.5, 3.0]))}
    wide = Range(-100.0, 100.0, "given")
    for size, reach in ((2, 15.0), (4, 9.0)):
        for step in (AveragePool(kernel_shape=(size, size)), GlobalAveragePool()):
            graph = graph_of({"x": (None, 2, size, size)}, [(step, "x", "y")], "y")
            found = ranges_from_moments(graph.edit(moments=moments), {"x": wide})["y"]
            assert (found.minimum, found.maximum) == pytest.approx((2 - reach, 2 + reach))


def test_a_concatenation_holds_all_its_parts() -> None:
    graph = graph_of(
        {"x": (None, 2, 4, 4), "z": (None, 2, 4, 4)}, [(Concat(), "x z x", "y")], "y"
    )
    ranges = ranges_from_moments(graph, {"x": X, "z": Range(-7.0, 0.0, "given")})
    assert (ranges["y"].minimum, ranges["y"].maximum) == (-7.0, 3.0)
    assert "y" not in ranges_from_moments(graph, {"x": X})


def test_what_moments_do_not_reach_has_no_range() -> None:
    graph = graph_of(
        {"x": (None, 2, 4, 4)},
        [(Conv(), "x w", "a"), (Relu(), "a", "b"), (MaxPool(kernel_shape=(2, 2)), "b", "y")],
        "y",
        {"w": np.ones((2, 2, 1, 1))},
    )
    assert set(ranges_from_moments(graph, {"x": X})) == {"x"}


def test_logits_are_wide_enough_for_inputs_that_move_together() -> None:
    count = 400
    graph = graph_of(
        {"x": (None, count)}, [(Gemm(), "x w", "y")], "y", {"w": np.ones((1, count))}
    )
    graph = graph.edit(moments={"x": Moments.of(np.zeros(count), np.ones(count))})
    found = ranges_from_moments(graph, {})["y"]
    assert found.maximum == pytest.approx(
        0.5 * count
    )  # 5 deviations of independent ones are 100


@given(st.floats(0.1, 100.0), st.floats(-50.0, 50.0), st.booleans())
@settings(max_examples=20, deadline=None)
def test_what_only_a_softmax_reads_goes_no_further_than_it_tells_apart(
    std: float, mean: float, shown: bool
) -> None:
    steps: list[Step] = [(Gemm(), "x w", "a"), (Reshape(shape=(0, 2)), "a", "b")]
    steps.append((Softmax(), "b", "y"))
    graph = graph_of({"x": (None, 4)}, steps, "y a" if shown else "y", {"w": np.ones((2, 4))})
    moments = {"a": Moments.of(np.full(2, mean), np.full(2, std))}
    found = ranges_from_moments(graph.edit(moments=moments), {})
    reach = 5 * std if shown else min(5 * std, SOFTMAX_REACH)
    for name in ("a", "b"):
        ends = (found[name].minimum, found[name].maximum)
        assert ends == pytest.approx((mean - reach, mean + reach))


def test_a_pool_whose_moments_are_known_reaches_as_far_as_they_say() -> None:
    graph = graph_of({"x": (None, 2, 8, 8)}, [(GlobalAveragePool(), "x", "y")], "y")
    graph = graph.edit(
        moments={
            "x": Moments.of(np.zeros(2), np.full(2, 4.0)),
            "y": Moments.of(np.zeros(2), np.full(2, 1.0)),
        }
    )
    found = ranges_from_moments(graph, {"x": Range(-20.0, 20.0, "given")})["y"]
    assert (found.minimum, found.maximum) == (-5.0, 5.0)
