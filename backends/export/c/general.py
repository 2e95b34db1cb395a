"""Products of activations, normalizations, quotients, constants, conversions and interpolated tables in C."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from intlower.backends.export.c import general_texts as texts
from intlower.backends.export.c.calls import call_scaled, call_typed
from intlower.backends.export.c.elements import c_type, count_of
from intlower.backends.export.c.elementwise import RESCALING
from intlower.backends.export.c.pieces import Piece
from intlower.backends.export.c.scaling import CLAMP, SCALE_SINGLE_ROUNDING
from intlower.backends.export.c.writer import ModelWriter
from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.program import Instruction
from intlower.kernels.signature import ElementType


def emit_matmul(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a matrix product of two tensors."""
    key, attributes = instruction.kernel, instruction.attributes
    first, second = instruction.inputs
    *outer, rows, depth = writer.sizes(first)
    columns = writer.sizes(second)[-1]
    zero_points = numbers(attributes["input_zero_points"])
    reaches = [
        max(abs(limit - zero_point) for limit in key.activation.limits)
        for zero_point in zero_points
    ]
    narrow = depth * reaches[0] * reaches[1] <= ElementType.INT32.limits[1]
    total = "int32_t" if narrow else "int64_t"
    fields: dict[str, int | str] = {
        "batches": math.prod(outer),
        "rows": rows,
        "depth": depth,
        "columns": columns,
    }
    for letter, tensor in zip("aby", (first, second, instruction.output), strict=True):
        batch, row, column = _matrix_steps(writer, tensor)
        fields |= {f"{letter}_batch": batch, f"{letter}_row": row, f"{letter}_column": column}
    fields |= {
        "zero_point_a": zero_points[0],
        "zero_point_b": zero_points[1],
        **_numbers(
            instruction, ("multiplier", "shift", "output_zero_point", "minimum", "maximum")
        ),
    }
    shape = writer.structure("shape", texts.MATMUL_SHAPE, instruction, fields)
    call_scaled(
        writer,
        instruction,
        "matmul",
        texts.MATMUL,
        [texts.MATMUL_SHAPE],
        [f"&{shape}"],
        variant=f"_{total}",
        total=total,
    )


def _matrix_steps(writer: ModelWriter, tensor: str) -> tuple[int, int, int]:
    """Return the steps between a tensor's matrices, rows and columns.

    Matrices lie equally far apart: a tensor of three axes has one outer axis, one of more is row-major.
    """
    strides = writer.strides(tensor)
    return (strides[-3] if len(strides) > 2 else 0, strides[-2], strides[-1])


def emit_normalize(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a normalization of rows."""
    rows, count = writer.sizes(instruction.inputs[0])
    multiplier = instruction.constants["multiplier"].array
    fields: dict[str, int | str] = {
        name: writer.array(name, instruction, instruction.constants[name].array, "int32_t")
        for name in ("multiplier", "bias")
    }
    # A 64-bit literal needs no suffix: C99 gives a decimal one the first type that holds it (6.4.4.1).
    fields |= {
        "rows": rows,
        "count": count,
        "row_step": multiplier.shape[1] if multiplier.shape[0] > 1 else 0,
        "column_step": 1 if multiplier.shape[1] > 1 else 0,
        "middle": (sum(instruction.kernel.activation.limits) + 1) // 2,
        **_numbers(
            instruction,
            (
                "epsilon",
                "input_shift",
                "bias_shift",
                "shift",
                "output_zero_point",
                "minimum",
                "maximum",
            ),
        ),
    }
    shape = writer.structure("shape", texts.NORMALIZE_SHAPE, instruction, fields)
    needs = (texts.NORMALIZE_SHAPE, *texts.NORMALIZE_NEEDS, CLAMP)
    call_typed(writer, instruction, "normalize", texts.NORMALIZE, needs, [f"&{shape}"])


def emit_lrn(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a local response normalization."""
    channels, height, width = writer.image(instruction, instruction.inputs[0])
    fields = {
        "pixels": height * width,
        "channels": channels,
        **_numbers(instruction, tuple(instruction.attributes)),
    }
    shape = writer.structure("shape", texts.LRN_SHAPE, instruction, dict(fields))
    table = writer.array("table", instruction, instruction.constants["table"].array, "int32_t")
    needs = (
        texts.LRN_SHAPE,
        texts.BIT_LENGTH,
        texts.INTERPOLATED,
        SCALE_SINGLE_ROUNDING,
        CLAMP,
    )
    call_typed(writer, instruction, "lrn", texts.LRN, needs, [table, f"&{shape}"])


def emit_divide(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a quotient of two tensors."""
    zero_points = numbers(instruction.attributes["input_zero_points"])
    fields: dict[str, int | str] = {
        "count": count_of(writer.program.tensors[instruction.output]),
        "zero_point_a": zero_points[0],
        "zero_point_b": zero_points[1],
        **_numbers(
            instruction, ("multiplier", "shift", "output_zero_point", "minimum", "maximum")
        ),
    }
    shape = writer.structure("shape", texts.DIVISION_SHAPE, instruction, fields)
    needs = (texts.DIVISION_SHAPE, texts.QUOTIENT, CLAMP)
    call_typed(writer, instruction, "divide", texts.DIVIDE, needs, [f"&{shape}"])


def emit_constant(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a copy of constant codes; what gives the batch is not read."""
    codes = instruction.constants["codes"].array
    laid = codes.transpose(1, 2, 0) if codes.ndim == 3 else codes
    element = instruction.kernel.output
    name = f"il_constant_{element.value}"
    text = texts.CONSTANT.substitute(name=name, y=c_type(element))
    writer.statements.append(f"    (void){writer.tensor(instruction.inputs[0])};\n")
    writer.call(
        Piece(name=name, text=text),
        [
            writer.array("codes", instruction, laid, c_type(element)),
            writer.tensor(instruction.output),
            codes.size,
        ],
    )


def emit_convert(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a change of grid between any widths."""
    fields: dict[str, int | str] = {
        "count": count_of(writer.program.tensors[instruction.output]),
        **_numbers(instruction, tuple(instruction.attributes)),
    }
    shape = writer.structure("shape", RESCALING, instruction, fields)
    needs = (RESCALING, SCALE_SINGLE_ROUNDING, CLAMP)
    call_typed(writer, instruction, "convert", texts.CONVERT, needs, [f"&{shape}"])


def emit_lookup_interpolated(writer: ModelWriter, instruction: Instruction) -> None:
    """Write a function by a table between whose entries it interpolates."""
    table = instruction.constants["table"].array
    call_typed(
        writer,
        instruction,
        "lookup_interpolated",
        texts.LOOKUP_INTERPOLATED,
        (texts.INTERPOLATED,),
        [
            writer.array("table", instruction, table.astype(np.int32), "int32_t"),
            count_of(writer.program.tensors[instruction.output]),
        ],
    )


def _numbers(instruction: Instruction, names: Sequence[str]) -> dict[str, int]:
    return {name: number(instruction.attributes[name]) for name in names}
