"""Half precision: the engine, the oracle and onnxruntime give the same bits, whatever the numbers and the rule."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from half_programs import halves, programs
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.artifact import parse, serialise, to_model
from intlower.compiler.crosscheck import random_inputs, verify
from intlower.compiler.grids import HalfGrid
from intlower.compiler.program import IntegerProgram
from intlower.kernels.half_rule import HalfRule

OPERATORS = (
    "half_conv2d",
    "half_gemm",
    "half_add",
    "half_average_pool",
    "half_max_pool",
    "half_clip",
    "half_pad",
    "half_dequantize",
    "half_quantize",
    "concat",
    "slice",
    "reshape",
)


@pytest.mark.crosscheck
@pytest.mark.parametrize("operator", OPERATORS)
@settings(max_examples=12, deadline=None)
@given(data=st.data(), mode=st.integers(0, 4), seed=st.integers(0, 1000))
def test_three_executions_agree_to_the_bit(
    operator: str, data: st.DataObject, mode: int, seed: int
) -> None:
    program: IntegerProgram = data.draw(programs((operator,)))
    codes = random_inputs(program, 3, seed)
    for name in program.inputs:
        grid = program.tensors[name].grid
        if isinstance(grid, HalfGrid):
            rule = HalfRule(subnormals=grid.subnormals, saturate=grid.saturate)
            codes[name] = halves(np.random.default_rng(seed), mode, codes[name].shape, rule)
    for comparison in verify(program, codes).values():
        assert comparison.compared > 0
        assert comparison.mismatches == 0, comparison.first
    assert parse(serialise(program)) == program
    onnx.checker.check_model(to_model(program), full_check=True)
