"""A program from a stranger's file must not reach the half-precision kernels with numbers that they do not expect."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from half_programs import F16
from program_builder import ORIGIN

from intlower.compiler.constant import Constant
from intlower.compiler.errors import ArtifactError
from intlower.compiler.grids import HalfGrid
from intlower.compiler.program import Instruction, IntegerProgram, Tensor
from intlower.kernels.half_rule import HalfRule, Subnormals
from intlower.kernels.signature import KernelKey

RULE = HalfRule(subnormals=Subnormals.FLUSHED, saturate=True)


def gemm(**constants: Any) -> IntegerProgram:
    arrays = {
        "weights": np.ones((2, 3), np.float16),
        "bias": np.zeros(2, np.float16),
        "minimum": np.full(2, -np.inf, np.float16),
        "maximum": np.full(2, np.inf, np.float16),
        **constants,
    }
    grid = HalfGrid.of(RULE)
    instruction = Instruction(
        name="it",
        kernel=KernelKey(
            operator="half_gemm", activation=F16, weight=F16, output=F16, half=RULE
        ),
        inputs=("x",),
        output="y",
        constants={name: Constant.of(array) for name, array in arrays.items()},
        weight_grid=grid,
    )
    return IntegerProgram(
        target="test",
        inputs=("x",),
        outputs=("y",),
        tensors={
            "x": Tensor(name="x", shape=(None, 3), grid=grid),
            "y": Tensor(name="y", shape=(None, 2), grid=grid),
        },
        instructions=(instruction,),
        origin=ORIGIN,
    )


def test_a_sound_program_passes() -> None:
    assert gemm().instructions[0].kernel.half == RULE


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"weights": np.full((2, 3), np.nan, np.float16)}, "not numbers"),
        ({"weights": np.full((2, 3), np.inf, np.float16)}, "not numbers"),
        ({"weights": np.full((2, 3), 2.0**-20, np.float16)}, "subnormal"),
        ({"weights": np.ones((2, 3), np.float32)}, "float32"),
        ({"weights": np.ones((2, 4), np.float16)}, "do not fit"),
        ({"bias": np.zeros(3, np.float16)}, "bias"),
        ({"minimum": np.full(2, np.nan, np.float16)}, "not numbers"),
        ({"minimum": np.ones(2, np.float16), "maximum": np.zeros(2, np.float16)}, "above"),
    ],
)
def test_unsound_constants_are_refused(constants: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        gemm(**constants)


def test_unsound_types_are_refused() -> None:
    program = gemm()
    key = replace(program.instructions[0].kernel, operator="half_add", weight=None)
    with pytest.raises(ArtifactError, match="constants"):
        replace(program, instructions=(replace(program.instructions[0], kernel=key),))
