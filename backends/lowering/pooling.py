"""Average and maximum pooling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.scales import prove_left_shift
from intlower.compiler.graph import Node
from intlower.compiler.operators import (
    AveragePool,
    GlobalAveragePool,
    MaxPool,
    Pad,
    Shape,
    known,
)
from intlower.compiler.program import Attribute
from intlower.compiler.spec import PoolRule

Pads = tuple[int, int, int, int]


def lower_average_pool(builder: ProgramBuilder, node: Node) -> None:
    """Emit `average_pool`: the exact sum of a window, times input scale / (output scale * count), rounded once."""
    operator = node.operator
    before, after = (builder.graph.values[name].shape for name in (node.inputs[0], node.output))
    if isinstance(operator, GlobalAveragePool):
        operator = whole_image(before)
    assert isinstance(operator, AveragePool)  # the caller matched it
    if builder.spec.pool_rule is PoolRule.MEAN_CODE:
        _lower_mean(builder, node, operator)
        return
    counts = element_counts(operator, before, after)
    source, target = builder.grid(node.inputs[0]), builder.define_value(node.output)
    scales = {
        int(count): builder.mean_scale(
            source.step, target.step, int(count), operator.kernel_shape, node.name
        )
        for count in np.unique(counts)
    }
    reach = max(abs(limit - source.zero_point) for limit in source.limits)
    for count, (_, shift) in scales.items():
        prove_left_shift(builder.rule("average_pool"), reach * count, shift, node.name)
    low, high = builder.activation_codes(node.activation, target)
    builder.emit(
        "average_pool",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        constants={
            "multiplier": _per_position(counts, {count: scales[count][0] for count in scales}),
            "shift": _per_position(counts, {count: scales[count][1] for count in scales}),
        },
        attributes={
            **window_attributes(operator, before, after),
            "input_zero_point": source.zero_point,
            "output_zero_point": target.zero_point,
            "minimum": low,
            "maximum": high,
        },
    )


def _lower_mean(builder: ProgramBuilder, node: Node, operator: AveragePool) -> None:
    """Emit `mean_pool`, after a `pad` where padding counts: only elements are counted there."""
    source, pads = node.inputs[0], operator.pads
    grid = builder.grid(source)
    if operator.count_include_pad and any(pads):
        border = (0, 0, *pads[:2], 0, 0, *pads[2:])
        shape = Pad(pads=border).output_shape([builder.shape(source)])
        padded = f"{node.output}.padded"
        builder.define(padded, shape, grid)
        builder.emit(
            "pad",
            name=f"{node.name}.pad",
            inputs=(source,),
            output=padded,
            attributes={"pads": border, "value": grid.zero_point},
        )
        source, operator = padded, replace(operator, pads=(0, 0, 0, 0))
    before, after = builder.shape(source), builder.graph.values[node.output].shape
    builder.define_value(node.output)
    low, high = builder.activation_codes(node.activation, grid)
    builder.emit(
        "mean_pool",
        name=node.name,
        inputs=(source,),
        output=node.output,
        attributes={
            **window_attributes(operator, before, after),
            "minimum": low,
            "maximum": high,
        },
    )


def lower_max_pool(builder: ProgramBuilder, node: Node) -> None:
    """Emit `max_pool`: codes are compared, on the input's grid."""
    operator = node.operator
    assert isinstance(operator, MaxPool)  # the caller matched it
    before, after = (builder.graph.values[name].shape for name in (node.inputs[0], node.output))
    builder.define_value(node.output)
    builder.emit(
        "max_pool",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        attributes=window_attributes(operator, before, after),
    )


def whole_image(shape: Shape) -> AveragePool:
    """Return the pool that a global one is on an image, [N, C, H, W]."""
    return AveragePool(kernel_shape=_size(shape))


def window_attributes(
    operator: AveragePool | MaxPool, before: Shape, after: Shape
) -> dict[str, Attribute]:
    """Return what a pooling instruction says of its window: kernel_shape, strides, pads; of a maximum also dilations.

    Args:
        operator: the pool.
        before: shape of its input, [N, C, H, W].
        after: shape of its output.
    """
    attributes: dict[str, Attribute] = {
        "kernel_shape": operator.kernel_shape,
        "strides": operator.strides,
        "pads": effective_pads(operator, _size(before), _size(after)),
    }
    if isinstance(operator, MaxPool):
        attributes["dilations"] = operator.dilations
    return attributes


def element_counts(operator: AveragePool, before: Shape, after: Shape) -> NDArray[np.int64]:
    """Return how many elements each window's mean is taken over: [H', W'], or [1, 1] where all are alike.

    Args:
        operator: the pool.
        before: shape of its input, [N, C, H, W].
        after: shape of its output.
    """
    rows, columns = (
        window_counts(operator, axis, _size(before)[axis], _size(after)[axis])
        for axis in (0, 1)
    )
    counts: NDArray[np.int64] = np.outer(rows, columns)
    return counts[:1, :1] if (counts == counts[0, 0]).all() else counts


def _size(shape: Shape) -> tuple[int, int]:
    return known(shape[2]), known(shape[3])


def effective_pads(
    operator: AveragePool | MaxPool, size: tuple[int, int], windows: tuple[int, int]
) -> Pads:
    """Return the pads with which floor arithmetic gives as many windows as the operator has.

    With `ceil_mode` the last window may hang over the end: the overhang becomes padding.

    Args:
        operator: the pool.
        size: of the input, (H, W).
        windows: of the output, (H', W').
    """
    top, left, bottom, right = operator.pads
    dilations = operator.dilations if isinstance(operator, MaxPool) else (1, 1)

    def end(axis: int, begin: int, stated: int) -> int:
        extent = dilations[axis] * (operator.kernel_shape[axis] - 1) + 1
        reach = (windows[axis] - 1) * operator.strides[axis] + extent
        return max(stated, reach - size[axis] - begin)

    return top, left, end(0, top, bottom), end(1, left, right)


def window_counts(
    operator: AveragePool, axis: int, size: int, windows: int
) -> NDArray[np.int64]:
    """Return how many elements each window's mean is taken over, along one axis.

    Without `count_include_pad` only elements of the input count; with it the stated padding counts as well, but never the
    overhang of `ceil_mode` (onnxruntime and PyTorch agree on this).
    """
    begin, end = operator.pads[axis], operator.pads[axis + 2]
    start = np.arange(windows) * operator.strides[axis] - begin
    stop = start + operator.kernel_shape[axis]
    if operator.count_include_pad:
        return np.minimum(stop, size + end) - start
    return np.minimum(stop, size) - np.maximum(start, 0)


def _per_position(counts: NDArray[np.int64], numbers: dict[int, int]) -> NDArray[np.int32]:
    return np.array([[numbers[int(count)] for count in row] for row in counts], np.int32)
