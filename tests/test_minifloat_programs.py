"""Minifloats: the engine, the oracle and onnxruntime give the same codes, whatever the numbers and the layout."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minifloat_programs import programs

from intlower.compiler.artifact import parse, serialise, to_model
from intlower.compiler.crosscheck import random_inputs, verify

OPERATORS = (
    "minifloat_conv2d",
    "minifloat_gemm",
    "minifloat_add",
    "minifloat_average_pool",
    "minifloat_clip",
)


@pytest.mark.crosscheck
@pytest.mark.parametrize("operator", OPERATORS)
@settings(max_examples=20, deadline=None)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_three_executions_agree_to_the_bit(
    operator: str, data: st.DataObject, seed: int
) -> None:
    program = data.draw(programs(operator))
    for comparison in verify(program, random_inputs(program, 3, seed)).values():
        assert comparison.compared > 0
        assert comparison.mismatches == 0, comparison.first
    assert parse(serialise(program)) == program
    onnx.checker.check_model(to_model(program), full_check=True)
