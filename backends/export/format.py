"""What an export format is, and what formats have in common."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray

from intlower.backends.export.qdq_graph import real_bias
from intlower.compiler.errors import ExportError
from intlower.compiler.grids import Grid, UniformGrid, uniform
from intlower.compiler.operators import Shape
from intlower.compiler.program import Instruction, IntegerProgram

Files = dict[str, bytes]

# Names that survive JSON, ONNX and every text format here that quotes its strings.
ANY_NAME = r"[^\x00-\x1f\x7f]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One vendor's files.

    Attributes:
        name: what the command line calls it.
        meaning: who reads the files, one line.
        expresses: which programs the format can hold, one line.
        write: the files of a program, by path inside the folder. Raises `ExportError`, with the node or tensor named, where
            the format cannot hold the program. The program's names are safe ones already.
        files: what each file is, by path.
        commands: what to run next, for a program.
        notes: what the reader must know: what is a public fact, and what is not.
        characters: a regular expression of one character that names may hold; others are replaced, reversibly.
        grids: the number systems that it has; a program with others is refused before `write`.
    """

    name: str
    meaning: str
    expresses: str
    write: Callable[[IntegerProgram], Files]
    files: Mapping[str, str]
    commands: Callable[[IntegerProgram], tuple[str, ...]]
    notes: tuple[str, ...] = ()
    characters: str = field(default=ANY_NAME)
    grids: tuple[type[Grid], ...] = (UniformGrid,)


def refuse(format_name: str, where: str, what: str, hint: str) -> NoReturn:
    """Raise the error that a format cannot hold something.

    Args:
        format_name: of the format.
        where: name of the node or tensor.
        what: that it has, and what is allowed.
        hint: how to mend it.

    Raises:
        ExportError: always.
    """
    raise ExportError(f"{format_name}: {where!r} {what}", hint)


def require_grids(target_format: Format, program: IntegerProgram) -> None:
    """Refuse a program with grids of a number system that a format does not have.

    Raises:
        ExportError: naming the first such tensor or node.
    """
    places: list[tuple[str, Grid | None]] = [
        *((name, tensor.grid) for name, tensor in program.tensors.items()),
        *((instruction.name, instruction.weight_grid) for instruction in program.instructions),
    ]
    for where, grid in places:
        if grid is not None and not isinstance(grid, target_format.grids):
            known = " and ".join(f"{system.kind} ones" for system in target_format.grids)
            refuse(
                target_format.name,
                where,
                f"is on a {grid.kind} grid, and the format has {known}",
                "the format 'json' holds every program",
            )


def grid_of(program: IntegerProgram, name: str) -> UniformGrid:
    """Return the grid of a tensor, where `require_grids` has let only uniform ones through."""
    return uniform(program.tensors[name].grid, name)


def weight_grid_of(instruction: Instruction) -> UniformGrid:
    """Return the grid of an instruction's weights, where `require_grids` has let only uniform ones through."""
    assert instruction.weight_grid is not None
    return uniform(instruction.weight_grid, instruction.name)


def weighted(program: IntegerProgram) -> Iterator[tuple[Instruction, UniformGrid, UniformGrid]]:
    """Yield every instruction with weights, with the grid of its input and that of its weights."""
    for instruction in program.instructions:
        if instruction.weight_grid is not None:
            source = grid_of(program, instruction.inputs[0])
            yield instruction, source, weight_grid_of(instruction)


def weight_scales(instruction: Instruction) -> NDArray[np.float32]:
    """Return one scale for each output channel: float32 [O]."""
    outputs = len(instruction.constants["bias"].array)
    return np.broadcast_to(weight_grid_of(instruction).scale.array, (outputs,))


def real_weights(instruction: Instruction) -> NDArray[np.float32]:
    """Return the reals of an instruction's weight codes, in the shape of the codes."""
    grid = instruction.weight_grid
    assert grid is not None
    return grid.dequantize(instruction.constants["weights"].array)


def real_biases(program: IntegerProgram, instruction: Instruction) -> NDArray[np.float32]:
    """Return the reals of an instruction's bias codes: float32 [O]."""
    source = grid_of(program, instruction.inputs[0]).scale.array
    scale = (source * weight_scales(instruction)).astype(np.float32)
    return real_bias(instruction.constants["bias"].array, scale)


def bits_of(grid: UniformGrid) -> int:
    """Return the width of a grid's codes, which may be stored wider: 4 for -7..7."""
    return (grid.maximum - grid.minimum).bit_length()


def require_symmetric(format_name: str, program: IntegerProgram) -> None:
    """Refuse a program with a zero point other than 0.

    Raises:
        ExportError: naming the first such tensor or node.
    """
    for name in program.tensors:
        if grid_of(program, name).zero_point != 0:
            _refuse_zero_point(format_name, name, grid_of(program, name))
    for instruction, _, grid in weighted(program):
        if grid.zero_point != 0:
            _refuse_zero_point(format_name, instruction.name, grid)


def _refuse_zero_point(format_name: str, where: str, grid: UniformGrid) -> NoReturn:
    refuse(
        format_name,
        where,
        f"has the zero point {grid.zero_point}, and the format only knows 0",
        "compile for a target with symmetric grids, such as 'tensorrt'",
    )


def require_bits(format_name: str, program: IntegerProgram, *allowed: int) -> None:
    """Refuse a program with codes of another width.

    Raises:
        ExportError: naming the first such tensor or node.
    """
    places = [(name, grid_of(program, name)) for name in program.tensors]
    places += [(instruction.name, grid) for instruction, _, grid in weighted(program)]
    for where, grid in places:
        if bits_of(grid) not in allowed:
            widths = " or ".join(str(bits) for bits in allowed)
            refuse(
                format_name,
                where,
                f"has codes of {bits_of(grid)} bits, and the format takes {widths}",
                "compile for a target with 8-bit codes",
            )


def require_per_tensor(format_name: str, program: IntegerProgram) -> None:
    """Refuse a program whose weights have a scale for each channel.

    Raises:
        ExportError: naming the first such node.
    """
    for instruction, _, grid in weighted(program):
        if grid.axis is not None:
            refuse(
                format_name,
                instruction.name,
                "has a scale for each channel, and the format has one for each tensor",
                "compile for a target whose weights have one scale for each tensor",
            )


def power_of_two(format_name: str, where: str, grid: Grid) -> int:
    """Return the position p of a grid with scale 2**-p.

    Raises:
        ExportError: the scale is no power of two, or there is one for each channel.
    """
    hint = "compile for a target whose scales are powers of two"
    if not grid.fits(()):
        refuse(format_name, where, "has a scale for each channel, and one is allowed", hint)
    scale = uniform(grid, where).step
    mantissa, exponent = math.frexp(scale)
    if mantissa != 0.5:
        refuse(format_name, where, f"has the scale {scale:.6g}, not a power of two", hint)
    return 1 - exponent


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON text with sorted keys; the same document gives the same bytes."""
    return (json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def shortest(value: float) -> str:
    """Return the shortest decimal, without an exponent, that reads back as the same float32.

    >>> shortest(np.float32(0.1)), shortest(1e-9)
    ('0.1', '0.000000001')
    """
    return np.format_float_positional(np.float32(value), unique=True, trim="-")


def model_bytes(model: onnx.ModelProto, batch: int | None = None) -> bytes:
    """Return a model's bytes, always the same for the same model.

    Args:
        model: to write.
        batch: what a free batch becomes; None to leave it free.
    """
    if batch is not None:
        for value in (*model.graph.input, *model.graph.output):
            first = value.type.tensor_type.shape.dim
            if first and first[0].dim_param:
                first[0].dim_value = batch
    return bytes(model.SerializeToString(deterministic=True))


def shape_of(shape: Shape, separator: str = ",") -> str:
    """Return a shape for a command line, with a free batch of 1.

    >>> shape_of((None, 3, 8, 8), "x")
    '1x3x8x8'
    """
    return separator.join(str(1 if size is None else size) for size in shape)
