from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from graph_building import Step, graph_of, normalization
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.compiler.errors import CalibrationError
from intlower.compiler.evaluate import forward
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.moments import ValueMoments, clipped_normal, propagate_moments
from intlower.compiler.operators import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Conv,
    Elementwise,
    Flatten,
    Function,
    Gather,
    Gemm,
    GlobalAveragePool,
    Identity,
    MatMul,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
    Softmax,
)

MEAN = np.array([0.5, -1.0, 2.0, 0.0])
STD = np.array([1.0, 0.5, 0.0, 2.0])
IMAGE = {"x": (None, 4, 6, 6)}


def normal_inputs(graph: Graph, samples: int = 2000) -> dict[str, torch.Tensor]:
    """Independent normal elements with the moments MEAN and STD."""
    generator = np.random.default_rng(1)
    tensors = {}
    for value in graph.inputs:
        z = generator.normal(size=[samples, *(d or 1 for d in value.shape[1:])])
        per_channel = (1, -1, *(1,) * (z.ndim - 2))
        tensors[value.name] = torch.from_numpy(
            z * STD.reshape(per_channel) + MEAN.reshape(per_channel)
        )
    return tensors


def propagated(graph: Graph) -> dict[str, ValueMoments]:
    given = Moments.of(MEAN, STD)
    return propagate_moments(graph, {value.name: given for value in graph.inputs})


def measured(graph: Graph, name: str = "y") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y = forward(graph, normal_inputs(graph), [name])[name].numpy()
    channels = np.moveaxis(y, 1, 0).reshape(y.shape[1], -1)
    return channels.mean(axis=1), channels.std(axis=1)


# ------------------------------------------------------------------------------ closed forms


@given(
    mean=st.floats(-5, 5),
    std=st.floats(0.01, 4),
    limits=st.tuples(st.floats(-6, 6), st.floats(0, 8)),
    unbounded=st.sampled_from(["", "below", "above", "both"]),
)
@settings(deadline=None, max_examples=60)
def test_the_clipped_normal_agrees_with_numeric_integration(
    mean: float, std: float, limits: tuple[float, float], unbounded: str
) -> None:
    low = -math.inf if unbounded in ("below", "both") else limits[0]
    high = math.inf if unbounded in ("above", "both") else limits[0] + limits[1]
    step = 5e-4
    z = np.arange(-10, 10, step) + step / 2
    weights = np.exp(-z * z / 2) * (step / math.sqrt(2 * math.pi))
    x = np.clip(mean + std * z, low, high)
    expected = x @ weights
    deviation = math.sqrt(np.square(x - expected) @ weights)
    actual = clipped_normal(mean, std, low, high)
    # The midpoint rule errs by step^2 at the kinks; near a std of 0 its root is what is compared.
    assert float(actual[0]) == pytest.approx(expected, abs=1e-6)
    assert float(actual[1]) == pytest.approx(deviation, abs=1e-5)


def test_without_spread_the_clipped_normal_is_the_clipped_mean() -> None:
    means = np.array([-2.0, 0.0, 0.5, 7.0])
    for std in (0.0, 1e-300, 1e-12):
        mean, deviation = clipped_normal(means, std, 0.0, 6.0)
        np.testing.assert_allclose(mean, means.clip(0, 6), atol=1e-11)
        np.testing.assert_allclose(deviation, 0.0, atol=1e-11)


def test_without_limits_the_normal_is_unchanged() -> None:
    mean, std = clipped_normal(MEAN, STD, -math.inf, math.inf)
    assert np.array_equal(mean, MEAN)
    assert np.array_equal(std, STD)


def test_far_beyond_a_limit_nothing_cancels() -> None:
    mean, std = clipped_normal([-1e3, 1e9], [1.0, 1.0], 0.0, math.inf)
    assert np.array_equal(mean, [0.0, 1e9])
    assert np.array_equal(std, [0.0, 1.0])
    assert [float(v) for v in clipped_normal(3.0, 1.0, 2.0, 2.0)] == [2.0, 0.0]


# ------------------------------------------------------------------------------ one operator

GENERATOR = np.random.default_rng(0)
WEIGHTS: dict[str, NDArray[Any]] = {
    "dense": GENERATOR.normal(size=(3, 4, 3, 2)),
    "grouped": GENERATOR.normal(size=(6, 2, 2, 2)),
    "depthwise": GENERATOR.normal(size=(4, 1, 3, 3)),
    "matrix": GENERATOR.normal(size=(3, 4)),
    "bias": np.arange(3.0),
    "row": GENERATOR.normal(size=3),
    "channels": GENERATOR.normal(size=(4, 1, 1)),
    "map": GENERATOR.normal(size=(4, 6, 6)),
}
LIMITED: Step = (Relu(), "x", "a")
POINT: list[Step] = [
    (Slice(starts=(0, 0), ends=(1, 1), axes=(2, 3), steps=(1, 1)), "x", "p"),
    (Flatten(), "p", "a"),
]
EXACT: dict[str, list[Step]] = {
    "conv": [(Conv(), "x dense bias", "y")],
    "grouped": [(Conv(groups=2, strides=(2, 1), dilations=(1, 2)), "x grouped", "y")],
    "depthwise": [(Conv(groups=4), "x depthwise", "y")],
    "gemm": [*POINT, (Gemm(), "a matrix bias", "y")],
    "matmul and row": [*POINT, (MatMul(), "a transposed", "b"), (Add(), "b row", "y")],
    "relu": [LIMITED, (Identity(), "a", "y")],
    "clip": [(Clip(minimum=-0.5, maximum=1.0), "x", "y")],
    "doubled": [(Add(), "x x", "y")],
    "channels added": [(Add(), "channels x", "y")],
    "map added": [(Add(), "x map", "y")],
    "channels joined": [LIMITED, (Concat(axis=1), "x a x", "y")],
    "rows joined": [LIMITED, (Concat(axis=2), "a x a", "y")],
    "gathered": [(Gather(axis=1, indices=(2, 0, 2)), "x", "y")],
    "sliced": [(Slice(starts=(3, 1), ends=(0, 4), axes=(1, 2), steps=(-2, 1)), "x", "y")],
    "channels padded": [(Pad(pads=(0, 1, 0, 0, 0, 2, 0, 0), value=0.25), "x", "y")],
    "flat": [(Flatten(), "x", "y")],
    "channels merged": [(Reshape(shape=(0, 2, -1)), "x", "y")],
    "one pool per row": [(MaxPool(kernel_shape=(1, 1), strides=(2, 2)), "x", "y")],
}


@pytest.mark.parametrize("steps", EXACT.values(), ids=EXACT.keys())
def test_on_independent_normal_elements_an_operator_has_the_moments_measured(
    steps: list[Step],
) -> None:
    constants = {**WEIGHTS, "transposed": WEIGHTS["matrix"].T}
    graph = graph_of(IMAGE, steps, "y", constants)
    found = propagated(graph)["y"]
    mean, std = measured(graph)
    # Six standard errors of 2000 samples.
    tolerance = 6 * max(1.0, float(std.max())) / math.sqrt(2000)
    np.testing.assert_allclose(found.after.mean.array, mean, atol=tolerance)
    np.testing.assert_allclose(found.after.std.array, std, atol=tolerance)
    assert found.before == found.after


@given(
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    dilation=st.integers(1, 2),
)
@settings(deadline=None, max_examples=30)
def test_the_mean_of_a_padded_conv_is_exact_where_each_channel_is_constant(
    pads: tuple[int, int, int, int], strides: tuple[int, int], dilation: int
) -> None:
    conv = Conv(pads=pads, strides=strides, dilations=(dilation, dilation))
    graph = graph_of(IMAGE, [(conv, "x dense bias", "y")], "y", WEIGHTS)
    constant = Moments.of(MEAN, np.zeros(4))
    x = torch.from_numpy(np.broadcast_to(MEAN[:, None, None], (1, 4, 6, 6)).copy())
    found = propagate_moments(graph, {"x": constant})["y"]
    y = forward(graph, {"x": x})["y"]
    np.testing.assert_allclose(found.after.mean.array, y.mean((0, 2, 3)), atol=1e-12)


@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    ceil_mode=st.booleans(),
    count_include_pad=st.booleans(),
)
@settings(deadline=None, max_examples=30)
def test_the_mean_of_an_average_pool_is_exact_where_each_channel_is_constant(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    ceil_mode: bool,
    count_include_pad: bool,
) -> None:
    top, left, bottom, right = pads
    fitting = (
        min(top, kernel[0] - 1),
        min(left, kernel[1] - 1),
        min(bottom, kernel[0] - 1),
        min(right, kernel[1] - 1),
    )
    pool = AveragePool(
        kernel_shape=kernel,
        strides=strides,
        pads=fitting,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )
    graph = graph_of(IMAGE, [(pool, "x", "y")], "y")
    x = torch.from_numpy(np.broadcast_to(MEAN[:, None, None], (1, 4, 6, 6)).copy())
    found = propagated(graph)["y"]
    y = forward(graph, {"x": x})["y"]
    np.testing.assert_allclose(found.after.mean.array, y.mean((0, 2, 3)), atol=1e-12)
    assert np.array_equal(found.after.std.array, STD)


def test_pools_have_at_least_the_spread_measured() -> None:
    for pool in (GlobalAveragePool(), MaxPool(kernel_shape=(1, 2), strides=(1, 2))):
        graph = graph_of(IMAGE, [(pool, "x", "y")], "y")
        found = propagated(graph)["y"].after
        mean, std = measured(graph)
        np.testing.assert_allclose(
            found.mean.array, mean, atol=0.05
        )  # a maximum of two is exact
        assert (found.std.array >= std - 1e-12).all()


def test_the_worst_std_is_that_of_fully_correlated_elements() -> None:
    steps: list[Step] = [(Conv(), "x dense", "a"), (Add(), "a a", "y")]
    found = propagated(graph_of(IMAGE, steps, "y", WEIGHTS))
    worst = found["a"].worst_std
    doubled = found["y"].worst_std
    assert worst is not None
    assert doubled is not None
    np.testing.assert_allclose(
        worst.array, np.abs(WEIGHTS["dense"].astype(np.float32)).sum((2, 3)) @ STD
    )
    assert (worst.array > found["a"].before.std.array).all()
    assert np.array_equal(doubled.array, 2 * found["a"].before.std.array)


# ------------------------------------------------------------------------------ graphs


def residual(activated: bool) -> Graph:
    norm, names, constants = normalization(np.random.default_rng(7), "n", 4)
    constants["n_variance"] = np.full(4, 2.0)
    graph = graph_of(
        IMAGE,
        [
            (Conv(pads=(1, 1, 1, 1)), "x square", "a"),
            (norm, f"a {names}", "b"),
            (Add(), "x b", "c"),
            (GlobalAveragePool(), "c", "d"),
            (Flatten(), "d", "e"),
            (Gemm(), "e matrix", "f"),
            (Softmax(), "f", "y"),
        ],
        "y",
        {**WEIGHTS, "square": GENERATOR.normal(size=(4, 4, 3, 3)), **constants},
    )
    nodes = [
        replace(node, activation=Relu()) if activated and node.output in "bc" else node
        for node in graph.nodes
    ]
    return graph.edit(nodes=nodes)


def test_moments_before_and_after_an_activation_differ() -> None:
    found = propagated(residual(activated=True))
    linear = propagated(residual(activated=False))
    b = found["b"]
    assert b.before == linear["b"].before
    assert b.after == Moments.of(
        *clipped_normal(b.before.mean.array, b.before.std.array, 0.0, math.inf)
    )
    mean = MEAN + b.after.mean.array
    np.testing.assert_allclose(found["c"].before.mean.array, mean)
    np.testing.assert_allclose(found["c"].before.std.array, np.hypot(STD, b.after.std.array))


def test_softmax_has_no_moments_and_everything_before_it_has() -> None:
    graph = residual(activated=True)
    assert set(propagated(graph)) == set(graph.values) - {"y"}


def test_moments_that_are_not_finite_are_none() -> None:
    steps: list[Step] = [
        (Relu(), "x", "a"),
        (Elementwise(function=Function.LOG), "a", "b"),
        (Relu(), "b", "y"),
    ]
    assert set(propagated(graph_of(IMAGE, steps, "y"))) == {"x", "a"}


def test_values_that_depend_on_an_unknown_input_have_no_moments() -> None:
    # The normalization knows its output, but the sum needs x.
    assert set(propagate_moments(residual(activated=False))) == {"b"}


def test_recorded_moments_stand_and_a_given_input_replaces_a_recorded_one() -> None:
    graph = graph_of(IMAGE, [(Relu(), "x", "a"), (Relu(), "a", "y")], "y")
    recorded, other = Moments.of(MEAN, STD), Moments.of(STD, STD)
    graph = graph.edit(moments={"x": recorded, "y": other})
    assert propagate_moments(graph)["x"].after == recorded
    assert propagate_moments(graph)["y"].after == other
    assert propagate_moments(graph, {"x": other})["x"].after == other


@pytest.mark.parametrize("name", ["a", "x"])
def test_moments_that_fit_no_input_are_refused(name: str) -> None:
    graph = graph_of(IMAGE, [(Relu(), "x", "a")], "a")
    moments = Moments.of(MEAN, STD) if name == "a" else Moments.of(MEAN[:2], STD[:2])
    with pytest.raises(CalibrationError, match=name):
        propagate_moments(graph, {name: moments})
