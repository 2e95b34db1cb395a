"""The model's source under construction: constants, declarations and calls, in the program's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.c.elements import (
    NoCForm,
    c_type,
    check_element,
    no_c_form,
    sizes_of,
)
from intlower.backends.export.c.literals import c_array, c_integer
from intlower.backends.export.c.memory import Memory, plan_memory
from intlower.backends.export.c.names import identifier_parts, in_comment
from intlower.backends.export.c.pieces import Piece
from intlower.compiler.grids import UniformGrid
from intlower.compiler.planning.layout import inner_strides
from intlower.compiler.program import Instruction, IntegerProgram, Tensor
from intlower.kernels.signature import ElementType


class ModelWriter:
    """Collects what the emitters of the operators write.

    Attributes:
        program: what is written.
        memory: where its tensors lie.
        pieces: parts of the kernels' header that are needed.
        constants: definitions of arrays and structures.
        statements: declarations and calls.
        constant_bytes: size of all arrays.
    """

    def __init__(self, program: IntegerProgram) -> None:
        for tensor in program.tensors.values():
            check_element(f"tensor {tensor.name!r}", tensor.grid.element)
        for name in program.outputs:
            if name in program.inputs:
                raise NoCForm(f"output {name!r}", "it is an input")
        self.program = program
        self.memory: Memory = plan_memory(program)
        self.pieces: list[Piece] = []
        self.constants: list[str] = []
        self.statements: list[str] = []
        self.constant_bytes = 0
        self._tensors = identifier_parts(program.tensors)
        self._instructions = identifier_parts(
            instruction.name for instruction in program.instructions
        )

    def sizes(self, name: str) -> tuple[int, ...]:
        """Return the shape of one sample of a tensor, as the program has it."""
        return sizes_of(self.program.tensors[name])

    def strides(self, name: str) -> tuple[int, ...]:
        """Return a tensor's strides in codes: an image [C, H, W] lies as [H, W, C]."""
        return inner_strides(self.sizes(name))

    def element(self, name: str) -> ElementType:
        """Return a tensor's element type."""
        return self.program.tensors[name].grid.element

    def image(self, instruction: Instruction, name: str) -> tuple[int, int, int]:
        """Return (channels, height, width) of a tensor that the program's rules prove to be an image."""
        sizes = self.sizes(name)
        if len(sizes) != 3:
            raise no_c_form(instruction, f"{name!r} is not an image")
        return sizes[0], sizes[1], sizes[2]

    def tensor(self, name: str) -> str:
        """Return the identifier of a tensor."""
        if name in self.program.inputs:
            return f"input_{self._tensors[name]}"
        if name in self.program.outputs:
            return f"output_{self._tensors[name]}"
        return f"tensor_{self._tensors[name]}"

    def describe(self, tensor: Tensor) -> str:
        """Return a tensor's name, shape and grid, for a comment."""
        grid = tensor.grid
        shape = list(self.layout(tensor.name))
        if isinstance(grid, UniformGrid):
            scales = ", ".join(
                f"{scale:.9g}" for scale in grid.scale.array.reshape(-1)[:4].tolist()
            )
            many = ", ..." if grid.scale.array.size > 4 else ""
            numbers = f"scale {scales}{many}, zero point {grid.zero_point}"
        else:
            numbers = ", ".join([grid.kind, *(f"{k} {v}" for k, v in grid.numbers().items())])
        return f"{in_comment(tensor.name)}: {grid.element.dtype_name} {shape}, {numbers}"

    def layout(self, name: str) -> tuple[int, ...]:
        """Return the shape of one sample as it lies in memory, last dimension fastest."""
        sizes = self.sizes(name)
        return (*sizes[1:], sizes[0]) if len(sizes) == 3 else sizes

    def array(self, kind: str, instruction: Instruction, values: NDArray[Any], c: str) -> str:
        """Define a constant array of an instruction; return its identifier.

        Args:
            kind: what it is: the first word of the identifier, one of those reserved in `names`.
            instruction: whose it is.
            values: integers that the type holds.
            c: the C type of an element.
        """
        name = f"{kind}_{self._instructions[instruction.name]}"
        self.constants.append(
            c_array(c, name, values, f"{in_comment(instruction.name)}: {list(values.shape)}")
        )
        width = int(c.removeprefix("u").removeprefix("int").removesuffix("_t")) // 8
        self.constant_bytes += values.size * width
        return name

    def structure(
        self, kind: str, piece: Piece, instruction: Instruction, fields: Mapping[str, int | str]
    ) -> str:
        """Define a constant structure of an instruction; return its identifier.

        Args:
            kind: what it is: the first word of the identifier, one of those reserved in `names`.
            piece: the type.
            instruction: whose it is.
            fields: numbers, and names of arrays, by member.
        """
        self.pieces.append(piece)
        name = f"{kind}_{self._instructions[instruction.name]}"
        members = ",\n".join(
            f"    .{member} = {c_integer(value) if isinstance(value, int) else value}"
            for member, value in fields.items()
        )
        self.constants.append(f"static const {piece.name} {name} = {{\n{members}\n}};\n")
        return name

    def rows(
        self, kind: str, piece: Piece, instruction: Instruction, rows: Sequence[Sequence[int]]
    ) -> str:
        """Define a constant array of structures of numbers; return its identifier.

        Args:
            kind: what it is: the first word of the identifier, one of those reserved in `names`.
            piece: the type of a row.
            instruction: whose it is.
            rows: members in the type's order.
        """
        self.pieces.append(piece)
        name = f"{kind}_{self._instructions[instruction.name]}"
        listed = ",\n".join(f"    {{{', '.join(map(c_integer, row))}}}" for row in rows)
        self.constants.append(
            f"static const {piece.name} {name}[{len(rows)}] = {{\n{listed}\n}};\n"
        )
        return name

    def declare(self, instruction: Instruction) -> None:
        """Say what comes next, and declare the instruction's output where it has no place yet."""
        output = self.program.tensors[instruction.output]
        lines = [
            f"    /* {in_comment(instruction.name)} ({instruction.kernel})",
            f"       -> {self.describe(output)} */",
        ]
        name, element = self.tensor(output.name), c_type(output.grid.element)
        if output.name in self.memory.aliases:
            source = self.tensor(self.memory.aliases[output.name])
            lines.append(f"    const {element} *const {name} = {source};")
        elif output.name in self.memory.offsets:
            width = 8 * output.grid.dtype.itemsize
            place = f"&arena->codes{width}[{self.memory.offsets[output.name]}]"
            lines.append(f"    {element} *const {name} = ({element} *){place};")
        self.statements.append("\n" + "\n".join(lines) + "\n")

    def scratch(self, instruction: Instruction, c: str) -> str:
        """Return the expression of an instruction's scratch memory, of a C type of 16 or 32 bits."""
        width = c.removeprefix("int").removesuffix("_t")
        return f"({c} *)&arena->codes{width}[{self.memory.scratch[instruction.name]}]"

    def call(self, piece: Piece, arguments: Sequence[str | int]) -> None:
        """Append a call of a kernel."""
        self.pieces.append(piece)
        listed = ", ".join(
            argument if isinstance(argument, str) else c_integer(argument)
            for argument in arguments
        )
        self.statements.append(f"    {piece.name}({listed});\n")


def shift_codes(shift: NDArray[Any]) -> NDArray[np.uint8]:
    """Return shifts, which are in [1, 62], in the type that the C kernels read."""
    return shift.astype(np.uint8)
