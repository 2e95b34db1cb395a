"""Makes one operator of the pools and powers that PyTorch writes for a local response normalization."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import (
    LRN,
    AnyOperator,
    AveragePool,
    Div,
    Elementwise,
    Flatten,
    Function,
    Identity,
    Pad,
    PadMode,
    Reshape,
    Shape,
)
from intlower.compiler.passes.patterns import Reader, replace_matches


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseLrn:
    """Makes x / (k + alpha * m)**beta an LRN, with m the mean of x * x over neighbouring channels, 0 beyond the first and last.

    PyTorch's `local_response_norm` makes channels the depth of a volume [N, 1, C, H, W], pads it and takes the mean of windows
    (size, 1, 1). Where the size is even its windows begin one channel before ONNX's, and it stays as it is.
    """

    name: ClassVar[str] = "fuse_lrn"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with local response normalizations as one node."""
        return replace_matches(graph, _match)


def _match(reader: Reader, node: Node) -> tuple[AnyOperator, str] | None:
    if not isinstance(node.operator, Div) or node.activation is not None:
        return None
    x = node.inputs[0]
    power = reader.elementwise(node.inputs[1], Function.POW)
    line = None if power is None else reader.added(power.inputs[0])
    if power is None or line is None:
        return None
    scaled = reader.product_of(line[0])
    if len(scaled.factors) != 1:
        return None
    size = _neighbours(reader, scaled.factors[0], x)
    if size is None or not isinstance(power.operator, Elementwise):
        return None
    exponent = power.operator.alpha
    return LRN(size=size, alpha=scaled.constant, beta=exponent, bias=line[1]), x


def _neighbours(reader: Reader, name: str, x: str) -> int | None:
    """Return over how many channels a value is the mean of the squares of x, None where it is none of ONNX's windows."""
    shape = reader.graph.values[x].shape if x in reader.graph.values else ()
    if len(shape) < 3 or reader.graph.values[name].shape != shape:
        return None
    channels, rest = shape[1] or 0, math.prod(d or 0 for d in shape[2:])
    pool = _behind_reshapes(reader, name)
    if pool is None or not isinstance(pool.operator, AveragePool):
        return None
    size = pool.operator.kernel_shape[0]
    padded: Shape = (shape[0], 1, channels + size - 1, rest)
    plain = AveragePool(
        kernel_shape=(size, 1),
        ceil_mode=pool.operator.ceil_mode,
        count_include_pad=pool.operator.count_include_pad,
    )
    if pool.operator != plain or reader.graph.values[pool.inputs[0]].shape != padded:
        return None
    pad = _behind_reshapes(reader, pool.inputs[0])
    if pad is None or not _pads_channels(reader, pad, size, (shape[0], channels, rest)):
        return None
    squared = _behind_reshapes(reader, pad.inputs[0])
    if squared is None or reader.graph.values[squared.output].shape != shape:
        return None
    return size if reader.product(squared).is_close(1.0, x, x) else None


def _pads_channels(reader: Reader, node: Node, size: int, wanted: Shape) -> bool:
    """Whether a node adds what windows of ONNX reach of zeros around the channels, of a value [N, 1, ..., C, ...]."""
    pad = node.operator
    if not isinstance(pad, Pad) or pad.mode is not PadMode.CONSTANT or pad.value != 0:
        return False
    shape = reader.graph.values[node.inputs[0]].shape
    axes = [axis for axis in range(len(shape)) if pad.pads[axis] or pad.pads[axis + len(shape)]]
    if len(axes) != 1 or axes[0] == 0:
        return False
    (axis,) = axes
    before, after = pad.pads[axis], pad.pads[axis + len(shape)]
    return (
        (before, after) == ((size - 1) // 2, size // 2)
        and all(d == 1 for d in shape[1:axis])
        and (shape[0], shape[axis], math.prod(d or 0 for d in shape[axis + 1 :])) == wanted
    )


def _behind_reshapes(reader: Reader, name: str) -> Node | None:
    """Return the node whose elements a value holds in the same order."""
    node = reader.producer(name)
    while node is not None and isinstance(node.operator, Reshape | Flatten | Identity):
        node = reader.producer(node.inputs[0])
    return node
