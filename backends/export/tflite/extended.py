"""Rearrangement, products of two tensors and tables as operators of TFLite."""

from __future__ import annotations

import numpy as np

from intlower.backends.export.tables import whole_table
from intlower.backends.export.tflite.flatbuffer import Scalar
from intlower.backends.export.tflite.model import Activation, Builtin, options
from intlower.backends.export.tflite.network import (
    Network,
    refuse,
    stored_axes,
    stored_shape,
)
from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.program import Instruction
from intlower.kernels.signature import ElementType

# Numbers of options in the union BuiltinOptions, and how many fields each has.
_ADD, _MUL, _GATHER, _TRANSPOSE = (11, 2), (21, 1), (23, 2), (26, 0)
_CAST, _BATCH_MATMUL = (37, 2), (101, 3)

_RESHAPE, _STRIDED_SLICE, _EXTREMUM = (17, 1), (32, 6), (39, 0)

# TensorType of codes, and of int32.
_TYPES, _INT32 = {ElementType.INT8: 9, ElementType.INT16: 7}, 2

# What the runtime's transposition and products of broadcast tensors take.
_MOST_AXES = 4


def write_transpose(network: Network, instruction: Instruction) -> None:
    """Write a TRANSPOSE between the orders in which the file has both tensors."""
    permutation = numbers(instruction.attributes["permutation"])
    axes = stored_axes(len(permutation))
    order = [axes.index(permutation[axis]) for axis in axes]
    network.operator(
        Builtin.TRANSPOSE,
        [
            network.writer.index(instruction.inputs[0]),
            network.integers(f"{instruction.name}/permutation", order),
        ],
        network.define(instruction.output),
        options(*_TRANSPOSE),
        network.grid(instruction.output).element,
        len(axes),
    )


def write_gather(network: Network, instruction: Instruction) -> None:
    """Write a GATHER along one axis."""
    rank = len(network.program.tensors[instruction.output].shape)
    axis = stored_axes(rank).index(number(instruction.attributes["axis"]))
    indices = instruction.constants["indices"].array
    network.operator(
        Builtin.GATHER,
        [
            network.writer.index(instruction.inputs[0]),
            network.integers(f"{instruction.name}/indices", indices),
        ],
        network.define(instruction.output),
        options(*_GATHER, {0: Scalar("int32", axis, 0)}),
        network.grid(instruction.output).element,
        rank,
    )


def write_multiply(network: Network, instruction: Instruction) -> None:
    """Write a MUL of tensors that broadcast."""
    rank = len(network.program.tensors[instruction.output].shape)
    if rank > _MOST_AXES:
        raise refuse(
            instruction.name, f"multiplies tensors of {rank} axes, and TFLite of at most 4"
        )
    activation, result = network.clamped(instruction, fused=True)
    network.operator(
        Builtin.MUL,
        [network.writer.index(name) for name in instruction.inputs],
        result,
        options(*_MUL, {0: Scalar("int8", activation)}),
        network.grid(instruction.output).element,
        rank,
    )
    network.finish(instruction, result)


def write_matmul(network: Network, instruction: Instruction) -> None:
    """Write a BATCH_MATMUL; tensors of four axes, which the file has as images, are brought into order around it."""
    shape = network.program.tensors[instruction.output].shape
    element = network.grid(instruction.output).element
    if len(shape) > _MOST_AXES:
        raise refuse(
            instruction.name,
            f"multiplies tensors of {len(shape)} axes, and TFLite of at most 4",
        )
    images = len(shape) == _MOST_AXES
    sources = []
    for position, name in enumerate(instruction.inputs):
        index = network.writer.index(name)
        if images:
            own = network.program.tensors[name].shape
            label = f"{instruction.output}/operand{position}"
            index = network.transposed(label, index, name, own, nhwc=False)
        sources.append(index)
    activation, result = network.clamped(instruction, fused=False)
    assert activation is Activation.NONE
    product = (
        network.temporary(f"{instruction.output}/product", instruction.output, shape)
        if images
        else result
    )
    network.operator(Builtin.BATCH_MATMUL, sources, product, options(*_BATCH_MATMUL), element)
    if images:
        order = network.integers(f"{instruction.output}/order", stored_axes(len(shape)))
        network.operator(
            Builtin.TRANSPOSE, [product, order], result, options(*_TRANSPOSE), element
        )
    network.finish(instruction, result)


def write_lookup(network: Network, instruction: Instruction) -> None:
    """Write a GATHER from the table at the codes as int32, counted from the least; tables of channels lie one after another.

    Not LOGISTIC, TANH and their kind: their tables are made in single precision, and differ by steps at ties. Of a table
    between whose entries the program interpolates, the file has every entry.
    """
    source, target = instruction.inputs[0], instruction.output
    shape = stored_shape(network.program.tensors[source].shape)
    element = network.grid(source).element
    least = element.limits[0]
    table = whole_table(network.program, instruction)
    first = np.full(1, -least)
    if table.ndim == 2:
        sizes = (1,) * stored_axes(len(shape)).index(1) + (-1,)
        sizes += (1,) * (len(shape) - len(sizes))
        first = (np.arange(len(table)) * table.shape[1] - least).reshape(sizes)
    writer = network.writer
    codes, places = (
        writer.tensor(
            writer.unique(f"{target}/{name}", network.program.tensors), shape, np.int32, None
        )
        for name in ("codes", "places")
    )
    types = {0: Scalar("int8", _TYPES[element], 0), 1: Scalar("int8", _INT32, 0)}
    network.operator(
        Builtin.CAST, [writer.index(source)], codes, options(*_CAST, types), element
    )
    network.operator(
        Builtin.ADD,
        [codes, network.integers(f"{target}/first", first)],
        places,
        options(*_ADD, {1: Scalar("bool", False, True)}),
        element,
    )
    network.operator(
        Builtin.GATHER,
        [network.codes(f"{target}/table", table.reshape(-1), target), places],
        network.define(target),
        options(*_GATHER, {0: Scalar("int32", 0, 0)}),
        element,
        len(shape),
    )


def write_constant(network: Network, instruction: Instruction) -> None:
    """Write the maximum of the codes and of the least code for each sample: so the batch is that of another tensor."""
    source, target = instruction.inputs[0], instruction.output
    shape = stored_shape(network.program.tensors[target].shape)
    codes = instruction.constants["codes"].array[None].transpose(stored_axes(len(shape)))
    rank = len(network.program.tensors[source].shape)
    element = network.grid(target).element
    if max(rank, len(shape)) > _MOST_AXES:
        raise refuse(instruction.name, f"is a constant of {len(shape)} axes beside {rank}")
    first = network.temporary(f"{target}/first", source, (shape[0], *(1,) * (rank - 1)))
    ends = [
        network.integers(f"{target}/{key}", values)
        for key, values in (
            ("begin", [0] * rank),
            ("end", [0] + [1] * (rank - 1)),
            ("steps", [1] * rank),
        )
    ]
    network.operator(
        Builtin.STRIDED_SLICE,
        [network.writer.index(source), *ends],
        first,
        options(*_STRIDED_SLICE, {0: Scalar("int32", 1, 0), 1: Scalar("int32", 1, 0)}),
        element,
        rank,
    )
    ones = (1,) * (len(shape) - 1)
    sample = network.temporary(f"{target}/sample", target, (shape[0], *ones))
    wanted = network.integers(f"{target}/shape", (-1, *ones))
    network.operator(Builtin.RESHAPE, [first, wanted], sample, options(*_RESHAPE), element)
    lowest = network.temporary(f"{target}/lowest", target, (shape[0], *ones))
    least = network.codes(f"{target}/least", [element.limits[0]], target)
    network.operator(Builtin.MINIMUM, [sample, least], lowest, options(*_EXTREMUM), element)
    network.operator(
        Builtin.MAXIMUM,
        [lowest, network.codes(f"{target}/codes", np.ascontiguousarray(codes), target)],
        network.define(target),
        options(*_EXTREMUM),
        element,
    )
