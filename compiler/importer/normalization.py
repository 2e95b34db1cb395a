"""Normalizations by statistics of the input: InstanceNormalization, LayerNormalization, GroupNormalization, LRN."""

from __future__ import annotations

import numpy as np

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import (
    LRN,
    Add,
    Clip,
    Div,
    Elementwise,
    Function,
    InstanceNormalization,
    LayerNormalization,
    Mul,
    Reduce,
    Reduction,
    known,
    normalize_axis,
)

# As PyTorch's functional.normalize has it.
_LEAST_NORM = 1e-12


def convert_instance_normalization(node: OnnxNode, scope: Scope) -> None:
    """Convert InstanceNormalization with constant scale and shift."""
    inputs = (
        node.input(0),
        scope.constant(node.input(1), "scale"),
        scope.constant(node.input(2), "shift"),
    )
    operator = InstanceNormalization(epsilon=node.number("epsilon", 1e-5))
    scope.emit(node.name, operator, inputs, node.outputs[0])


def convert_layer_normalization(node: OnnxNode, scope: Scope) -> None:
    """Convert LayerNormalization with constant scale and shift, given the shape of the normalized axes."""
    node.first_output_only()
    x = node.input(0)
    shape = scope.shape(x)
    axis = normalize_axis(node.integer("axis", -1), len(shape))
    if axis == 0 and shape[0] is None:
        raise NotSupported("it normalizes over the free batch")
    normal = tuple(known(size) for size in shape[axis:])
    parameters = []
    for position, role in ((1, "scale"), (2, "shift")):
        if node.input(position):
            array = scope.floats(node.input(position), role)
            if array.shape == normal:
                parameters.append(scope.constant(node.input(position), role))
                continue
            try:
                array = np.ascontiguousarray(np.broadcast_to(array, normal))
            except ValueError:
                raise InvalidGraph(
                    f"{node.name}: a {role} of shape {list(array.shape)} does not fit {shape}"
                ) from None
            parameters.append(scope.add_constant(f"{node.name}_{role}", array))
    operator = LayerNormalization(axis=axis, epsilon=node.number("epsilon", 1e-5))
    scope.emit(node.name, operator, (x, *parameters), node.outputs[0])


def convert_group_normalization(node: OnnxNode, scope: Scope) -> None:
    """Convert GroupNormalization to an InstanceNormalization of groups, then a scale and a shift.

    Both have one number for each channel. (Before opset 21 it was one for each group; onnx's checker refuses that.)
    """
    x, groups = node.input(0), node.integer("num_groups", 0)
    shape = scope.shape(x)
    channels = known(shape[1])
    if groups < 1 or channels % groups:
        raise InvalidGraph(f"{node.name}: {channels} channels in {groups} groups")
    size = int(np.prod([known(d) for d in shape[2:]], dtype=np.int64)) * channels // groups
    grouped = scope.reshaped(f"{node.name}_groups", x, (shape[0], groups, size))
    unit = scope.add_constant(f"{node.name}_unit", np.ones(groups, np.float32))
    zero = scope.add_constant(f"{node.name}_zero", np.zeros(groups, np.float32))
    normal = scope.emit_intermediate(
        f"{node.name}_normal",
        InstanceNormalization(epsilon=node.number("epsilon", 1e-5)),
        (grouped, unit, zero),
    )
    result = scope.reshaped(f"{node.name}_channels", normal, shape)
    parameters = []
    for position, role in ((1, "scale"), (2, "shift")):
        array = scope.floats(node.input(position), role)
        if array.shape != (channels,):
            raise InvalidGraph(
                f"{node.name}: a {role} of shape {list(array.shape)} for {channels} channels"
            )
        per_channel = np.ascontiguousarray(array).reshape(-1, *(1,) * (len(shape) - 2))
        parameters.append(scope.add_constant(f"{node.name}_{role}", per_channel))
    scaled = scope.emit_intermediate(f"{node.name}_scaled", Mul(), (result, parameters[0]))
    scope.emit(node.name, Add(), (scaled, parameters[1]), node.outputs[0])


def convert_rms_normalization(node: OnnxNode, scope: Scope) -> None:
    """Convert RMSNormalization to x / sqrt(mean(x * x) + epsilon) * scale."""
    x = node.input(0)
    shape = scope.shape(x)
    axis = normalize_axis(node.integer("axis", -1), len(shape))
    if axis == 0 and shape[0] is None:
        raise NotSupported("it normalizes over the free batch")
    square = scope.emit_intermediate(
        f"{node.name}_square", Elementwise(function=Function.POW, alpha=2.0), (x,)
    )
    mean = scope.emit_intermediate(
        f"{node.name}_mean",
        Reduce(reduction=Reduction.MEAN, axes=tuple(range(axis, len(shape)))),
        (square,),
    )
    epsilon = scope.add_constant(
        f"{node.name}_epsilon", np.array(node.number("epsilon", 1e-5), np.float32)
    )
    positive = scope.emit_intermediate(f"{node.name}_positive", Add(), (mean, epsilon))
    inverse = scope.emit_intermediate(
        f"{node.name}_inverse", Elementwise(function=Function.POW, alpha=-0.5), (positive,)
    )
    normal = scope.emit_intermediate(f"{node.name}_normal", Mul(), (x, inverse))
    scale = scope.constant(node.input(1), "scale")
    scope.emit(node.name, Mul(), (normal, scale), node.outputs[0])


def convert_lp_normalization(node: OnnxNode, scope: Scope) -> None:
    """Convert LpNormalization, p of 1 or 2, to x over the sum of magnitudes, or over the root of the sum of squares."""
    x, p = node.input(0), node.integer("p", 2)
    shape = scope.shape(x)
    axis = normalize_axis(node.integer("axis", -1), len(shape))
    if p not in (1, 2):
        raise NotSupported(f"its p is {p}")
    if shape[axis] is None:
        raise NotSupported("it normalizes over the free batch")
    before = Elementwise(function=Function.ABS)
    if p == 2:
        before = Elementwise(function=Function.POW, alpha=2.0)
    size = scope.emit_intermediate(f"{node.name}_sizes", before, (x,))
    reduction = Reduce(reduction=Reduction.SUM, axes=(axis,))
    size = scope.emit_intermediate(f"{node.name}_sum", reduction, (size,))
    if p == 2:
        root = Elementwise(function=Function.SQRT)
        size = scope.emit_intermediate(f"{node.name}_norm", root, (size,))
    # Where all are 0, so is the result: no quotient of 0 and 0.
    size = scope.emit_intermediate(f"{node.name}_positive", Clip(minimum=_LEAST_NORM), (size,))
    scope.emit(node.name, Div(), (x, size), node.outputs[0])


def convert_lrn(node: OnnxNode, scope: Scope) -> None:
    """Convert LRN."""
    operator = LRN(
        size=node.integer("size", 0),
        alpha=node.number("alpha", 1e-4),
        beta=node.number("beta", 0.75),
        bias=node.number("bias", 1.0),
    )
    scope.emit(node.name, operator, (node.input(0),), node.outputs[0])
