"""What must hold for any bytes: a typed error on one line, or a result that is right."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx

from intlower.compiler.artifact import parse, serialise
from intlower.compiler.crosscheck import random_inputs, verify
from intlower.compiler.errors import CalibrationWarning, IntlowerError
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.pipeline import compile_model
from intlower.compiler.program import IntegerProgram

# Programs with more work than this are not run: an oracle in NumPy takes seconds for them.
_MOST_WORK = 1 << 22
_SCRATCH = Path(tempfile.gettempdir())


def import_any(data: bytes) -> None:
    """Read bytes as a model file and import them."""
    with tempfile.NamedTemporaryFile(dir=_SCRATCH, suffix=".onnx") as file:
        file.write(data)
        file.flush()
        model, _ = read_model(Path(file.name))
    graph = import_model(model)
    assert graph.outputs


def compile_any(data: bytes) -> None:
    """Compile bytes for a target that they choose, and run what comes out."""
    target = ("tensorrt", "snpe", "nnie", "litert")[sum(data) % 4]
    with tempfile.NamedTemporaryFile(dir=_SCRATCH, suffix=".onnx") as file:
        file.write(data)
        file.flush()
        model, _ = read_model(Path(file.name))
        graph = import_model(model)
        sizes = [math.prod(d or 1 for d in value.shape) for value in graph.values.values()]
        if sum(sizes) > _MOST_WORK:
            return
        program = compile_model(Path(file.name), target=target)
    assert parse(serialise(program)) == program
    run(program)


def open_any(data: bytes) -> None:
    """Open bytes as an artifact and run what comes out."""
    run(parse(data))


def run(program: IntegerProgram) -> None:
    """Prove that the engine gives the oracle's integers, where the program is small."""
    work = program.multiply_accumulates() + sum(
        int(np.prod([d or 1 for d in tensor.shape])) for tensor in program.tensors.values()
    )
    if work > _MOST_WORK:
        return
    for comparison in verify(
        program, random_inputs(program, 1), against=["reference"]
    ).values():
        assert comparison.mismatches == 0, comparison.first


def outcome(action: Callable[[bytes], None], data: bytes) -> str:
    """Return the sentence with which bytes are refused, or "" where they are accepted.

    Raises:
        Exception: anything but an error of ours is a defect.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        try:
            action(data)
        except IntlowerError as error:
            return f"{type(error).__name__}: {error}"
    return ""


ACTIONS: Mapping[str, Callable[[bytes], None]] = {
    "importer": import_any,
    "artifact": open_any,
    "compile": compile_any,
}


def message_of(data: bytes) -> onnx.ModelProto | None:
    """Return bytes as a message, None where they are none."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # DecodeError of protobuf, which onnx does not pass on by name
        return None
    return model
