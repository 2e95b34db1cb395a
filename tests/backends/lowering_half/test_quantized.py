from __future__ import annotations

import numpy as np
import pytest
from graph_building import graph_of
from hypothesis import given
from hypothesis import strategies as st
from lowered_graphs import NEAREST, ORIGIN

from intlower.backends.ascend310 import TARGET
from intlower.backends.lowering_half.quantized import activation_grid, channel_scales
from intlower.backends.mixed import MixedTarget
from intlower.compiler.calibration import Range
from intlower.compiler.errors import CalibrationError
from intlower.compiler.graph import Graph
from intlower.compiler.grids import UniformGrid, UniformSpec
from intlower.compiler.operators import AveragePool, Conv, Gemm, GlobalAveragePool, Relu
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import run_reference
from intlower.kernels.numerics import Rounding

SPEC = UniformSpec(bits=8, signed=True, symmetric=False, rounding=Rounding.HALF_EVEN)
LEAST = 2.0**-23
MEMBER = TARGET.member("")


def lower(graph: Graph, **ranges: tuple[float, float]) -> IntegerProgram:
    assert isinstance(MEMBER, MixedTarget)
    named = {name: Range(low, high, "test") for name, (low, high) in ranges.items()}
    return MEMBER.lower(graph, named, NEAREST, ORIGIN)


def test_the_extreme_of_greater_magnitude_takes_the_end_of_the_codes() -> None:
    weights = np.array([[2.54, -1.0], [1.0, -2.56], [0, 0]])
    scales = channel_scales(weights, (-128, 127), True, LEAST)
    assert scales.tolist() == pytest.approx([0.02, 0.02, 1.0])
    assert channel_scales(weights, (-128, 127), False, LEAST).tolist() == pytest.approx([0.02])


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_a_grid_covers_its_range_and_real_zero(a: float, b: float) -> None:
    low, high = sorted((a, b))
    grid = activation_grid(SPEC, low, high, LEAST)
    assert grid.dequantize(grid.zero_point) == 0
    step = float(grid.scale.array)
    least, greatest = grid.real_limits
    assert least <= min(low, 0) + step * 0.51
    assert greatest >= max(high, 0) - step * 0.51


def test_an_empty_range_has_scale_one() -> None:
    grid = activation_grid(SPEC, 0.0, 0.0, LEAST)
    assert (float(grid.scale.array), grid.zero_point) == (1.0, -128)


def test_a_convolution_is_quantized_summed_and_dequantized_by_a_cut_scale() -> None:
    generator = np.random.default_rng(4)
    graph = graph_of(
        {"x": (None, 2, 5, 5)},
        [(Conv(pads=(1, 1, 0, 0)), "x w b", "y")],
        "y",
        {"w": generator.standard_normal((3, 2, 3, 3)), "b": generator.standard_normal(3)},
    )
    program = lower(graph, x=(-1.0, 3.0), y=(-9.0, 9.0))
    assert [str(i.kernel) for i in program.instructions] == [
        "half_quantize_f16_s8__f32acc",
        "conv2d_s8_s8c_s32__mul31single",
        "half_dequantize_s32_f16__f32acc",
    ]
    image = generator.uniform(-1, 3, (2, 2, 5, 5)).astype(np.float16)
    tensors = run_reference(program, {"x": image}, keep_all=True)
    grid = program.tensors["x.quantized"].grid
    assert isinstance(grid, UniformGrid)
    reciprocal = np.float32(1) / grid.scale.array
    codes = np.rint(image.astype(np.float32) * reciprocal) + grid.zero_point
    assert np.array_equal(tensors["x.quantized"], np.clip(codes, -128, 127).astype(np.int8))
    # The sums, in exact integers, and what becomes of them.
    constants = program.instructions[1].constants
    q = tensors["x.quantized"].astype(np.int64) - grid.zero_point
    padded = np.pad(q, ((0, 0), (0, 0), (1, 0), (1, 0)))
    sums = np.zeros((2, 3, 4, 4), np.int64) + constants["bias"].array.reshape(1, 3, 1, 1)
    for u in range(3):
        for v in range(3):
            w = constants["weights"].array[:, :, u, v].astype(np.int64)
            sums += np.einsum("oc,nchw->nohw", w, padded[:, :, u : u + 4, v : v + 4])
    assert np.array_equal(tensors["y.sums"], sums)
    unit = program.tensors["y.sums"].grid
    assert isinstance(unit, UniformGrid)
    cut = (unit.scale.array.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)
    expected = (sums.astype(np.float32) * cut.reshape(1, 3, 1, 1)).astype(np.float16)
    assert np.array_equal(tensors["y"].view(np.uint16), expected.view(np.uint16))


def test_a_value_is_quantized_once_for_all_its_readers() -> None:
    graph = graph_of(
        {"x": (None, 4)},
        [(Gemm(), "x w", "a"), (Gemm(), "x w", "b")],
        "a b",
        {"w": np.eye(4)},
    )
    program = lower(graph, x=(-1.0, 1.0))
    operators = [i.kernel.operator for i in program.instructions]
    assert operators.count("half_quantize") == 1


def test_only_products_and_even_means_are_quantized() -> None:
    uneven = AveragePool(kernel_shape=(3, 3), pads=(1, 1, 1, 1), count_include_pad=False)
    graph = graph_of(
        {"x": (None, 1, 4, 4)},
        [
            (AveragePool(kernel_shape=(2, 2)), "x", "a"),
            (uneven, "x", "b"),
            (GlobalAveragePool(), "x", "c"),
            (Relu(), "x", "d"),
        ],
        "a b c d",
    )
    program = lower(graph, x=(0.0, 1.0))
    assert [i.kernel.operator for i in program.instructions] == [
        "half_quantize",
        "average_pool",
        "half_dequantize",
        "half_average_pool",
        "half_average_pool",
        "half_clip",
    ]
    ones = np.ones((1, 1, 4, 4), np.float16)
    found = run_reference(program, {"x": ones})
    assert found["a"].astype(float) == pytest.approx(1.0, abs=2.0**-9)
    assert (found["b"] == 1).all()


def test_a_layer_whose_input_has_no_range_is_an_error() -> None:
    graph = graph_of({"x": (None, 2)}, [(Gemm(), "x w", "y")], "y", {"w": np.eye(2)})
    with pytest.raises(CalibrationError, match="'x' has no range"):
        lower(graph)
