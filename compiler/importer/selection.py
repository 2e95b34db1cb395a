"""Split, Gather and Where: parts of values, and what is chosen of two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.instruction_checker import LARGEST_TENSOR
from intlower.compiler.operators import (
    Add,
    Concat,
    Div,
    Gather,
    Mul,
    Shape,
    Slice,
    known,
    normalize_axis,
)

# The opset from which on the sizes of parts are an input, and the one that knows their number alone.
_SIZES_INPUT = 13
_NUMBER = 18

# From here on a number in a Where is a mask: half a unit of float32 is 4.
_MASK = -1e8

# Slices that one Gather may become: more of them are one that picks elements.
_MOST_SLICES = 64


def convert_split(node: OnnxNode, scope: Scope) -> None:
    """Convert Split to one Slice for each output that is read."""
    x = node.input(0)
    shape = scope.shape(x)
    axis = normalize_axis(node.integer("axis", 0), len(shape))
    if shape[axis] is None:
        raise NotSupported("it splits the free batch")
    sizes = _part_sizes(node, scope, known(shape[axis]))
    start = 0
    for output, size in zip(node.outputs, sizes, strict=True):
        if output in node.wanted:
            name = node.name if output == node.outputs[0] else scope.fresh(node.name)
            scope.emit(name, _range(axis, start, start + size), (x,), output)
        start += size


def _part_sizes(node: OnnxNode, scope: Scope, total: int) -> tuple[int, ...]:
    count = len(node.outputs)
    if node.opset < _SIZES_INPUT:
        sizes = node.integers("split")
    else:
        sizes = scope.integers(node.input(1), "list of sizes") if node.input(1) else None
    if sizes is None:
        # Parts of one size, the last one smaller where it has to be. Source: ONNX Split-18.
        size = -(-total // count)
        if total % count and node.opset < _NUMBER:
            raise InvalidGraph(f"{node.name}: {total} elements in {count} equal parts")
        sizes = (*(size,) * (count - 1), total - size * (count - 1))
    if len(sizes) != count or sum(sizes) != total or min(sizes) < 1:
        raise InvalidGraph(
            f"{node.name}: parts {sizes} of {total} elements for {count} outputs"
        )
    return sizes


def convert_gather(node: OnnxNode, scope: Scope) -> None:
    """Convert Gather with constant indices: runs of them are slices, and several are joined; many are a Gather.

    A single index, of rank 0, removes the axis.
    """
    x = node.input(0)
    if not scope.is_value(x):
        raise NotSupported("its indices are computed")
    shape = scope.shape(x)
    axis = normalize_axis(node.integer("axis", 0), len(shape))
    if shape[axis] is None:
        raise NotSupported("it picks samples of the free batch")
    indices = scope.array(node.input(1), "list of indices")
    size = known(shape[axis])
    if indices.dtype.kind not in "iu" or not indices.size:
        raise InvalidGraph(f"{node.name}: its indices are {indices.dtype}{list(indices.shape)}")
    if indices.min() < -size or indices.max() >= size:
        raise InvalidGraph(f"{node.name}: an index is outside axis {axis} of {shape}")
    picked = np.where(indices < 0, indices + size, indices).reshape(-1)
    if len(picked) > LARGEST_TENSOR:
        raise NotSupported(f"it picks {len(picked)} elements")
    runs = _runs(picked)
    target: Shape = (*shape[:axis], *indices.shape, *shape[axis + 1 :])
    exact = indices.ndim == 1
    if len(runs) > _MOST_SLICES:
        gather = Gather(axis=axis, indices=tuple(picked.tolist()))
        if exact:
            scope.emit(node.name, gather, (x,), node.outputs[0])
            return
        flat = scope.emit_intermediate(f"{node.name}_picked", gather, (x,))
        scope.emit_reshape(node.name, flat, target, node.outputs[0])
        return
    slices = [_range(axis, first, last + 1) for first, last in runs]
    if len(slices) == 1 and exact:
        scope.emit(node.name, slices[0], (x,), node.outputs[0])
        return
    parts = [scope.emit_intermediate(f"{node.name}_part", part, (x,)) for part in slices]
    if exact:
        scope.emit(node.name, Concat(axis=axis), tuple(parts), node.outputs[0])
        return
    joined = parts[0]
    if len(parts) > 1:
        joined = scope.emit_intermediate(f"{node.name}_joined", Concat(axis=axis), tuple(parts))
    scope.emit_reshape(node.name, joined, target, node.outputs[0])


def _runs(indices: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[tuple[int, int]]:
    """Return first and last of each run of consecutive indices."""
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    return [(int(run[0]), int(run[-1])) for run in np.split(indices, breaks)]


def _range(axis: int, start: int, end: int) -> Slice:
    return Slice(starts=(start,), ends=(end,), axes=(axis,), steps=(1,))


def convert_equal(node: OnnxNode, scope: Scope) -> None:
    """Note that the output is whether a value is 0, which a Where may read."""
    values = [name for name in node.inputs if scope.is_value(name)]
    others = [name for name in node.inputs if name not in values]
    if len(values) != 1 or not all(_is_zero(scope, name) for name in others):
        raise NotSupported("it compares numbers that are computed")
    scope.zero_tests[node.outputs[0]] = values[0]


def _is_zero(scope: Scope, name: str) -> bool:
    return scope.is_constant(name) and scope.array(name, "operand").ravel().tolist() == [0]


def _convert_quotient(node: OnnxNode, scope: Scope) -> None:
    """Convert 0 where b is 0, else a / b, as TensorFlow's `divide_no_nan` is written."""
    divisor = scope.zero_tests[node.input(0)]
    a, b = scope.quotients.get(node.input(2), ("", ""))
    if b != divisor or not _is_zero(scope, node.input(1)):
        raise NotSupported("its condition compares numbers that are computed")
    scope.emit(node.name, Div(no_nan=True), (a, b), node.outputs[0])


def convert_where(node: OnnxNode, scope: Scope) -> None:
    """Convert Where with a constant condition c: a * c + b * (1 - c), with what is constant of it multiplied already.

    Only the signs of zeros differ, and where the part that is not chosen is infinite. Where it puts numbers of -1e8 or less,
    as masks do, it adds them: a computed number beside them is less than a rounding. A quotient may have its value for the
    divisor 0 chosen.
    """
    if node.input(0) in scope.zero_tests:
        _convert_quotient(node, scope)
        return
    if scope.is_value(node.input(0)):
        raise NotSupported("its condition is computed; multiply by a mask, or add one, instead")
    condition = scope.array(node.input(0), "condition")
    if condition.dtype != np.bool_:
        raise InvalidGraph(
            f"{node.name}: a condition of {condition.dtype}, not of truth values"
        )
    if _emit_mask(node, scope, condition):
        return
    chosen = condition.astype(np.float32)
    terms: list[str] = []
    constant: NDArray[np.float32] | None = None
    for position, factor in ((1, chosen), (2, 1 - chosen)):
        name = node.input(position)
        if not scope.is_value(name):
            product = scope.floats(name, "operand") * factor
            constant = product if constant is None else constant + product
            continue
        mask = scope.add_constant(f"{node.name}_mask{position}", factor)
        terms.append(
            scope.emit_intermediate(f"{node.name}_part{position}", Mul(), (name, mask))
        )
    if constant is not None:
        terms.append(scope.add_constant(f"{node.name}_rest", constant))
    scope.emit(node.name, Add(), (terms[0], terms[1]), node.outputs[0])


def _emit_mask(node: OnnxNode, scope: Scope, condition: NDArray[np.bool_]) -> bool:
    """Convert Where of a value and numbers that mask it to an Add; return whether it was one."""
    for value, other, kept in ((1, 2, condition), (2, 1, ~condition)):
        x, low = node.input(value), node.input(other)
        if not scope.is_value(x) or scope.is_value(low):
            continue
        array = scope.array(low, "operand")
        if array.dtype.kind != "f" or kept.all():
            return False
        broadcast = np.broadcast_arrays(array, kept)
        if not (broadcast[0][~broadcast[1]] <= _MASK).all():
            return False
        with np.errstate(over="ignore"):
            mask = np.where(kept, 0, array).astype(np.float32)
        least = np.finfo(np.float32).min
        constant = scope.add_constant(f"{node.name}_mask", np.maximum(mask, least))
        scope.emit(node.name, Add(), (x, constant), node.outputs[0])
        return True
    return False
