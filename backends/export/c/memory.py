"""Where the tensors of the C project lie: in the caller's buffers, or in one arena for each width of code.

An arena for each width, since C lets an object be read as its own type (of either sign) or as bytes, but not bytes as
16-bit integers (C99 6.5, paragraph 7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intlower.backends.export.c.elements import count_of, sizes_of
from intlower.backends.export.c.product_form import scratch_numbers
from intlower.compiler.planning.layout import (
    Lifetime,
    inner_strides,
    place,
    row_major_strides,
    same_order,
)
from intlower.compiler.program import Instruction, IntegerProgram


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A static memory plan.

    Attributes:
        offsets: of tensors in the arena of their width, in codes.
        scratch: offsets of the scratch memory of instructions, by their name, alike.
        aliases: tensors that are others under another shape: output name -> input name of the reshape.
        arena_codes: width of a code in bytes -> number of codes of that arena.
    """

    offsets: Mapping[str, int]
    scratch: Mapping[str, int]
    aliases: Mapping[str, str]
    arena_codes: Mapping[int, int]

    @property
    def arena_bytes(self) -> int:
        """Bytes of all arenas."""
        return sum(width * count for width, count in self.arena_codes.items())


def keeps_order(program: IntegerProgram, instruction: Instruction) -> bool:
    """Return whether a reshape leaves every code where it lies, images being [height, width, channels]."""
    tensors = (program.tensors[instruction.inputs[0]], program.tensors[instruction.output])
    return all(
        same_order(sizes, inner_strides(sizes), row_major_strides(sizes))
        for sizes in map(sizes_of, tensors)
    )


def plan_memory(program: IntegerProgram) -> Memory:
    """Return the places of all tensors that are neither inputs nor outputs, and of scratch memory."""
    aliases = {
        instruction.output: instruction.inputs[0]
        for instruction in program.instructions
        if instruction.kernel.operator == "reshape"
        and instruction.output not in program.outputs
        and keeps_order(program, instruction)
    }

    def root(name: str) -> str:
        while name in aliases:
            name = aliases[name]
        return name

    outside = {*program.inputs, *program.outputs, *aliases}
    # By instruction for scratch memory, by tensor for codes.
    lives: dict[tuple[str, bool], tuple[int, int]] = {}
    numbers: dict[tuple[str, bool], tuple[int, int]] = {}
    for step, instruction in enumerate(program.instructions):
        for name in (instruction.output, *instruction.inputs):
            owner = (root(name), False)
            if owner[0] not in outside:
                lives[owner] = (lives.get(owner, (step, step))[0], step)
                tensor = program.tensors[owner[0]]
                numbers[owner] = (tensor.grid.dtype.itemsize, count_of(tensor))
        if (taken := scratch_numbers(instruction)) is not None:
            lives[instruction.name, True] = (step, step)
            numbers[instruction.name, True] = taken
    offsets: dict[tuple[str, bool], int] = {}
    arena_codes: dict[int, int] = {}
    for width in sorted({width for width, _ in numbers.values()}):
        owners = [owner for owner in lives if numbers[owner][0] == width]
        lifetimes = [
            Lifetime(
                size=width * numbers[owner][1], first=lives[owner][0], last=lives[owner][1]
            )
            for owner in owners
        ]
        places, size = place(lifetimes)
        offsets |= {owner: at // width for owner, at in zip(owners, places, strict=True)}
        arena_codes[width] = size // width
    return Memory(
        offsets={name: at for (name, scratch), at in offsets.items() if not scratch},
        scratch={name: at for (name, scratch), at in offsets.items() if scratch},
        aliases=aliases,
        arena_codes=arena_codes,
    )
