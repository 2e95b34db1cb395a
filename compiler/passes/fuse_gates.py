"""Makes one function of a value multiplied with a function of itself: SiLU, HardSwish, Mish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import AnyOperator, Elementwise, Function, Mul
from intlower.compiler.passes.fuse_hard_sigmoid import clipped_line
from intlower.compiler.passes.patterns import Product, Reader, close, replace_matches


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseGates:
    """Makes products of a value and a gate that it opens itself one node.

    1. x * Sigmoid(x), or x * Sigmoid(a * x) with a number a, becomes Silu.
    2. x * HardSigmoid(x) with slope 1/6 and offset 1/2, or x * Clip(x + 3, 0, 6) / 6 in any order, becomes HardSwish.
    3. x * Tanh(Softplus(x)) becomes Mish.
    """

    name: ClassVar[str] = "fuse_gates"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with gated values as one node."""
        return replace_matches(graph, _match)


def _match(reader: Reader, node: Node) -> tuple[AnyOperator, str] | None:
    if not isinstance(node.operator, Mul):
        return None
    product = reader.product(node)
    if len(product.factors) != 2:
        return None
    for x, gate in (product.factors, product.factors[::-1]):
        operator = _gated(reader, product, x, gate)
        if operator is not None:
            return operator, x
    return None


def _gated(reader: Reader, product: Product, x: str, gate: str) -> Elementwise | None:
    line = clipped_line(reader, gate)  # case 2
    if line is not None:
        hard = line == (x, 3.0, 6.0) and close(product.constant, 1 / 6)
        return Elementwise(function=Function.HARD_SWISH) if hard else None
    node = reader.producer(gate)
    if node is None or not isinstance(node.operator, Elementwise) or product.constant != 1.0:
        return None
    operator, source = node.operator, node.inputs[0]
    match operator.function:
        case Function.SIGMOID:  # case 1
            slope = reader.product_of(source)
            if source == x or slope.factors == (x,):
                alpha = 1.0 if source == x else slope.constant
                return Elementwise(function=Function.SILU, alpha=alpha)
        case Function.HARD_SIGMOID if source == x:  # case 2
            if close(operator.alpha, 1 / 6) and close(operator.beta, 0.5):
                return Elementwise(function=Function.HARD_SWISH)
        case Function.TANH:  # case 3
            inner = reader.elementwise(source, Function.SOFTPLUS)
            if inner is not None and inner.inputs[0] == x:
                return Elementwise(function=Function.MISH)
        case _:
            pass
    return None
