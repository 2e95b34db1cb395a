"""Operators that move codes on one grid: transposes, blocks, padding from the input, nearest elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.graph import Node
from intlower.compiler.grids import Grid
from intlower.compiler.operators import (
    DepthToSpace,
    Gather,
    Pad,
    PadMode,
    Resize,
    Shape,
    SpaceToDepth,
    Transpose,
    known,
    normalize_axis,
)
from intlower.compiler.program import Attribute, Tensor


class Mover(Protocol):
    """What a builder of any number system gives for moving its numbers."""

    tensors: dict[str, Tensor]

    def define(self, name: str, shape: Shape, grid: Grid) -> object:
        """Add a tensor."""
        ...

    def emit(
        self,
        operator: str,
        *,
        name: str,
        inputs: tuple[str, ...],
        output: str,
        constants: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> None:
        """Append an instruction."""
        ...


class Chain:
    """Instructions that take a tensor step by step to a node's output; all but the last have tensors of their own."""

    def __init__(self, builder: Mover, node: Node, source: str, output: str) -> None:
        """Begin at the tensor `source`; `output` names the last tensor."""
        self._builder = builder
        self._node = node
        self._output = output
        self._steps: list[tuple[str, Shape, dict[str, Any], dict[str, Any]]] = []
        self._source = source
        self.shape = builder.tensors[source].shape

    def reshape(self, *sizes: int) -> None:
        """Add a reshape of what follows the batch."""
        self._add("reshape", (self.shape[0], *sizes), attributes={"shape": (0, *sizes)})

    def transpose(self, *permutation: int) -> None:
        """Add a transpose; the batch stays first."""
        shape = tuple(self.shape[axis] for axis in permutation)
        self._add("transpose", shape, attributes={"permutation": permutation})

    def gather(self, axis: int, indices: NDArray[Any] | Sequence[int]) -> None:
        """Add a gathering along an axis, unless it would change nothing."""
        chosen = np.asarray(indices, np.int32)
        if np.array_equal(chosen, np.arange(known(self.shape[axis]))):
            return
        shape = (*self.shape[:axis], len(chosen), *self.shape[axis + 1 :])
        self._add("gather", shape, {"indices": chosen}, {"axis": axis})

    def _add(
        self,
        operator: str,
        shape: Shape,
        constants: dict[str, Any] | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        self._steps.append((operator, shape, constants or {}, attributes or {}))
        self.shape = shape

    def emit(self) -> None:
        """Emit every step; without any, a reshape to the same shape."""
        if not self._steps:
            self.reshape(*(known(d) for d in self.shape[1:]))
        source, grid = self._source, self._builder.tensors[self._source].grid
        for number, (operator, shape, constants, attributes) in enumerate(self._steps):
            last = number == len(self._steps) - 1
            output = self._output if last else f"{self._output}.step{number}"
            self._builder.define(output, shape, grid)
            name = self._node.name
            if not last or output != self._node.output:
                name = f"{name}.{output.removeprefix(self._node.output).lstrip('.')}"
            self._builder.emit(
                operator,
                name=name,
                inputs=(source,),
                output=output,
                constants=constants,
                attributes=attributes,
            )
            source = output


def lower_transpose(builder: Mover, node: Node) -> None:
    """Emit `transpose`.

    Raises:
        UnsupportedByTarget: it moves the batch.
    """
    assert isinstance(node.operator, Transpose)  # the caller matched it
    permutation = node.operator.permutation
    if permutation[:1] != (0,):
        raise UnsupportedByTarget(
            f"{node.name}: it moves the batch, {permutation}",
            "keep the batch as the first dimension",
        )
    chain = Chain(builder, node, node.inputs[0], node.output)
    chain.transpose(*permutation)
    chain.emit()


def lower_gather(builder: Mover, node: Node) -> None:
    """Emit `gather`.

    Raises:
        UnsupportedByTarget: it picks samples.
    """
    assert isinstance(node.operator, Gather)  # the caller matched it
    chain = Chain(builder, node, node.inputs[0], node.output)
    axis = normalize_axis(node.operator.axis, len(chain.shape))
    if axis == 0:
        raise UnsupportedByTarget(f"{node.name}: the batch cannot be gathered")
    chain.gather(axis, node.operator.indices)
    chain.emit()


def lower_blocks(builder: Mover, node: Node) -> None:
    """Emit `reshape`, `transpose`, `reshape` for DepthToSpace or SpaceToDepth."""
    operator = node.operator
    assert isinstance(operator, DepthToSpace | SpaceToDepth)  # the caller matched it
    b = operator.block
    channels, height, width = (known(d) for d in builder.tensors[node.inputs[0]].shape[1:])
    chain = Chain(builder, node, node.inputs[0], node.output)
    if isinstance(operator, DepthToSpace):
        inner = channels // b**2
        if operator.channels_first:
            chain.reshape(inner, b, b, height, width)
            chain.transpose(0, 1, 4, 2, 5, 3)
        else:
            chain.reshape(b, b, inner, height, width)
            chain.transpose(0, 3, 4, 1, 5, 2)
        chain.reshape(inner, height * b, width * b)
    else:
        chain.reshape(channels, height // b, b, width // b, b)
        order = (0, 1, 3, 5, 2, 4) if operator.channels_first else (0, 3, 5, 1, 2, 4)
        chain.transpose(*order)
        chain.reshape(channels * b**2, height // b, width // b)
    chain.emit()


def lower_mirrored_pad(builder: Mover, node: Node) -> None:
    """Emit `gather` along each padded axis, for padding that repeats elements of the input.

    Raises:
        UnsupportedByTarget: it pads the batch.
    """
    operator = node.operator
    assert isinstance(operator, Pad)  # the caller matched it
    chain = Chain(builder, node, node.inputs[0], node.output)
    rank = len(chain.shape)
    if operator.pads[0] or operator.pads[rank]:
        raise UnsupportedByTarget(f"{node.name}: the batch cannot be padded")
    for axis in range(1, rank):
        size = known(chain.shape[axis])
        begin, end = operator.pads[axis], operator.pads[rank + axis]
        chain.gather(axis, padded_indices(operator.mode, size, begin, end))
    chain.emit()


def padded_indices(mode: PadMode, size: int, begin: int, end: int) -> NDArray[np.int64]:
    """Return which element of an axis stands at each position of the padded axis: [begin + size + end]."""
    positions = np.arange(-begin, size + end)
    match mode:
        case PadMode.EDGE:
            return positions.clip(0, size - 1)
        case PadMode.WRAP:
            return positions % size
        case _:
            return np.asarray(size - 1 - np.abs(size - 1 - np.abs(positions)))


def lower_nearest(builder: Mover, node: Node) -> None:
    """Emit `gather` along each axis that a nearest Resize changes."""
    operator = node.operator
    assert isinstance(operator, Resize)  # the caller matched it
    chain = Chain(builder, node, node.inputs[0], node.output)
    for spatial in range(len(operator.sizes)):
        indices, _ = operator.taps(spatial, known(chain.shape[2 + spatial]))
        chain.gather(2 + spatial, indices[:, 0])
    chain.emit()


def expanded(builder: Mover, node: Node, source: str, shape: Shape, part: str) -> str:
    """Return a tensor repeated to a shape of the same rank, the tensor itself where it has that shape.

    Args:
        builder: of the program.
        node: that wants it.
        source: the tensor.
        shape: to which it broadcasts.
        part: what the new tensor is called after the node's output.
    """
    if builder.tensors[source].shape == shape:
        return source
    output = f"{node.output}.{part}"
    chain = Chain(builder, node, source, output)
    for axis in range(1, len(shape)):
        if chain.shape[axis] != shape[axis]:
            chain.gather(axis, np.zeros(known(shape[axis]), np.int32))
    chain.emit()
    return output
