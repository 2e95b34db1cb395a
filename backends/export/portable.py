"""`json`: the whole program as plain JSON and safetensors, for toolchains whose formats are not public.

Source: huggingface/safetensors README, Format: 8 bytes little-endian length of the header, the header (JSON: dtype, shape, data_offsets by
name), the arrays' bytes without gaps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.format import Files, Format, json_bytes
from intlower.compiler.artifact_metadata import metadata_text
from intlower.compiler.grids import ChannelGrid, HalfGrid, LogGrid, MinifloatGrid, UniformGrid
from intlower.compiler.program import IntegerProgram

_DTYPES = {
    "int8": "I8",
    "uint8": "U8",
    "int16": "I16",
    "uint16": "U16",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
}
_ALIGNMENT = 8


def program_document(program: IntegerProgram) -> dict[str, Any]:
    """Return everything of a program but its arrays: grids, origin, instructions in order."""
    document: dict[str, Any] = json.loads(metadata_text(program))
    for name, tensor in program.tensors.items():
        document["tensors"][name]["shape"] = list(tensor.shape)
    document["instructions"] = [
        {
            "name": instruction.name,
            "kernel": str(instruction.kernel),
            "inputs": list(instruction.inputs),
            "output": instruction.output,
            "attributes": {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in instruction.attributes.items()
            },
            "constants": {key: f"{instruction.name}/{key}" for key in instruction.constants},
        }
        for instruction in program.instructions
    ]
    document["input_order"], document["output_order"] = (
        list(program.inputs),
        list(program.outputs),
    )
    return document


def safetensors(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays of integers or float16 as a safetensors file."""
    header: dict[str, Any] = {}
    parts, offset = [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        end = offset + len(data)
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        parts.append(data)
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (
        -len(text) % _ALIGNMENT
    )  # spaces may follow the header, so that data is aligned
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def _write(program: IntegerProgram) -> Files:
    arrays = {
        f"{instruction.name}/{key}": constant.array
        for instruction in program.instructions
        for key, constant in instruction.constants.items()
    }
    return {
        "program.json": json_bytes(program_document(program)),
        "program.safetensors": safetensors(arrays),
    }


FORMAT = Format(
    name="json",
    meaning="plain JSON and safetensors of the whole program",
    expresses="every program",
    write=_write,
    grids=(UniformGrid, ChannelGrid, HalfGrid, LogGrid, MinifloatGrid),
    files={
        "program.json": "grids, origin and instructions, in order",
        "program.safetensors": "the integer arrays, named INSTRUCTION/CONSTANT",
    },
    commands=lambda program: (
        "python -c \"from safetensors.numpy import load_file; print(load_file('program.safetensors').keys())\"",
    ),
    notes=(
        "This is no vendor's format: it is for toolchains that publish none. It holds every number of the program.",
        "A kernel's name says operator, element types and requantization, as intlower's kernels/signature.py defines them.",
    ),
)
