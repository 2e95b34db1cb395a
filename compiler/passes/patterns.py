"""What passes that recognize a split operator ask: which factors a product has, and which constant a node adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import Add, AnyOperator, Elementwise, Function, Mul

# Exporters round constants to float32, and divide by what they could multiply with: a few units of 2**-24 each.
CLOSE = 1e-6

# How many Mul nodes deep factors are looked for; the longest form of GELU has three.
_DEEPEST = 6

_SMALL_POWERS = (2.0, 3.0)


@dataclass(frozen=True, slots=True)
class Product:
    """A value as constant * factor * factor * ...

    Attributes:
        constant: the product of all single numbers among the factors.
        factors: names of values, in no order of meaning; x**3 is x three times.
    """

    constant: float
    factors: tuple[str, ...]

    def is_close(self, constant: float, *factors: str) -> bool:
        """Whether this is the product of a constant (but for rounding) and factors."""
        return close(self.constant, constant) and sorted(self.factors) == sorted(factors)


def close(a: float, b: float) -> bool:
    """Whether two constants are equal but for the rounding of exporters."""
    return abs(a - b) <= CLOSE * abs(b)


@dataclass(frozen=True, slots=True)
class Reader:
    """A graph with what matching asks of it at hand.

    Attributes:
        graph: the graph.
        producers: the node that defines each value.
    """

    graph: Graph
    producers: Mapping[str, Node]

    def producer(self, name: str) -> Node | None:
        """Return the node that defines a value, where no activation limits it."""
        node = self.producers.get(name)
        return None if node is None or node.activation is not None else node

    def elementwise(self, name: str, *functions: Function) -> Node | None:
        """Return the node that defines a value as one of these functions."""
        node = self.producer(name)
        matches = (
            node is not None
            and isinstance(node.operator, Elementwise)
            and node.operator.function in functions
        )
        return node if matches else None

    def number(self, name: str) -> float | None:
        """Return a constant of one number."""
        constant = self.graph.constants.get(name)
        if constant is None or constant.array.size != 1:
            return None
        return float(constant.array.reshape(()))

    def added(self, name: str) -> tuple[str, float] | None:
        """Return x and c where a value is x + c with one number c."""
        node = self.producer(name)
        if node is None or not isinstance(node.operator, Add):
            return None
        number = self.number(node.inputs[1])
        return None if number is None else (node.inputs[0], number)

    def product(self, node: Node) -> Product:
        """Return what a Mul multiplies, or a small power of a value; another node is its own only factor."""
        constant, factors = 1.0, list[str]()
        for number, name in self._factors(node, _DEEPEST):
            if name is None:
                constant *= number
            else:
                factors.append(name)
        return Product(constant, tuple(factors))

    def _factors(self, node: Node, depth: int) -> Iterator[tuple[float, str | None]]:
        operator = node.operator
        if isinstance(operator, Elementwise) and operator.function is Function.POW:
            if operator.alpha in _SMALL_POWERS:
                yield from [(1.0, node.inputs[0])] * int(operator.alpha)
                return
        elif isinstance(operator, Mul) and depth:
            for name in node.inputs:
                number, inner = self.number(name), self.producer(name)
                if number is not None:
                    yield number, None
                elif inner is not None and _multiplies(inner.operator):
                    yield from self._factors(inner, depth - 1)
                else:
                    yield 1.0, name
            return
        yield 1.0, node.output

    def product_of(self, name: str) -> Product:
        """Return a value as a product."""
        node = self.producer(name)
        return Product(1.0, (name,)) if node is None else self.product(node)


def _multiplies(operator: AnyOperator) -> bool:
    if isinstance(operator, Elementwise):
        return operator.function is Function.POW and operator.alpha in _SMALL_POWERS
    return isinstance(operator, Mul)


def replace_matches(
    graph: Graph, match: Callable[[Reader, Node], tuple[AnyOperator, str] | None]
) -> Graph:
    """Return the graph with every node that `match` knows replaced by one operator on one value.

    Nodes keep their names, outputs and activations; what only they read is left to `remove_unused`. Takes time linear
    in the number of nodes.

    Args:
        graph: the graph.
        match: returns an operator and the value that it reads; None for other nodes.
    """
    reader = Reader(graph, graph.producers())
    nodes = []
    for node in graph.nodes:
        found = match(reader, node)
        if (
            found is not None
            and graph.values[found[1]].shape == graph.values[node.output].shape
        ):
            node = replace(node, operator=found[0], inputs=(found[1],))
        nodes.append(node)
    return graph.edit(nodes=nodes)
