"""ReduceMean and its kind: pools where they go over an image's height and width, else Reduce."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import (
    AnyOperator,
    AveragePool,
    Elementwise,
    Function,
    GlobalAveragePool,
    Identity,
    MaxPool,
    Reduce,
    Reduction,
    Shape,
    known,
    normalize_axis,
)

_ABS = Elementwise(function=Function.ABS)
_EXP = Elementwise(function=Function.EXP)
_LOG = Elementwise(function=Function.LOG)
_SQRT = Elementwise(function=Function.SQRT)
_SQUARE = Elementwise(function=Function.POW, alpha=2.0)

# ONNX's name: a function before, the reduction, a function after.
_FORMS: Mapping[str, tuple[Elementwise | None, Reduction, Elementwise | None]] = (
    MappingProxyType(
        {
            "ReduceMean": (None, Reduction.MEAN, None),
            "ReduceSum": (None, Reduction.SUM, None),
            "ReduceMax": (None, Reduction.MAX, None),
            "ReduceMin": (None, Reduction.MIN, None),
            "ReduceL1": (_ABS, Reduction.SUM, None),
            "ReduceL2": (_SQUARE, Reduction.SUM, _SQRT),
            "ReduceSumSquare": (_SQUARE, Reduction.SUM, None),
            "ReduceLogSum": (None, Reduction.SUM, _LOG),
            "ReduceLogSumExp": (_EXP, Reduction.SUM, _LOG),
        }
    )
)

REDUCTION_NAMES = tuple(_FORMS)

# The opset from which on axes are an input: 13 for ReduceSum, 18 for the others.
_AXES_INPUT = 18
_AXES_INPUT_OF_SUM = 13


def convert_reduction(node: OnnxNode, scope: Scope) -> None:
    """Convert an operator of REDUCTION_NAMES; axes that do not stay are reshaped away."""
    before, reduction, after = _FORMS[node.operator]
    x = node.input(0)
    shape = scope.shape(x)
    axes = _axes(node, scope, len(shape))
    if 0 in axes and shape[0] is None:
        raise NotSupported("it reduces the free batch")
    reduced: Shape = tuple(1 if axis in axes else d for axis, d in enumerate(shape))
    kept = bool(node.integer("keepdims", 1))
    steps: list[AnyOperator] = [
        *([] if before is None else [before]),
        _operator(reduction, axes, shape),
        *([] if after is None else [after]),
    ]
    for position, step in enumerate(steps):
        if position == len(steps) - 1 and kept:
            scope.emit(node.name, step, (x,), node.outputs[0])
        else:
            x = scope.emit_intermediate(f"{node.name}_{position}", step, (x,))
    if not kept:
        target = tuple(d for axis, d in enumerate(reduced) if axis not in axes)
        scope.emit_reshape(node.name, x, target, node.outputs[0])


def _axes(node: OnnxNode, scope: Scope, rank: int) -> tuple[int, ...]:
    first = _AXES_INPUT_OF_SUM if node.operator == "ReduceSum" else _AXES_INPUT
    if node.opset < first:
        listed = node.integers("axes")
    else:
        listed = scope.integers(node.input(1), "list of axes") if node.input(1) else None
        if not listed:  # an empty list is as none
            listed = () if node.integer("noop_with_empty_axes", 0) else None
    axes = range(rank) if listed is None else listed
    return tuple(sorted({normalize_axis(axis, rank) for axis in axes}))


def _operator(reduction: Reduction, axes: tuple[int, ...], shape: Shape) -> AnyOperator:
    """Return the pool that reduces these axes, where they are an image's height, width or both; else Reduce."""
    if not axes:
        return Identity()
    if len(shape) == 4 and set(axes) <= {2, 3}:
        window = tuple(known(shape[axis]) if axis in axes else 1 for axis in (2, 3))
        make: Mapping[Reduction, Callable[[], AnyOperator]] = {
            Reduction.MEAN: lambda: (
                GlobalAveragePool()
                if len(axes) == 2
                else AveragePool(kernel_shape=(window[0], window[1]))
            ),
            Reduction.MAX: lambda: MaxPool(kernel_shape=(window[0], window[1])),
        }
        if reduction in make:
            return make[reduction]()
    return Reduce(reduction=reduction, axes=axes)
