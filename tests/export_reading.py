"""What the tests of export formats have in common: changing a program's grids, reading what was written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

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


DTYPES = {
    "I8": np.int8,
    "U8": np.uint8,
    "I16": np.int16,
    "U16": np.uint16,
    "I32": np.int32,
    "I64": np.int64,
    "F16": np.float16,
}


def read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file, as its README describes it."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    start = 8 + size
    assert start % 8 == 0
    arrays, last = {}, 0
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert begin == last
        last = end
        flat = np.frombuffer(data[start + begin : start + end], DTYPES[entry["dtype"]])
        arrays[name] = flat.reshape(entry["shape"])
    assert start + last == len(data)
    return arrays
