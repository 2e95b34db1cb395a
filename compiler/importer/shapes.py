"""Operators that move elements: Flatten, Reshape, Concat, Pad, Slice."""

from __future__ import annotations

import math

import numpy as np

from intlower.compiler.errors import InvalidGraph
from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Scope
from intlower.compiler.operators import (
    Concat,
    Flatten,
    Identity,
    Pad,
    PadMode,
    Reshape,
    Slice,
    known,
    normalize_axis,
)

# What exporters write for an end that is not limited is at least this.
_ENDLESS = (1 << 31) - 1


def convert_flatten(node: OnnxNode, scope: Scope) -> None:
    """Convert Flatten, with its axis counted from the front."""
    rank = len(scope.shape(node.input(0)))
    axis = node.integer("axis", 1)
    operator = Flatten(axis=axis if axis == rank else normalize_axis(axis, rank))
    scope.emit(node.name, operator, (node.input(0),), node.outputs[0])


def convert_reshape(node: OnnxNode, scope: Scope) -> None:
    """Convert Reshape to a shape that is constant, but for the free batch in front."""
    name = node.input(1)
    if scope.is_batch_dependent(name):
        shape = scope.integers(name, "shape", batch_dependent=True)
        if 0 in shape[1:] or scope.shape(node.input(0))[:1] != (None,):
            raise NotSupported("its shape has the free batch elsewhere than in front")
    else:
        shape = scope.integers(name, "shape")
        if node.integer("allowzero", 0) and 0 in shape:
            raise NotSupported("it makes a tensor without elements")
    scope.emit(node.name, Reshape(shape=shape), (node.input(0),), node.outputs[0])


def convert_concat(node: OnnxNode, scope: Scope) -> None:
    """Convert Concat of values and constants; one of these with batch 1 is repeated for each sample."""
    axis = normalize_axis(node.integer("axis", 1), len(scope.shape(node.input(0))))
    if axis == 0 and any(scope.shape(name)[:1] == (None,) for name in node.inputs):
        raise NotSupported("it joins along the free batch")
    inputs = tuple(scope.operand(name, "operand") for name in node.inputs)
    scope.emit(node.name, Concat(axis=axis), inputs, node.outputs[0])


def convert_slice(node: OnnxNode, scope: Scope) -> None:
    """Convert Slice: attributes before opset 10, then constant inputs.

    Positions become ones inside the tensor; axes that are kept whole are left out.
    """
    shape = scope.shape(node.input(0))
    if node.opset < 10:
        starts, ends = node.integers("starts") or (), node.integers("ends") or ()
        axes, steps = node.integers("axes"), None
    else:
        starts = scope.integers(node.input(1), "list of starts")
        ends = scope.integers(node.input(2), "list of ends")
        axes = scope.integers(node.input(3), "list of axes") if node.input(3) else None
        steps = scope.integers(node.input(4), "list of steps") if node.input(4) else None
    axes = tuple(range(len(starts))) if axes is None else axes
    axes = tuple(normalize_axis(axis, len(shape)) for axis in axes)
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or len(set(axes)) != len(axes):
        raise InvalidGraph(
            f"{node.name}: starts {starts}, ends {ends}, axes {axes} and steps {steps} do not match"
        )
    requested = Slice(starts=starts, ends=ends, axes=axes, steps=steps)
    sliced: list[tuple[int, int, int, int]] = []
    for axis, selection in requested.selections(len(shape)).items():
        if shape[axis] is None and selection.indices(_ENDLESS) == (0, _ENDLESS, 1):
            continue  # every sample of a free batch
        size = known(shape[axis])
        start, end, step = selection.indices(size)
        if (start, end, step) != (0, size, 1):
            # An end before the first element is -1 here, which would be the last one in a Slice.
            sliced.append((start, end - size if end < 0 else end, axis, step))
    _emit_slice(node, scope, node.input(0), sliced)


def convert_pad(node: OnnxNode, scope: Scope) -> None:
    """Convert Pad of any mode: attributes before opset 11, then constant inputs.

    Negative pads, which crop, become a Slice before it.
    """
    mode = node.text("mode", "constant")
    if mode not in {known_mode.value for known_mode in PadMode}:
        raise NotSupported(f"it pads in mode {mode!r}")
    shape = scope.shape(node.input(0))
    pads, value = _pads_and_value(node, scope, len(shape))
    if value == -math.inf:  # for a maximum that never chooses it
        value = float(np.finfo(np.float32).min)
    if not math.isfinite(value):
        raise NotSupported(f"it pads with {value}")
    begins, ends = pads[: len(shape)], pads[len(shape) :]
    kept = [
        (max(-begin, 0), known(size) - max(-end, 0), axis, 1)
        for axis, (size, begin, end) in enumerate(zip(shape, begins, ends, strict=True))
        if begin < 0 or end < 0
    ]
    positive = tuple(max(pad, 0) for pad in pads)
    if not any(positive):
        _emit_slice(node, scope, node.input(0), kept)
        return
    source = node.input(0)
    if mode != "constant":
        if kept:
            raise NotSupported(f"it crops, and pads in mode {mode!r}")
        pad = Pad(pads=positive, mode=PadMode(mode))
        scope.emit(node.name, pad, (source,), node.outputs[0])
        return
    if kept:
        source = scope.emit_intermediate(f"{node.name}_crop", _slice(kept), (source,))
    scope.emit(node.name, Pad(pads=positive, value=value), (source,), node.outputs[0])


def _pads_and_value(node: OnnxNode, scope: Scope, rank: int) -> tuple[tuple[int, ...], float]:
    """Return the pads of every axis, begins and then ends, and what to pad with."""
    if node.opset < 11:
        pads, axes = node.integers("pads") or (), tuple(range(rank))
        value = node.number("value", 0.0)
    else:
        pads = scope.integers(node.input(1), "list of pads")
        value = scope.scalar(node.input(2), "padding value") if node.input(2) else 0.0
        listed = scope.integers(node.input(3), "list of axes") if node.input(3) else None
        axes = tuple(range(rank)) if listed is None else listed
    axes = tuple(normalize_axis(axis, rank) for axis in axes)
    if len(pads) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise InvalidGraph(f"{node.name}: pads {pads} do not fit axes {axes}")
    complete = [0] * (2 * rank)
    for position, axis in enumerate(axes):
        complete[axis] = pads[position]
        complete[rank + axis] = pads[len(axes) + position]
    return tuple(complete), value


def _slice(sliced: list[tuple[int, int, int, int]]) -> Slice:
    """Return the Slice of (start, end, axis, step) for each sliced axis."""
    starts, ends, axes, steps = zip(*sliced, strict=True)
    return Slice(starts=starts, ends=ends, axes=axes, steps=steps)


def _emit_slice(
    node: OnnxNode, scope: Scope, source: str, sliced: list[tuple[int, int, int, int]]
) -> None:
    operator = _slice(sliced) if sliced else Identity()
    scope.emit(node.name, operator, (source,), node.outputs[0])
