"""Makes a transposed convolution a convolution whose channels are spread over blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import Conv, ConvTranspose, DepthToSpace, Slice, known
from intlower.compiler.passes.draft import GraphDraft
from intlower.compiler.passes.rewriting import parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitTransposed:
    """Replaces ConvTranspose by Conv, DepthToSpace and Slice, which compute the same sums of the same products.

    With stride s (the greater of the two), output row i * s + r sums w[u] * x[j] over j * stride + u * dilation = i * s
    + r: for each phase r a convolution with every s-th tap, so s * s phases are channels of one Conv, which DepthToSpace
    interleaves; Slice cuts the pads off. Where the strides differ, the weaker axis is computed s / stride times too often
    and left as it is: such nodes stay, as do those whose weights are no constants or whose strides exceed a block of 8.

    Moments and the activation belong to the Conv: it runs before positions move.
    """

    name: ClassVar[str] = "split_transposed"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with transposed convolutions split."""
        draft = GraphDraft(graph)
        for node in graph.nodes:
            _split(draft, node)
        return draft.graph()


def _split(draft: GraphDraft, node: Node) -> None:
    operator = node.operator
    if not isinstance(operator, ConvTranspose):
        return
    weights, bias = parameter(draft, node, 1), parameter(draft, node, 2)
    stride = operator.strides[0]
    if (
        weights is None
        or (bias is None and len(node.inputs) == 3)
        or operator.strides[1] != stride
        or stride > 8
    ):
        return
    phases, begins = phase_weights(operator, weights)
    size, kernel = draft.values[node.output].shape[2:], phases.shape[2:]
    rows = [-(-(operator.pads[axis] + known(size[axis])) // stride) for axis in range(2)]
    source = draft.values[node.inputs[0]].shape[2:]
    # As many rows of blocks as the result reaches into; Slice cuts what are too many.
    ends = tuple(
        max(0, rows[axis] - 1 + kernel[axis] - begins[axis] - known(source[axis]))
        for axis in range(2)
    )
    weights_name = draft.fresh(f"{node.name}_phases")
    draft.constants[weights_name] = Constant.of(phases, np.float32)
    inputs = [node.inputs[0], weights_name]
    if bias is not None:
        bias_name = draft.fresh(f"{node.name}_bias")
        draft.constants[bias_name] = Constant.of(np.repeat(bias, stride * stride), np.float32)
        inputs.append(bias_name)
    names = [draft.fresh(f"{node.output}_{part}") for part in ("phases", "blocks")]
    node_names = [draft.fresh(f"{node.name}_{part}") for part in ("blocks", "cut")]
    start = operator.pads[:2]
    convolution = replace(
        node,
        operator=Conv(pads=(begins[0], begins[1], ends[0], ends[1]), groups=operator.groups),
        inputs=tuple(inputs),
        output=names[0],
    )
    blocks = Node(
        name=node_names[0],
        operator=DepthToSpace(block=stride, channels_first=True),
        inputs=(names[0],),
        output=names[1],
    )
    cut = Node(
        name=node_names[1],
        operator=Slice(
            starts=start,
            ends=tuple(start[axis] + known(size[axis]) for axis in range(2)),
            axes=(2, 3),
            steps=(1, 1),
        ),
        inputs=(names[1],),
        output=node.output,
    )
    draft.replace({node.name: (convolution, blocks, cut)})


def phase_weights(
    operator: ConvTranspose, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return the weights of the Conv and the padding before its input.

    Args:
        operator: with equal strides s.
        weights: [C, O / groups, kh, kw].

    Returns:
        [O * s * s, C / groups, rows, columns], phases of an output channel together; and how many rows and columns of
        zeros stand before the input.
    """
    stride, groups = operator.strides[0], operator.groups
    channels, outputs = weights.shape[0] // groups, weights.shape[1]
    extents = [operator.dilations[axis] * (weights.shape[2 + axis] - 1) for axis in range(2)]
    spans = [extent // stride for extent in extents]
    grouped = weights.reshape(groups, channels, outputs, *weights.shape[2:])
    phases = np.zeros((groups, outputs, stride, stride, channels, spans[0] + 1, spans[1] + 1))
    for u in range(weights.shape[2]):
        for v in range(weights.shape[3]):
            # Row i * s + r reads x[i - back] through tap u where back * s + r = u * dilation.
            back_y, phase_y = divmod(u * operator.dilations[0], stride)
            back_x, phase_x = divmod(v * operator.dilations[1], stride)
            place = (spans[0] - back_y, spans[1] - back_x)
            phases[:, :, phase_y, phase_x, :, place[0], place[1]] = grouped[
                :, :, :, u, v
            ].transpose(0, 2, 1)
    shape = (groups * outputs * stride * stride, channels, spans[0] + 1, spans[1] + 1)
    return phases.reshape(shape), (spans[0], spans[1])
