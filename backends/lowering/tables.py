"""Functions of one number as tables of codes: activations, and arithmetic with constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.evaluate.elementwise import apply_function
from intlower.compiler.graph import Node
from intlower.compiler.grids import UniformGrid
from intlower.compiler.grids.uniform import round_real
from intlower.compiler.operators import (
    Add,
    BatchNormalization,
    Elementwise,
    Maximum,
    Minimum,
    Mul,
    PRelu,
)
from intlower.compiler.passes.rewriting import parameter, per_channel_constant

Reals = NDArray[np.float64]

# Entries of all channels' tables of one operator, together: what a program may reasonably carry.
MOST_ENTRIES = 1 << 24

_OF_CONSTANT: dict[type, Callable[[Reals, Reals], Reals]] = {
    Add: lambda x, c: x + c,
    Mul: lambda x, c: x * c,
    Maximum: np.maximum,
    Minimum: np.minimum,
    PRelu: lambda x, c: np.where(x >= 0, x, x * c),
}


def lower_function(builder: ProgramBuilder, node: Node) -> None:
    """Emit `lookup` for a function of one number.

        table[q] = clamp(round(f(s_x * (q - z_x)) / s_y) + z_y)

    In float64, with the target's rounding of reals. Infinities saturate; where f has no value, as the square root of a
    negative number, the entry is the code of 0.
    """
    operator = node.operator
    assert isinstance(operator, Elementwise)  # the caller matched it
    x = _reals(builder.grid(node.inputs[0]))
    y = apply_function(operator, torch.from_numpy(x)).numpy()
    _emit(builder, node, y)


def is_table(builder: ProgramBuilder, node: Node) -> bool:
    """Return whether a node's second operand is a constant with one number, or one for each channel of the first."""
    constant = parameter(builder.graph, node, 1)
    if constant is None or node.inputs[0] not in builder.tensors:
        return False
    shape = builder.shape(node.inputs[0])
    if constant.ndim > len(shape):
        return False
    return constant.size == 1 or per_channel_constant(constant, shape) is not None


def lower_with_constant(builder: ProgramBuilder, node: Node) -> None:
    """Emit `lookup`, or `lookup_channels`, for a sum, product, extremum or PRelu with a constant that `is_table` found.

    Raises:
        UnsupportedByTarget: the tables would be too large.
    """
    source = node.inputs[0]
    constant = parameter(builder.graph, node, 1)
    assert constant is not None  # the caller looked
    compute = _OF_CONSTANT[type(node.operator)]
    x = _reals(builder.grid(source))
    if constant.size == 1:
        _emit(builder, node, compute(x, constant.reshape(())))
        return
    numbers = per_channel_constant(constant, builder.shape(source))
    assert numbers is not None  # the caller looked
    _emit(builder, node, compute(x[None, :], numbers[:, None]))


def lower_batch_norm(builder: ProgramBuilder, node: Node) -> None:
    """Emit `lookup_channels` for a batch normalization that no layer could take up."""
    operator = node.operator
    assert isinstance(operator, BatchNormalization)  # the caller matched it
    scale, shift, mean, variance = (
        builder.constant(node, i).array.astype(np.float64)[:, None] for i in range(1, 5)
    )
    x = _reals(builder.grid(node.inputs[0]))[None, :]
    _emit(builder, node, (x - mean) / np.sqrt(variance + operator.epsilon) * scale + shift)


def lower_negation(builder: ProgramBuilder, name: str, source: str, output: str) -> None:
    """Emit the negation of a tensor, on a grid of its own: the mirrored one, so that it is exact but for the least code.

    Args:
        builder: of the program.
        name: of the instruction.
        source: the tensor.
        output: the new tensor.
    """
    grid = builder.grid(source)
    low, high = grid.limits
    zero_point = 0 if builder.spec.activations.symmetric else low + high - grid.zero_point
    mirrored = UniformGrid(
        scale=grid.scale,
        zero_point=zero_point,
        element=grid.element,
        minimum=low,
        maximum=high,
        rounding=grid.rounding,
    )
    builder.define(output, builder.shape(source), mirrored)
    builder.emit(
        "lookup",
        name=name,
        inputs=(source,),
        output=output,
        constants={"table": codes_of(mirrored, -_reals(grid))},
    )


def codes_of(grid: UniformGrid, values: Reals) -> NDArray[Any]:
    """Return the codes of reals, taken in float64: any shape; where a value is NaN, the code of 0."""
    quotient = np.nan_to_num(values / float(grid.scale.array), nan=0.0)
    span = (
        grid.maximum - grid.minimum + 1
    )  # what is past the limits before rounding is so after
    rounded = round_real(np.clip(quotient, -2 * span, 2 * span), grid.rounding)
    codes: NDArray[Any] = np.clip(rounded + grid.zero_point, *grid.limits).astype(grid.dtype)
    return codes


def _reals(grid: UniformGrid) -> Reals:
    """Return the real number of every code that the grid's element type stores: float64 [codes]."""
    low, high = grid.element.limits
    codes = np.arange(low, high + 1).astype(np.float64)
    return (codes - grid.zero_point) * float(grid.scale.array)


def _emit(builder: ProgramBuilder, node: Node, values: Reals) -> None:
    """Emit the table of values, [codes] or [C, codes], with the node's activation."""
    if values.size > MOST_ENTRIES:
        raise UnsupportedByTarget(
            f"{node.name}: its tables, one for each channel, would take {values.size:_} entries"
        )
    target = builder.define_value(node.output)
    low, high = builder.activation_codes(node.activation, target)
    table = np.clip(codes_of(target, values), low, high).astype(target.dtype)
    builder.emit(
        "lookup" if table.ndim == 1 else "lookup_channels",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        constants={"table": table},
    )
