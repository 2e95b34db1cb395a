"""Tables, rearrangement, products and resampling with a number of a stranger's: refused, or the same in all engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_programs import ORIGIN, grid, instruction
from strategies import draw_codes, instructions
from strategies_extended import EXTENDED_OPERATORS
from strategies_general import GENERAL_OPERATORS

from intlower.compiler.constant import Constant
from intlower.compiler.errors import ArtifactError
from intlower.compiler.program import Instruction, IntegerProgram, Tensor
from intlower.compiler.simulator import open_program, run_reference
from intlower.kernels.signature import ElementType

INT8 = ElementType.INT8
NUMBERS = st.one_of(
    st.integers(-3, 40),
    st.sampled_from(
        [sign * (1 << bits) for bits in (7, 8, 15, 24, 30, 31, 62) for sign in (1, -1)]
    ),
)


def mutated(draw: Any, chosen: Instruction) -> Instruction:
    """The instruction with one number, or one shape, changed."""
    name = draw(st.sampled_from([*chosen.attributes, *chosen.constants]))
    number = draw(NUMBERS)
    if name in chosen.attributes:
        value = chosen.attributes[name]
        if isinstance(value, int):
            return replace(chosen, attributes={**chosen.attributes, name: number})
        index = draw(st.integers(0, len(value) - 1))
        changed = (*value[:index], number, *value[index + 1 :])
        changed = draw(st.sampled_from([changed, value[:-1], (*value, 1), ()]))
        return replace(chosen, attributes={**chosen.attributes, name: changed})
    array = chosen.constants[name].array
    copy = array.copy()
    limits = np.iinfo(array.dtype)
    copy.flat[draw(st.integers(0, array.size - 1))] = min(max(number, limits.min), limits.max)
    wrong = draw(
        st.sampled_from(
            [copy, copy, array.astype(np.int64), array[:-1], array[None], array[:0]]
        )
    )
    return replace(chosen, constants={**chosen.constants, name: Constant.of(wrong)})


@pytest.mark.parametrize("operator", [*EXTENDED_OPERATORS, *GENERAL_OPERATORS])
def test_a_wrong_number_is_refused_or_the_engines_agree_on_it(operator: str) -> None:
    @settings(
        deadline=None, max_examples=60, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        program = data.draw(instructions(operator))
        *before, last = program.instructions
        try:
            program = replace(program, instructions=(*before, mutated(data.draw, last)))
        except ArtifactError:
            return
        codes = draw_codes(program, data.draw(st.integers(0, 99)), 1)
        expected = run_reference(program, codes)
        actual = open_program(program).run(codes)
        assert all(np.array_equal(actual[name], expected[name]) for name in program.outputs)

    holds()


def one(made: Instruction, shape: tuple[int | None, ...]) -> IntegerProgram:
    return IntegerProgram(
        target="test",
        inputs=("x",),
        outputs=("y",),
        tensors={
            "x": Tensor(name="x", shape=(None, 2, 3), grid=grid(1.0, INT8)),
            "y": Tensor(name="y", shape=shape, grid=grid(1.0, INT8)),
        },
        instructions=(made,),
        origin=ORIGIN,
    )


def test_a_short_table_is_refused() -> None:
    table = {"table": Constant.of(np.zeros(255), np.int8)}
    with pytest.raises(ArtifactError, match=r"table is int8\[255\]"):
        one(instruction("lookup_s8_s8", "f", ("x",), "y", constants=table), (None, 2, 3))


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_outside_the_axis_is_refused(index: int) -> None:
    indices = {"indices": Constant.of([0, index], np.int32)}
    made = instruction("gather_s8", "g", ("x",), "y", constants=indices, axis=2)
    with pytest.raises(ArtifactError, match=r"indices has entries outside \[0, 2\]"):
        one(made, (None, 2, 2))


def test_a_transposed_batch_is_refused() -> None:
    made = instruction("transpose_s8", "t", ("x",), "y", permutation=(1, 0, 2))
    with pytest.raises(ArtifactError, match="moves the batch"):
        one(made, (2, 1, 3))
