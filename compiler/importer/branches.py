"""If with a condition that is known: the nodes of the branch that it takes stand in its place.

PyTorch's exporter writes one where it cannot tell while it traces whether an axis has size 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.folding import tensor_array
from intlower.compiler.importer.nodes import live_nodes
from intlower.compiler.importer.scope import Scope


def branch_nodes(node: OnnxNode, scope: Scope) -> list[OnnxNode]:
    """Return the nodes that stand in the place of an If, and define the constants of its branch.

    Raises:
        NotSupported: the condition is computed, or names of the branch are taken.
        InvalidGraph: the branch has other outputs than the node.
    """
    condition = scope.array(node.input(0), "condition")
    if condition.dtype != np.bool_ or condition.size != 1:
        raise InvalidGraph(
            f"{node.name}: a condition of {condition.dtype}{list(condition.shape)}"
        )
    key = "then_branch" if bool(condition.reshape(())) else "else_branch"
    attribute = node.attributes.get(key)
    if attribute is None or attribute.type != onnx.AttributeProto.GRAPH:
        raise InvalidGraph(f"{node.name}: it has no {key}")
    graph = attribute.g
    if len(graph.output) != len(node.outputs):
        raise InvalidGraph(f"{node.name}: its {key} has {len(graph.output)} outputs")
    if graph.sparse_initializer:
        raise NotSupported("its branch has sparse weights")
    inside = live_nodes(graph, node.opset)
    defined = [tensor.name for tensor in graph.initializer]
    defined += [name for one in inside for name in one.outputs if name]
    for name in defined:
        if scope.is_value(name) or scope.is_constant(name) or name in scope.displaced:
            raise NotSupported(f"its branch calls {name!r} what is called so already")
    scope.take(defined)
    for tensor in graph.initializer:
        array = tensor_array(tensor)
        scope.stored_elements += array.size
        scope.define_array(tensor.name, array)
    renamed = [replace(one, name=scope.fresh(f"{node.name}_{one.name}")) for one in inside]
    for info, output in zip(graph.output, node.outputs, strict=True):
        name = scope.fresh(f"{node.name}_{output}")
        proto = onnx.helper.make_node("Identity", [info.name], [output], name)
        renamed.append(
            OnnxNode(
                name=name,
                operator="Identity",
                opset=node.opset,
                inputs=(info.name,),
                outputs=(output,),
                wanted=node.wanted,
                attributes={},
                proto=proto,
            )
        )
    return renamed
