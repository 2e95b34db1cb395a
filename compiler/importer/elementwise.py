"""Relu, Clip, Identity and Dropout."""

from __future__ import annotations

import math

import numpy as np

from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import Clip, Identity, Relu

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


def convert_identity(node: OnnxNode, scope: Scope) -> None:
    """Convert Identity."""
    scope.emit(node.name, Identity(), (node.input(0),), node.outputs[0])


def convert_dropout(node: OnnxNode, scope: Scope) -> None:
    """Convert Dropout, which at inference is Identity."""
    node.first_output_only()
    if node.input(2) and scope.array(node.input(2), "training mode").any():
        raise NotSupported("it is in training mode")
    convert_identity(node, scope)
