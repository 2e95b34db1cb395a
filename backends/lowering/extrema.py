"""The greater or lesser of two tensors."""

from __future__ import annotations

import math

import numpy as np

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.elementwise import requantize
from intlower.backends.lowering.operands import lower_operands
from intlower.backends.lowering.rearrangement import Chain
from intlower.compiler.graph import Node
from intlower.compiler.grids import UniformGrid
from intlower.compiler.operators import Maximum, Minimum, known


def lower_extremum(builder: ProgramBuilder, node: Node) -> None:
    """Emit the greater or lesser of two tensors: both on the output's grid, then a maximum over windows of two.

    The lesser is the greater of mirrored codes, which is exact.
    """
    assert isinstance(node.operator, Maximum | Minimum)  # the caller matched it
    target = builder.encodings[node.output]
    shape = builder.graph.values[node.output].shape
    size = math.prod(known(d) for d in shape[1:])
    mirrored = isinstance(node.operator, Minimum)
    lines = []
    for position, name in enumerate(lower_operands(builder, node, expand=True)):
        part = f"{node.output}.part{position}"
        builder.define(part, shape, target)
        requantize(builder, f"{node.name}.part{position}", name, part, node.activation)
        if mirrored:
            part = lower_mirror(
                builder, f"{node.name}.mirror{position}", part, f"{part}.mirror"
            )
        line = f"{node.output}.line{position}"
        chain = Chain(builder, node, part, line)
        chain.reshape(1, 1, size)
        chain.emit()
        lines.append(line)
    pair, pooled = f"{node.output}.pair", f"{node.output}.pooled"
    grid = builder.grid(lines[0])
    builder.define(pair, (shape[0], 1, 2, size), grid)
    builder.emit(
        "concat",
        name=f"{node.name}.pair",
        inputs=tuple(lines),
        output=pair,
        attributes={"axis": 2},
    )
    builder.define(pooled, (shape[0], 1, 1, size), grid)
    builder.emit(
        "max_pool",
        name=f"{node.name}.pooled",
        inputs=(pair,),
        output=pooled,
        attributes={
            "kernel_shape": (2, 1),
            "strides": (1, 1),
            "pads": (0, 0, 0, 0),
            "dilations": (1, 1),
        },
    )
    if mirrored:
        pooled = lower_mirror(
            builder, f"{node.name}.back", pooled, f"{node.output}.back", target
        )
    ending = Chain(builder, node, pooled, node.output)
    ending.reshape(*(known(d) for d in shape[1:]))
    ending.emit()


def lower_mirror(
    builder: ProgramBuilder,
    name: str,
    source: str,
    output: str,
    grid: UniformGrid | None = None,
) -> str:
    """Emit the exact negation of a tensor: its codes in the opposite order. Return the new tensor.

    Args:
        builder: of the program.
        name: of the instruction.
        source: the tensor.
        output: the new tensor.
        grid: of the new tensor, where it is known: that of what `source` is the negation of.
    """
    origin = builder.grid(source)
    low, high = origin.element.limits
    mirrored = grid or UniformGrid(
        scale=origin.scale,
        zero_point=low + high - origin.zero_point,
        element=origin.element,
        minimum=low + high - origin.maximum,
        maximum=low + high - origin.minimum,
        rounding=origin.rounding,
    )
    builder.define(output, builder.shape(source), mirrored)
    builder.emit(
        "lookup",
        name=name,
        inputs=(source,),
        output=output,
        constants={"table": np.arange(high, low - 1, -1).astype(origin.dtype)},
    )
    return output
