"""The walk over the graph that emits a program of logarithmic codes and linear numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from intlower.backends.lowering.assembly import assembled
from intlower.backends.lowering.host import lower_on_host
from intlower.backends.lowering.pooling import element_counts, whole_image, window_attributes
from intlower.backends.lowering.rearrangement import (
    lower_blocks,
    lower_gather,
    lower_mirrored_pad,
    lower_transpose,
)
from intlower.backends.lowering_log.builder import LogBuilder, linear_limits, linear_number
from intlower.backends.lowering_log.weighted import lower_weighted
from intlower.compiler.calibration import Ranges
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.graph import Graph, Node
from intlower.compiler.moments import propagate_moments
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
from intlower.kernels.signature import ElementType

if TYPE_CHECKING:
    from intlower.backends.logarithmic import LogSpec


def lower_logarithmic(
    graph: Graph, ranges: Ranges, spec: LogSpec, recipe: Recipe, origin: Origin
) -> IntegerProgram:
    """Return the integer program of a graph on a target with logarithmic codes.

    Args:
        graph: batch norm folded, activations fused.
        ranges: of every value.
        spec: the target's arithmetic.
        recipe: how weights become codes; its passes have run.
        origin: recorded in the program.

    Raises:
        UnsupportedByTarget: operators that the target does not have, all of them at once.
        CalibrationError: a value has no range.
    """
    check_operators(graph, spec)
    builder = LogBuilder(
        graph=graph,
        target=spec.name,
        bits=spec.bits,
        bias_bits=spec.bias_bits,
        recipe=recipe,
        ranges=ranges,
        moments=propagate_moments(graph),
    )
    for value in graph.inputs:
        builder.define_input(value.name)
    for node in graph.nodes:
        if placed(spec, graph, node) is Place.HOST:
            read = {
                name: builder.uniform_form(name) for name in node.inputs if name in graph.values
            }
            lower_on_host(builder.uniform, node, read)
        else:
            _lower_node(builder, node)
    return assembled(builder, spec.name, origin)


def _lower_node(builder: LogBuilder, node: Node) -> None:
    match node.operator:
        case Conv() | Gemm():
            lower_weighted(builder, node)
        case Add():
            _lower_add(builder, node)
        case Relu() | Clip():
            _emit(builder, node, "linear_clamp", linear_limits(node.operator))
        case AveragePool() | GlobalAveragePool():
            _lower_average_pool(builder, node)
        case MaxPool():
            _lower_max_pool(builder, node, node.operator)
        case Concat():
            _lower_concat(builder, node, node.operator)
        case Softmax():
            _lower_softmax(builder, node, node.operator)
        case Flatten() | Reshape():
            _lower_reshape(builder, node)
        case Transpose():
            lower_transpose(builder, _linear_node(builder, node))
        case Gather():
            lower_gather(builder, _linear_node(builder, node))
        case DepthToSpace() | SpaceToDepth():
            lower_blocks(builder, _linear_node(builder, node))
        case Pad(mode=PadMode.REFLECT | PadMode.EDGE | PadMode.WRAP):
            lower_mirrored_pad(builder, _linear_node(builder, node))
        case Pad():
            _lower_pad(builder, node, node.operator)
        case Slice():
            _lower_slice(builder, node, node.operator)
        case Identity():
            _emit(builder, node, "linear_clamp", linear_limits(None))
        case _:
            raise UnsupportedByTarget(
                f"{node.name}: {type(node.operator).__name__} has no integer form on its own",
                "run the standard passes before lowering",
            )


def _linear_node(builder: LogBuilder, node: Node) -> Node:
    """Return a node that reads the linear form of its input."""
    return replace(node, inputs=(builder.linear(node.inputs[0]), *node.inputs[1:]))


def _emit(
    builder: LogBuilder, node: Node, operator: str, attributes: dict[str, Attribute]
) -> None:
    """Emit an operator that reads the linear form of its one input."""
    source = builder.linear(node.inputs[0])
    builder.emit(
        operator,
        name=node.name,
        inputs=(source,),
        output=builder.define_linear(node.output),
        attributes=attributes,
    )


def _lower_add(builder: LogBuilder, node: Node) -> None:
    a, b = node.inputs
    if a in builder.tensors and b in builder.tensors and builder.shape(a) != builder.shape(b):
        raise UnsupportedByTarget(
            f"{node.name}: {builder.target!r} adds tensors of one shape, not "
            f"{builder.shape(a)} and {builder.shape(b)}"
        )
    inputs = (builder.rounded(a), builder.rounded(b))
    builder.emit(
        "linear_add",
        name=node.name,
        inputs=inputs,
        output=builder.define_linear(node.output),
        attributes=linear_limits(node.activation),
    )


def _lower_average_pool(builder: LogBuilder, node: Node) -> None:
    operator, name = node.operator, node.inputs[0]
    before = builder.shape(name)
    if isinstance(operator, GlobalAveragePool):
        operator = whole_image(before)
        source = builder.linear(name)
    else:
        source = builder.rounded(name)
    assert isinstance(operator, AveragePool)  # the caller matched it
    counts = element_counts(operator, before, builder.shape(node.output))
    builder.emit(
        "linear_average_pool",
        name=node.name,
        inputs=(source,),
        output=builder.define_linear(node.output),
        constants={"counts": counts.astype(np.int32)},
        attributes={
            **window_attributes(operator, before, builder.shape(node.output)),
            **linear_limits(node.activation),
        },
    )


def _lower_max_pool(builder: LogBuilder, node: Node, operator: MaxPool) -> None:
    """Compare the levels of the codes: they stand in the order of (sign, k)."""
    name = node.inputs[0]
    source = builder.rounded(name)
    builder.emit(
        "max_pool",
        name=node.name,
        inputs=(source,),
        output=builder.define_linear(node.output),
        attributes=window_attributes(operator, builder.shape(name), builder.shape(node.output)),
    )


def _lower_concat(builder: LogBuilder, node: Node, operator: Concat) -> None:
    axis = normalize_axis(operator.axis, len(builder.shape(node.output)))
    if axis == 0:
        raise UnsupportedByTarget(f"{node.name}: the batch cannot be concatenated")
    inputs = tuple(builder.rounded(name) for name in node.inputs)
    builder.emit(
        "concat",
        name=node.name,
        inputs=inputs,
        output=builder.define_linear(node.output),
        attributes={"axis": axis},
    )


def _lower_softmax(builder: LogBuilder, node: Node, operator: Softmax) -> None:
    """Leave a final softmax to the host.

    Raises:
        UnsupportedByTarget: it runs along the batch.
    """
    axis = normalize_axis(operator.axis, len(builder.shape(node.inputs[0])))
    if axis == 0:
        raise UnsupportedByTarget(f"{node.name}: a softmax along the batch has no integer form")
    source = builder.linear(node.inputs[0])
    builder.host.append(
        HostStep(operator="Softmax", input=source, output=node.output, axis=axis)
    )


def _lower_reshape(builder: LogBuilder, node: Node) -> None:
    before, after = builder.shape(node.inputs[0]), builder.shape(node.output)
    if before[0] != after[0]:
        raise UnsupportedByTarget(
            f"{node.name}: it reshapes {before} to {after}, across the batch",
            "keep the batch as the first dimension",
        )
    _emit(builder, node, "reshape", {"shape": (0, *(known(d) for d in after[1:]))})


def _lower_pad(builder: LogBuilder, node: Node, operator: Pad) -> None:
    rank = len(builder.shape(node.inputs[0]))
    if operator.pads[0] or operator.pads[rank]:
        raise UnsupportedByTarget(f"{node.name}: the batch cannot be padded")
    value = int(linear_number(operator.value))
    if value in ElementType.INT32.limits:
        raise UnsupportedByTarget(
            f"{node.name}: it pads with {operator.value}, which linear numbers do not reach",
            "pad with a value that the input can have",
        )
    _emit(builder, node, "pad", {"pads": operator.pads, "value": value})


def _lower_slice(builder: LogBuilder, node: Node, operator: Slice) -> None:
    rank = len(builder.shape(node.inputs[0]))
    axes = tuple(axis % rank for axis in operator.axes)
    if 0 in axes:
        raise UnsupportedByTarget(f"{node.name}: the batch cannot be sliced")
    bounds = {
        "starts": operator.starts,
        "ends": operator.ends,
        "axes": axes,
        "steps": operator.steps,
    }
    _emit(builder, node, "slice", {**bounds})
