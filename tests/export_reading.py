"""What the tests of export formats have in common: changing a program's grids, reading what was written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from intlower.backends.export.registry import export_files
from intlower.compiler.grids import UniformGrid
from intlower.compiler.program import Instruction, IntegerProgram


def document(program: IntegerProgram, name: str, path: str) -> Any:
    """Return a JSON file of a program's export."""
    return json.loads(export_files(program, name)[path])


def with_grid(program: IntegerProgram, name: str, new: UniformGrid) -> IntegerProgram:
    """Return a program with another grid of a tensor; the integers stay as they are."""
    tensor = replace(program.tensors[name], grid=new)
    return replace(program, tensors={**program.tensors, name: tensor})


def shifted(old: UniformGrid, zero_point: int) -> UniformGrid:
    """Return a grid with another zero point."""
    return replace(old, zero_point=zero_point)


def weighted(program: IntegerProgram) -> list[Instruction]:
    """Return the instructions with weights."""
    return [i for i in program.instructions if i.weight_grid is not None]
