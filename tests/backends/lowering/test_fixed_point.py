from __future__ import annotations

import math

import numpy as np
import pytest
from graph_building import graph_of
from hypothesis import given
from hypothesis import strategies as st
from lowered_graphs import instruction, lower, run

from intlower.backends.litert import TARGET
from intlower.backends.lowering.fixed_point import fixed_exponential_table
from intlower.backends.lowering.scales import integer_scale
from intlower.compiler.errors import ScaleOutOfRange, UnsupportedByTarget
from intlower.compiler.operators import Add, AveragePool, Softmax
from intlower.kernels.signature import Requantize

SPEC = TARGET.member("").spec
WIDE = TARGET.member("bits=16x8").spec


@given(st.floats(1e-6, 30.0))
def test_the_table_holds_exponentials_of_differences(width: float) -> None:
    grid = SPEC.activations.grid(0.0, width * 255)
    table = fixed_exponential_table(grid, "softmax")
    exact = np.exp(-grid.step * np.arange(256))
    assert table[0] == (1 << 31) - 1
    # The step of a difference is 2**-26, and products are rounded a few times.
    assert np.abs(table / 2.0**31 - exact).max() < 2.0**-22
    assert np.all(np.diff(table) <= 0)


def test_logits_that_hardly_differ_are_refused() -> None:
    grid = SPEC.activations.grid(0.0, 255 * 2.0**-27)
    with pytest.raises(ScaleOutOfRange, match="too fine"):
        fixed_exponential_table(grid, "softmax")


def test_more_classes_than_the_sum_holds_are_refused() -> None:
    graph = graph_of({"x": (None, 4096)}, [(Softmax(), "x", "y")], "y")
    with pytest.raises(UnsupportedByTarget, match="4096 classes"):
        lower(graph, SPEC, {"x": (-1.0, 1.0)})


@pytest.mark.parametrize(("counted", "corner"), [(True, 1.0), (False, 4.0)])
def test_padding_counts_only_where_the_pool_says_so(counted: bool, corner: float) -> None:
    pool = AveragePool(kernel_shape=(2, 2), pads=(1, 1, 0, 0), count_include_pad=counted)
    graph = graph_of({"x": (None, 1, 2, 2)}, [(pool, "x", "y")], "y")
    program = lower(graph, SPEC, {"x": (-2.0, 253 / 8 - 2)})
    assert program.tensors["y"].grid == program.tensors["x"].grid
    codes = run(program, {"x": np.full((1, 1, 2, 2), 4.0, np.float32)})
    grid = program.tensors["y"].grid
    assert float(grid.dequantize(codes["y"][0, 0, 0, 0])) == pytest.approx(corner, abs=0.1)


@given(st.floats(1e-9, 100.0))
def test_a_reduced_multiplier_is_the_longer_one_rounded_again(factor: float) -> None:
    long, long_shift = integer_scale(Requantize.MUL31SINGLE, factor, "here")
    short, shift = integer_scale(Requantize.MUL31SINGLE, factor, "here", bits=15, reduced=True)
    assert shift == long_shift - 16
    assert short == min(math.floor(long / 65536 + 0.5), 0x7FFF)


def test_the_greatest_reduced_multiplier_stays_in_its_bits() -> None:
    factor = 1 - 2.0**-20
    short, shift = integer_scale(Requantize.MUL31SINGLE, factor, "here", bits=15, reduced=True)
    assert (short, shift) == (0x7FFF, 15)


def test_sums_of_wide_codes_keep_fifteen_bits() -> None:
    graph = graph_of({"x": (None, 2)}, [(Add(), "x x", "y")], "y")
    for spec, bits in ((SPEC, 20), (WIDE, 15)):
        program = lower(graph, spec, {"x": (-1.0, 1.0), "y": (-2.0, 2.0)})
        add = instruction(program, "node_y")
        assert add.attributes["left_shift"] == bits
        assert add.kernel.requantize is Requantize.MUL31DOUBLE
