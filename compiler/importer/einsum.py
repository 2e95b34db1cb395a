"""Einsum of one or two operands, as transposes, sums and one matrix product."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import MatMul, Reduce, Reduction, Shape, Transpose, known


def convert_einsum(node: OnnxNode, scope: Scope) -> None:
    """Convert Einsum without `...` and without an index twice in one operand.

    Of two operands, an index is in one of four groups: B in both and in the result, M only in the first and the
    result, K in both and summed, O only in the second and the result. They become [B..., M, K] and [B..., K, O], the
    product [B..., M, O], and that the result. Indices in one operand alone that the result lacks are summed before.
    """
    operands, result = _parse(node)
    names = [scope.operand(name, "operand") for name in node.inputs]
    if len(operands) != len(names) or len(names) > 2:
        raise NotSupported("it takes more than two operands")
    sizes = _sizes(node, scope, operands)
    reduced: list[tuple[str, str]] = []
    for position, (name, indices) in enumerate(zip(names, operands, strict=True)):
        others = result + "".join(operands[:position] + operands[position + 1 :])
        reduced.append(_sum_out(node, scope, name, indices, others, sizes))
    if len(reduced) == 1:
        name, indices = reduced[0]
        _emit_transposed(node, scope, name, indices, result)
        return
    (a, first), (b, second) = reduced
    batch = [i for i in first if i in second and i in result]
    summed = [i for i in first if i in second and i not in result]
    rows = [i for i in first if i not in second]
    columns = [i for i in second if i not in first]
    # Without B the rows need not be joined: a matrix multiplies the last axis of any rank.
    leading, own = (batch, rows) if batch else (rows[:-1], rows[-1:])
    left = _grouped(node, scope, a, first, (leading, own, summed), sizes)
    right = _grouped(node, scope, b, second, (batch, summed, columns), sizes)
    product = scope.emit_intermediate(f"{node.name}_product", MatMul(), (left, right))
    order = "".join((*batch, *rows, *columns))
    unjoined = scope.reshaped(f"{node.name}_axes", product, tuple(sizes[i] for i in order))
    _emit_transposed(node, scope, unjoined, order, result)


def _parse(node: OnnxNode) -> tuple[list[str], str]:
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, result = equation.partition("->")
    operands = left.split(",")
    if not arrow:  # the indices that occur once, in alphabetic order
        result = "".join(sorted(i for i in set(left) if i.isalpha() and left.count(i) == 1))
    if not all(operand.isalpha() for operand in operands) or (result and not result.isalpha()):
        raise NotSupported(f"its equation is {equation!r}")
    if any(len(set(part)) != len(part) for part in (*operands, result)):
        raise NotSupported(f"it takes a diagonal: {equation!r}")
    if not set(result) <= set(left):
        raise InvalidGraph(f"{node.name}: {equation!r} has a result from nowhere")
    return operands, result


def _sizes(node: OnnxNode, scope: Scope, operands: list[str]) -> Mapping[str, int | None]:
    sizes: dict[str, int | None] = {}
    for name, indices in zip(node.inputs, operands, strict=True):
        shape = scope.shape(name)
        if len(shape) != len(indices):
            raise InvalidGraph(f"{node.name}: {indices!r} does not name the axes of {shape}")
        for index, size in zip(indices, shape, strict=True):
            if sizes.setdefault(index, size) != size:
                raise NotSupported(f"axis {index!r} has different sizes")
    return sizes


def _sum_out(
    node: OnnxNode,
    scope: Scope,
    name: str,
    indices: str,
    others: str,
    sizes: Mapping[str, int | None],
) -> tuple[str, str]:
    alone = [axis for axis, index in enumerate(indices) if index not in others]
    if not alone:
        return name, indices
    if any(sizes[indices[axis]] is None for axis in alone):
        raise NotSupported("it sums over the free batch")
    total = scope.emit_intermediate(
        f"{node.name}_sum", Reduce(reduction=Reduction.SUM, axes=tuple(alone)), (name,)
    )
    kept = "".join(index for index in indices if index in others)
    return scope.reshaped(f"{node.name}_kept", total, tuple(sizes[i] for i in kept)), kept


def _grouped(
    node: OnnxNode,
    scope: Scope,
    name: str,
    indices: str,
    groups: tuple[list[str], list[str], list[str]],
    sizes: Mapping[str, int | None],
) -> str:
    """Return the operand with its axes in the order of the groups, the last two of which are joined."""
    batch, *joined = groups
    order = [*batch, *joined[0], *joined[1]]
    shape: Shape = (*(sizes[i] for i in batch), *(_joined(group, sizes) for group in joined))
    if not scope.is_value(name):
        array = scope.constants[name].array.transpose([indices.index(i) for i in order])
        matrix = np.ascontiguousarray(array.reshape([known(d) for d in shape]))
        return scope.add_constant(f"{node.name}_matrix", matrix)
    permuted = _transposed(node, scope, name, indices, "".join(order))
    return scope.reshaped(f"{node.name}_matrix", permuted, shape)


def _joined(group: list[str], sizes: Mapping[str, int | None]) -> int | None:
    if len(group) == 1:
        return sizes[group[0]]
    if any(sizes[i] is None for i in group):
        raise NotSupported("it joins the free batch with another axis")
    return math.prod(known(sizes[i]) for i in group)


def _transposed(node: OnnxNode, scope: Scope, name: str, indices: str, order: str) -> str:
    if indices == order:
        return name
    permutation = _permutation(scope, name, indices, order)
    return scope.emit_intermediate(f"{node.name}_order", permutation, (name,))


def _emit_transposed(
    node: OnnxNode, scope: Scope, name: str, indices: str, result: str
) -> None:
    permutation = _permutation(scope, name, indices, result)
    scope.emit(node.name, permutation, (name,), node.outputs[0])


def _permutation(scope: Scope, name: str, indices: str, order: str) -> Transpose:
    permutation = tuple(indices.index(index) for index in order)
    free = scope.is_value(name) and scope.shape(name)[:1] == (None,)
    if free and permutation[:1] != (0,):
        raise NotSupported("it moves the free batch from the front")
    return Transpose(permutation=permutation)
