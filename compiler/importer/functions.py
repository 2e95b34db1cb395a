"""Model-local functions, written out where they are called."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx.checker import ValidationError
from onnx.inliner import inline_local_functions

from intlower.compiler.errors import InvalidGraph, ModelError

# Functions that call functions can stand for exponentially many nodes; no network has this many.
LARGEST_GRAPH = 100_000
DEEPEST_CALL = 50

_Key = tuple[str, str, str]


def without_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its local functions inlined.

    Raises:
        ModelError: functions call themselves, stand for too many nodes, or are called with other inputs than they take.
    """
    if not model.functions:
        return model
    functions = {(f.domain, f.name, f.overload): f.node for f in model.functions}
    sizes: dict[_Key, int] = {}

    def size(nodes: Iterable[onnx.NodeProto], depth: int) -> int:
        if depth > DEEPEST_CALL:
            raise ModelError("the functions of the model call themselves, or nest too deeply")
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type, node.overload)
            if key in functions and key not in sizes:
                sizes[key] = size(functions[key], depth + 1)
            total += sizes.get(key, 1)
        return total

    if size(model.graph.node, 0) > LARGEST_GRAPH:
        raise ModelError(f"the model's functions stand for more than {LARGEST_GRAPH} nodes")
    try:
        return inline_local_functions(model)
    except (RuntimeError, ValueError, ValidationError) as error:  # the inliner's own, of C++
        reason = str(error).strip().split("\n")[0]
        raise InvalidGraph(f"the model's functions cannot be written out: {reason}") from None
