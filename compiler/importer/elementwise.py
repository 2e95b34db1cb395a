"""Operators that keep the shape: Relu, Clip, Softmax, Identity, Dropout."""

from __future__ import annotations

import math

import numpy as np

from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import Clip, Identity, Relu, Softmax, normalize_axis

_GREATEST = float(np.finfo(np.float32).max)


def convert_relu(node: OnnxNode, scope: Scope) -> None:
    """Convert Relu."""
    scope.emit(node.name, Relu(), (node.input(0),), node.outputs[0])


def convert_clip(node: OnnxNode, scope: Scope) -> None:
    """Convert Clip: bounds are attributes before opset 11, then constant inputs.

    A bound at the end of float32, ONNX's default, is no bound.
    """
    if node.opset < 11:
        low, high = node.number("min", -math.inf), node.number("max", math.inf)
    else:
        low, high = (
            scope.scalar(node.input(i), role) if node.input(i) else default
            for i, role, default in ((1, "minimum", -math.inf), (2, "maximum", math.inf))
        )
    clip = Clip(
        minimum=-math.inf if low <= -_GREATEST else low,
        maximum=math.inf if high >= _GREATEST else high,
    )
    scope.emit(node.name, clip, (node.input(0),), node.outputs[0])


def convert_softmax(node: OnnxNode, scope: Scope) -> None:
    """Convert Softmax along one axis.

    Before opset 13 all axes from `axis` on are normalized together: the same where at most one of
    them is longer than 1.
    """
    shape = scope.shape(node.input(0))
    axis = normalize_axis(node.integer("axis", 1 if node.opset < 13 else -1), len(shape))
    if node.opset < 13:
        longer = [i for i in range(axis, len(shape)) if shape[i] != 1] or [axis]
        if len(longer) > 1:
            raise NotSupported(f"it normalizes axes {axis} to {len(shape) - 1} together")
        axis = longer[0]
    if shape[axis] is None:
        raise NotSupported("it normalizes over the free batch")
    scope.emit(node.name, Softmax(axis=axis), (node.input(0),), node.outputs[0])


def convert_identity(node: OnnxNode, scope: Scope) -> None:
    """Convert Identity."""
    scope.emit(node.name, Identity(), (node.input(0),), node.outputs[0])


def convert_dropout(node: OnnxNode, scope: Scope) -> None:
    """Convert Dropout, which at inference is Identity."""
    node.first_output_only()
    if node.input(2) and scope.array(node.input(2), "training mode").any():
        raise NotSupported("it is in training mode")
    convert_identity(node, scope)
