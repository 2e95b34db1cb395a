"""Reductions over axes that follow one another: a pooling of the whole axis."""

from __future__ import annotations

import math

import numpy as np

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.extrema import lower_mirror
from intlower.backends.lowering.rearrangement import Chain
from intlower.backends.lowering.scales import prove_left_shift
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.graph import Node
from intlower.compiler.grids import UniformGrid
from intlower.compiler.operators import Reduce, Reduction, known, normalize_axis
from intlower.compiler.program import Attribute
from intlower.compiler.spec import PoolRule


def lower_reduce(builder: ProgramBuilder, node: Node) -> None:
    """Emit a pooling whose window is all that is reduced, between reshapes: [N, before, reduced, after].

    Raises:
        UnsupportedByTarget: it reduces the batch.
    """
    operator = node.operator
    assert isinstance(operator, Reduce)  # the caller matched it
    shape = builder.shape(node.inputs[0])
    axes = sorted(normalize_axis(axis, len(shape)) for axis in operator.axes)
    if 0 in axes:
        raise UnsupportedByTarget(f"{node.name}: the batch cannot be reduced")
    first, last = (axes[0], axes[-1] + 1) if axes else (1, 1)
    before, reduced, after = (
        math.prod(known(d) for d in shape[begin:end])
        for begin, end in ((1, first), (first, last), (last, len(shape)))
    )
    image = f"{node.output}.image"
    chain = Chain(builder, node, node.inputs[0], image)
    if axes != list(range(first, last)):  # what is reduced is moved to the end
        kept = [axis for axis in range(1, len(shape)) if axis not in axes]
        chain.transpose(0, *kept, *axes)
        before = math.prod(known(shape[axis]) for axis in kept)
        reduced, after = math.prod(known(shape[axis]) for axis in axes), 1
    chain.reshape(before, reduced, after)
    chain.emit()
    pooled = f"{node.output}.pooled"
    target = builder.encodings[node.output]
    least = operator.reduction is Reduction.MIN
    if least:  # the greatest of the mirrored codes
        image = lower_mirror(builder, f"{node.name}.mirror", image, f"{node.output}.mirror")
    grid = builder.grid(image) if least else target
    builder.define(pooled, (shape[0], before, 1, after), grid)
    _pool(builder, node, image, pooled, reduced, grid)
    if least:
        back = f"{node.output}.back"
        pooled = lower_mirror(builder, f"{node.name}.back", pooled, back, target)
    ending = Chain(builder, node, pooled, node.output)
    ending.reshape(*(known(d) for d in builder.graph.values[node.output].shape[1:]))
    ending.emit()


def _pool(
    builder: ProgramBuilder,
    node: Node,
    image: str,
    pooled: str,
    reduced: int,
    target: UniformGrid,
) -> None:
    operator = node.operator
    assert isinstance(operator, Reduce)  # the caller matched it
    window: dict[str, Attribute] = {
        "kernel_shape": (reduced, 1),
        "strides": (1, 1),
        "pads": (0, 0, 0, 0),
    }
    name = f"{node.name}.pooled"
    if operator.reduction in (Reduction.MAX, Reduction.MIN):
        attributes = {**window, "dilations": (1, 1)}
        builder.emit(
            "max_pool", name=name, inputs=(image,), output=pooled, attributes=attributes
        )
        return
    low, high = builder.activation_codes(node.activation, target)
    limits: dict[str, Attribute] = {"minimum": low, "maximum": high}
    mean = operator.reduction is Reduction.MEAN
    if mean and builder.spec.pool_rule is PoolRule.MEAN_CODE:
        attributes = {**window, **limits}
        builder.emit(
            "mean_pool", name=name, inputs=(image,), output=pooled, attributes=attributes
        )
        return
    source = builder.grid(image)
    if mean:
        multiplier, shift = builder.mean_scale(
            source.step, target.step, reduced, (reduced, 1), node.name
        )
    else:
        multiplier, shift = builder.scale(
            "average_pool", (source.step,), target.step, node.name
        )
    reach = max(abs(limit - source.zero_point) for limit in source.limits)
    prove_left_shift(builder.rule("average_pool"), reach * reduced, shift, node.name)
    builder.emit(
        "average_pool",
        name=name,
        inputs=(image,),
        output=pooled,
        constants={
            "multiplier": np.array([[multiplier]], np.int32),
            "shift": np.array([[shift]], np.int32),
        },
        attributes={
            **window,
            "input_zero_point": source.zero_point,
            "output_zero_point": target.zero_point,
            **limits,
        },
    )
