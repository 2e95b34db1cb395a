"""The nodes of an ONNX graph that are read: those that its outputs depend on, each with a name of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import onnx

from intlower.compiler.importer.attributes import OnnxNode

ONNX_DOMAINS = ("", "ai.onnx")


def live_nodes(graph: onnx.GraphProto, opset: int) -> list[OnnxNode]:
    """Return the nodes that the graph's outputs depend on, each with a name of its own."""
    wanted = {info.name for info in graph.output}
    live = []
    for index in reversed(range(len(graph.node))):
        if wanted.intersection(graph.node[index].output):
            live.append(index)
            wanted.update(read_names(graph.node[index]))
    frozen = frozenset(wanted)
    names: set[str] = set()
    repeated: Counter[str] = Counter()
    nodes = []
    for index in reversed(live):
        proto = graph.node[index]
        given = name = proto.name or f"{proto.op_type}_{index}"
        while name in names:  # counted on, so that thousands of one name take linear time
            repeated[given] += 1
            name = f"{given}_{repeated[given]}"
        names.add(name)
        nodes.append(_node(proto, name, opset, frozen))
    return nodes


def _node(proto: onnx.NodeProto, name: str, opset: int, wanted: frozenset[str]) -> OnnxNode:
    standard = proto.domain in ONNX_DOMAINS
    return OnnxNode(
        name=name,
        operator=proto.op_type if standard else f"{proto.domain}.{proto.op_type}",
        opset=opset,
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        wanted=wanted,
        attributes={attribute.name: attribute for attribute in proto.attribute},
        proto=proto,
    )


def read_names(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, those within its branches among them."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield from (name for name in current.input if name)
        for attribute in current.attribute:
            for graph in (attribute.g, *attribute.graphs):
                waiting.extend(graph.node)
                yield from (info.name for info in graph.output)
