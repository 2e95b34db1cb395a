"""The walk over the graph that emits the integer program."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from intlower.backends.lowering.assembly import assembled
from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.elementwise import (
    lower_activation,
    lower_concat,
    lower_softmax,
    requantize,
)
from intlower.backends.lowering.encodings import encode
from intlower.backends.lowering.extrema import lower_extremum
from intlower.backends.lowering.matrices import lower_divide, lower_matmul
from intlower.backends.lowering.normalization import (
    lower_instance_norm,
    lower_layer_norm,
    lower_lrn,
)
from intlower.backends.lowering.pooling import lower_average_pool, lower_max_pool
from intlower.backends.lowering.products import lower_difference, lower_multiply, lower_sum
from intlower.backends.lowering.rearrangement import (
    lower_blocks,
    lower_gather,
    lower_mirrored_pad,
    lower_transpose,
)
from intlower.backends.lowering.reduction import lower_reduce
from intlower.backends.lowering.resampling import lower_resize
from intlower.backends.lowering.tables import (
    is_table,
    lower_batch_norm,
    lower_function,
    lower_with_constant,
)
from intlower.backends.lowering.weighted import lower_weighted
from intlower.compiler.calibration import Ranges
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.graph import Graph, Node
from intlower.compiler.moments import propagate_moments
from intlower.compiler.operators import (
    LRN,
    Add,
    AveragePool,
    BatchNormalization,
    Clip,
    Concat,
    Conv,
    DepthToSpace,
    Div,
    Elementwise,
    Flatten,
    Gather,
    Gemm,
    GlobalAveragePool,
    Identity,
    InstanceNormalization,
    LayerNormalization,
    MatMul,
    Maximum,
    MaxPool,
    Minimum,
    Mul,
    Pad,
    PadMode,
    PRelu,
    Reduce,
    Relu,
    Reshape,
    Resize,
    Slice,
    Softmax,
    SpaceToDepth,
    Sub,
    Transpose,
    known,
)
from intlower.compiler.passes.fuse_pads import NEVER_CHOSEN
from intlower.compiler.placement import Place, check_operators, placed
from intlower.compiler.program import IntegerProgram, Origin
from intlower.compiler.recipe import Recipe
from intlower.compiler.second_moments import SecondMoments
from intlower.compiler.spec import TargetSpec


def lower_uniform(
    graph: Graph,
    ranges: Ranges,
    spec: TargetSpec,
    recipe: Recipe,
    origin: Origin,
    second_moments: Mapping[str, SecondMoments] | None = None,
) -> IntegerProgram:
    """Return the integer program of a graph on a target with uniform grids.

    Args:
        graph: batch norm folded, activations fused.
        ranges: of every value.
        spec: the target's arithmetic.
        recipe: how weights become codes; its passes have run.
        origin: recorded in the program.
        second_moments: of what layers read, by node name, where the recipe's rounding wants them.

    Raises:
        UnsupportedByTarget: operators that the target does not have, all of them at once.
        LoweringError: the accumulator or a multiplier cannot hold a layer; names node and channel.
    """
    check_operators(graph, spec)
    builder = ProgramBuilder(
        graph=graph,
        spec=spec,
        recipe=recipe,
        encodings=encode(graph, ranges, spec),
        moments=propagate_moments(graph),
        second_moments=second_moments or {},
    )
    return lower_graph(builder, origin)


def lower_graph(
    builder: ProgramBuilder,
    origin: Origin,
    weighted: Callable[[ProgramBuilder, Node], None] = lower_weighted,
) -> IntegerProgram:
    """Return the integer program of a graph whose values have grids; see `lower_uniform`.

    Args:
        builder: of the graph, empty.
        origin: recorded in the program.
        weighted: what lowers a Conv or Gemm.
    """
    graph = builder.graph
    for value in graph.inputs:
        builder.define_value(value.name)
    for node in graph.nodes:
        builder.on_host = placed(builder.spec, graph, node) is Place.HOST
        lower_node(builder, node, weighted)
    return assembled(builder, builder.spec.name, origin)


def lower_node(
    builder: ProgramBuilder,
    node: Node,
    weighted: Callable[[ProgramBuilder, Node], None] = lower_weighted,
) -> None:
    """Emit the instructions of one node.

    Args:
        builder: of the program; what the node reads is defined.
        node: to lower.
        weighted: what lowers a Conv or Gemm.

    Raises:
        UnsupportedByTarget: the node has no integer form.
    """
    match node.operator:
        case Conv() | Gemm():
            weighted(builder, node)
        case Add() | Mul() | Maximum() | Minimum() | PRelu() if is_table(builder, node):
            lower_with_constant(builder, node)
        case Add():
            lower_sum(builder, node)
        case Sub():
            lower_difference(builder, node)
        case Maximum() | Minimum():
            lower_extremum(builder, node)
        case Div():
            lower_divide(builder, node)
        case MatMul():
            lower_matmul(builder, node)
        case LayerNormalization():
            lower_layer_norm(builder, node)
        case InstanceNormalization():
            lower_instance_norm(builder, node)
        case LRN():
            lower_lrn(builder, node)
        case Mul():
            lower_multiply(builder, node)
        case Elementwise():
            lower_function(builder, node)
        case BatchNormalization():
            lower_batch_norm(builder, node)
        case Transpose():
            lower_transpose(builder, node)
        case Gather():
            lower_gather(builder, node)
        case DepthToSpace() | SpaceToDepth():
            lower_blocks(builder, node)
        case Resize():
            lower_resize(builder, node)
        case Reduce():
            lower_reduce(builder, node)
        case Relu() | Clip():
            lower_activation(builder, node)
        case AveragePool() | GlobalAveragePool():
            lower_average_pool(builder, node)
        case MaxPool():
            lower_max_pool(builder, node)
        case Concat():
            lower_concat(builder, node)
        case Softmax():
            lower_softmax(builder, node)
        case Flatten() | Reshape():
            _lower_reshape(builder, node)
        case Pad(mode=PadMode.REFLECT | PadMode.EDGE | PadMode.WRAP):
            lower_mirrored_pad(builder, node)
        case Pad():
            _lower_pad(builder, node, node.operator)
        case Slice():
            _lower_slice(builder, node, node.operator)
        case Identity():  # one that the clean-up had to keep: an input that is an output as well
            builder.define_value(node.output)
            requantize(builder, node.name, node.inputs[0], node.output, None)
        case _:
            raise UnsupportedByTarget(
                f"{node.name}: {type(node.operator).__name__} has no integer form on its own",
                "run the standard passes before lowering",
            )


def _lower_reshape(builder: ProgramBuilder, node: Node) -> None:
    before, after = builder.shape(node.inputs[0]), builder.graph.values[node.output].shape
    if before[0] != after[0]:
        raise UnsupportedByTarget(
            f"{node.name}: it reshapes {before} to {after}, across the batch",
            "keep the batch as the first dimension",
        )
    builder.define_value(node.output)
    builder.emit(
        "reshape",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        attributes={"shape": (0, *(known(d) for d in after[1:]))},
    )


def _lower_pad(builder: ProgramBuilder, node: Node, operator: Pad) -> None:
    rank = len(builder.shape(node.inputs[0]))
    if operator.pads[0] or operator.pads[rank]:
        raise UnsupportedByTarget(f"{node.name}: the batch cannot be padded")
    if operator.value <= NEVER_CHOSEN:
        raise UnsupportedByTarget(
            f"{node.name}: it pads with {operator.value:.3g}, and not for a maximum alone",
            "pad with a number that the input could have",
        )
    grid = builder.define_value(node.output)
    source = node.inputs[0]
    if builder.grid(source) != grid:  # one that reaches the number
        widened = f"{node.output}.widened"
        builder.define(widened, builder.shape(source), grid)
        requantize(builder, f"{node.name}.widened", source, widened, None)
        source = widened
    code = int(grid.quantize(operator.value))
    builder.emit(
        "pad",
        name=node.name,
        inputs=(source,),
        output=node.output,
        attributes={"pads": operator.pads, "value": code},
    )


def _lower_slice(builder: ProgramBuilder, node: Node, operator: Slice) -> None:
    rank = len(builder.shape(node.inputs[0]))
    axes = tuple(axis % rank for axis in operator.axes)
    if 0 in axes:
        raise UnsupportedByTarget(f"{node.name}: the batch cannot be sliced")
    builder.define_value(node.output)
    builder.emit(
        "slice",
        name=node.name,
        inputs=(node.inputs[0],),
        output=node.output,
        attributes={
            "starts": operator.starts,
            "ends": operator.ends,
            "axes": axes,
            "steps": operator.steps,
        },
    )
