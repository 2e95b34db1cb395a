"""Calls of functions that are written once for each combination of element types, and of scaling."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from intlower.backends.export.c.elements import c_type, rule_of
from intlower.backends.export.c.literals import c_integer
from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.scaling import CLAMP
from intlower.backends.export.c.writer import ModelWriter
from intlower.compiler.program import Instruction


def call_typed(
    writer: ModelWriter,
    instruction: Instruction,
    operator: str,
    text: Template,
    needs: Sequence[Piece],
    arguments: Sequence[str | int],
    *,
    variant: str = "",
    **words: object,
) -> None:
    """Append the call of a function (inputs, output, others) that is named for its element types.

    Args:
        writer: of the model's file.
        instruction: what is called.
        operator: the function is called il_, this and the types of the input and of the output.
        text: of the function; $name, $x, $y and $least are its name, the C types and the least code of the input.
        needs: what it calls.
        arguments: after the tensors.
        variant: what else its name says.
        words: what else its text has.
    """
    key = instruction.kernel
    name = f"il_{operator}_{key.activation.value}_{key.output.value}{variant}"
    written = text.substitute(
        words,
        name=name,
        x=c_type(key.activation),
        y=c_type(key.output),
        least=c_integer(key.activation.limits[0]),
    )
    writer.call(
        Piece(name=name, text=written, needs=tuple(needs)),
        [
            *map(writer.tensor, instruction.inputs),
            writer.tensor(instruction.output),
            *arguments,
        ],
    )


def call_scaled(
    writer: ModelWriter,
    instruction: Instruction,
    operator: str,
    text: Template,
    needs: Sequence[Piece],
    arguments: Sequence[str | int],
    *,
    variant: str = "",
    **words: object,
) -> None:
    """Append the call of a function that scales its sums by the instruction's rule, $scale, and clamps them; see `call_typed`."""
    scale = rule_of(instruction).scale
    call_typed(
        writer,
        instruction,
        operator,
        text,
        (*needs, scale, CLAMP),
        arguments,
        variant=f"{variant}_{scale.name.removeprefix('il_scale_')}",
        scale=scale.name,
        **words,
    )
