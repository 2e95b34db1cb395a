"""A hostile artifact must be refused before a kernel indexes by its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_programs import log_instruction

from intlower.compiler.errors import ArtifactError
from intlower.compiler.instruction_rules import check_instruction
from intlower.compiler.program import IntegerProgram

Change = Callable[[dict[str, Any], dict[str, Any]], None]


def check(program: IntegerProgram, change: Change) -> None:
    """Check a program's one instruction after its constants and attributes were changed."""
    (instruction,) = program.instructions
    constants = {name: c.array.copy() for name, c in instruction.constants.items()}
    attributes = dict(instruction.attributes)
    change(constants, attributes)
    inputs = [program.tensors[name] for name in instruction.inputs]
    output = program.tensors[instruction.output]
    check_instruction(
        instruction.name,
        instruction.kernel,
        [t.shape for t in inputs],
        [t.grid.element for t in inputs],
        output.shape,
        output.grid.element,
        constants,
        attributes,
    )


def _set(kind: int, name: str, value: Any) -> Change:
    def change(*arguments: dict[str, Any]) -> None:
        place = arguments[kind]
        if kind == 0:
            place[name].reshape(-1)[-1] = value
        else:
            place[name] = value

    return change


def _cut(name: str) -> Change:
    def change(constants: dict[str, Any], attributes: dict[str, Any]) -> None:
        constants[name] = constants[name][:-1]

    return change


WRONG = [
    ("log_gemm", 8, _cut("mantissas"), "mantissas"),
    ("log_gemm", 8, _set(0, "mantissas", 1 << 15), "mantissas"),
    ("log_gemm", 8, _set(0, "mantissas", 1 << 14), "ascend"),
    ("log_gemm", 8, _set(0, "bias_low", -1), "bias_low"),
    ("log_gemm", 8, _set(0, "bias_high", 1 << 30), "bias_high"),
    ("log_gemm", 8, _set(1, "shift", 80), "shift"),
    ("log_gemm", 8, _set(1, "shift", -19), "shift"),
    ("log_gemm", 8, _set(1, "mantissa", 0), "mantissa"),
    ("log_gemm", 8, _set(1, "product_shift", 1), "product_shift"),
    ("log_gemm", 16, _set(0, "weights", 8192), "weights"),
    ("log_gemm", 16, _set(1, "product_shift", 0), "past 62 bits"),
    ("log_encode", 8, _cut("thresholds"), "thresholds"),
    ("log_encode", 8, _set(0, "thresholds", 0), "ascend"),
    ("log_encode", 8, _set(1, "negative_threshold", 0), "negative_threshold"),
    ("log_decode", 16, _cut("levels"), "levels"),
    ("linear_average_pool", 8, _set(0, "counts", 0), "counts"),
    ("linear_add", 8, _set(1, "maximum", -(1 << 31) - 1), "maximum"),
]


@pytest.mark.parametrize(("operator", "bits", "change", "reason"), WRONG)
@settings(deadline=None, max_examples=4, database=None)
@given(data=st.data())
def test_what_does_not_fit_is_refused(
    operator: str, bits: int, change: Change, reason: str, data: st.DataObject
) -> None:
    program = log_instruction(data.draw, operator, bits)
    check(program, lambda constants, attributes: None)
    with pytest.raises(ArtifactError, match=reason):
        check(program, change)
