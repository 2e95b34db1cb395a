"""Names that a format can hold, made from a model's names so that they can be undone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from intlower.compiler.program import IntegerProgram


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeProgram:
    """A program with safe names.

    Attributes:
        program: the same integers under safe names.
        originals: the model's name of every safe name that differs from it.
    """

    program: IntegerProgram
    originals: dict[str, str]


def safe_names(names: Iterable[str], characters: str, longest: int = 200) -> dict[str, str]:
    """Return a safe name for each name: unique, not empty, the name itself where it will do.

    1. A character that is not allowed becomes `_`, and so does an empty name.
    2. A name that is longer than allowed is cut.
    3. Names that became equal are numbered, in order; a name that needed no change is never numbered.

    Args:
        names: all different.
        characters: a regular expression of one character.
        longest: number of characters: text parsers have buffers (ncnn's is 255).

    >>> safe_names(["a/b", "a_b", ""], "[a-z_]")
    {'a/b': 'a_b_2', 'a_b': 'a_b', '': '_'}
    """
    names = tuple(names)
    allowed = re.compile(characters)
    safe: dict[str, str] = {}
    for name in names:
        replaced = "".join(c if allowed.fullmatch(c) else "_" for c in name) or "_"  # 1
        safe[name] = replaced[:longest]  # 2
    taken = {name for name in names if safe[name] == name}
    for name in names:  # 3
        if safe[name] == name:
            continue
        candidate, number = safe[name], 1
        while candidate in taken:
            number += 1
            candidate = f"{safe[name]}_{number}"
        taken.add(candidate)
        safe[name] = candidate
    return safe


def with_safe_names(program: IntegerProgram, characters: str) -> SafeProgram:
    """Return a program with safe names of tensors, instructions and host results.

    An instruction often has the name of its output, as ONNX exporters write them. Tensors and instructions are made
    safe together, so both keep one name.

    Args:
        program: to rename.
        characters: a regular expression of one character that names may hold.
    """
    results = [step.output for step in program.host]
    nodes = [instruction.name for instruction in program.instructions]
    safe = safe_names(dict.fromkeys([*program.tensors, *results, *nodes]), characters)
    if all(name == original for original, name in safe.items()):
        return SafeProgram(program=program, originals={})
    renamed = replace(
        program,
        inputs=tuple(safe[name] for name in program.inputs),
        outputs=tuple(safe[name] for name in program.outputs),
        tensors={
            safe[name]: replace(tensor, name=safe[name])
            for name, tensor in program.tensors.items()
        },
        instructions=tuple(
            replace(
                instruction,
                name=safe[instruction.name],
                inputs=tuple(safe[name] for name in instruction.inputs),
                output=safe[instruction.output],
            )
            for instruction in program.instructions
        ),
        host=tuple(
            replace(step, input=safe[step.input], output=safe[step.output])
            for step in program.host
        ),
    )
    return SafeProgram(
        program=renamed,
        originals={name: original for original, name in safe.items() if name != original},
    )
