"""Makes one function of the arithmetic that exporters write for GELU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import Add, AnyOperator, Elementwise, Function, Mul
from intlower.compiler.passes.patterns import Reader, close, replace_matches

_CUBIC = 0.044715


@dataclass(frozen=True, slots=True, kw_only=True)
class FuseGelu:
    """Makes GELU one node, its factors in any order.

    1. 1/2 * x * (1 + Erf(x / sqrt(2))) becomes Gelu.
    2. 1/2 * x * (1 + Tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) becomes GeluTanh.

    Source of both forms: Hendrycks and Gimpel 2016, section 2; ONNX Gelu-20.
    """

    name: ClassVar[str] = "fuse_gelu"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with GELU as one node."""
        return replace_matches(graph, _match)


def _match(reader: Reader, node: Node) -> tuple[AnyOperator, str] | None:
    if not isinstance(node.operator, Mul):
        return None
    product = reader.product(node)
    if len(product.factors) != 2 or not close(product.constant, 0.5):
        return None
    for x, gate in (product.factors, product.factors[::-1]):
        opened = reader.added(gate)
        if opened is None or opened[1] != 1.0:
            continue
        curve = reader.elementwise(opened[0], Function.ERF, Function.TANH)
        if curve is None:
            continue
        if reader.elementwise(opened[0], Function.ERF) is not None:  # case 1
            if reader.product_of(curve.inputs[0]).is_close(math.sqrt(0.5), x):
                return Elementwise(function=Function.GELU), x
        elif _is_cubic(reader, curve.inputs[0], x):  # case 2
            return Elementwise(function=Function.GELU_TANH), x
    return None


def _is_cubic(reader: Reader, name: str, x: str) -> bool:
    """Whether a value is sqrt(2 / pi) * (x + 0.044715 * x**3)."""
    product = reader.product_of(name)
    if len(product.factors) != 1 or not close(product.constant, math.sqrt(2 / math.pi)):
        return False
    total = reader.producer(product.factors[0])
    if total is None or x not in total.inputs or len(total.inputs) != 2:
        return False
    other = total.inputs[1] if total.inputs[0] == x else total.inputs[0]
    return isinstance(total.operator, Add) and reader.product_of(other).is_close(
        _CUBIC, x, x, x
    )
