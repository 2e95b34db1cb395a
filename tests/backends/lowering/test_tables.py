"""Tables hold the functions they stand for: every entry of them, against float64 and exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from graph_building import graph_of
from hypothesis import given, settings
from hypothesis import strategies as st
from lowered_graphs import SNPE, instruction, lower, steps_from_float

from intlower.backends.lowering.host import HOST_SPEC
from intlower.backends.lowering.tables import INTERPOLATION_ERROR, codes_of
from intlower.backends.tensorrt import TARGET as TENSORRT
from intlower.compiler.grids import UniformSpec
from intlower.compiler.operators import Elementwise, Function, Mul, PRelu, Sub
from intlower.compiler.spec import TargetSpec
from intlower.kernels.numerics import Rounding

X = (None, 2, 3, 4)
both = pytest.mark.parametrize("spec", [SNPE.spec, TENSORRT.spec], ids=["snpe", "tensorrt"])


@both
@pytest.mark.parametrize(
    ("operator", "function"),
    [
        (Elementwise(function=Function.SIGMOID), lambda x: 1 / (1 + math.exp(-x))),
        (Elementwise(function=Function.TANH), math.tanh),
        (Elementwise(function=Function.HARD_SWISH), lambda x: x * min(max(x / 6 + 0.5, 0), 1)),
        (Elementwise(function=Function.EXP), math.exp),
        (Elementwise(function=Function.GELU), lambda x: x / 2 * (1 + math.erf(x / 2**0.5))),
    ],
    ids=lambda value: value.function.value if isinstance(value, Elementwise) else "",
)
def test_an_entry_is_the_nearest_code_of_the_function(
    spec: TargetSpec, operator: Elementwise, function: object
) -> None:
    graph = graph_of({"x": X}, [(operator, "x", "y")], "y")
    program = lower(graph, spec, {"x": (-3.0, 5.0), "y": (-0.5, 4.0)})
    table = instruction(program, "node_y").constants["table"].array
    source, target = (program.tensors[name].grid for name in "xy")
    low, high = source.element.limits
    for code, entry in zip(range(low, high + 1), table, strict=True):
        assert callable(function)
        exact = function((code - source.zero_point) * float(source.scale.array))
        place = exact / float(target.scale.array) + target.zero_point
        assert abs(entry - min(max(place, target.minimum), target.maximum)) <= 0.5 + 1e-9


def test_a_bounded_function_has_the_grid_of_its_bounds() -> None:
    graph = graph_of({"x": X}, [(Elementwise(function=Function.SIGMOID), "x", "y")], "y")
    program = lower(graph, SNPE.spec, {"x": (-3.0, 5.0), "y": (0.2, 0.3)})
    assert program.tensors["y"].grid.real_limits == pytest.approx((0.0, 1.0))


@both
def test_what_has_no_value_is_zero_and_what_is_infinite_saturates(spec: TargetSpec) -> None:
    grid = spec.activations.grid(-1.0, 2.0)
    codes = codes_of(grid, np.array([np.nan, np.inf, -np.inf]))
    assert codes.tolist() == [grid.zero_point, *grid.limits[::-1]]


@given(
    rounding=st.sampled_from([Rounding.HALF_EVEN, Rounding.HALF_AWAY, Rounding.HALF_UP]),
    halves=st.integers(-300, 300),
)
@settings(deadline=None)
def test_ties_are_rounded_as_the_grid_says(rounding: Rounding, halves: int) -> None:
    spec = UniformSpec(bits=8, signed=True, symmetric=True, rounding=rounding)
    grid = spec.grid(-127.0, 127.0)  # a step of 1
    exact = Fraction(halves, 2)
    expected = {
        Rounding.HALF_EVEN: round(exact),
        Rounding.HALF_AWAY: int(math.copysign(math.floor(abs(exact) + Fraction(1, 2)), exact)),
        Rounding.HALF_UP: math.floor(exact + Fraction(1, 2)),
    }[rounding]
    assert codes_of(grid, np.array([halves / 2]))[0] == min(max(expected, -128), 127)


@both
def test_each_channel_has_its_own_slope(spec: TargetSpec) -> None:
    slopes = {"s": np.array([[[0.5]], [[-0.25]]])}
    graph = graph_of({"x": X}, [(PRelu(), "x s", "y")], "y", slopes)
    program = lower(graph, spec, {"x": (-4.0, 4.0), "y": (-2.0, 4.0)})
    made = instruction(program, "node_y")
    assert made.kernel.operator == "lookup_channels"
    table = made.constants["table"].array
    least = program.tensors["y"].grid.dequantize(table)[:, 0]  # of the least code
    assert least[0] < -1.5
    assert least[1] > 0.9


def test_many_channels_of_16_bits_take_a_tensor_in_the_place_of_tables() -> None:
    for channels, operator in ((4, "lookup_channels"), (40, "multiply")):
        factors = np.linspace(0.5, 2, channels).reshape(-1, 1, 1)
        graph = graph_of(
            {"x": (None, channels, 2, 2)}, [(Mul(), "x c", "y")], "y", {"c": factors}
        )
        program = lower(graph, HOST_SPEC, {"x": (-1.0, 1.0), "y": (-2.0, 2.0)})
        assert program.instructions[-1].kernel.operator == operator


@pytest.mark.parametrize(
    ("operator", "kernel"),
    [
        (Elementwise(function=Function.SIGMOID), "lookup_interpolated"),
        (Elementwise(function=Function.GELU), "lookup_interpolated"),
        (Elementwise(function=Function.SIGN), "lookup"),
        (Elementwise(function=Function.RECIPROCAL), "lookup"),
    ],
    ids=str,
)
def test_16_bit_functions_are_interpolated_where_they_are_smooth(
    operator: Elementwise, kernel: str
) -> None:
    graph = graph_of({"x": X}, [(operator, "x", "y")], "y")
    program = lower(graph, HOST_SPEC, {"x": (-4.0, 4.0), "y": (-4.0, 4.0)})
    assert program.instructions[0].kernel.operator == kernel
    samples = {"x": np.random.default_rng(0).uniform(-4, 4, (50, *X[1:])).astype(np.float32)}
    assert steps_from_float(program, graph, samples, "y").max() <= INTERPOLATION_ERROR + 1


def test_a_negated_tensor_has_the_mirrored_grid() -> None:
    graph = graph_of({"a": X, "b": X}, [(Sub(), "a b", "y")], "y")
    program = lower(graph, SNPE.spec, {"a": (0.0, 1.0), "b": (-1.0, 3.0), "y": (-3.0, 2.0)})
    table = instruction(program, "node_y.negated").constants["table"].array
    negated, source = program.tensors["y.negated"].grid, program.tensors["b"].grid
    codes = np.arange(256)
    assert np.array_equal(negated.dequantize(table), -source.dequantize(codes))
