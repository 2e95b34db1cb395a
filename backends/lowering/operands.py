"""Operands of tensors of two: constants that become tensors, and tensors repeated to a common shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.rearrangement import expanded
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.graph import Node
from intlower.compiler.grids import UniformGrid
from intlower.compiler.operators import Add, Shape, operator_name
from intlower.compiler.program import Attribute


def lower_operands(
    builder: ProgramBuilder, node: Node, *, expand: bool = False
) -> tuple[str, ...]:
    """Return the tensors of a node's operands, of one rank and batch; constants are emitted as `constant`.

    Args:
        builder: of the program.
        node: whose operands they are; at least one is computed.
        expand: whether tensors that broadcast are repeated to the output's shape.

    Raises:
        UnsupportedByTarget: the operands differ in rank or in batch.
    """
    shape = builder.graph.values[node.output].shape
    computed = [name for name in node.inputs if name in builder.tensors]
    if not computed:
        raise UnsupportedByTarget(f"{node.name}: both operands are constants")
    names: list[str] = []
    for position, name in enumerate(node.inputs):
        if name in builder.tensors:
            found = builder.shape(name)
            if len(found) != len(shape) or found[0] != shape[0]:
                raise UnsupportedByTarget(
                    f"{node.name}: {operator_name(node.operator)} of {found} for a result of {shape}, "
                    "which differ in rank or batch",
                    "reshape one to the rank of the other",
                )
        else:
            array = builder.graph.constants[name].array
            if isinstance(node.operator, Add):
                array = within_reach(
                    array, builder.grid(computed[0]), builder.encodings[node.output]
                )
            grid = constant_grid(builder, array, builder.grid(computed[0]))
            name = emit_constant(builder, node, position, computed[0], grid, shape)
        names.append(
            expanded(builder, node, name, shape, f"operand{position}") if expand else name
        )
    return tuple(names)


def within_reach(
    addend: NDArray[np.float32], source: UniformGrid, target: UniformGrid
) -> NDArray[np.float32]:
    """Return an addend without what changes no sum: numbers that take every input beyond an end of the output's grid.

    A mask's -1e9 becomes what saturates just as well, and its grid keeps steps for the other numbers.

    Args:
        addend: a constant, to be added to a tensor.
        source: the tensor's grid.
        target: that of the sum.
    """
    low, high = source.real_limits
    least, greatest = target.real_limits
    # What the addend's own grid may round away: more than a step of 8 bits.
    slack = (high - low + greatest - least) / 64
    clipped: NDArray[np.float32] = np.clip(addend, least - high - slack, greatest - low + slack)
    return clipped


def constant_grid(
    builder: ProgramBuilder, array: NDArray[np.float32], beside: UniformGrid
) -> UniformGrid:
    """Return the grid over a constant's range, with codes of the type that another tensor has."""
    grid = builder.spec.activations.grid(float(array.min()), float(array.max()))
    if grid.element is beside.element:
        return grid
    low, high = beside.element.limits
    return UniformGrid(
        scale=grid.scale,
        zero_point=grid.zero_point - grid.minimum + low,
        element=beside.element,
        minimum=low,
        maximum=high,
        rounding=grid.rounding,
    )


def emit_constant(
    builder: ProgramBuilder,
    node: Node,
    position: int,
    beside: str,
    grid: UniformGrid,
    shape: Shape,
) -> str:
    """Emit a constant operand as a tensor with its own sizes, and return the tensor.

    Args:
        builder: of the program.
        node: that reads it.
        position: among the node's inputs.
        beside: a tensor whose batch it has.
        grid: of its codes.
        shape: which has the wanted rank and batch.

    Raises:
        UnsupportedByTarget: it differs from sample to sample, or has more axes.
    """
    array = constant_of_rank(builder, node, position, shape)
    output = f"{node.output}.constant{position}"
    builder.define(output, (builder.shape(beside)[0], *array.shape), grid)
    builder.emit(
        "constant",
        name=f"{node.name}.constant{position}",
        inputs=(beside,),
        output=output,
        constants={"codes": grid.quantize(array)},
    )
    return output


def constant_of_rank(
    builder: ProgramBuilder, node: Node, position: int, shape: Shape
) -> NDArray[np.float32]:
    """Return a constant operand without its batch, with as many axes as a shape has after the batch."""
    name = node.inputs[position]
    array = builder.graph.constants[name].array
    missing = len(shape) - array.ndim
    if missing < 0 or (missing == 0 and array.shape[0] != 1):
        raise UnsupportedByTarget(
            f"{node.name}: the constant {name!r} of shape {list(array.shape)} differs from sample to sample",
            "give it a batch of 1",
        )
    aligned: NDArray[np.float32] = array.reshape((1,) * missing + array.shape)[0]
    return aligned


def output_limits(
    builder: ProgramBuilder, node: Node, target: UniformGrid
) -> dict[str, Attribute]:
    """Return the zero point of a node's output, and the codes between which its activation leaves it."""
    low, high = builder.activation_codes(node.activation, target)
    return {"output_zero_point": target.zero_point, "minimum": low, "maximum": high}
