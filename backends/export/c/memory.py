"""Where the tensors of the C project lie: in the caller's buffers, or in one arena for each width of code.

An arena for each width, since C lets an object be read as its own type (of either sign) or as bytes, but not bytes as
16-bit integers (C99 6.5, paragraph 7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intlower.backends.export.c.elements import count_of, sizes_of
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
        aliases: tensors that are others under another shape: output name -> input name of the reshape.
        arena_codes: width of a code in bytes -> number of codes of that arena.
    """

    offsets: Mapping[str, int]
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
    """Return the places of all tensors that are neither inputs nor outputs."""
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
    lives: dict[str, tuple[int, int]] = {}
    for step, instruction in enumerate(program.instructions):
        for name in (instruction.output, *instruction.inputs):
            owner = root(name)
            if owner not in outside:
                lives[owner] = (lives.get(owner, (step, step))[0], step)
    offsets: dict[str, int] = {}
    arena_codes: dict[int, int] = {}
    widths = {name: program.tensors[name].grid.dtype.itemsize for name in lives}
    for width in sorted(set(widths.values())):
        names = [name for name in lives if widths[name] == width]
        lifetimes = [
            Lifetime(
                size=width * count_of(program.tensors[name]),
                first=lives[name][0],
                last=lives[name][1],
            )
            for name in names
        ]
        places, size = place(lifetimes)
        offsets |= {name: offset // width for name, offset in zip(names, places, strict=True)}
        arena_codes[width] = size // width
    return Memory(offsets=offsets, aliases=aliases, arena_codes=arena_codes)
