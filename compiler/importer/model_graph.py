"""The import: one walk over the nodes of a checked model."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import onnx

from intlower.compiler.errors import (
    InvalidGraph,
    ModelError,
    UnsupportedNode,
    UnsupportedOperator,
)
from intlower.compiler.graph import Graph, Value
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.branches import branch_nodes
from intlower.compiler.importer.converters import CONVERTERS
from intlower.compiler.importer.displaced import MOVED, convert_displaced
from intlower.compiler.importer.ends import places_to_end
from intlower.compiler.importer.folding import fold, foldable, tensor_array
from intlower.compiler.importer.functions import without_functions
from intlower.compiler.importer.model_file import LARGEST_MODEL_BYTES, external_tensors
from intlower.compiler.importer.nodes import ONNX_DOMAINS, live_nodes
from intlower.compiler.importer.reasons import REASONS
from intlower.compiler.importer.scope import Scope
from intlower.compiler.importer.signature import graph_inputs, inferred_shapes
from intlower.compiler.operators import Shape

OLDEST_OPSET = 7
# Bytes of an initializer that onnx's checker gets to see; more is checked as it is read.
_CHECKED_DATA = 1 << 10


def import_model(model: onnx.ModelProto, *, shapes: Mapping[str, Shape] | None = None) -> Graph:
    """Return the model as a graph: float32, inference only, explicit pads, constants as such.

    Values keep their names. Nodes that have none are called by operator and position; nodes that
    no output depends on are left out.

    Args:
        model: of opset 7 or newer, with its data loaded.
        shapes: shapes of graph inputs in the place of those in the file; None at axis 0 leaves
            the batch free.

    Raises:
        UnsupportedOperator: it names every node that cannot be converted.
        DynamicShape: a dimension other than the batch is not known.
        InvalidGraph: the model breaks the rules of ONNX, or has weights that are not finite.
        ModelError: anything else that cannot be read as a graph.
    """
    opset = _checked_opset(model)
    model = without_functions(model)
    inputs = graph_inputs(model.graph, {} if shapes is None else shapes)
    nodes = live_nodes(model.graph, opset)
    scope = Scope(inputs, _all_names(model.graph) | {node.name for node in nodes})
    if model.graph.sparse_initializer:
        raise ModelError("the model has sparse weights", "export it with dense weights")
    for tensor in model.graph.initializer:
        array = tensor_array(tensor)
        scope.stored_elements += array.size
        scope.define_array(tensor.name, array)
    _convert_nodes(nodes, scope, model, inputs)
    outputs = tuple(info.name for info in model.graph.output)
    for name in outputs:
        if name in scope.displaced:
            raise ModelError(f"the model's output {name!r}: {MOVED}")
        if name in scope.zero_tests:
            raise ModelError(
                f"the model's output {name!r} is a comparison",
                "remove this output from the model",
            )
        if not scope.is_value(name) or any(value.name == name for value in inputs):
            raise ModelError(
                f"the model's output {name!r} is an input or a constant",
                "remove this output from the model: there is nothing to compute",
            )
    return Graph(
        inputs=inputs,
        outputs=outputs,
        nodes=tuple(scope.nodes),
        constants=scope.constants,
    )


def _checked_opset(model: onnx.ModelProto) -> int:
    """Return the version of the ONNX operators, of a model that onnx's checker accepts."""
    versions = [o.version for o in model.opset_import if o.domain in ONNX_DOMAINS]
    if not versions:
        raise ModelError("the model does not say which version of ONNX's operators it uses")
    if versions[0] < OLDEST_OPSET:
        raise ModelError(
            f"the model uses opset {versions[0]}; {OLDEST_OPSET} is the oldest that can be read",
            "export it again, or convert it with onnx.version_converter",
        )
    if next(external_tensors(model), None) is not None:
        raise ModelError(
            "the model's external data is not loaded", "read the file with read_model"
        )
    try:
        light = _without_data(model)
        if light.ByteSize() > LARGEST_MODEL_BYTES:
            raise ModelError("the model is larger than 2 GiB")
        onnx.checker.check_model(light)
    except (onnx.checker.ValidationError, ValueError) as error:  # ValueError: text not in UTF-8
        reason = str(error).strip().split("\n")[0]
        raise InvalidGraph(f"the model is not valid ONNX: {reason}") from None
    return int(versions[0])


def _without_data(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model for onnx's checker, which copies it twice: large initializers are empty, `tensor_array` checks them."""
    light = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name == "graph":
            continue
        if field.is_repeated:
            getattr(light, field.name).MergeFrom(value)
        else:
            setattr(light, field.name, value)
    for field, value in model.graph.ListFields():
        if field.name == "initializer":
            light.graph.initializer.extend(
                onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=[0])
                if len(tensor.raw_data) > _CHECKED_DATA
                else tensor
                for tensor in value
            )
        elif field.is_repeated:
            getattr(light.graph, field.name).MergeFrom(value)
        else:
            setattr(light.graph, field.name, value)
    for info in light.graph.output:  # shapes are found anew; `end_at` may know none
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.shape.SetInParent()
    return light


def _all_names(graph: onnx.GraphProto) -> set[str]:
    names = {tensor.name for tensor in (*graph.initializer, *graph.input)}
    for node in graph.node:
        names.update((node.name, *node.input, *node.output))
    if any(isinstance(name, bytes) for name in names):  # as protobuf gives what is not UTF-8
        raise InvalidGraph("a name in the model is not text in UTF-8")
    return names


def _convert_nodes(
    nodes: Sequence[OnnxNode],
    scope: Scope,
    model: onnx.ModelProto,
    inputs: tuple[Value, ...],
) -> None:
    """Fold or convert every node, going on after failures in order to name them all."""
    unsupported: list[UnsupportedNode] = []
    invalid: list[InvalidGraph] = []
    inferred: dict[str, Shape] | None = None
    computed: dict[str, Shape] = {}
    waiting = deque(nodes)
    while waiting:
        node = waiting.popleft()
        try:
            if _readable(node, scope):
                if node.operator == "If":
                    waiting.extendleft(reversed(branch_nodes(node, scope)))
                else:
                    _convert(node, scope)
                    computed |= {
                        name: scope.shape(name) for name in node.outputs if scope.is_value(name)
                    }
                continue
        except NotSupported as failure:
            unsupported.append(
                UnsupportedNode(operator=node.operator, name=node.name, reason=failure.reason)
            )
        except InvalidGraph as failure:
            invalid.append(failure)
        if inferred is None:
            inferred = inferred_shapes(model, inputs)
        if all(scope.is_constant(name) for name in node.inputs if name):
            continue  # its output should have been a constant: nodes that read it are passed over
        for output in node.outputs:
            if output in inferred:
                scope.define_value(output, inferred[output])
    if unsupported:
        ends = places_to_end(
            {node.name: node.inputs for node in nodes},
            {node.name: node.outputs for node in nodes},
            computed,
            [node.name for node in unsupported],
            [info.name for info in model.graph.output],
        )
        raise UnsupportedOperator(unsupported, ends)
    if invalid:
        raise invalid[0]


def _readable(node: OnnxNode, scope: Scope) -> bool:
    """Whether all inputs are known; if not, another node before is to blame.

    Raises:
        NotSupported: the operator is not, whatever its inputs are.
    """
    known = all(
        scope.is_value(n)
        or scope.is_constant(n)
        or n in scope.displaced
        or n in scope.zero_tests
        for n in node.inputs
        if n
    )
    if not known and node.operator not in (*CONVERTERS, "Shape"):
        raise NotSupported(REASONS.get(node.operator, ""))
    return known


def _convert(node: OnnxNode, scope: Scope) -> None:
    if node.operator != "Where" and any(name in scope.zero_tests for name in node.inputs):
        raise NotSupported("it reads a comparison of numbers that are computed")
    if any(name in scope.displaced for name in node.inputs):
        convert_displaced(node, scope, CONVERTERS)
    elif foldable(node, scope):
        fold(node, scope)
    elif node.operator in CONVERTERS:
        CONVERTERS[node.operator](node, scope)
    else:
        raise NotSupported(REASONS.get(node.operator, ""))
