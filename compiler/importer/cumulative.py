"""CumSum: a product with a triangle of ones."""

from __future__ import annotations

import numpy as np

from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import MatMul, Transpose, known, normalize_axis

# Ones of a triangle; beyond, it is no reasonable way to add.
_LARGEST = 1 << 22


def convert_cumsum(node: OnnxNode, scope: Scope) -> None:
    """Convert CumSum along a constant axis: the axis becomes the last, and is multiplied by a triangle.

    Raises:
        NotSupported: the axis is the free batch, or so long that the triangle would be large.
    """
    x = node.input(0)
    shape = scope.shape(x)
    axis = normalize_axis(scope.integers(node.input(1), "axis")[0], len(shape))
    if shape[axis] is None or len(shape) < 2:
        raise NotSupported("it sums over the batch")
    size = known(shape[axis])
    if size**2 > _LARGEST:
        raise NotSupported(f"it sums along {size} elements")
    ones = np.triu(np.ones((size, size), np.float32), 1 if node.integer("exclusive", 0) else 0)
    triangle = scope.add_constant(
        f"{node.name}_triangle",
        np.ascontiguousarray(ones.T if node.integer("reverse", 0) else ones),
    )
    last = len(shape) - 1
    if axis == last:
        scope.emit(node.name, MatMul(), (x, triangle), node.outputs[0])
        return
    order = list(range(len(shape)))
    order[axis], order[last] = last, axis
    swap = Transpose(permutation=tuple(order))
    moved = scope.emit_intermediate(f"{node.name}_moved", swap, (x,))
    total = scope.emit_intermediate(f"{node.name}_total", MatMul(), (moved, triangle))
    scope.emit(node.name, swap, (total,), node.outputs[0])
