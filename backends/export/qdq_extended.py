"""Tables, rearrangement, products of tensors, normalizations and quotients as float operators between quantizers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from intlower.backends.export.qdq_functions import recognized, write_function
from intlower.backends.export.qdq_graph import QdqGraph
from intlower.backends.export.tables import whole_table
from intlower.compiler.grids import uniform
from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.program import Instruction, IntegerProgram
from intlower.kernels.numerics_general import NORMAL_FRACTION_BITS

Writer = Callable[[QdqGraph, IntegerProgram, Instruction, list[str], str], None]


def write_extended(
    graph: QdqGraph,
    program: IntegerProgram,
    instruction: Instruction,
    inputs: list[str],
    result: str,
) -> bool:
    """Write an instruction without its clamp and its quantizer.

    Args:
        graph: to add to.
        program: the program.
        instruction: one of it.
        inputs: the values that hold its inputs' reals.
        result: name of the value to make.

    Returns:
        False where it has no form here: nothing is written then.
    """
    if instruction.kernel.operator not in _WRITERS:
        return False
    _WRITERS[instruction.kernel.operator](graph, program, instruction, inputs, result)
    return True


def _plain(operator: str) -> Writer:
    """Return the writer of a node without constants and attributes."""

    def write(
        graph: QdqGraph,
        program: IntegerProgram,
        instruction: Instruction,
        inputs: list[str],
        result: str,
    ) -> None:
        graph.add(operator, inputs, result, name=instruction.name)

    return write


def _transpose(
    graph: QdqGraph,
    program: IntegerProgram,
    instruction: Instruction,
    inputs: list[str],
    result: str,
) -> None:
    permutation = numbers(instruction.attributes["permutation"])
    graph.add("Transpose", inputs, result, name=instruction.name, perm=permutation)


def _gather(
    graph: QdqGraph,
    program: IntegerProgram,
    instruction: Instruction,
    inputs: list[str],
    result: str,
) -> None:
    name = instruction.name
    indices = graph.constant(
        f"{name}/indices", instruction.constants["indices"].array.astype(np.int64)
    )
    axis = number(instruction.attributes["axis"])
    graph.add("Gather", [*inputs, indices], result, name=name, axis=axis)


def _lookup(
    graph: QdqGraph,
    program: IntegerProgram,
    instruction: Instruction,
    inputs: list[str],
    result: str,
) -> None:
    """Write the function that the table is, or else a Gather of its reals at the input's code."""
    source, target = (
        uniform(program.tensors[name].grid, name)
        for name in (instruction.inputs[0], instruction.output)
    )
    name = instruction.name
    table = whole_table(program, instruction)
    known = recognized(table, source, target) if table.ndim == 1 else None
    if known is not None:
        function, limited = known
        made = graph.fresh(f"{name}/function") if limited else result
        write_function(graph, function, inputs[0], made, f"{name}/of" if limited else name)
        if limited:
            ends = [
                graph.constant(f"{name}/limit", target.dequantize(end))
                for end in (table.min(), table.max())
            ]
            graph.add("Clip", [made, *ends], result, name=name)
        return
    index = _code(graph, program, instruction, inputs[0])
    if table.ndim == 2:
        rank = len(program.tensors[instruction.inputs[0]].shape)
        starts = np.arange(len(table), dtype=np.int64).reshape(-1, *(1,) * (rank - 2))
        first = graph.constant(f"{name}/first", starts * table.shape[1])
        place = graph.fresh(f"{name}/place")
        graph.add("Add", [index, first], place)
        index = place
    entries = graph.constant(f"{name}/table", target.dequantize(table.reshape(-1)))
    graph.add("Gather", [entries, index], result, name=name)


def _code(graph: QdqGraph, program: IntegerProgram, instruction: Instruction, x: str) -> str:
    """Write the place of a real in a table that begins at the least code; int64.

    In floats, since runtimes fold quantizers away between which they know the operator only.
    """
    grid = uniform(program.tensors[instruction.inputs[0]].grid, instruction.inputs[0])
    least, greatest = grid.element.limits
    name = instruction.name
    steps = {
        "Div": grid.scale.array.reshape(()),
        "Round": None,
        "Add": np.array(grid.zero_point - least, np.float32),
    }
    value = x
    for operator, operand in steps.items():
        made = graph.fresh(f"{name}/{operator.lower()}")
        extra = [] if operand is None else [graph.constant(f"{name}/operand", operand)]
        graph.add(operator, [value, *extra], made)
        value = made
    ends = [
        graph.constant(f"{name}/end", np.array(end, np.float32))
        for end in (0, greatest - least)
    ]
    within, index = graph.fresh(f"{name}/within"), graph.fresh(f"{name}/index")
    graph.add("Clip", [value, *ends], within)
    graph.add("Cast", [within], index, to=onnx.TensorProto.INT64)
    return index


def _resample(
    graph: QdqGraph,
    program: IntegerProgram,
    instruction: Instruction,
    inputs: list[str],
    result: str,
) -> None:
    """Write two products with matrices of the weights, in reals: both sides' have the same number of fraction bits."""
    source, target = (
        uniform(program.tensors[name].grid, name)
        for name in (instruction.inputs[0], instruction.output)
    )
    attributes = instruction.attributes
    unit = math.ldexp(number(attributes["multiplier"]), -number(attributes["shift"]))
    unit *= target.step / source.step
    bits = round(-math.log2(unit) / 2) if unit else 0
    shape = program.tensors[instruction.inputs[0]].shape
    matrices = []
    for side, axis in (("row", 2), ("column", 3)):
        indices = instruction.constants[f"{side}_indices"].array
        weights = instruction.constants[f"{side}_weights"].array.astype(np.float64)
        matrix = np.zeros((len(indices), shape[axis] or 0))
        positions = np.arange(len(indices))[:, None]
        np.add.at(matrix, (positions, indices), np.ldexp(weights, -bits))
        matrices.append(matrix.astype(np.float32))
    name = instruction.name
    rows = graph.constant(f"{name}/rows", matrices[0])
    columns = graph.constant(f"{name}/columns", np.ascontiguousarray(matrices[1].T))
    made = graph.fresh(f"{name}/resampled")
    graph.add("MatMul", [rows, *inputs], made)
    graph.add("MatMul", [made, columns], result, name=name)


def _normalize(
    graph: QdqGraph,
    program: IntegerProgram,
    instruction: Instruction,
    inputs: list[str],
    result: str,
) -> None:
    """Write a LayerNormalization over the last axis, or an InstanceNormalization where factors are those of rows."""
    attributes, name = instruction.attributes, instruction.name
    source, target = (
        uniform(program.tensors[tensor].grid, tensor)
        for tensor in (instruction.inputs[0], instruction.output)
    )
    _, rows, count = program.tensors[instruction.inputs[0]].shape
    assert rows is not None  # the program's rules prove it
    assert count is not None
    shift = number(attributes["shift"])
    scale, bias = (
        np.ldexp(instruction.constants[key].array.astype(np.float64), exponent) * target.step
        for key, exponent in (
            ("multiplier", NORMAL_FRACTION_BITS - shift),
            ("bias", number(attributes["bias_shift"]) - shift),
        )
    )
    unit = source.step * 2.0 ** number(attributes["input_shift"])
    epsilon = float(number(attributes["epsilon"])) * unit**2 / float(count) ** 2

    def constant(key: str, values: NDArray[Any], shape: tuple[int, ...]) -> str:
        return graph.constant(
            f"{name}/{key}", np.broadcast_to(values, shape).astype(np.float32)
        )

    if scale.shape[0] == 1:
        factors = [
            constant(key, values.reshape(-1), (count,))
            for key, values in (("scale", scale), ("bias", bias))
        ]
        graph.add(
            "LayerNormalization",
            [*inputs, *factors],
            result,
            name=name,
            axis=-1,
            epsilon=epsilon,
        )
        return
    if scale.shape[1] == 1:
        factors = [
            constant(key, values.reshape(-1), (rows,))
            for key, values in (("scale", scale), ("bias", bias))
        ]
        graph.add(
            "InstanceNormalization", [*inputs, *factors], result, name=name, epsilon=epsilon
        )
        return
    ones = constant("ones", np.ones(1), (count,))
    normal, scaled = graph.fresh(f"{name}/normal"), graph.fresh(f"{name}/scaled")
    graph.add(
        "LayerNormalization", [*inputs, ones], normal, name=name, axis=-1, epsilon=epsilon
    )
    graph.add("Mul", [normal, constant("scale", scale, (rows, count))], scaled)
    graph.add("Add", [scaled, constant("bias", bias, (rows, count))], result)


def _constant(
    graph: QdqGraph,
    program: IntegerProgram,
    instruction: Instruction,
    inputs: list[str],
    result: str,
) -> None:
    """Write the reals of the codes, repeated for every sample where there may be more than one."""
    codes = instruction.constants["codes"].array
    tensor = program.tensors[instruction.output]
    batch, name = tensor.shape[0], instruction.name
    reals = graph.constant(f"{name}/codes", tensor.grid.dequantize(codes)[None])
    if batch == 1:
        graph.add("Identity", [reals], result, name=name)
        return
    if batch is not None:
        sizes = graph.constant(f"{name}/sizes", np.array((batch, *codes.shape), np.int64))
    else:
        samples, sizes = graph.fresh(f"{name}/samples"), graph.fresh(f"{name}/sizes")
        graph.add("Shape", [inputs[0]], samples, start=0, end=1)
        rest = graph.constant(f"{name}/rest", np.array(codes.shape, np.int64))
        graph.add("Concat", [samples, rest], sizes, axis=0)
    graph.add("Expand", [reals, sizes], result, name=name)


_WRITERS: dict[str, Writer] = {
    "multiply": _plain("Mul"),
    "matmul": _plain("MatMul"),
    "divide": _plain("Div"),
    "transpose": _transpose,
    "gather": _gather,
    "lookup": _lookup,
    "lookup_channels": _lookup,
    "lookup_interpolated": _lookup,
    "resample": _resample,
    "normalize": _normalize,
    "constant": _constant,
}
