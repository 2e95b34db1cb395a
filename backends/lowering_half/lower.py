"""The walk over the graph that emits a program in floating-point arithmetic: half precision, or minifloats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from intlower.backends.lowering.assembly import assembled
from intlower.backends.lowering.pooling import element_counts, whole_image, window_attributes
from intlower.backends.lowering.rearrangement import (
    lower_blocks,
    lower_gather,
    lower_mirrored_pad,
    lower_transpose,
)
from intlower.backends.lowering_half.builder import FloatBuilder, Pieces
from intlower.backends.lowering_half.half_builder import HalfBuilder
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
    Gather,
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
from intlower.compiler.spec import Contract
from intlower.compiler.spec_half import HalfSpec

# What a target does in its own way: whether it took the node.
Layer = Callable[[Any, Node], bool]


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
    builder = HalfBuilder(
        graph=graph, target=spec.name, rule=spec.rule, ranges=ranges, recipe=recipe
    )
    return lower_floats(builder, spec, origin, layers)


def lower_floats(
    builder: FloatBuilder,
    spec: Contract,
    origin: Origin,
    layers: Mapping[type[Any], Layer] | None = None,
) -> IntegerProgram:
    """Return the program of a graph on a target whose numbers have exponents of their own.

    Args:
        builder: of the number system, with the graph.
        spec: the target's arithmetic.
        origin: see `lower_half`.
        layers: see `lower_half`.

    Raises:
        UnsupportedByTarget: operators that neither the target nor the host has, all of them at once.
        ScaleOutOfRange: see `lower_half`.
    """
    graph = builder.graph
    check_operators(graph, spec)
    for value in graph.inputs:
        builder.define_value(value.name)
    own = layers or {}
    for node in graph.nodes:
        if placed(spec, graph, node) is Place.HOST:
            builder.lower_on_host(node)
            continue
        layer = own.get(type(node.operator))
        if layer is None or not layer(builder, node):
            _lower_node(builder, builder.native(node))
    return assembled(builder, builder.target, origin)


def _lower_node(builder: FloatBuilder, node: Node) -> None:
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
        case Gather():
            lower_gather(builder, node)
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


def _lower_weighted(builder: FloatBuilder, node: Node, operator: Conv | Gemm) -> None:
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
    own = builder.parameters(node)
    builder.emit(
        f"{builder.family}_{'conv2d' if isinstance(operator, Conv) else 'gemm'}",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        constants={**own.constants, **builder.bounds(node.activation, node.output)},
        attributes={**window, **own.attributes},
        weight_grid=own.weight_grid,
    )


def _lower_add(builder: FloatBuilder, node: Node) -> None:
    for name in node.inputs:
        if name not in builder.tensors or builder.shape(name) != builder.shape(node.inputs[0]):
            raise UnsupportedByTarget(
                f"{node.name}: {builder.target!r} adds two computed tensors of one shape, and "
                f"{name!r} is a constant or is broadcast",
                "fold the constant into a convolution's bias",
            )
    builder.define_value(node.output)
    builder.emit(
        f"{builder.family}_add",
        name=node.name,
        inputs=node.inputs,
        output=node.output,
        constants=builder.bounds(node.activation, node.output),
    )


def _lower_clip(builder: FloatBuilder, node: Node, operator: Relu | Clip | None) -> None:
    builder.define_value(node.output)
    builder.emit(
        f"{builder.family}_clip",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        constants=builder.bounds(operator, node.output),
    )


def _lower_average_pool(builder: FloatBuilder, node: Node) -> None:
    operator = node.operator
    before, after = builder.shape(node.inputs[0]), builder.graph.values[node.output].shape
    if isinstance(operator, GlobalAveragePool):
        operator = whole_image(before)
    assert isinstance(operator, AveragePool)  # the caller matched it
    builder.define_value(node.output)
    builder.emit(
        f"{builder.family}_average_pool",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        constants={
            "count": element_counts(operator, before, after).astype(np.int32),
            **builder.bounds(node.activation, node.output),
        },
        attributes=window_attributes(operator, before, after),
    )


def _lower_max_pool(builder: FloatBuilder, node: Node, operator: MaxPool) -> None:
    before, after = builder.shape(node.inputs[0]), builder.graph.values[node.output].shape
    builder.define_moved(node.output, node.inputs[0])
    builder.emit(
        builder.max_pool,
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        attributes=window_attributes(operator, before, after),
    )


def _lower_softmax(builder: FloatBuilder, node: Node, operator: Softmax) -> None:
    source = node.inputs[0]
    axis = normalize_axis(operator.axis, len(builder.shape(source)))
    if axis == 0:
        raise UnsupportedByTarget(f"{node.name}: a softmax along the batch has no form here")
    builder.host.append(
        HostStep(operator="Softmax", input=source, output=node.output, axis=axis)
    )


def _lower_movement(builder: FloatBuilder, node: Node) -> None:
    """Emit an operator that moves numbers. Nothing of it may cross the batch."""
    before, after = builder.shape(node.inputs[0]), builder.graph.values[node.output].shape
    operator = node.operator
    name = "reshape"
    inputs: tuple[str, ...] = (node.inputs[0],)
    own = Pieces(constants={})
    attributes: dict[str, Attribute]
    match operator:
        case Concat():
            computed = [name for name in node.inputs if name not in builder.tensors]
            if computed:
                raise UnsupportedByTarget(
                    f"{node.name}: {computed[0]!r}, a constant, cannot be concatenated"
                )
            name = "concat"
            attributes = {"axis": normalize_axis(operator.axis, len(before))}
            crosses = attributes["axis"] == 0
        case Pad():
            name, own = builder.border(operator.value, node.inputs[0])
            attributes = {"pads": operator.pads}
            crosses = bool(operator.pads[0] or operator.pads[len(before)])
        case Slice():
            name = "slice"
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
    if isinstance(operator, Concat):
        builder.define_value(node.output)
        inputs = builder.joined(node)
    else:
        builder.define_moved(node.output, node.inputs[0])
    builder.emit(
        name,
        name=node.name,
        inputs=inputs,
        output=node.output,
        constants=own.constants,
        attributes={**attributes, **own.attributes},
    )
