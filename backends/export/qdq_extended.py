"""Tables, rearrangement, products of tensors, normalizations and quotients as float operators between quantizers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from intlower.backends.export.qdq_functions import recognized, write_function
from intlower.backends.export.qdq_graph import QdqGraph
from intlower.backends.export.tables import whole_table
from intlower.compiler.grids import UniformGrid, uniform
from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.program import Instruction, IntegerProgram
from intlower.kernels.numerics_general import NORMAL_FRACTION_BITS


@dataclass(frozen=True, slots=True)
class _Site:
    """Where an instruction is written, without its clamp and its quantizer.

    Attributes:
        graph: to add to.
        program: the program.
        instruction: one of it.
        inputs: the values that hold its inputs' reals.
        result: name of the value to make.
    """

    graph: QdqGraph
    program: IntegerProgram
    instruction: Instruction
    inputs: list[str]
    result: str

    def grid(self, tensor: str) -> UniformGrid:
        """Return the grid of one of the program's tensors."""
        return uniform(self.program.tensors[tensor].grid, tensor)


_Writer = Callable[[_Site], None]


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
    _WRITERS[instruction.kernel.operator](_Site(graph, program, instruction, inputs, result))
    return True


def _plain(operator: str) -> _Writer:
    """Return the writer of a node without constants and attributes."""

    def write(site: _Site) -> None:
        site.graph.add(operator, site.inputs, site.result, name=site.instruction.name)

    return write


def _transpose(site: _Site) -> None:
    permutation = numbers(site.instruction.attributes["permutation"])
    site.graph.add(
        "Transpose", site.inputs, site.result, name=site.instruction.name, perm=permutation
    )


def _gather(site: _Site) -> None:
    name = site.instruction.name
    indices = site.graph.constant(
        f"{name}/indices", site.instruction.constants["indices"].array.astype(np.int64)
    )
    axis = number(site.instruction.attributes["axis"])
    site.graph.add("Gather", [*site.inputs, indices], site.result, name=name, axis=axis)


def _lookup(site: _Site) -> None:
    """Write the function that the table is, or else a Gather of its reals at the input's code."""
    source, target = site.grid(site.instruction.inputs[0]), site.grid(site.instruction.output)
    name = site.instruction.name
    table = whole_table(site.program, site.instruction)
    known = recognized(table, source, target) if table.ndim == 1 else None
    if known is not None:
        function, limited = known
        made = site.graph.fresh(f"{name}/function") if limited else site.result
        write_function(
            site.graph, function, site.inputs[0], made, f"{name}/of" if limited else name
        )
        if limited:
            ends = [
                site.graph.constant(f"{name}/limit", target.dequantize(end))
                for end in (table.min(), table.max())
            ]
            site.graph.add("Clip", [made, *ends], site.result, name=name)
        return
    index = _code(site)
    if table.ndim == 2:
        rank = len(site.program.tensors[site.instruction.inputs[0]].shape)
        starts = np.arange(len(table), dtype=np.int64).reshape(-1, *(1,) * (rank - 2))
        first = site.graph.constant(f"{name}/first", starts * table.shape[1])
        place = site.graph.fresh(f"{name}/place")
        site.graph.add("Add", [index, first], place)
        index = place
    entries = site.graph.constant(f"{name}/table", target.dequantize(table.reshape(-1)))
    site.graph.add("Gather", [entries, index], site.result, name=name)


def _code(site: _Site) -> str:
    """Write the place of the input in a table that begins at the least code; int64.

    In floats, since runtimes fold quantizers away between which they know the operator only.
    """
    grid = site.grid(site.instruction.inputs[0])
    least, greatest = grid.element.limits
    name = site.instruction.name
    steps = {
        "Div": grid.scale.array.reshape(()),
        "Round": None,
        "Add": np.array(grid.zero_point - least, np.float32),
    }
    value = site.inputs[0]
    for operator, operand in steps.items():
        made = site.graph.fresh(f"{name}/{operator.lower()}")
        extra = [] if operand is None else [site.graph.constant(f"{name}/operand", operand)]
        site.graph.add(operator, [value, *extra], made)
        value = made
    ends = [
        site.graph.constant(f"{name}/end", np.array(end, np.float32))
        for end in (0, greatest - least)
    ]
    within, index = site.graph.fresh(f"{name}/within"), site.graph.fresh(f"{name}/index")
    site.graph.add("Clip", [value, *ends], within)
    site.graph.add("Cast", [within], index, to=onnx.TensorProto.INT64)
    return index


def _resample(site: _Site) -> None:
    """Write two products with matrices of the weights, in reals: both sides' have the same number of fraction bits."""
    source, target = site.grid(site.instruction.inputs[0]), site.grid(site.instruction.output)
    attributes = site.instruction.attributes
    unit = math.ldexp(number(attributes["multiplier"]), -number(attributes["shift"]))
    unit *= target.step / source.step
    bits = round(-math.log2(unit) / 2) if unit else 0
    shape = site.program.tensors[site.instruction.inputs[0]].shape
    matrices = []
    for side, axis in (("row", 2), ("column", 3)):
        indices = site.instruction.constants[f"{side}_indices"].array
        weights = site.instruction.constants[f"{side}_weights"].array.astype(np.float64)
        matrix = np.zeros((len(indices), shape[axis] or 0))
        positions = np.arange(len(indices))[:, None]
        np.add.at(matrix, (positions, indices), np.ldexp(weights, -bits))
        matrices.append(matrix.astype(np.float32))
    name = site.instruction.name
    rows = site.graph.constant(f"{name}/rows", matrices[0])
    columns = site.graph.constant(f"{name}/columns", np.ascontiguousarray(matrices[1].T))
    made = site.graph.fresh(f"{name}/resampled")
    site.graph.add("MatMul", [rows, *site.inputs], made)
    site.graph.add("MatMul", [made, columns], site.result, name=name)


def _normalize(site: _Site) -> None:
    """Write a LayerNormalization over the last axis, or an InstanceNormalization where factors are those of rows."""
    attributes, name = site.instruction.attributes, site.instruction.name
    source, target = site.grid(site.instruction.inputs[0]), site.grid(site.instruction.output)
    _, rows, count = site.program.tensors[site.instruction.inputs[0]].shape
    assert rows is not None  # the site.program's rules prove it
    assert count is not None
    shift = number(attributes["shift"])
    scale, bias = (
        np.ldexp(site.instruction.constants[key].array.astype(np.float64), exponent)
        * target.step
        for key, exponent in (
            ("multiplier", NORMAL_FRACTION_BITS - shift),
            ("bias", number(attributes["bias_shift"]) - shift),
        )
    )
    unit = source.step * 2.0 ** number(attributes["input_shift"])
    epsilon = float(number(attributes["epsilon"])) * unit**2 / float(count) ** 2

    def constant(key: str, values: NDArray[Any], shape: tuple[int, ...]) -> str:
        return site.graph.constant(
            f"{name}/{key}", np.broadcast_to(values, shape).astype(np.float32)
        )

    if scale.shape[0] == 1:
        factors = [
            constant(key, values.reshape(-1), (count,))
            for key, values in (("scale", scale), ("bias", bias))
        ]
        site.graph.add(
            "LayerNormalization",
            [*site.inputs, *factors],
            site.result,
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
        site.graph.add(
            "InstanceNormalization",
            [*site.inputs, *factors],
            site.result,
            name=name,
            epsilon=epsilon,
        )
        return
    ones = constant("ones", np.ones(1), (count,))
    normal, scaled = site.graph.fresh(f"{name}/normal"), site.graph.fresh(f"{name}/scaled")
    site.graph.add(
        "LayerNormalization", [*site.inputs, ones], normal, name=name, axis=-1, epsilon=epsilon
    )
    site.graph.add("Mul", [normal, constant("scale", scale, (rows, count))], scaled)
    site.graph.add("Add", [scaled, constant("bias", bias, (rows, count))], site.result)


def _constant(site: _Site) -> None:
    """Write the reals of the codes, repeated for every sample where there may be more than one."""
    codes = site.instruction.constants["codes"].array
    tensor = site.program.tensors[site.instruction.output]
    batch, name = tensor.shape[0], site.instruction.name
    reals = site.graph.constant(f"{name}/codes", tensor.grid.dequantize(codes)[None])
    if batch == 1:
        site.graph.add("Identity", [reals], site.result, name=name)
        return
    if batch is not None:
        sizes = site.graph.constant(f"{name}/sizes", np.array((batch, *codes.shape), np.int64))
    else:
        samples, sizes = site.graph.fresh(f"{name}/samples"), site.graph.fresh(f"{name}/sizes")
        site.graph.add("Shape", [site.inputs[0]], samples, start=0, end=1)
        rest = site.graph.constant(f"{name}/rest", np.array(codes.shape, np.int64))
        site.graph.add("Concat", [samples, rest], sizes, axis=0)
    site.graph.add("Expand", [reals, sizes], site.result, name=name)


_WRITERS: dict[str, _Writer] = {
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
