"""Where each operator of a graph runs: on the target's own units, or on the host beside it."""

from __future__ import annotations

import enum

from intlower.compiler.errors import UnsupportedByTarget, UnsupportedNode, listed_nodes
from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import Add, Concat, Softmax, operator_name
from intlower.compiler.spec import Contract, SoftmaxRule, TargetSpec


class Place(enum.Enum):
    """Where an operator runs."""

    TARGET = "target"
    HOST = "host"


def placed(spec: Contract, graph: Graph, node: Node) -> Place | None:
    """Return where a node runs on a target; None where nothing runs it.

    An operator is native where the contract lists its class under `operators`, and runs on the host where it lists the
    class, or the function that the class stands for, under `host`. Beside numbers that are not uniform codes the host also
    adds and joins constants, and adds what broadcasts. A softmax that a target leaves to the host runs there
    in float at the end of a network, see `HostStep`, and in integers inside of one.
    """
    operator = node.operator
    classes = type(operator).__name__
    inside = isinstance(operator, Softmax) and bool(graph.consumers()[node.output])
    if inside and getattr(spec, "softmax", SoftmaxRule.HOST) is SoftmaxRule.HOST:
        return Place.HOST
    if classes in spec.host or operator_name(operator) in spec.host:
        return Place.HOST
    if not isinstance(spec, TargetSpec) and _joins_unlike(graph, node):
        return Place.HOST
    return Place.TARGET if classes in spec.operators else None


def _joins_unlike(graph: Graph, node: Node) -> bool:
    """Return whether an Add or Concat reads a constant, or adds tensors of two shapes: only uniform codes have a form for it."""
    if not isinstance(node.operator, Add | Concat):
        return False
    if any(name in graph.constants for name in node.inputs):
        return True
    shapes = {graph.values[name].shape for name in node.inputs}
    return isinstance(node.operator, Add) and len(shapes) > 1


def runs_on_host(spec: Contract, graph: Graph) -> bool:
    """Return whether some operator of a graph runs on the host as integers."""
    return any(placed(spec, graph, node) is Place.HOST for node in graph.nodes)


def check_operators(graph: Graph, spec: Contract) -> None:
    """Prove that everything in a graph runs somewhere.

    Raises:
        UnsupportedByTarget: operators that neither the target nor the host has, all of them at once.
    """
    refused = [
        UnsupportedNode(operator=operator_name(node.operator), name=node.name)
        for node in graph.nodes
        if placed(spec, graph, node) is None
    ]
    if refused:
        raise UnsupportedByTarget(
            f"{spec.name!r} does not run {listed_nodes(refused)}",
            f"its operators are: {', '.join(sorted(spec.operators | spec.host))}",
        )
