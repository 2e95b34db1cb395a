from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_building import (
    Step,
    assert_same_function,
    graph_of,
    normalization,
    operators,
    random_inputs,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.constant import Constant
from intlower.compiler.errors import InvalidGraph, UnsupportedOperator
from intlower.compiler.evaluate import forward
from intlower.compiler.graph import Graph
from intlower.compiler.operators import (
    Add,
    BatchNormalization,
    Concat,
    Conv,
    Gemm,
    Identity,
    MaxPool,
    Relu,
)
from intlower.compiler.passes.fold_batch_norm import FoldBatchNorm

# Folded weights are rounded to float32 once; with epsilon 1e-5 and variance 0 a bias of up to 600 meets its opposite.
ROUNDED = 1e-5


@given(
    groups=st.integers(1, 3),
    per_group=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    size=st.sampled_from([2, 5]),
    bias=st.booleans(),
    epsilon=st.sampled_from([1e-3, 1e-5]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_folding_into_the_conv_before_keeps_the_output(
    groups: int,
    per_group: tuple[int, int],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    pads: tuple[int, int, int, int],
    size: int,
    bias: bool,
    epsilon: float,
    seed: int,
) -> None:
    extent = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    if size + pads[0] + pads[2] < extent[0] or size + pads[1] + pads[3] < extent[1]:
        pads = (2, 2, 2, 2)
    generator = np.random.default_rng(seed)
    inputs, outputs = groups * per_group[0], groups * per_group[1]
    norm, names, constants = normalization(generator, "n", outputs, epsilon)
    conv = Conv(strides=strides, pads=pads, dilations=dilations, groups=groups)
    graph = graph_of(
        {"x": (None, inputs, size, size)},
        [(conv, "x w b" if bias else "x w", "a"), (norm, f"a {names}", "y")],
        "y",
        {
            "w": generator.normal(size=(outputs, per_group[0], *kernel)),
            "b": generator.normal(size=outputs),
            **constants,
        },
    )
    after = FoldBatchNorm()(graph)
    assert operators(after) == ["Conv"]
    assert_same_function(graph, after, tolerance=ROUNDED, seed=seed)


@given(bias=st.booleans(), epsilon=st.sampled_from([1e-3, 1e-5]), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=10)
def test_folding_into_the_gemm_before_keeps_the_output(
    bias: bool, epsilon: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    norm, names, constants = normalization(generator, "n", 4, epsilon)
    graph = graph_of(
        {"x": (None, 3)},
        [(Gemm(), "x w b" if bias else "x w", "a"), (norm, f"a {names}", "y")],
        "y",
        {"w": generator.normal(size=(4, 3)), "b": generator.normal(size=4), **constants},
    )
    after = FoldBatchNorm()(graph)
    assert operators(after) == ["Gemm"]
    assert_same_function(graph, after, tolerance=ROUNDED, seed=seed)


def layered(
    operator: Conv | Gemm, channels: int, outputs: int, seed: int, *, shifted: bool = True
) -> Graph:
    """x, a normalization, then a layer that is read twice."""
    generator = np.random.default_rng(seed)
    norm, names, constants = normalization(generator, "n", channels)
    if not shifted:
        constants["n_mean"] = constants["n_shift"] = np.zeros(channels)
    spatial: tuple[int, ...] = (4, 4) if isinstance(operator, Conv) else ()
    groups = operator.groups if isinstance(operator, Conv) else 1
    kernel = (2, 2) if isinstance(operator, Conv) else ()
    return graph_of(
        {"x": (None, channels, *spatial)},
        [(norm, f"x {names}", "a"), (operator, "a w", "y"), (Relu(), "y", "z")],
        "y z",
        {"w": generator.normal(size=(outputs, channels // groups, *kernel)), **constants},
    )


@given(
    groups=st.integers(1, 3),
    inputs=st.integers(1, 2),
    outputs=st.integers(1, 2),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=20)
def test_folding_into_the_conv_after_keeps_the_output(
    groups: int, inputs: int, outputs: int, seed: int
) -> None:
    graph = layered(Conv(groups=groups), groups * inputs, groups * outputs, seed)
    after = FoldBatchNorm()(graph)
    assert operators(after) == ["Conv", "Relu"]
    assert_same_function(graph, after, tolerance=ROUNDED, seed=seed)


def test_folding_into_the_gemm_after_keeps_the_output_and_the_moments_of_the_input() -> None:
    graph = layered(Gemm(), 5, 3, 0)
    after = FoldBatchNorm()(graph)
    assert operators(after) == ["Gemm", "Relu"]
    assert set(after.moments) == {"x"}
    mean, variance = (graph.constants[f"n_{name}"].array for name in ("mean", "variance"))
    assert np.array_equal(after.moments["x"].mean.array, mean)
    assert np.array_equal(after.moments["x"].std.array, np.sqrt(variance.astype(np.float64)))
    assert_same_function(graph, after, tolerance=ROUNDED)


def test_a_shift_is_not_folded_into_a_conv_that_pads() -> None:
    padded = Conv(pads=(1, 1, 1, 1))
    graph = layered(padded, 2, 3, 0)
    after = FoldBatchNorm()(graph)
    assert [node.operator for node in after.nodes] == [Conv(groups=2), padded, Relu()]
    assert set(after.moments) == {"x", "a"}
    assert_same_function(graph, after, tolerance=ROUNDED)
    scaling = layered(padded, 2, 3, 0, shifted=False)
    after = FoldBatchNorm()(scaling)
    assert [node.operator for node in after.nodes] == [padded, Relu()]
    assert_same_function(scaling, after, tolerance=ROUNDED)


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_a_normalization_with_nowhere_to_go_becomes_a_layer(rank: int) -> None:
    generator = np.random.default_rng(rank)
    norm, names, constants = normalization(generator, "n", 3)
    graph = graph_of(
        {"x": (None, 3, 4, 2, 5)[:rank]} | {"z": (None, 3, 4, 2, 5)[:rank]},
        [(Add(), "x z", "a"), (norm, f"a {names}", "b"), (Relu(), "b", "y")],
        "y",
        constants,
    )
    after = FoldBatchNorm()(graph)
    layer = ["Gemm"] if rank == 2 else ["Conv"]
    expected = layer if rank in (2, 4) else ["Reshape", *layer, "Reshape"]
    assert operators(after) == ["Add", *expected, "Relu"]
    assert set(after.moments) == {"a", "b"}
    assert_same_function(graph, after, tolerance=ROUNDED)


@pytest.mark.parametrize("after_conv", [True, False])
def test_normalizations_that_follow_one_another_are_one(after_conv: bool) -> None:
    generator = np.random.default_rng(8)
    norms = [
        normalization(generator, name, 3, epsilon)
        for name, epsilon in (("m", 1e-3), ("n", 1e-5))
    ]
    constants: dict[str, Any] = {"w": generator.normal(size=(3, 3, 1, 1))}
    for _, _, parameters in norms:
        constants |= parameters
    conv = (Conv(), "x w", "a") if after_conv else (Conv(), "c w", "y")
    source, target = ("a", "y") if after_conv else ("x", "c")
    chain = [
        (norms[0][0], f"{source} {norms[0][1]}", "b"),
        (norms[1][0], f"b {norms[1][1]}", target),
    ]
    graph = graph_of(
        {"x": (None, 3, 4, 4)}, [conv, *chain] if after_conv else [*chain, conv], "y", constants
    )
    after = FoldBatchNorm()(graph)
    assert operators(after) == ["Conv"]
    assert_same_function(graph, after, tolerance=ROUNDED)
    if after_conv:
        assert np.array_equal(after.moments["y"].mean.array, graph.constants["n_shift"].array)


def test_a_layer_that_is_read_elsewhere_is_not_folded_into() -> None:
    generator = np.random.default_rng(2)
    norm, names, constants = normalization(generator, "n", 3)
    steps: list[Step] = [(Conv(), "x w", "a"), (norm, f"a {names}", "b"), (Add(), "a b", "y")]
    constants["w"] = generator.normal(size=(3, 2, 1, 1))
    for outputs in ("y", "y a"):
        graph = graph_of({"x": (None, 2, 4, 4)}, steps, outputs, constants)
        after = FoldBatchNorm()(graph)
        assert operators(after) == ["Conv", "Conv", "Add"]
        assert_same_function(graph, after, tolerance=ROUNDED)


def test_shared_weights_stay_what_they_are_for_the_other_layers() -> None:
    generator = np.random.default_rng(4)
    first, first_names, first_constants = normalization(generator, "m", 3)
    second, second_names, second_constants = normalization(generator, "n", 3)
    graph = graph_of(
        {"x": (None, 3, 4, 4)},
        [
            (Conv(), "x w", "a"),
            (first, f"a {first_names}", "b"),
            (Conv(), "b w", "c"),
            (second, f"c {second_names}", "d"),
            (Conv(), "d w", "y"),
        ],
        "y",
        {"w": generator.normal(size=(3, 3, 1, 1)), **first_constants, **second_constants},
    )
    after = FoldBatchNorm()(graph)
    assert operators(after) == ["Conv", "Conv", "Conv"]
    assert after.constants["w"] == graph.constants["w"]
    assert_same_function(graph, after, tolerance=ROUNDED)


@pytest.mark.parametrize("layer", [Conv(pads=(1, 1, 0, 0)), MaxPool(kernel_shape=(2, 2))])
def test_recorded_moments_are_those_of_the_values_if_the_statistics_are_true(
    layer: Conv | MaxPool,
) -> None:
    generator = np.random.default_rng(6)
    norm, names, constants = normalization(generator, "n", 4, 1e-3)
    constants["w"] = (
        generator.normal(size=(4, 4, 3, 3)) * (np.arange(4) > 0)[:, None, None, None]
    )
    graph = graph_of(
        {"x": (None, 4, 6, 6)},
        [(layer, "x w" if isinstance(layer, Conv) else "x", "a"), (norm, f"a {names}", "y")],
        "y",
        constants,
    )
    inputs = random_inputs(graph, generator, batch=16)
    inputs["x"][:, 0] = 0.0  # channel 0 of a is dead
    a = forward(graph, inputs, ["a"])["a"]
    true = {"n_mean": a.mean((0, 2, 3)), "n_variance": a.var((0, 2, 3), correction=0)}
    graph = graph.edit(
        constants={
            **graph.constants,
            **{name: Constant.of(tensor.numpy(), np.float32) for name, tensor in true.items()},
        }
    )
    y = forward(graph, inputs)["y"]
    recorded = FoldBatchNorm()(graph).moments["y"]
    # The statistics are rounded to float32.
    np.testing.assert_allclose(recorded.mean.array, y.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(recorded.std.array, y.std((0, 2, 3), correction=0), atol=1e-6)
    assert recorded.std.array[0] == 0


def test_parameters_that_are_computed_are_refused_with_the_node_named() -> None:
    _, names, constants = normalization(np.random.default_rng(0), "n", 3)
    graph = graph_of(
        {"x": (None, 3, 2, 2)},
        [
            (Identity(), "n_scale", "s"),
            (BatchNormalization(), f"x {names.replace('n_scale', 's')}", "y"),
        ],
        "y",
        constants,
    )
    with pytest.raises(UnsupportedOperator, match="node_y"):
        FoldBatchNorm()(graph)


def test_a_variance_that_is_not_positive_is_refused() -> None:
    _, names, constants = normalization(np.random.default_rng(0), "n", 3)
    constants["n_variance"] = np.array([1.0, 0.0, 1.0])
    graph = graph_of(
        {"x": (None, 3, 2, 2)},
        [(BatchNormalization(epsilon=0.0), f"x {names}", "y")],
        "y",
        constants,
    )
    with pytest.raises(InvalidGraph, match="not positive"):
        FoldBatchNorm()(graph)


def test_a_normalization_of_a_concat_stands_alone() -> None:
    norm, names, constants = normalization(np.random.default_rng(0), "n", 6)
    graph = graph_of(
        {"x": (None, 3, 2, 2)},
        [(Concat(), "x x", "a"), (norm, f"a {names}", "y")],
        "y",
        constants,
    )
    after = FoldBatchNorm()(graph)
    assert operators(after) == ["Concat", "Conv"]
    assert_same_function(graph, after, tolerance=ROUNDED)
