from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import graph_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lowered_graphs import SPECS, instruction, lower, run, steps_from_float

from intlower.backends.lowering.pooling import effective_pads, window_counts
from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.compiler.errors import InvalidGraph, ScaleOutOfRange
from intlower.compiler.evaluate import evaluate
from intlower.compiler.operators import (
    AveragePool,
    GlobalAveragePool,
    MaxPool,
    Relu,
    window_size,
)
from intlower.compiler.spec import TargetSpec
from intlower.kernels.signature import Requantize

SNPE = SNPE_FAMILY.member("")

# In steps of the output: a mean is rounded once.
ROUNDED = {"tensorrt": 0.501, "snpe": 0.501}


@st.composite
def pools(draw: st.DrawFn) -> tuple[AveragePool, tuple[int, int]]:
    """A pool and the size of an image that it fits."""
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    pool = AveragePool(
        kernel_shape=kernel,
        strides=(draw(st.integers(1, 4)), draw(st.integers(1, 3))),
        pads=(
            draw(st.integers(0, kernel[0] - 1)),
            draw(st.integers(0, kernel[1] - 1)),
            draw(st.integers(0, kernel[0] - 1)),
            draw(st.integers(0, kernel[1] - 1)),
        ),
        ceil_mode=draw(st.booleans()),
        count_include_pad=draw(st.booleans()),
    )
    size = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    try:
        pool.output_shape([(None, 1, *size)])
    except InvalidGraph:
        assume(False)
    return pool, size


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@given(case=pools(), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_a_mean_is_the_float_mean_rounded_once(
    spec: TargetSpec, case: tuple[AveragePool, tuple[int, int]], seed: int
) -> None:
    pool, size = case
    graph = graph_of({"x": (None, 2, *size)}, [(pool, "x", "y")], "y")
    program = lower(graph, spec, {"x": (-1.0, 2.0), "y": (-1.0, 1.5)})
    samples = np.random.default_rng(seed).uniform(-1.0, 1.5, (2, 2, *size)).astype(np.float32)
    assert steps_from_float(program, graph, {"x": samples}, "y").max() <= ROUNDED[spec.name]


@given(case=pools())
@settings(deadline=None, max_examples=60)
def test_window_counts_are_what_a_mean_of_ones_divides_by(
    case: tuple[AveragePool, tuple[int, int]],
) -> None:
    """With ones inside and zeros around, the mean is the share of the image in what is counted."""
    pool, size = case
    graph = graph_of({"x": (1, 1, *size)}, [(pool, "x", "y")], "y")
    share = evaluate(graph, {"x": np.ones((1, 1, *size), np.float32)})["y"][0, 0]
    counted, inside = (
        np.outer(
            *(
                window_counts(
                    replace(pool, count_include_pad=padding),
                    axis,
                    size[axis],
                    share.shape[axis],
                )
                for axis in (0, 1)
            )
        )
        for padding in (pool.count_include_pad, False)
    )
    np.testing.assert_allclose(share, inside / counted, rtol=1e-6)


@given(case=pools())
@settings(deadline=None, max_examples=60)
def test_effective_pads_give_the_same_windows_without_ceil_mode(
    case: tuple[AveragePool, tuple[int, int]],
) -> None:
    pool, size = case
    shape = pool.output_shape([(None, 1, *size)])
    windows = shape[2] or 0, shape[3] or 0
    pads = effective_pads(pool, size, windows)
    assert pads[:2] == pool.pads[:2]
    for axis in (0, 1):
        assert pads[axis + 2] >= pool.pads[axis + 2]
        again = window_size(
            size[axis],
            pool.kernel_shape[axis],
            pool.strides[axis],
            pads[axis],
            pads[axis + 2],
            1,
            False,
        )
        assert again == windows[axis]


@given(
    case=pools(),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_a_maximum_is_the_maximum_of_codes(
    case: tuple[AveragePool, tuple[int, int]], dilations: tuple[int, int], seed: int
) -> None:
    drawn, size = case
    pool = MaxPool(
        kernel_shape=drawn.kernel_shape,
        strides=drawn.strides,
        pads=drawn.pads,
        dilations=dilations,
        ceil_mode=drawn.ceil_mode,
    )
    try:
        graph = graph_of({"x": (None, 2, *size)}, [(pool, "x", "y")], "y")
    except InvalidGraph:
        assume(False)
    program = lower(graph, SNPE.spec, {"x": (-1.0, 2.0), "y": (-1.0, 2.0)})
    assert program.tensors["y"].grid == program.tensors["x"].grid
    samples = np.random.default_rng(seed).uniform(-1.0, 2.0, (2, 2, *size)).astype(np.float32)
    codes = run(program, {"x": samples})
    expected = evaluate(graph, {"x": codes["x"].astype(np.float32)})["y"]
    inside = np.isfinite(expected)  # a dilated window of padding only has no maximum
    assert np.array_equal(codes["y"][inside], expected[inside])


def test_one_scale_serves_windows_that_count_alike() -> None:
    even = AveragePool(kernel_shape=(2, 2), strides=(2, 2))
    graph = graph_of({"x": (None, 2, 6, 6)}, [(even, "x", "y")], "y")
    found = instruction(lower(graph, SNPE.spec, {"x": (0, 1), "y": (0, 1)}), "node_y")
    assert found.constants["multiplier"].array.shape == (1, 1)
    padded = replace(even, kernel_shape=(3, 3), pads=(1, 1, 1, 1))
    graph = graph_of({"x": (None, 2, 6, 6)}, [(padded, "x", "y")], "y")
    found = instruction(lower(graph, SNPE.spec, {"x": (0, 1), "y": (0, 1)}), "node_y")
    assert found.constants["shift"].array.shape == (3, 3)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_global_mean_takes_its_activation_along(spec: TargetSpec) -> None:
    graph = graph_of({"x": (None, 2, 5, 3)}, [(GlobalAveragePool(), "x", "y")], "y")
    graph = graph.edit(nodes=[replace(graph.nodes[0], activation=Relu())])
    program = lower(graph, spec, {"x": (-1.0, 1.0), "y": (0.0, 0.5)})
    samples = np.random.default_rng(0).uniform(-1, 1, (8, 2, 5, 3)).astype(np.float32)
    assert steps_from_float(program, graph, {"x": samples}, "y").max() <= ROUNDED[spec.name]


def test_a_mean_whose_left_shift_would_overflow_is_refused() -> None:
    graph = graph_of({"x": (None, 1, 100, 100)}, [(GlobalAveragePool(), "x", "y")], "y")
    double = replace(SNPE.spec, rescale=Requantize.MUL31DOUBLE)
    with pytest.raises(ScaleOutOfRange, match="node_y"):
        lower(graph, double, {"x": (0.0, 1e9), "y": (0.0, 0.01)})
