from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from graph_building import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st
from lowered_graphs import SPECS, instruction, lower, steps_from_float
from numpy.typing import NDArray

from intlower.backends.lowering.weighted import accumulator_bounds, choose_weight_grid
from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.backends.tensorrt import TARGET as TENSORRT
from intlower.compiler.constant import Constant
from intlower.compiler.errors import AccumulatorOverflow, ScaleOutOfRange, UnsupportedByTarget
from intlower.compiler.graph import Graph
from intlower.compiler.grids import UniformGrid, UniformSpec
from intlower.compiler.operators import ChannelClip, Clip, Conv, Gemm, Relu
from intlower.compiler.spec import AccumulatorSpec, TargetSpec
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import ElementType

SNPE = SNPE_FAMILY.member("")


def conv(weights: Any, bias: Any = None, operator: Conv | None = None) -> Graph:
    weights = np.asarray(weights)
    operator = operator or Conv()
    channels = weights.shape[1] * operator.groups
    constants = {"w": weights} if bias is None else {"w": weights, "b": bias}
    return graph_of(
        {"x": (None, channels, 5, 5)},
        [(operator, " ".join(["x", *constants]), "y")],
        "y",
        constants,
    )


@given(
    seed=st.integers(0, 999), zero_point=st.integers(0, 3), weight_zero_point=st.integers(-3, 3)
)
@settings(deadline=None, max_examples=40)
def test_accumulator_bounds_hold_every_partial_sum_and_are_reached(
    seed: int, zero_point: int, weight_zero_point: int
) -> None:
    generator = np.random.default_rng(seed)
    grid = UniformGrid(
        scale=Constant.of(1.0, np.float32),
        zero_point=zero_point,
        element=ElementType.UINT8,
        minimum=0,
        maximum=3,
        rounding=Rounding.HALF_EVEN,
    )
    codes = generator.integers(-4, 5, (2, 4))
    bias = [int(b) for b in generator.integers(-9, 10, 2)]
    lowest, highest = accumulator_bounds(codes, weight_zero_point, grid, bias)
    w = codes - weight_zero_point
    inputs = np.array(list(itertools.product(range(4), repeat=4))) - zero_point
    for channel in range(2):
        products = inputs * w[channel]
        partial = [
            products[:, list(chosen)].sum(axis=1) + with_bias * bias[channel]
            for size in range(5)
            for chosen in itertools.combinations(range(4), size)
            for with_bias in (0, 1)
        ]
        assert min(int(sums.min()) for sums in partial) == lowest[channel]
        assert max(int(sums.max()) for sums in partial) == highest[channel]


def narrow(spec: TargetSpec, bits: int) -> TargetSpec:
    return replace(spec, accumulator=AccumulatorSpec(bits=bits))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_an_overflow_names_node_channel_bound_and_limit(spec: TargetSpec) -> None:
    weights = np.full((3, 4, 3, 3), 0.001)
    weights[1] = 1.0
    graph = conv(weights)
    ranges = {"x": (0.0, 1.0), "y": (0.0, 40.0)}
    with pytest.raises(AccumulatorOverflow, match="node_y: channel") as caught:
        lower(graph, narrow(spec, 16), ranges)
    error = caught.value
    x_reach, w_reach = (128, 127) if spec is TENSORRT.spec else (255, 255)
    assert (error.node, error.limit, error.target) == ("node_y", 32767, spec.name)
    channel = 0 if spec is TENSORRT.spec else 1  # the first: one scale serves all on snpe
    assert error.channel == channel
    assert error.bound == 36 * x_reach * w_reach
    lower(graph, narrow(spec, 24), ranges)


def test_the_width_of_the_bias_limits_too() -> None:
    graph = conv(np.ones((1, 4, 3, 3)))
    ranges = {"x": (0.0, 1.0), "y": (0.0, 40.0)}
    with pytest.raises(AccumulatorOverflow):
        lower(graph, replace(TENSORRT.spec, bias_bits=16), ranges)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@given(seed=st.integers(0, 999))
@settings(deadline=None, max_examples=10)
def test_a_bias_is_in_units_of_input_scale_times_weight_scale(
    spec: TargetSpec, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    bias = generator.normal(size=6)
    graph = conv(generator.normal(size=(6, 2, 3, 3)), bias)
    program = lower(graph, spec, {"x": (-2.0, 3.0), "y": (-9.0, 9.0)})
    found = instruction(program, "node_y")
    assert found.weight_grid is not None
    unit = found.weight_grid.scale.array.astype(np.float64) * float(
        program.tensors["x"].grid.scale.array
    )
    stored = graph.constants["b"].array.astype(np.float64)
    assert (np.abs(found.constants["bias"].array * unit - stored) <= 0.5001 * unit).all()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("level", [1e-30, 0.0])
def test_a_dead_channel_with_a_big_bias_lowers(spec: TargetSpec, level: float) -> None:
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(4, 2, 3, 3))
    weights[2] = level
    bias = np.array([0.1, -0.2, 500.0, 0.3])
    graph = conv(weights, bias)
    samples = {"x": generator.uniform(-1, 1, (2, 2, 5, 5)).astype(np.float32)}
    program = lower(graph, spec, {"x": (-1.0, 1.0), "y": (-600.0, 600.0)})
    assert steps_from_float(program, graph, samples, "y").max() <= 1.01


def source(scale: float) -> UniformGrid:
    return TENSORRT.spec.activations.grid(0.0, scale * 127)


def test_the_weight_scale_comes_from_the_weights() -> None:
    weights = np.array([[0.5, -1.0], [4.0, 2.0]])
    grid = choose_weight_grid(TENSORRT.spec, weights, np.zeros(2), source(0.1))
    np.testing.assert_allclose(grid.scale.array, np.array([1.0, 4.0]) / 127, rtol=1e-6)
    grid = choose_weight_grid(SNPE.spec, weights, np.zeros(2), source(0.1))
    assert float(grid.scale.array) == pytest.approx(5.0 / 255)
    assert grid.zero_point == 51


@pytest.mark.parametrize(
    "spec",
    [
        *SPECS,
        replace(
            TENSORRT.spec,
            weights=UniformSpec(
                bits=8, signed=True, symmetric=True, rounding=Rounding.HALF_EVEN
            ),
        ),
    ],
    ids=["tensorrt", "snpe", "symmetric per tensor"],
)
@given(bias=st.floats(-1e6, 1e6), size=st.floats(0, 1e-3), scale=st.floats(1e-6, 10.0))
@settings(deadline=None, max_examples=30)
def test_no_bias_leaves_half_the_accumulator(
    spec: TargetSpec, bias: float, size: float, scale: float
) -> None:
    weights = np.array([[size, -size / 2]])
    input_grid = source(scale)
    grid = choose_weight_grid(spec, weights, np.array([bias]), input_grid)
    unit = float(grid.scale.array.ravel()[0]) * float(input_grid.scale.array)
    assert abs(bias) / unit <= 1 << 30


def test_a_sum_that_the_left_shift_would_overflow_is_refused() -> None:
    graph = conv(np.ones((2, 64, 5, 5)))
    with pytest.raises(ScaleOutOfRange, match="node_y, channel 0: its scale exceeds 1"):
        lower(graph, SNPE.spec, {"x": (0.0, 1e6), "y": (0.0, 0.02)})
    with pytest.raises(ScaleOutOfRange, match="node_y, channel 0"):
        lower(graph, TENSORRT.spec, {"x": (0.0, 1e30), "y": (0.0, 1e-8)})


def test_computed_weights_are_refused() -> None:
    graph = graph_of({"x": (None, 3), "w": (2, 3)}, [(Gemm(), "x w", "y")], "y")
    with pytest.raises(UnsupportedByTarget, match="'w' of Gemm is not a constant"):
        lower(graph, SNPE.spec, {"x": (0.0, 1.0), "w": (0.0, 1.0), "y": (0.0, 1.0)})


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize(
    ("activation", "bounds"),
    [
        (None, (-8.0, 8.0)),
        (Relu(), (0.0, 8.0)),
        (Clip(minimum=0.0, maximum=6.0), (0.0, 6.0)),
        (
            ChannelClip(
                minimum=Constant.of([-1.0, 0.0, 0.0]), maximum=Constant.of([1.0, 2.0, np.inf])
            ),
            (-1.0, 8.0),
        ),
    ],
    ids=["none", "Relu", "Clip", "ChannelClip"],
)
def test_activations_become_clamps_within_a_step(
    spec: TargetSpec, activation: Relu | Clip | ChannelClip | None, bounds: tuple[float, float]
) -> None:
    generator = np.random.default_rng(1)
    graph = conv(generator.normal(size=(3, 2, 3, 3)), generator.normal(size=3))
    graph = graph.edit(nodes=[replace(graph.nodes[0], activation=activation)])
    program = lower(graph, spec, {"x": (-1.0, 1.0), "y": bounds})
    samples = {"x": generator.uniform(-1, 1, (4, 2, 5, 5)).astype(np.float32)}
    weights = instruction(program, "node_y")
    assert weights.weight_grid is not None
    rounding = float(weights.weight_grid.scale.array.max()) / 2 * 18
    step = float(program.tensors["y"].grid.scale.array)
    assert steps_from_float(program, graph, samples, "y").max() <= 1.05 + rounding / step


SHAPES: list[tuple[Conv, tuple[int, ...]]] = [
    (Conv(strides=(2, 1), pads=(0, 1, 2, 0)), (4, 2, 3, 2)),
    (Conv(groups=4, pads=(1, 1, 1, 1)), (4, 1, 3, 3)),
    (Conv(groups=2, dilations=(2, 1)), (6, 3, 2, 3)),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize(("operator", "shape"), SHAPES)
def test_exact_weights_give_the_float_result_within_a_step(
    spec: TargetSpec, operator: Conv, shape: tuple[int, ...]
) -> None:
    """Weights that are codes times a scale lose nothing: what is left is the output's rounding."""
    generator = np.random.default_rng(2)
    codes: NDArray[Any] = generator.integers(-127, 128, shape)
    codes.reshape(len(codes), -1)[:, 0] = 127
    codes.ravel()[1] = -128
    if spec is TENSORRT.spec:
        codes = np.clip(codes, -127, 127)
    graph = conv(codes / 64, generator.normal(size=len(codes)), operator)
    program = lower(graph, spec, {"x": (-1.0, 1.0), "y": (-20.0, 30.0)})
    channels = operator.groups * shape[1]
    samples = {"x": generator.uniform(-1, 1, (3, channels, 5, 5)).astype(np.float32)}
    assert steps_from_float(program, graph, samples, "y").max() <= 0.51
