"""Makes a transposed convolution a convolution whose channels are spread over blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Node, fresh_name
from intlower.compiler.operators import (
    AnyOperator,
    Conv,
    ConvTranspose,
    DepthToSpace,
    Reshape,
    Slice,
    Transpose,
    known,
)
from intlower.compiler.passes.rewriting import parameter, replace_nodes

# A stride s makes s channels of each one, which DepthToSpace has to move.
_LARGEST_STRIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitTransposed:
    """Replaces ConvTranspose by Conv, DepthToSpace and Slice, which compute the same sums of the same products.

    With stride s, output row i * s + r sums w[u] * x[j] over j * s + u * dilation = i * s + r: for each phase r a
    convolution with every s-th tap, so the phases of rows and columns are channels of one Conv, which DepthToSpace
    interleaves (where the strides differ, Reshape, Transpose and Reshape); Slice cuts the pads off. Nodes whose weights
    are no constants, or whose strides exceed 32, stay.

    Moments and the activation belong to the Conv: it runs before positions move.
    """

    name: ClassVar[str] = "split_transposed"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with transposed convolutions split."""
        for node in graph.nodes:
            graph = _split(graph, node)
        return graph


def _split(graph: Graph, node: Node) -> Graph:
    operator = node.operator
    if not isinstance(operator, ConvTranspose):
        return graph
    weights, bias = parameter(graph, node, 1), parameter(graph, node, 2)
    strides = operator.strides
    if (
        weights is None
        or (bias is None and len(node.inputs) == 3)
        or max(strides) > _LARGEST_STRIDE
    ):
        return graph
    taken = {*graph.values, *graph.constants}
    phases, begins = phase_weights(operator, weights)
    size, kernel = graph.values[node.output].shape[2:], phases.shape[2:]
    rows = [-(-(operator.pads[axis] + known(size[axis])) // strides[axis]) for axis in range(2)]
    source = graph.values[node.inputs[0]].shape[2:]
    # At least as many rows of blocks as the result reaches into.
    ends = tuple(
        max(rows[axis] - 1 + kernel[axis] - begins[axis] - known(source[axis]), 0)
        for axis in range(2)
    )
    constants = dict(graph.constants)
    weights_name = fresh_name(f"{node.name}_phases", taken)
    constants[weights_name] = Constant.of(phases, np.float32)
    inputs = [node.inputs[0], weights_name]
    if bias is not None:
        bias_name = fresh_name(f"{node.name}_bias", {*taken, weights_name})
        constants[bias_name] = Constant.of(np.repeat(bias, strides[0] * strides[1]), np.float32)
        inputs.append(bias_name)
    start = operator.pads[:2]
    convolution = Conv(pads=(begins[0], begins[1], ends[0], ends[1]), groups=operator.groups)
    blocks = [
        begins[axis] + known(source[axis]) + ends[axis] - kernel[axis] + 1 for axis in range(2)
    ]
    outputs = len(phases) // (strides[0] * strides[1])
    cut = Slice(
        starts=start,
        ends=tuple(start[axis] + known(size[axis]) for axis in range(2)),
        axes=(2, 3),
        steps=(1, 1),
    )
    steps: list[tuple[str, AnyOperator]] = [
        ("phases", convolution),
        *_interleaved(outputs, strides, (blocks[0], blocks[1])),
        ("cut", cut),
    ]
    used = {other.name for other in graph.nodes} | {node.name}
    nodes: list[Node] = []
    taken |= constants.keys()
    for number, (part, step) in enumerate(steps):
        last = number == len(steps) - 1
        nodes.append(
            Node(
                name=fresh_name(f"{node.name}_{part}", used) if nodes else node.name,
                operator=step,
                inputs=tuple(inputs),
                output=node.output if last else fresh_name(f"{node.output}_{part}", taken),
                activation=None if nodes else node.activation,
            )
        )
        inputs = [nodes[-1].output]
    return graph.edit(
        nodes=replace_nodes(graph, {node.name: tuple(nodes)}), constants=constants
    )


def _interleaved(
    outputs: int, strides: tuple[int, int], blocks: tuple[int, int]
) -> list[tuple[str, AnyOperator]]:
    """Return what takes [N, O * s * t, H, W] to [N, O, H * s, W * t]."""
    if strides[0] == strides[1]:
        return [("blocks", DepthToSpace(block=strides[0], channels_first=True))]
    return [
        ("split", Reshape(shape=(0, outputs, *strides, *blocks))),
        ("turned", Transpose(permutation=(0, 1, 4, 2, 5, 3))),
        ("blocks", Reshape(shape=(0, outputs, blocks[0] * strides[0], blocks[1] * strides[1]))),
    ]


def phase_weights(
    operator: ConvTranspose, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return the weights of the Conv and the padding before its input.

    Args:
        operator: with strides s and t.
        weights: [C, O / groups, kh, kw].

    Returns:
        [O * s * t, C / groups, rows, columns], phases of an output channel together; and how many rows and columns of
        zeros stand before the input.
    """
    strides, groups = operator.strides, operator.groups
    channels, outputs = weights.shape[0] // groups, weights.shape[1]
    extents = [operator.dilations[axis] * (weights.shape[2 + axis] - 1) for axis in range(2)]
    spans = [extent // stride for extent, stride in zip(extents, strides, strict=True)]
    grouped = weights.reshape(groups, channels, outputs, *weights.shape[2:])
    phases = np.zeros((groups, outputs, *strides, channels, spans[0] + 1, spans[1] + 1))
    for u in range(weights.shape[2]):
        for v in range(weights.shape[3]):
            # Row i * s + r reads x[i - back] through tap u where back * stride + r = u * dilation.
            back_y, phase_y = divmod(u * operator.dilations[0], strides[0])
            back_x, phase_x = divmod(v * operator.dilations[1], strides[1])
            place = (spans[0] - back_y, spans[1] - back_x)
            phases[:, :, phase_y, phase_x, :, place[0], place[1]] = grouped[
                :, :, :, u, v
            ].transpose(0, 2, 1)
    shape = (groups * outputs * strides[0] * strides[1], channels, spans[0] + 1, spans[1] + 1)
    return phases.reshape(shape), (spans[0], spans[1])
