"""README.txt of the C project: what goes in, what comes out, what it takes, the commands."""

from __future__ import annotations

import json
import textwrap

from intlower.backends.export.c.elements import count_of
from intlower.backends.export.c.writer import ModelWriter
from intlower.compiler.grids import UniformGrid
from intlower.compiler.program import Tensor
from intlower.kernels.numerics import Rounding

_TIES = {
    Rounding.HALF_EVEN: "to nearest, ties to even",
    Rounding.HALF_AWAY: "to nearest, ties away from zero",
    Rounding.HALF_UP: "to nearest, ties toward +infinity",
    Rounding.FLOOR: "toward -infinity",
}


def write_readme(writer: ModelWriter, project: str) -> str:
    """Return the text, for a project whose instructions are all written."""
    program = writer.program
    edges = [program.tensors[name] for name in (*program.inputs, *program.outputs)]
    edge_bytes = sum(count_of(tensor) * tensor.grid.dtype.itemsize for tensor in edges)
    sections = [
        f"{project}: a neural network in integer C99, arithmetic of the target {program.target!r}",
        _paragraph(
            f"{project}.c, {project}.h and {project}_kernels.h are the network. They use <stdint.h> and <string.h>, "
            f"no floating point, no allocation, no global state: {project}_run may be called from any thread with an "
            "arena of that thread's own."
        ),
        _commands(project),
        "Memory, in bytes\n"
        f"  constants            {writer.constant_bytes}\n"
        f"  {project + '_arena':<20} {max(writer.memory.arena_bytes, 1)}\n"
        f"  inputs and outputs   {edge_bytes}, the caller's",
        _paragraph(
            "One call takes one sample, without its batch dimension. Images lie as [height, width, channels], "
            "channels fastest, where the model has [channels, height, width]; other tensors lie as the model has them, "
            "the last dimension fastest. Buffers of one call must not overlap. A code outside the stated range "
            "is the caller's error and not checked."
        ),
        *(
            _tensor(writer, program.tensors[name], "Input")
            + "\n"
            + _quantize(program.tensors[name])
            for name in program.inputs
        ),
        *(
            _tensor(writer, program.tensors[name], "Output")
            + "\n"
            + _dequantize(program.tensors[name])
            for name in program.outputs
        ),
        *(
            _paragraph(
                f"After {json.dumps(step.input)} is dequantized, {step.operator} along axis {step.axis} (the batch is "
                f"axis 0, in the model's order of dimensions) gives {json.dumps(step.output)}: in float, on the host."
            )
            for step in program.host
        ),
        _paragraph(
            "Comments in the sources name each tensor and instruction as the model does, percent-encoded "
            "(Python's urllib.parse.unquote gives the name back). Comments at the rules cite the equations "
            "of intlower's kernels/numerics.py."
        ),
    ]
    return "\n\n".join(sections) + "\n"


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _commands(project: str) -> str:
    return (
        "Test on this machine: compile, run the golden vectors, compare every integer\n"
        "  make test\n\n"
        "Compile for a device, with its compiler\n"
        f"  cc -std=c99 -Wall -Wextra -Werror -pedantic -O3 -c {project}.c\n\n"
        "Call\n"
        f'  #include "{project}.h"\n'
        f"  static {project}_arena arena;\n"
        f"  {project}_run(&arena, inputs..., outputs...);"
    )


def _tensor(writer: ModelWriter, tensor: Tensor, role: str) -> str:
    grid = tensor.grid
    lines = [
        f"{role} {writer.tensor(tensor.name)}",
        f"  name in the model    {json.dumps(tensor.name)}",
        f"  shape                {list(writer.layout(tensor.name))}",
    ]
    if isinstance(grid, UniformGrid):
        scales = " ".join(map(str, grid.scale.array.reshape(-1)))
        axis = (
            "" if grid.axis is None else f", one for each index of the model's axis {grid.axis}"
        )
        lines += [
            f"  type                 {grid.element.dtype_name}, codes {grid.minimum} to {grid.maximum}",
            f"  scale                {scales}{axis}",
            f"  zero point           {grid.zero_point}",
        ]
    else:
        lines += [f"  type                 {grid.element.dtype_name}, {grid.kind}"]
        lines += [f"  {name:<20} {value}" for name, value in grid.numbers().items()]
    return "\n".join(lines)


def _quantize(tensor: Tensor) -> str:
    grid = tensor.grid
    if isinstance(grid, UniformGrid):
        return (
            f"  code = clamp(round(real / scale) + zero point, {grid.minimum}, {grid.maximum}),\n"
            f"  rounded {_TIES[grid.rounding]}, the quotient in float32; real as the float model takes it"
        )
    return "  code = the nearest level's, by the logarithm; about zero, by the distance"


def _dequantize(tensor: Tensor) -> str:
    if isinstance(tensor.grid, UniformGrid):
        return "  real = scale * (code - zero point)"
    # The layout of logarithmic codes is `intlower.kernels.numerics_log`'s.
    return (
        "  real = 2**((k + z) / steps_per_octave), k the bits under the sign bit; negative where the\n"
        "  sign bit is set, and 0 where it is set alone"
    )
