"""Softmax and LogSoftmax, along one axis or several together."""

from __future__ import annotations

import math

from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import Elementwise, Function, Softmax, known, normalize_axis


def convert_softmax(node: OnnxNode, scope: Scope) -> None:
    """Convert Softmax.

    Before opset 13 all axes from `axis` on are normalized together: the same as along one axis where at most one of
    them is longer than 1; else Reshapes around it make them one.
    """
    _emit_softmax(node, scope, node.name, node.outputs[0])


def convert_log_softmax(node: OnnxNode, scope: Scope) -> None:
    """Convert LogSoftmax to the logarithm of Softmax."""
    shares = scope.fresh(f"{node.name}_shares")
    _emit_softmax(node, scope, shares, shares)
    scope.emit(node.name, Elementwise(function=Function.LOG), (shares,), node.outputs[0])


def _emit_softmax(node: OnnxNode, scope: Scope, name: str, output: str) -> None:
    x = node.input(0)
    shape = scope.shape(x)
    axis = normalize_axis(node.integer("axis", 1 if node.opset < 13 else -1), len(shape))
    if node.opset < 13:
        longer = [i for i in range(axis, len(shape)) if shape[i] != 1] or [axis]
        if None in shape[axis:]:
            raise NotSupported("it normalizes over the free batch")
        if len(longer) > 1:
            joined = (*shape[:axis], math.prod(known(d) for d in shape[axis:]))
            flat = scope.reshaped(f"{node.name}_flat", x, joined)
            shares = scope.emit_intermediate(f"{node.name}_of_all", Softmax(axis=axis), (flat,))
            scope.emit_reshape(name, shares, shape, output)
            return
        axis = longer[0]
    if shape[axis] is None:
        raise NotSupported("it normalizes over the free batch")
    scope.emit(name, Softmax(axis=axis), (x,), output)
