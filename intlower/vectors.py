"""Test vectors: a program's inputs, constants and every intermediate tensor, for whoever implements it elsewhere.

A folder of vectors holds `index.json` and one `.npy` file for each array. The index lists the instructions in program
order with all that a step needs: its kernel, attributes, input tensors, constants and output.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from intlower.compiler.artifact_metadata import metadata_text
from intlower.compiler.crosscheck import YARDSTICKS, verify
from intlower.compiler.errors import DataError
from intlower.compiler.program import Instruction, IntegerProgram
from intlower.compiler.simulator import check_codes, run_reference

Array = NDArray[Any]

INDEX = "index.json"
FORMAT = "intlower vectors 1"
# File systems take 255 bytes; a number, a kind and a suffix go around the name.
_LONGEST_NAME = 200
# Characters of a line of the index, but for a long number or name.
_LINE = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """What a program computes, number by number.

    Attributes:
        index: a JSON document.
        arrays: integer arrays by the stem of the "file" in the index, in program order: inputs, then each instruction's
            constants and output.
    """

    index: Mapping[str, Any]
    arrays: Mapping[str, Array]


def make_vectors(program: IntegerProgram, inputs: Mapping[str, Array]) -> Vectors:
    """Return the vectors of a program on input codes, by the NumPy oracle.

    The Numba kernels and onnxruntime run the same codes and must give the same integers.

    Args:
        program: what to run.
        inputs: one array of codes for each input, batch first.

    Raises:
        SimulationMismatch: the three executions do not agree, a defect of ours or of the runtime.
        DataError: the inputs do not fit.
    """
    codes = check_codes(program, inputs)
    for comparison in verify(program, codes, YARDSTICKS).values():
        if comparison.first is not None:
            raise comparison.first.error()
    tensors = run_reference(program, codes, keep_all=True)
    arrays: dict[str, Array] = {}

    def file(position: int, kind: str, name: str, array: Array) -> dict[str, Any]:
        stem = f"{position:04d}.{kind}.{file_name(name)}"
        arrays[stem] = array
        return {"file": f"{stem}.npy", "shape": list(array.shape), "dtype": str(array.dtype)}

    # What the artifact says of grids and origin is said here in the same words.
    metadata = json.loads(metadata_text(program))

    def tensor(position: int, kind: str, name: str) -> dict[str, Any]:
        found = file(position, kind, name, tensors[name])
        return {"tensor": name, **found, "grid": metadata["tensors"][name]}

    index: dict[str, Any] = {
        "format": FORMAT,
        "target": program.target,
        "samples": len(next(iter(codes.values()))),
        "inputs": [tensor(0, "input", name) for name in program.inputs],
        "instructions": [
            {
                "position": position,
                **_step(instruction),
                "constants": {
                    name: file(position, name, instruction.name, constant.array)
                    for name, constant in instruction.constants.items()
                },
                "output": tensor(position, "output", instruction.output),
            }
            for position, instruction in enumerate(program.instructions, 1)
        ],
        "outputs": list(program.outputs),
        "metadata": metadata,
    }
    return Vectors(index=index, arrays=arrays)


def _step(instruction: Instruction) -> dict[str, Any]:
    return {
        "name": instruction.name,
        "kernel": str(instruction.kernel),
        "inputs": list(instruction.inputs),
        "attributes": {
            name: value if isinstance(value, int) else list(value)
            for name, value in instruction.attributes.items()
        },
    }


def file_name(name: str) -> str:
    """Return a name that every file system takes; `urllib.parse.unquote` gives the original.

    What is longer than a file system takes ends in a digest instead; the index has it in full.

    >>> file_name("block/1:conv é")
    'block%2F1%3Aconv%20%C3%A9'
    """
    quoted = quote(name, safe="")
    if len(quoted) <= _LONGEST_NAME:
        return quoted
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{quoted[: _LONGEST_NAME - 20]}~{digest}"


def index_text(index: Mapping[str, Any]) -> str:
    """Return the JSON text of an index: the same for equal vectors; what is short stays on one line."""
    return _json(index, "") + "\n"


def _json(value: Any, indent: str) -> str:
    text = json.dumps(value, allow_nan=False)
    if len(indent) + len(text) <= _LINE or not isinstance(value, (dict, list)):
        return text
    inner = indent + "  "
    if isinstance(value, list):
        parts, ends = [_json(item, inner) for item in value], "[]"
    else:
        parts = [f"{json.dumps(key)}: {_json(item, inner)}" for key, item in value.items()]
        ends = "{}"
    return f"{ends[0]}\n{inner}" + f",\n{inner}".join(parts) + f"\n{indent}{ends[1]}"


def check_folder(folder: Path, *, force: bool) -> None:
    """Check that vectors may be written as a folder.

    Args:
        folder: which need not exist.
        force: whether vectors that are there are replaced.

    Raises:
        DataError: something else is there, or vectors and no `force`.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not _holds_vectors(folder):
        raise DataError(
            f"{folder} is there, and is not a folder of vectors", "name a new or empty folder"
        )
    if not force:
        raise DataError(f"{folder} holds vectors already", "replace them with --force")


def write_vectors(vectors: Vectors, folder: Path, *, force: bool = False) -> int:
    """Write vectors as a folder, whole or not at all; return the number of bytes.

    Args:
        vectors: what to write.
        folder: new, empty, or with `force` one of vectors, which is replaced.
        force: see `folder`.

    Raises:
        DataError: see `check_folder`.
        OSError: it cannot be written.
    """
    check_folder(folder, force=force)
    folder = folder.resolve()
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    temporary.mkdir()
    try:
        for stem, array in vectors.arrays.items():
            data = io.BytesIO()  # NumPy's own writing to a file has no errno for a full disk
            npy.write_array(data, np.asarray(array), allow_pickle=False)
            (temporary / f"{stem}.npy").write_bytes(data.getbuffer())
        (temporary / INDEX).write_text(index_text(vectors.index), encoding="utf-8")
        size_bytes = sum(file.stat().st_size for file in temporary.iterdir())
        _put_in_place(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return size_bytes


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Rename a folder to its name; what was there goes only once the new one is in its place."""
    if not folder.exists() or not any(folder.iterdir()):
        os.replace(temporary, folder)  # an empty folder of that name gives way
        return
    former = folder.with_name(f"{temporary.name}.former")
    os.replace(folder, former)
    try:
        os.replace(temporary, folder)
    except BaseException:
        os.replace(former, folder)
        raise
    shutil.rmtree(former)


def _holds_vectors(folder: Path) -> bool:
    """Whether a folder holds an index and arrays of ours and nothing else."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    names = {entry.name for entry in folder.iterdir()}
    if INDEX not in names or any(name != INDEX and not name.endswith(".npy") for name in names):
        return False
    try:
        document = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return False
    return isinstance(document, dict) and document.get("format") == FORMAT
