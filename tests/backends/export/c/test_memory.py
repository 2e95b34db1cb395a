"""The static plan: what lives at the same time lies apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from small_programs import classifier
from strategies import programs

from intlower.backends.export.c.elements import count_of
from intlower.backends.export.c.memory import Memory, plan_memory
from intlower.backends.export.c.product_form import scratch_numbers
from intlower.compiler.program import Instruction, IntegerProgram
from intlower.kernels.signature import ElementType

ELEMENTS = (ElementType.INT8, ElementType.UINT8, ElementType.INT16, ElementType.UINT16)


def codes_held(program: IntegerProgram, memory: Memory, name: str) -> set[tuple[int, int]]:
    """Return the codes of the arenas that a tensor takes: (width, number)."""
    tensor = program.tensors[name]
    start = memory.offsets[name]
    width = tensor.grid.dtype.itemsize
    return {(width, start + i) for i in range(count_of(tensor))}


def scratch_held(memory: Memory, instruction: Instruction) -> set[tuple[int, int]]:
    """Return the places that an instruction's scratch memory takes, alike."""
    taken = scratch_numbers(instruction)
    if taken is None:
        assert instruction.name not in memory.scratch
        return set()
    width, count = taken
    start = memory.scratch[instruction.name]
    return {(width, start + i) for i in range(count)}


@settings(deadline=None, max_examples=60)
@given(programs(elements=ELEMENTS))
def test_nothing_is_overwritten_before_its_last_reading(program: IntegerProgram) -> None:
    memory = plan_memory(program)

    def root(name: str) -> str:
        while name in memory.aliases:
            name = memory.aliases[name]
        return name

    owner: dict[tuple[int, int], str] = {}
    for instruction in program.instructions:
        scratch = scratch_held(memory, instruction)
        assert all(number < memory.arena_codes[width] for width, number in scratch)
        owner |= dict.fromkeys(scratch, "scratch")
        for name in map(root, instruction.inputs):
            if name in memory.offsets:
                assert all(owner[code] == name for code in codes_held(program, memory, name))
        if instruction.output in memory.offsets:
            held = codes_held(program, memory, instruction.output)
            for name in map(root, instruction.inputs):
                if name in memory.offsets:
                    assert not held & codes_held(program, memory, name)
            assert not scratch & held
            assert all(number < memory.arena_codes[width] for width, number in held)
            owner |= dict.fromkeys(held, instruction.output)


def test_tensors_share_bytes_and_shapes_share_tensors() -> None:
    memory = plan_memory(classifier())
    assert memory.aliases == {"flat": "mean"}
    assert memory.offsets["features"] == memory.offsets["sum"]
    assert "pooled" not in memory.offsets  # it is the caller's
    assert memory.arena_codes[1] < 4 * 6 * 6 + 2 * 64
    # two patches of 2 * 3 * 3 codes, in whole vectors, which both products use
    assert memory.arena_codes[2] == 2 * 32


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_the_plan_is_of_one_sample(batch: int | None) -> None:
    assert plan_memory(classifier(batch)) == plan_memory(classifier())
