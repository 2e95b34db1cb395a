"""The walk over the graph that emits a half-precision program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from intlower.backends.lowering.assembly import assembled
from intlower.backends.lowering.host import lower_on_host
from intlower.backends.lowering.pooling import effective_pads, window_counts
from intlower.backends.lowering.rearrangement import (
    lower_blocks,
    lower_mirrored_pad,
    lower_transpose,
)
from intlower.backends.lowering_half.builder import HalfBuilder
from intlower.compiler.calibration import Ranges
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Conv,
    DepthToSpace,
    Flatten,
    Gemm,
    GlobalAveragePool,
    Identity,
    MaxPool,
    Pad,
    PadMode,
    Relu,
    Reshape,
    Slice,
    Softmax,
    SpaceToDepth,
    Transpose,
    known,
    normalize_axis,
)
from intlower.compiler.placement import Place, check_operators, placed
from intlower.compiler.program import Attribute, HostStep, IntegerProgram, Origin
from intlower.compiler.recipe import Recipe
from intlower.compiler.spec_half import HalfSpec

# What a target does in its own way: whether it took the node.
Layer = Callable[[HalfBuilder, Node], bool]


def lower_half(
    graph: Graph,
    ranges: Ranges,
    spec: HalfSpec,
    recipe: Recipe,
    origin: Origin,
    layers: Mapping[type[Any], Layer] | None = None,
) -> IntegerProgram:
    """Return the program of a graph on a target in half precision.

    Args:
        graph: batch norm folded, activations fused.
        ranges: of every value, where the host computes some; else of no use.
        spec: the target's arithmetic.
        recipe: how weights become codes; its passes have run.
        origin: recorded in the program.
        layers: how the target lowers some operators by itself; a node that such a layer does not take is lowered as any.

    Raises:
        UnsupportedByTarget: operators that the target does not have, all of them at once.
        ScaleOutOfRange: a weight or a bias is past the greatest float16.
    """
    check_operators(graph, spec)
    builder = HalfBuilder(
        graph=graph, target=spec.name, rule=spec.rule, ranges=ranges, recipe=recipe
    )
    for value in graph.inputs:
        builder.define_value(value.name)
    own = layers or {}
    for node in graph.nodes:
        if placed(spec, graph, node) is Place.HOST:
            read = {
                name: builder.uniform_form(name) for name in node.inputs if name in graph.values
            }
            lower_on_host(builder.uniform, node, read)
            continue
        layer = own.get(type(node.operator))
        if layer is None or not layer(builder, node):
            inputs = tuple(builder.half_form(name) for name in node.inputs)
            _lower_node(builder, replace(node, inputs=inputs))
    return assembled(builder, spec.name, origin)


def _lower_node(builder: HalfBuilder, node: Node) -> None:
    match node.operator:
        case Conv() | Gemm():
            _lower_weighted(builder, node, node.operator)
        case Add():
            _lower_add(builder, node)
        case Relu() | Clip():
            _lower_clip(builder, node, node.operator)
        case AveragePool() | GlobalAveragePool():
            _lower_average_pool(builder, node)
        case MaxPool():
            _lower_max_pool(builder, node, node.operator)
        case Softmax():
            _lower_softmax(builder, node, node.operator)
        case Identity():  # one that the clean-up had to keep: an input that is an output as well
            _lower_clip(builder, node, None)
        case Transpose():
            lower_transpose(builder, node)
        case DepthToSpace() | SpaceToDepth():
            lower_blocks(builder, node)
        case Pad(mode=PadMode.REFLECT | PadMode.EDGE | PadMode.WRAP):
            lower_mirrored_pad(builder, node)
        case Concat() | Flatten() | Reshape() | Pad() | Slice():
            _lower_movement(builder, node)
        case _:
            raise UnsupportedByTarget(
                f"{node.name}: {type(node.operator).__name__} has no half-precision form on its own",
                "run the standard passes before lowering",
            )


def _lower_weighted(builder: HalfBuilder, node: Node, operator: Conv | Gemm) -> None:
    weights = builder.halves(builder.constant(node, 1), f"{node.name}: a weight")
    outputs = len(weights)
    bias = builder.constant(node, 2) if len(node.inputs) == 3 else np.zeros(outputs)
    window: dict[str, Attribute] = (
        {
            "strides": operator.strides,
            "pads": operator.pads,
            "dilations": operator.dilations,
            "groups": operator.groups,
        }
        if isinstance(operator, Conv)
        else {}
    )
    builder.define_value(node.output)
    builder.emit(
        "half_conv2d" if isinstance(operator, Conv) else "half_gemm",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        constants={
            "weights": weights,
            "bias": builder.halves(bias, f"{node.name}: a bias"),
            **builder.bounds(node.activation, outputs),
        },
        attributes=window,
        weight_grid=builder.grid,
    )


def _lower_add(builder: HalfBuilder, node: Node) -> None:
    for name in node.inputs:
        if name not in builder.tensors or builder.shape(name) != builder.shape(node.inputs[0]):
            raise UnsupportedByTarget(
                f"{node.name}: {builder.target!r} adds two computed tensors of one shape, and "
                f"{name!r} is a constant or is broadcast",
                "fold the constant into a convolution's bias",
            )
    builder.define_value(node.output)
    builder.emit(
        "half_add",
        name=node.name,
        inputs=node.inputs,
        output=node.output,
        constants=builder.bounds(node.activation, builder.channels(node.output)),
    )


def _lower_clip(builder: HalfBuilder, node: Node, operator: Relu | Clip | None) -> None:
    builder.define_value(node.output)
    builder.emit(
        "half_clip",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        constants=builder.bounds(operator, builder.channels(node.output)),
    )


def _lower_average_pool(builder: HalfBuilder, node: Node) -> None:
    operator = node.operator
    height, width = (known(d) for d in builder.shape(node.inputs[0])[2:])
    if isinstance(operator, GlobalAveragePool):
        operator = AveragePool(kernel_shape=(height, width))
    assert isinstance(operator, AveragePool)  # the caller matched it
    out_height, out_width = (known(d) for d in builder.graph.values[node.output].shape[2:])
    counts = np.outer(
        window_counts(operator, 0, height, out_height),
        window_counts(operator, 1, width, out_width),
    )
    if (counts == counts[0, 0]).all():
        counts = counts[:1, :1]
    builder.define_value(node.output)
    builder.emit(
        "half_average_pool",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        constants={
            "count": counts.astype(np.int32),
            **builder.bounds(node.activation, builder.channels(node.output)),
        },
        attributes={
            "kernel_shape": operator.kernel_shape,
            "strides": operator.strides,
            "pads": effective_pads(operator, (height, width), (out_height, out_width)),
        },
    )


def _lower_max_pool(builder: HalfBuilder, node: Node, operator: MaxPool) -> None:
    height, width = (known(d) for d in builder.shape(node.inputs[0])[2:])
    out_height, out_width = (known(d) for d in builder.graph.values[node.output].shape[2:])
    builder.define_value(node.output)
    builder.emit(
        "half_max_pool",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        attributes={
            "kernel_shape": operator.kernel_shape,
            "strides": operator.strides,
            "pads": effective_pads(operator, (height, width), (out_height, out_width)),
            "dilations": operator.dilations,
        },
    )


def _lower_softmax(builder: HalfBuilder, node: Node, operator: Softmax) -> None:
    source = node.inputs[0]
    axis = normalize_axis(operator.axis, len(builder.shape(source)))
    if axis == 0:
        raise UnsupportedByTarget(f"{node.name}: a softmax along the batch has no form here")
    builder.host.append(
        HostStep(operator="Softmax", input=source, output=node.output, axis=axis)
    )


def _lower_movement(builder: HalfBuilder, node: Node) -> None:
    """Emit an operator that moves numbers. Nothing of it may cross the batch."""
    before, after = builder.shape(node.inputs[0]), builder.graph.values[node.output].shape
    operator = node.operator
    constants: dict[str, Any] = {}
    attributes: dict[str, Attribute]
    match operator:
        case Concat():
            computed = [name for name in node.inputs if name not in builder.tensors]
            if computed:
                raise UnsupportedByTarget(
                    f"{node.name}: {computed[0]!r}, a constant, cannot be concatenated"
                )
            attributes = {"axis": normalize_axis(operator.axis, len(before))}
            crosses = attributes["axis"] == 0
        case Pad():
            constants = {"value": builder.grid.quantize([operator.value])}
            attributes = {"pads": operator.pads}
            crosses = bool(operator.pads[0] or operator.pads[len(before)])
        case Slice():
            axes = tuple(axis % len(before) for axis in operator.axes)
            attributes = {
                "starts": operator.starts,
                "ends": operator.ends,
                "axes": axes,
                "steps": operator.steps,
            }
            crosses = 0 in axes
        case _:  # Flatten and Reshape
            attributes = {"shape": (0, *(known(d) for d in after[1:]))}
            crosses = before[0] != after[0]
    if crosses:
        raise UnsupportedByTarget(
            f"{node.name}: {type(operator).__name__} crosses the batch",
            "keep the batch as the first dimension, whole",
        )
    names = {Concat: "concat", Pad: "half_pad", Slice: "slice"}
    builder.define_value(node.output)
    builder.emit(
        names.get(type(operator), "reshape"),
        name=node.name,
        inputs=node.inputs if isinstance(operator, Concat) else (node.inputs[0],),
        output=node.output,
        constants=constants,
        attributes=attributes,
    )
