from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import strategies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_programs import classifier

from intlower.compiler.constant import Constant
from intlower.compiler.planning.ranges import code_ranges
from intlower.compiler.simulator import run_reference


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_no_code_leaves_its_range(data: st.DataObject) -> None:
    program = data.draw(strategies.programs())
    codes = data.draw(strategies.codes_for(program))
    ranges = code_ranges(program)
    for name, array in run_reference(program, codes, keep_all=True).items():
        low, high = ranges[name]
        assert low <= array.min()
        assert array.max() <= high


@pytest.mark.parametrize("operator", ["max_pool", "pad", "concat", "add", "conv2d"])
@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_no_code_of_an_operator_leaves_its_range(operator: str, data: st.DataObject) -> None:
    program = data.draw(strategies.instructions(operator))
    codes = data.draw(strategies.codes_for(program))
    ranges = code_ranges(program)
    for name, array in run_reference(program, codes, keep_all=True).items():
        assert ranges[name][0] <= array.min()
        assert array.max() <= ranges[name][1]


def test_inputs_may_hold_any_code_and_clamps_are_followed() -> None:
    program = classifier()
    first, *others = program.instructions
    constants = {**first.constants, "minimum": Constant.of(np.full(4, 3, np.int32))}
    program = replace(program, instructions=(replace(first, constants=constants), *others))
    ranges = code_ranges(program)
    assert ranges["image"] == (-128, 127)
    assert ranges["features"] == (3, 127)
    assert ranges["pooled"] == (3, 127)
