"""`intlower inspect`: what is in an artifact."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intlower.commands.making import made_document, recipe_text
from intlower.commands.options import FILE, examples, output_options
from intlower.terminal import print_facts, print_json, print_line, print_table, shape_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intlower.compiler.program import IntegerProgram, Tensor


@click.command(
    short_help="Show what an artifact computes.",
    epilog=examples("intlower inspect model.tensorrt.onnx"),
)
@click.argument("artifact", type=FILE)
@output_options
def inspect(artifact: Path, as_json: bool) -> None:
    """Show where ARTIFACT comes from and what it computes, one line for each instruction."""
    from intlower.compiler.artifact import open_artifact
    from intlower.compiler.segments import host_words

    program = open_artifact(artifact)
    if as_json:
        print_json(_document(program))
        return
    origin = program.origin
    print_facts(
        {
            "target": program.target,
            "source": f"sha256 {origin.source_sha256}",
            "recipe": recipe_text(origin),
            **({"gates": "; ".join(origin.verdicts)} if origin.verdicts else {}),
            "ranges": origin.calibration,
            "seed": origin.seed,
            "instructions": len(program.instructions),
            "on the host": host_words(program),
            "parameters": f"{program.parameters:_}",
            "multiply-accumulates": f"{program.multiply_accumulates():_}",
            **{f"input {name}": _tensor_text(program.tensors[name]) for name in program.inputs},
            **{
                f"output {name}": _tensor_text(program.tensors[name])
                for name in program.outputs
            },
        },
        title=str(artifact),
    )
    print_line("")
    rows: list[tuple[object, ...]] = []
    for instruction in program.instructions:
        shapes = [shape_text(program.tensors[name].shape) for name in instruction.inputs]
        output = program.tensors[instruction.output]
        rows.append(
            (
                "host" if instruction.host else "",
                instruction.name,
                instruction.kernel,
                f"{', '.join(shapes)} → {shape_text(output.shape)}",
                number_text(output.grid.numbers()),
            )
        )
    columns: tuple[str, ...] = ("host", "instruction", "kernel", "shapes", "grid")
    if not any(instruction.host for instruction in program.instructions):
        columns, rows = columns[1:], [row[1:] for row in rows]
    print_table(columns, rows)
    for step in program.host:
        print_line(
            f"{step.operator} runs on the host, in float, after {step.input} is read; "
            f"its result is {step.output}"
        )


def _tensor_text(tensor: Tensor) -> str:
    low, high = tensor.grid.real_limits
    return f"{tensor.grid.dtype} {shape_text(tensor.shape)}, {low:.6g} to {high:.6g}"


def number_text(numbers: Mapping[str, Any]) -> str:
    """Return what identifies a grid as text: `scale 0.0235, zero point 12`; of many scales, the least and the greatest."""
    return ", ".join(
        f"{name.replace('_', ' ')} {_value_text(value)}" for name, value in numbers.items()
    )


def _value_text(value: Any) -> str:
    if isinstance(value, list) and value:
        return f"{min(value):.6g} to {max(value):.6g} by channel"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _grid_document(tensor: Tensor) -> dict[str, Any]:
    return {
        "shape": list(tensor.shape),
        "dtype": str(tensor.grid.dtype),
        **tensor.grid.numbers(),
    }


def _document(program: IntegerProgram) -> dict[str, Any]:
    from intlower.compiler.segments import segments

    return {
        "target": program.target,
        "source_sha256": program.origin.source_sha256,
        "pipeline": program.origin.pipeline,
        "calibration": program.origin.calibration,
        **made_document(program.origin),
        "seed": program.origin.seed,
        "parameters": program.parameters,
        "multiply_accumulates": program.multiply_accumulates(),
        "inputs": {name: _grid_document(program.tensors[name]) for name in program.inputs},
        "outputs": {name: _grid_document(program.tensors[name]) for name in program.outputs},
        "instructions": [
            {
                "name": instruction.name,
                "kernel": str(instruction.kernel),
                "inputs": list(instruction.inputs),
                "input_shapes": [
                    list(program.tensors[name].shape) for name in instruction.inputs
                ],
                "output": instruction.output,
                "host": instruction.host,
                **_grid_document(program.tensors[instruction.output]),
            }
            for instruction in program.instructions
        ],
        "segments": [asdict(segment) for segment in segments(program)],
        "host": [
            {
                "operator": step.operator,
                "input": step.input,
                "output": step.output,
                "axis": step.axis,
            }
            for step in program.host
        ],
    }
