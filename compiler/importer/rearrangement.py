"""Operators that change the order or the number of axes, or repeat elements."""

from __future__ import annotations

import numpy as np

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.displaced import displace, stacked
from intlower.compiler.importer.scope import Scope
from intlower.compiler.instruction_checker import LARGEST_TENSOR
from intlower.compiler.operators import (
    Concat,
    DepthToSpace,
    Identity,
    Mul,
    Shape,
    SpaceToDepth,
    Transpose,
    broadcast,
    known,
    normalize_axis,
)

# The opset from which on axes are an input of Squeeze and Unsqueeze.
_AXES_INPUT = 13


def convert_transpose(node: OnnxNode, scope: Scope) -> None:
    """Convert Transpose; without a permutation it reverses the axes."""
    shape = scope.shape(node.input(0))
    permutation = node.integers("perm") or tuple(reversed(range(len(shape))))
    if len(permutation) == len(shape) and shape[0] is None and permutation[0] != 0:
        displace(node, scope, node.input(0), permutation, node.outputs[0])
        return
    scope.emit(node.name, Transpose(permutation=permutation), (node.input(0),), node.outputs[0])


def convert_squeeze(node: OnnxNode, scope: Scope) -> None:
    """Convert Squeeze to Reshape; without axes it removes all of size 1."""
    shape = scope.shape(node.input(0))
    listed = _listed_axes(node, scope)
    axes = (
        {axis for axis, size in enumerate(shape) if size == 1}
        if listed is None
        else {normalize_axis(axis, len(shape)) for axis in listed}
    )
    if any(shape[axis] is None for axis in axes):
        raise NotSupported("it removes the free batch")
    if any(shape[axis] != 1 for axis in axes):
        raise InvalidGraph(f"{node.name}: it removes axes {sorted(axes)} of {shape}")
    target = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    scope.emit_reshape(node.name, node.input(0), target, node.outputs[0])


def convert_unsqueeze(node: OnnxNode, scope: Scope) -> None:
    """Convert Unsqueeze to Reshape."""
    shape = scope.shape(node.input(0))
    listed = _listed_axes(node, scope) or ()
    rank = len(shape) + len(listed)
    axes = {normalize_axis(axis, rank) for axis in listed}
    if len(axes) != len(listed):
        raise InvalidGraph(f"{node.name}: axes {listed} repeat")
    if 0 in axes and shape[0] is None:
        stacked(node, scope, sorted(axes))
        return
    old = iter(shape)
    target: Shape = tuple(1 if axis in axes else next(old) for axis in range(rank))
    scope.emit_reshape(node.name, node.input(0), target, node.outputs[0])


def _listed_axes(node: OnnxNode, scope: Scope) -> tuple[int, ...] | None:
    if node.opset < _AXES_INPUT:
        return node.integers("axes")
    return scope.integers(node.input(1), "list of axes") if node.input(1) else None


def convert_depth_to_space(node: OnnxNode, scope: Scope) -> None:
    """Convert DepthToSpace in either order of channels."""
    operator = DepthToSpace(
        block=node.integer("blocksize", 0), channels_first=_channels_first(node)
    )
    scope.emit(node.name, operator, (node.input(0),), node.outputs[0])


def convert_space_to_depth(node: OnnxNode, scope: Scope) -> None:
    """Convert SpaceToDepth in either order of channels."""
    operator = SpaceToDepth(
        block=node.integer("blocksize", 0), channels_first=_channels_first(node)
    )
    scope.emit(node.name, operator, (node.input(0),), node.outputs[0])


def _channels_first(node: OnnxNode) -> bool:
    mode = node.text("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise NotSupported(f"its mode is {mode!r}")
    return mode == "CRD"


def convert_expand(node: OnnxNode, scope: Scope) -> None:
    """Convert Expand: to the shape that a value has, Identity; else Mul by ones, which broadcasts.

    0 for the free batch in the target keeps the batch.
    """
    name = node.input(1)
    source = scope.shape(node.input(0))
    given = scope.integers(name, "shape", batch_dependent=True)
    wanted: Shape = given
    if scope.is_batch_dependent(name):
        if 0 in given[1:] or len(given) < len(source):
            raise NotSupported("its shape has the free batch elsewhere than in front")
        wanted = (None, *given[1:])
    target = broadcast(source, wanted)
    if target == source:
        scope.emit(node.name, Identity(), (node.input(0),), node.outputs[0])
        return
    if (source[:1] == (None,)) != (target[:1] == (None,)) or len(target) != len(source):
        raise NotSupported("it repeats its input for each sample of the free batch")
    grown = tuple(
        1 if old == new else known(new) for old, new in zip(source, target, strict=True)
    )
    if np.prod(grown, dtype=np.float64) > LARGEST_TENSOR:
        raise InvalidGraph(f"{node.name}: it makes more than {LARGEST_TENSOR} elements")
    ones = scope.add_constant(f"{node.name}_ones", np.ones(grown, np.float32))
    scope.emit(node.name, Mul(), (node.input(0), ones), node.outputs[0])


def convert_tile(node: OnnxNode, scope: Scope) -> None:
    """Convert Tile to Concat of its input with itself, along one axis after another."""
    x = node.input(0)
    shape = scope.shape(x)
    repeats = scope.integers(node.input(1), "list of repeats")
    if len(repeats) != len(shape) or min(repeats, default=1) < 1:
        raise InvalidGraph(f"{node.name}: repeats {repeats} do not fit {shape}")
    if repeats[0] != 1 and shape[0] is None:
        raise NotSupported("it repeats the free batch")
    if np.prod([*repeats, *(d or 1 for d in shape)], dtype=np.float64) > LARGEST_TENSOR:
        raise InvalidGraph(f"{node.name}: it makes more than {LARGEST_TENSOR} elements")
    for axis, count in enumerate(repeats):
        if count > 1:
            joined = Concat(axis=axis)
            x = scope.emit_intermediate(f"{node.name}_{axis}", joined, (x,) * count)
    scope.emit(node.name, Identity(), (x,), node.outputs[0])
