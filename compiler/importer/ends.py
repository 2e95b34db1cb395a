"""Where a network ends: at its own outputs, or earlier, where what follows is for the host."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import onnx

from intlower.compiler.errors import ModelError
from intlower.compiler.importer.nodes import read_names
from intlower.compiler.operators import Shape

# How many names an error or a hint lists.
_LISTED = 8


def end_at(model: onnx.ModelProto, outputs: Sequence[str]) -> None:
    """Make named values the outputs of a model, in its memory; nodes and inputs that they do not need are left out.

    Args:
        model: to change.
        outputs: names of values that its nodes compute, each once.

    Raises:
        ModelError: a name is none of them, or is given twice; the hint names the closest.
    """
    graph = model.graph
    computed = {name: node for node in graph.node for name in node.output if name}
    for name in outputs:
        if name not in computed:
            close = difflib.get_close_matches(name, computed, n=3, cutoff=0.5)
            usual = [info.name for info in graph.output][:_LISTED]
            raise ModelError(
                f"no node of the model computes {name!r}",
                f"did you mean {', '.join(close)}?" if close else f"its outputs are {usual}",
            )
    if len(set(outputs)) < len(outputs):
        raise ModelError(f"an output is named twice among {', '.join(outputs)}")
    known = {info.name: info for info in (*graph.value_info, *graph.output)}
    ends = [
        onnx.ValueInfoProto.FromString(known[name].SerializeToString())
        if name in known
        else onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in outputs
    ]
    del graph.output[:]
    graph.output.extend(ends)
    needed = set(outputs)
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if not needed.intersection(node.output):
            del graph.node[index]
            continue
        needed.update(read_names(node))
    stored = {tensor.name for tensor in graph.initializer}
    kept = [
        onnx.ValueInfoProto.FromString(info.SerializeToString())
        for info in graph.input
        if info.name in needed or info.name in stored
    ]
    del graph.input[:]
    graph.input.extend(kept)


def places_to_end(
    reads: Mapping[str, tuple[str, ...]],
    made: Mapping[str, tuple[str, ...]],
    values: Mapping[str, Shape],
    failed: Sequence[str],
    outputs: Sequence[str],
) -> tuple[str, ...]:
    """Return the values at which a network can end so that none of its failed nodes is needed; empty where there are none.

    They are what was computed and is read by a node that was not, or is an output of the model.

    Args:
        reads: names that each node reads, by the node's name, in the model's order.
        made: names that each node defines, alike.
        values: shapes of what was computed without a failed node.
        failed: names of nodes that could not be converted.
        outputs: of the model.
    """
    lost: set[str] = set()
    beyond = set(failed)
    for node, names in reads.items():
        if node in beyond or lost.intersection(names):
            beyond.add(node)
            lost.update(made[node])
    ends = {
        name for node in beyond for name in reads[node] if name in values and name not in lost
    }
    ends.update(name for name in outputs if name in values and name not in lost)
    defined = [name for names in made.values() for name in names]
    return tuple(name for name in defined if name in ends)
