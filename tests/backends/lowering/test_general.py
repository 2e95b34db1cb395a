"""Products of activations, normalizations, quotients, extrema and constants: near the float graph, and exact by definition."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from graph_building import graph_of
from lowered_graphs import NEAREST, ORIGIN, SPECS, instruction, run, steps_from_float
from numpy.typing import NDArray

from intlower.backends.lowering import lower_uniform
from intlower.backends.lowering.host import HOST_SPEC
from intlower.backends.lowering.normalization import affine_factors
from intlower.backends.lowering.powers import lower_powers
from intlower.backends.vitis import TARGET as VITIS
from intlower.compiler.calibration import Range, Ranges, calibrate
from intlower.compiler.errors import ScaleOutOfRange, UnsupportedByTarget
from intlower.compiler.graph import Graph
from intlower.compiler.operators import (
    LRN,
    Add,
    AnyOperator,
    Concat,
    Div,
    Identity,
    InstanceNormalization,
    LayerNormalization,
    MatMul,
    Maximum,
    Minimum,
    Mul,
    Reduce,
    Reduction,
    Shape,
    Softmax,
)
from intlower.compiler.power_spec import PowerOfTwoSpec
from intlower.compiler.program import IntegerProgram
from intlower.compiler.segments import host_share, segments
from intlower.compiler.simulator import quantize_inputs, run_reference
from intlower.compiler.spec import TargetSpec

ALL = (*SPECS, VITIS.member("").spec)
every = pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
Arrays = dict[str, NDArray[np.float32]]


def lower_with_samples(graph: Graph, spec: TargetSpec, samples: Arrays) -> IntegerProgram:
    """The program of a graph whose ranges are those of samples."""
    return _lowered(graph, spec, calibrate(graph, samples=samples).ranges)


def lower(
    graph: Graph, spec: TargetSpec, ranges: Mapping[str, tuple[float, float]]
) -> IntegerProgram:
    """The program of a graph with given ranges."""
    named = {name: Range(low, high, "test") for name, (low, high) in ranges.items()}
    return _lowered(graph, spec, named)


def _lowered(graph: Graph, spec: TargetSpec, ranges: Ranges) -> IntegerProgram:
    lowering = lower_powers if isinstance(spec, PowerOfTwoSpec) else lower_uniform
    return lowering(graph, ranges, spec, NEAREST, ORIGIN)  # type: ignore[arg-type]


def drawn(seed: int, shapes: Mapping[str, Shape], batch: int = 5) -> Arrays:
    generator = np.random.default_rng(seed)
    return {
        name: generator.normal(0.3, 1.0, (batch, *(d or 1 for d in shape[1:]))).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }


def steps(
    spec: TargetSpec,
    operator: AnyOperator,
    shapes: Mapping[str, Shape],
    constants: Mapping[str, NDArray[np.float32]] | None = None,
    samples: Arrays | None = None,
    reads: str | None = None,
) -> float:
    """How many steps of its grid an operator's output is from the float operator's, at most."""
    inputs = reads or " ".join((*shapes, *(constants or {})))
    graph = graph_of(shapes, [(operator, inputs, "y")], "y", constants or {})
    data = samples or drawn(1, shapes)
    program = lower_with_samples(graph, spec, data)
    return float(steps_from_float(program, graph, data, "y").max())


@every
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((None, 5, 8), (None, 8, 3)),
        ((None, 2, 5, 8), (None, 2, 8, 3)),
        ((None, 2, 5, 8), (None, 1, 8, 3)),
        ((None, 1, 1, 8), (None, 2, 8, 1)),
        ((None, 2, 3, 4, 5), (None, 2, 3, 5, 2)),
    ],
    ids=str,
)
def test_a_product_of_two_activations_is_rounded_once(
    spec: TargetSpec, a: Shape, b: Shape
) -> None:
    assert steps(spec, MatMul(), {"a": a, "b": b}) <= 0.51


@every
def test_a_product_with_constant_matrices_is_near(spec: TargetSpec) -> None:
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(2, 8, 3)).astype(np.float32)
    assert steps(spec, MatMul(), {"a": (None, 2, 5, 8)}, {"w": weights}) < 4
    left = generator.normal(size=(7, 5)).astype(np.float32)
    assert steps(spec, MatMul(), {"a": (None, 5, 8)}, {"w": left}, reads="w a") < 4


@every
@pytest.mark.parametrize(
    ("operator", "shape", "normal"),
    [
        (LayerNormalization(axis=-1), (None, 5, 8), (8,)),
        (LayerNormalization(axis=1, epsilon=1e-3), (None, 4, 3, 6), (4, 3, 6)),
        (LayerNormalization(axis=2), (None, 2, 5, 8), (5, 8)),
        (InstanceNormalization(), (None, 4, 6, 5), (4,)),
        (InstanceNormalization(epsilon=0.1), (None, 3, 7), (3,)),
    ],
    ids=str,
)
def test_a_normalization_is_rounded_once(
    spec: TargetSpec, operator: AnyOperator, shape: Shape, normal: tuple[int, ...]
) -> None:
    generator = np.random.default_rng(3)
    constants = {
        name: generator.normal(1.0, 0.5, normal).astype(np.float32) for name in ("s", "b")
    }
    assert steps(spec, operator, {"x": shape}, constants) <= 0.52


@every
def test_a_row_of_one_value_becomes_its_shift(spec: TargetSpec) -> None:
    graph = graph_of(
        {"x": (None, 2, 4)},
        [(LayerNormalization(epsilon=1e-12), "x s b", "y")],
        "y",
        {"s": np.ones(4), "b": np.array([0.0, 0.5, -0.5, 0.25])},
    )
    program = lower(graph, spec, {"x": (-1.0, 1.0), "y": (-1.0, 1.0)})
    flat = {"x": np.full((1, 2, 4), 0.7, np.float32)}
    grid = program.tensors["y"].grid
    found = grid.dequantize(run(program, flat)["y"])
    np.testing.assert_allclose(found[0, 0], [0.0, 0.5, -0.5, 0.25], atol=0.01)


def test_long_rows_of_wide_codes_drop_bits_instead_of_overflowing() -> None:
    graph = graph_of(
        {"x": (None, 1, 300, 300)},
        [(InstanceNormalization(), "x s b", "y")],
        "y",
        {"s": np.ones(1), "b": np.zeros(1)},
    )
    data = drawn(0, {"x": (None, 1, 300, 300)}, batch=1)
    program = lower_with_samples(graph, HOST_SPEC, data)
    assert instruction(program, "node_y").attributes["input_shift"] == 1
    assert steps_from_float(program, graph, data, "y").max() < 3


@every
@pytest.mark.parametrize("size", [1, 3, 4, 99])
@pytest.mark.parametrize("shape", [(None, 6, 3, 5), (None, 6, 4)], ids=str)
def test_a_response_normalization_is_near(spec: TargetSpec, size: int, shape: Shape) -> None:
    operator = LRN(size=size, alpha=0.5, beta=0.75, bias=1.0)
    assert steps(spec, operator, {"x": shape}) <= 0.6


@every
def test_the_table_of_a_response_normalization_follows_steep_functions(
    spec: TargetSpec,
) -> None:
    operator = LRN(size=5, alpha=1e3, beta=1.0, bias=0.01)
    assert steps(spec, operator, {"x": (None, 6, 3, 5)}) <= 1.0


@every
def test_an_unbounded_response_is_refused(spec: TargetSpec) -> None:
    graph = graph_of({"x": (None, 2, 1, 1)}, [(LRN(size=1, bias=0.0), "x", "y")], "y")
    with pytest.raises(UnsupportedByTarget, match=r"node_y.*may be 0"):
        lower(graph, spec, {"x": (-1.0, 1.0), "y": (-1.0, 1.0)})


@every
def test_a_quotient_is_rounded_once_and_saturates_over_zero(spec: TargetSpec) -> None:
    shapes = {"a": (None, 4, 3), "b": (None, 4, 1)}
    data = drawn(2, shapes)
    data["b"] = np.sign(data["b"]) * (np.abs(data["b"]) + 0.5)
    assert steps(spec, Div(), shapes, samples=data) <= 0.52
    graph = graph_of(shapes, [(Div(), "a b", "y")], "y")
    program = lower(graph, spec, {"a": (-1.0, 1.0), "b": (-1.0, 1.0), "y": (-4.0, 4.0)})
    zero = {
        "a": np.tile(np.float32([1, 0, -1]), (1, 4, 1)),
        "b": np.zeros((1, 4, 1), np.float32),
    }
    grid = program.tensors["y"].grid
    low, high = grid.limits
    found = run(program, zero)["y"][0, 0]
    assert found.tolist() == [high, int(grid.quantize(0.0)), low]


@every
@pytest.mark.parametrize("operator", [Maximum(), Minimum()], ids=str)
@pytest.mark.parametrize("other", [(None, 4, 3, 5), (None, 4, 1, 1)], ids=str)
def test_an_extremum_is_one_of_the_rounded_operands(
    spec: TargetSpec, operator: AnyOperator, other: Shape
) -> None:
    assert steps(spec, operator, {"a": (None, 4, 3, 5), "b": other}) <= 0.51


@every
def test_the_least_of_an_axis_is_one_of_its_codes(spec: TargetSpec) -> None:
    reduce = Reduce(reduction=Reduction.MIN, axes=(1, 3))
    assert steps(spec, reduce, {"x": (None, 4, 3, 5)}) == 0


@every
@pytest.mark.parametrize("operator", [Add(), Mul(), Maximum(), Minimum()], ids=str)
@pytest.mark.parametrize("shape", [(5, 8), (1, 5, 8), (1, 8), (1, 1, 8)], ids=str)
def test_constants_that_differ_within_a_channel(
    spec: TargetSpec, operator: AnyOperator, shape: tuple[int, ...]
) -> None:
    constant = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    assert steps(spec, operator, {"x": (None, 5, 8)}, {"c": constant}) <= 2.5


@every
def test_a_constant_is_joined_on_the_output_grid(spec: TargetSpec) -> None:
    token = np.random.default_rng(5).normal(size=(1, 1, 8)).astype(np.float32)
    graph = graph_of({"x": (None, 5, 8)}, [(Concat(axis=1), "c x", "y")], "y", {"c": token})
    data = drawn(1, {"x": (None, 5, 8)})
    program = lower_with_samples(graph, spec, data)
    assert steps_from_float(program, graph, data, "y").max() <= 0.51
    codes = run(program, data)["y"]
    assert (codes[:, 0] == program.tensors["y"].grid.quantize(token[0, 0])).all()


@every
@pytest.mark.parametrize(
    ("operator", "shapes", "constants", "message"),
    [
        (Add(), {"a": (1, 1, 2), "b": (2,)}, {}, "rank or batch"),
        (Mul(), {"a": (2, 3)}, {"c": np.ones((2, 3))}, "from sample to sample"),
        (MatMul(), {"a": (2, 3), "b": (3, 4)}, {}, "across the batch"),
    ],
    ids=["rank", "constant batch", "batch product"],
)
def test_what_crosses_the_batch_is_refused_by_name(
    spec: TargetSpec,
    operator: AnyOperator,
    shapes: dict[str, Shape],
    constants: dict[str, NDArray[np.float32]],
    message: str,
) -> None:
    inputs = " ".join((*shapes, *constants))
    graph = graph_of(shapes, [(operator, inputs, "y")], "y", constants)
    ranges = dict.fromkeys((*shapes, "y"), (-1.0, 1.0))
    with pytest.raises(UnsupportedByTarget, match=f"node_y.*{message}"):
        lower(graph, spec, ranges)


def test_factors_keep_as_many_bits_as_fit() -> None:
    scale, bias = np.array([[100.0, -3.0]]), np.array([[1e4, 0.25]])
    multiplier, codes, bias_shift, shift = affine_factors(scale, bias, "here")
    assert (1 << 29) < np.abs(multiplier).max() < 1 << 31
    np.testing.assert_allclose(np.ldexp(multiplier, 16 - shift), scale, rtol=1e-6)
    np.testing.assert_allclose(
        np.ldexp(codes.astype(float), bias_shift - shift), bias, atol=math.ldexp(1, -10)
    )
    with pytest.raises(ScaleOutOfRange, match="here"):
        affine_factors(np.array([[1e16]]), np.array([[0.0]]), "here")


def softmax_inside(shape: Shape) -> Graph:
    return graph_of({"x": shape}, [(Softmax(axis=-1), "x", "p"), (Mul(), "p x", "y")], "y")


@every
def test_a_softmax_inside_a_network_is_integer_everywhere(spec: TargetSpec) -> None:
    shape = (None, 3, 7)
    graph = softmax_inside(shape)
    data = {"x": drawn(4, {"x": shape})["x"] * 4}
    program = lower_with_samples(graph, spec, data)
    assert program.host == ()
    assert steps_from_float(program, graph, data, "p").max() < 1
    # A probability of 1 stays within the codes.
    certain = {"x": np.float32([[[30, -30, -30, -30, -30, -30, -30]] * 3])}
    codes = run_reference(program, quantize_inputs(program, certain), keep_all=True)["p"]
    assert codes.max() == program.tensors["p"].grid.limits[1]
    host = spec.softmax.name == "HOST"
    assert instruction(program, "node_p").host == host
    assert [segment.host for segment in segments(program)] == (
        [True, False] if host else [False]
    )
    assert host_share(program).instructions == int(host)


def test_a_kept_identity_beside_a_normalization_stays_on_the_target() -> None:
    graph = graph_of(
        {"x": (None, 2, 4)},
        [(LayerNormalization(), "x s", "n"), (Identity(), "n", "y")],
        "y",
        {"s": np.ones(4)},
    )
    spec = SPECS[0]
    program = lower(graph, spec, {"x": (-1, 1), "n": (-2, 2), "y": (-2, 2)})
    assert {i.name: i.host for i in program.instructions} == {"node_n": True, "node_y": False}
