"""Makes a matrix product along the last axis of a larger tensor a 1x1 convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import (
    Add,
    AnyOperator,
    Conv,
    MatMul,
    Reshape,
    Transpose,
    known,
)
from intlower.compiler.passes.draft import GraphDraft
from intlower.compiler.passes.rewriting import parameter, sole_reader


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftMatmul:
    """Replaces MatMul of [N, ..., I], of rank 3 or more, and constant weights [I, O] by Conv, between what brings I to axis 1.

    1. The axes between N and I become one, L; then [N, L, I] is transposed to [N, I, L] and taken as an image [N, I, L, 1].
    2. Conv with weights [O, I, 1, 1]. An Add of a constant [O] that alone reads the product becomes its bias.
    3. The way back.
    """

    name: ClassVar[str] = "lift_matmul"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with such products lifted."""
        draft = GraphDraft(graph)
        for node in graph.nodes:
            current = draft.node(node.name)
            if current is not None:
                _lift(draft, current)
        return draft.graph()


def _lift(draft: GraphDraft, node: Node) -> None:
    weights = parameter(draft, node, 1) if isinstance(node.operator, MatMul) else None
    value = draft.values.get(node.inputs[0])
    if weights is None or weights.ndim != 2 or value is None or len(value.shape) < 3:
        return
    depth, outputs = weights.shape
    middle = tuple(known(d) for d in value.shape[1:-1])
    positions = math.prod(middle)
    weights_name = draft.fresh(f"{node.name}_kernel")
    draft.constants[weights_name] = Constant.of(weights.T[:, :, None, None], np.float32)
    layer = [weights_name]
    output, replacements = node.output, dict[str, Node | tuple[Node, ...]]()
    add = sole_reader(draft, node.output)
    bias = _bias(draft, add, node.output, outputs)
    if add is not None and bias is not None:
        bias_name = draft.fresh(f"{node.name}_bias")
        draft.constants[bias_name] = Constant.of(bias, np.float32)
        layer.append(bias_name)
        output, replacements[add.name] = add.output, ()
    steps: list[tuple[str, AnyOperator, list[str]]] = [
        ("rows", Reshape(shape=(0, positions, depth)), []),
        ("columns", Transpose(permutation=(0, 2, 1)), []),
        ("image", Reshape(shape=(0, depth, positions, 1)), []),
        ("product", Conv(), layer),
        ("flat", Reshape(shape=(0, outputs, positions)), []),
        ("turned", Transpose(permutation=(0, 2, 1)), []),
        ("lifted", Reshape(shape=(0, *middle, outputs)), []),
    ]
    if len(middle) == 1:
        steps = steps[1:-1]
    source, nodes = node.inputs[0], list[Node]()
    for number, (part, operator, parameters) in enumerate(steps):
        last = number == len(steps) - 1
        nodes.append(
            Node(
                name=node.name
                if isinstance(operator, Conv)
                else draft.fresh(f"{node.name}_{part}"),
                operator=operator,
                inputs=(source, *parameters),
                output=output if last else draft.fresh(f"{node.output}_{part}"),
            )
        )
        source = nodes[-1].output
    activation = node.activation if output == node.output else (add or node).activation
    nodes = [
        replace(n, activation=activation) if isinstance(n.operator, Conv) else n for n in nodes
    ]
    draft.moments.pop(node.output, None)
    replacements[node.name] = tuple(nodes)
    draft.replace(replacements)


def _bias(
    draft: GraphDraft, add: Node | None, product: str, outputs: int
) -> NDArray[np.float64] | None:
    """Return the constant [O] that a node adds along the last axis; None where it does something else."""
    if add is None or not isinstance(add.operator, Add):
        return None
    constant = parameter(draft, add, 1 - add.inputs.index(product))
    if constant is None or constant.size not in (1, outputs):
        return None
    if constant.ndim > len(draft.values[product].shape) or (
        constant.ndim and constant.size != constant.shape[-1]
    ):
        return None
    return np.broadcast_to(constant.reshape(-1), (outputs,))
