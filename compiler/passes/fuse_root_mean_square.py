"""Makes one normalization of x over its root mean square, or over its length: RMSNorm, and L2 norms of embeddings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import (
    Add,
    AnyOperator,
    Clip,
    Concat,
    Div,
    Elementwise,
    Function,
    LayerNormalization,
    Mul,
    Reduce,
    Reduction,
    Slice,
    Transpose,
    known,
)
from intlower.compiler.passes.draft import GraphDraft
from intlower.compiler.passes.patterns import Reader

# Under a norm that is at least this, x is divided by it: PyTorch's functional.normalize has 1e-12.
_LARGEST_FLOOR = 1e-6

# The variance that stands for none at all, so that rows of zeros stay zeros.
_LEAST_EPSILON = 1e-30


@dataclass(frozen=True, slots=True)
class _Norm:
    """What x is divided by: sqrt(mean(x**2) + epsilon) / factor over some axes."""

    axes: tuple[int, ...]
    epsilon: float
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseRootMeanSquare:
    """Writes x / sqrt(mean(x**2) + e) as a layer normalization of x beside -x, of which the first half is kept.

    The mean of both together is 0 and their variance mean(x**2), so that it is the same function; and where a target's
    squares, sums and roots would be codes of a few bits each, the integer normalization rounds once.

    1. x / Sqrt(v), x * Reciprocal(Sqrt(v)) and x * v**(-1/2), where v is the mean or the sum of x**2, plus a number or not,
       over the last axes or over one axis; the root may have a least value of up to 1e-6, which is added under it instead.
    2. Mul and then Add of constants in the shape of the last axes, that alone read it, become its scale and shift.
    """

    name: ClassVar[str] = "fuse_root_mean_square"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with such normalizations as one node each."""
        draft = GraphDraft(graph)
        reader = Reader(graph, graph.producers())
        for node in graph.nodes:
            found = _match(reader, node)
            if found is not None and draft.node(node.name) is node:
                _rewrite(draft, node, *found)
        return draft.graph()


def _match(reader: Reader, node: Node) -> tuple[str, _Norm] | None:
    """Case 1: return x and what it is divided by."""
    if node.activation is not None:
        return None
    if isinstance(node.operator, Div):
        x, divisor = node.inputs
        norm = _root(reader, x, divisor)
        return None if norm is None else (x, norm)
    if isinstance(node.operator, Mul):
        for x, factor in (node.inputs, node.inputs[::-1]):
            norm = _inverse_root(reader, x, factor)
            if norm is not None:
                return x, norm
    return None


def _inverse_root(reader: Reader, x: str, name: str) -> _Norm | None:
    reciprocal = reader.elementwise(name, Function.RECIPROCAL)
    if reciprocal is not None:
        return _root(reader, x, reciprocal.inputs[0])
    power = reader.elementwise(name, Function.POW)
    if power is not None and power.operator == Elementwise(function=Function.POW, alpha=-0.5):
        return _square(reader, x, power.inputs[0], 0.0)
    return None


def _root(reader: Reader, x: str, name: str) -> _Norm | None:
    floor = 0.0
    node = reader.producer(name)
    if node is not None and isinstance(node.operator, Clip):
        if not 0 <= node.operator.minimum <= _LARGEST_FLOOR or node.operator.maximum < math.inf:
            return None
        floor = node.operator.minimum
        name = node.inputs[0]
    root = reader.elementwise(name, Function.SQRT)
    return None if root is None else _square(reader, x, root.inputs[0], floor)


def _square(reader: Reader, x: str, name: str, floor: float) -> _Norm | None:
    """Return the norm whose square is a value; `floor` is the least root."""
    added = reader.added(name)
    if added is not None:
        name = added[0]
    epsilon = floor**2 + (0.0 if added is None else added[1])
    node = reader.producer(name)
    if node is None or not isinstance(node.operator, Reduce) or epsilon < 0:
        return None
    if node.operator.reduction not in (Reduction.MEAN, Reduction.SUM):
        return None
    if not reader.product_of(node.inputs[0]).is_close(1.0, x, x):
        return None
    shape = reader.graph.values[x].shape
    axes = tuple(sorted(axis % len(shape) for axis in node.operator.axes))
    last = axes == tuple(range(len(shape) - len(axes), len(shape)))
    if not axes or 0 in axes or not (last or len(axes) == 1):
        return None
    factor = 1.0
    if node.operator.reduction is Reduction.SUM:
        count = math.prod(known(shape[axis]) for axis in axes)
        epsilon, factor = epsilon / count, 1 / math.sqrt(count)
    return _Norm(axes, max(epsilon, _LEAST_EPSILON), factor)


def _rewrite(draft: GraphDraft, node: Node, x: str, norm: _Norm) -> None:
    shape = draft.shape(x)
    rank = len(shape)
    axis = norm.axes[0]
    moved = norm.axes[-1] != rank - 1
    normal = tuple(known(shape[a]) for a in norm.axes)
    scale = np.full(normal, norm.factor)
    shift: NDArray[np.float64] | None = None
    last = node
    absorbed: list[Node] = []
    for kind in () if moved else (Mul, Add):  # case 2
        constant = _following(draft, last, kind, normal)
        if constant is None:
            if kind is Mul:
                continue
            break
        last = draft.consumers()[last.output][0]
        absorbed.append(last)
        if kind is Mul:
            scale = scale * constant
        else:
            shift = constant
    parameters = []
    for role, array in (("scale", scale), ("shift", shift)):
        if array is not None:
            name = draft.fresh(f"{node.name}_{role}")
            draft.constants[name] = Constant.of(
                np.concatenate([array, array], axis=-1), np.float32
            )
            parameters.append(name)
    nodes: list[Node] = []
    names: set[str] = set()

    def step(part: str, operator: AnyOperator, *inputs: str) -> str:
        name, output = (draft.fresh(f"{base}_{part}") for base in (node.name, node.output))
        while output == name or output in names:
            output = draft.fresh(f"{output}_value")
        names.update((name, output))
        nodes.append(Node(name=name, operator=operator, inputs=inputs, output=output))
        return output

    order = [*range(rank)]
    if moved:
        order[axis], order[-1] = rank - 1, axis
        x, axis = step("moved", Transpose(permutation=tuple(order)), x), rank - 1
    negative = step("negative", Elementwise(function=Function.NEG), x)
    both = step("both", Concat(axis=rank - 1), x, negative)
    operator = LayerNormalization(axis=axis, epsilon=norm.epsilon)
    whole = step("whole", operator, both, *parameters)
    half = Slice(starts=(0,), ends=(normal[-1],), axes=(rank - 1,), steps=(1,))
    ending: AnyOperator = half
    if moved:
        whole = step("half", half, whole)
        ending = Transpose(permutation=tuple(order))
    final = Node(
        name=node.name,
        operator=ending,
        inputs=(whole,),
        output=last.output,
        activation=last.activation,
    )
    draft.replace({**{gone.name: () for gone in absorbed}, node.name: (*nodes, final)})


def _following(
    draft: GraphDraft, node: Node, kind: type, normal: tuple[int, ...]
) -> NDArray[np.float64] | None:
    """Return the constant of the one node that reads another, if it is of a kind and fits the normalized axes."""
    readers = draft.consumers()[node.output]
    if len(readers) != 1 or node.output in draft.outputs or node.activation is not None:
        return None
    (reader,) = readers
    constant = draft.constants.get(reader.inputs[-1])
    if not isinstance(reader.operator, kind) or constant is None or len(reader.inputs) != 2:
        return None
    if constant.array.shape != normal and constant.array.size != 1:
        return None
    if draft.shape(reader.output) != draft.shape(node.output):
        return None
    return np.asarray(
        np.broadcast_to(constant.array.reshape(constant.array.shape[-len(normal) :]), normal),
        np.float64,
    )
