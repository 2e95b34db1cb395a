"""Values whose free batch is not in front, as attention and stacks of branches have them for a few nodes.

A graph's values have the batch in front. Where a node moves it, its output is kept as a value that has it in front (the base)
and the permutation that is due; nodes that work along an axis are converted to nodes along that axis of the base, until a
node brings the batch back, which becomes one Transpose, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from onnx import helper

from intlower.compiler.importer.attributes import NotSupported, OnnxNode
from intlower.compiler.importer.scope import Displaced, Scope
from intlower.compiler.operators import Identity, Transpose, normalize_axis

Converter = Callable[[OnnxNode, Scope], None]

MOVED = "it moves the free batch from the front: give the input a fixed one with `--shape`"

_ALONG_AXIS = frozenset({"Concat", "Gather", "Split"})
# The opset from which on the limits of Slice are inputs.
_SLICE_INPUTS = 10
_REDUCING = frozenset({"ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"})


def displace(
    node: OnnxNode, scope: Scope, base: str, permutation: Sequence[int], output: str
) -> None:
    """Define an output as a permutation of a value: at once where that leaves the batch in front, else when it is due.

    Args:
        node: that the output belongs to.
        scope: where to define it.
        base: a value with the batch in front.
        permutation: axis i of the output is axis permutation[i] of the base.
        output: its name.
    """
    if permutation[0] != 0:
        scope.displaced[output] = Displaced(base=base, permutation=tuple(permutation))
        return
    in_order = list(permutation) == list(range(len(permutation)))
    operator = Identity() if in_order else Transpose(permutation=tuple(permutation))
    name = node.name if output == node.outputs[0] else scope.fresh(node.name)
    scope.emit(name, operator, (base,), output)


def stacked(node: OnnxNode, scope: Scope, axes: Sequence[int]) -> None:
    """Convert an Unsqueeze that puts axes in front of the free batch.

    Args:
        node: the Unsqueeze of a value with the batch in front.
        scope: where to define its output.
        axes: of the output, not negative.
    """
    permutation = tuple(range(len(scope.shape(node.input(0)))))
    _unsqueeze(node, scope, node.input(0), permutation, axes)


def convert_displaced(
    node: OnnxNode, scope: Scope, converters: Mapping[str, Converter]
) -> None:
    """Convert a node some of whose inputs are displaced.

    Args:
        node: the node.
        scope: of the graph.
        converters: what converts the same operator on values with the batch in front.

    Raises:
        NotSupported: it needs the batch where it is.
    """
    sources = [scope.displaced[name] for name in node.inputs if name in scope.displaced]
    permutation = sources[0].permutation
    if any(one.permutation != permutation for one in sources) or any(
        scope.is_value(name) for name in node.inputs
    ):
        raise NotSupported(MOVED)
    bases = tuple(one.base for one in sources)
    if node.operator == "Transpose":
        order = node.integers("perm") or tuple(reversed(range(len(permutation))))
        displace(node, scope, bases[0], [permutation[axis] for axis in order], node.outputs[0])
    elif node.operator == "Unsqueeze":
        axes = _axes(node, scope, len(permutation), grown=True)
        _unsqueeze(node, scope, bases[0], permutation, axes)
    elif node.operator in _ALONG_AXIS:
        axis = normalize_axis(node.integer("axis", 0), len(permutation))
        _along(node, scope, bases, permutation, axis, converters)
    elif node.operator == "Slice":
        _slice(node, scope, bases[0], permutation, converters)
    elif node.operator in _REDUCING or node.operator == "Squeeze":
        axes = _axes(node, scope, len(permutation), grown=False)
        _removing(node, scope, bases[0], permutation, axes, converters)
    else:
        raise NotSupported(MOVED)


def _along(
    node: OnnxNode,
    scope: Scope,
    bases: tuple[str, ...],
    permutation: tuple[int, ...],
    axis: int,
    converters: Mapping[str, Converter],
) -> None:
    """Convert Concat, Gather or Split along another axis than the batch."""
    others = tuple(name for name in node.inputs if name not in scope.displaced)
    if permutation[axis] == 0 or (node.operator == "Concat" and others):
        raise NotSupported(MOVED)
    temporary = {name: scope.fresh(name) for name in node.outputs if name in node.wanted}
    inputs = (*bases, *others)
    changed = _with_axes(node, scope, "axis", permutation[axis], inputs, temporary)
    converters[node.operator](changed, scope)
    if node.operator == "Gather":
        added = scope.shape(temporary[node.outputs[0]])
        if len(added) == len(permutation) - 1:  # one index, which removes the axis
            permutation = _without(permutation, {axis})
        elif len(added) != len(permutation):
            raise NotSupported(MOVED)
    for output, base in temporary.items():
        displace(node, scope, base, permutation, output)


def _slice(
    node: OnnxNode,
    scope: Scope,
    base: str,
    permutation: tuple[int, ...],
    converters: Mapping[str, Converter],
) -> None:
    """Convert Slice, of the batch too: whether that keeps every sample is for its converter to see."""
    if node.opset < _SLICE_INPUTS:
        listed, starts = node.integers("axes"), node.integers("starts") or ()
    else:
        listed = scope.integers(node.input(3), "list of axes") if node.input(3) else None
        starts = scope.integers(node.input(1), "list of starts")
    axes = range(len(starts)) if listed is None else listed
    own = [permutation[normalize_axis(axis, len(permutation))] for axis in axes]
    name = _integers(node, scope, own)
    inputs = (base, node.input(1), node.input(2), name, node.input(4))
    temporary = {node.outputs[0]: scope.fresh(node.outputs[0])}
    changed = _with_axes(node, scope, "axes", own, inputs, temporary)
    converters[node.operator](changed, scope)
    displace(node, scope, temporary[node.outputs[0]], permutation, node.outputs[0])


def _removing(
    node: OnnxNode,
    scope: Scope,
    base: str,
    permutation: tuple[int, ...],
    axes: tuple[int, ...],
    converters: Mapping[str, Converter],
) -> None:
    """Convert a reduction or Squeeze of other axes than the batch."""
    own = sorted(permutation[axis] for axis in axes)
    if 0 in own:
        raise NotSupported(MOVED)
    temporary = {node.outputs[0]: scope.fresh(node.outputs[0])}
    inputs = (base, _integers(node, scope, own))
    changed = _with_axes(node, scope, "axes", own, inputs, temporary)
    converters[node.operator](changed, scope)
    if node.operator == "Squeeze" or not node.integer("keepdims", 1):
        permutation = _without(permutation, set(axes))
    displace(node, scope, temporary[node.outputs[0]], permutation, node.outputs[0])


def _unsqueeze(
    node: OnnxNode,
    scope: Scope,
    base: str,
    permutation: tuple[int, ...],
    axes: Sequence[int],
) -> None:
    """Put the new axes right behind the batch of the base, and the permutation where they belong."""
    count = len(axes)
    batch, *rest = scope.shape(base)
    grown = scope.reshaped(f"{node.name}_base", base, (batch, *(1,) * count, *rest))
    new = iter(range(1, count + 1))
    old = iter(axis + count if axis else 0 for axis in permutation)
    order = [
        next(new) if axis in axes else next(old) for axis in range(len(permutation) + count)
    ]
    displace(node, scope, grown, order, node.outputs[0])


def _axes(node: OnnxNode, scope: Scope, rank: int, *, grown: bool) -> tuple[int, ...]:
    listed = (
        scope.integers(node.input(1), "list of axes")
        if node.input(1)
        else node.integers("axes")
    )
    if not listed:
        raise NotSupported(MOVED)
    total = rank + len(listed) if grown else rank
    return tuple(sorted({normalize_axis(axis, total) for axis in listed}))


def _integers(node: OnnxNode, scope: Scope, values: Sequence[int]) -> str:
    """Return the name of a new constant list of axes."""
    name = scope.fresh(f"{node.name}_axes")
    scope.define_array(name, np.array(values, np.int64))
    return name


def _without(permutation: tuple[int, ...], axes: set[int]) -> tuple[int, ...]:
    """Return the permutation of what is left when axes of the output are removed."""
    removed = {permutation[axis] for axis in axes}
    return tuple(
        own - sum(gone < own for gone in removed) for own in permutation if own not in removed
    )


def _with_axes(
    node: OnnxNode,
    scope: Scope,
    key: str,
    value: int | list[int],
    inputs: tuple[str, ...],
    outputs: Mapping[str, str],
) -> OnnxNode:
    """Return the node on the base; axes are given in both forms, of which its opset reads one."""
    return replace(
        node,
        name=scope.fresh(f"{node.name}_base"),
        inputs=inputs,
        outputs=tuple(outputs.get(name, "") for name in node.outputs),
        wanted=frozenset(outputs.values()),
        attributes={**node.attributes, key: helper.make_attribute(key, value)},
    )
