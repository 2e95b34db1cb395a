"""Graphs evaluated node by node.

`evaluate` takes and gives NumPy arrays; `forward` works on torch tensors of any floating type and can be differentiated,
with respect to its inputs and to any constant of the graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from intlower.compiler.errors import DataError
from intlower.compiler.evaluate.dispatch import apply_operator
from intlower.compiler.evaluate.elementwise import apply_activation
from intlower.compiler.graph import Graph, Node, Value


def evaluate(
    graph: Graph,
    inputs: Mapping[str, NDArray[np.float32]],
    *,
    keep: Collection[str] | None = None,
    batch_size: int | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Return the graph's outputs, or the values named in `keep`, after their activations.

    Args:
        graph: the network.
        inputs: one float32 array for each graph input, in the input's shape; all share one batch
            where it is free.
        keep: names of values; None means the graph's outputs.
        batch_size: samples per run where the batch is free (a bound on memory); None means all.

    Raises:
        DataError: the inputs do not fit the graph's.
        ValueError: `keep` names something that is not a value, or `batch_size` is not positive.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be positive, not {batch_size}")
    check_inputs(graph, inputs)
    parameters = constant_tensors(graph, torch.float32)
    free = [value.name for value in graph.inputs if value.shape[:1] == (None,)]
    samples = inputs[free[0]].shape[0] if free else 1
    step = samples if batch_size is None or not free else batch_size
    runs: list[dict[str, NDArray[np.float32]]] = []
    with torch.inference_mode():
        for start in range(0, samples, step):
            tensors = {
                # A copy: torch warns of read-only arrays and refuses negative strides. (`np.ascontiguousarray` gives one
                # number an axis.)
                name: torch.tensor(
                    np.asarray(
                        array[start : start + step] if name in free else array, order="C"
                    )
                )
                for name, array in inputs.items()
            }
            results = forward(graph, tensors, keep, parameters)
            runs.append({name: tensor.numpy() for name, tensor in results.items()})
    return {
        name: np.concatenate([run[name] for run in runs])
        if graph.values[name].shape[:1] == (None,)
        else np.array(runs[0][name])
        for name in runs[0]
    }


def check_inputs(graph: Graph, inputs: Mapping[str, NDArray[Any]]) -> None:
    """Prove that arrays fit the graph's inputs.

    Raises:
        DataError: an input is missing, unknown, of another type or shape, or empty.
    """
    expected = {value.name: value for value in graph.inputs}
    for name in inputs:
        if name not in expected:
            raise DataError(
                f"the model has no input {name!r}; it takes {', '.join(map(repr, expected))}"
            )
    batches: dict[int, str] = {}
    for name, value in expected.items():
        if name not in inputs:
            raise DataError(f"the model's input {name!r} is not given")
        array = inputs[name]
        if array.dtype != np.float32:
            raise DataError(
                f"input {name!r} is {array.dtype}, not float32",
                "give the values as the float model takes them, converted to float32",
            )
        if not _fits(array.shape, value):
            raise DataError(
                f"input {name!r} has shape {_spell(array.shape)}, not {_spell(value.shape)}",
                "N stands for any number of samples, at least one",
            )
        if value.shape[:1] == (None,):
            batches.setdefault(array.shape[0], name)
    if len(batches) > 1:
        listed = " and ".join(f"{size} of {name!r}" for size, name in batches.items())
        raise DataError(f"the inputs differ in their number of samples: {listed}")


def _fits(shape: tuple[int, ...], value: Value) -> bool:
    return len(shape) == len(value.shape) and all(
        size == wanted or (wanted is None and size > 0)
        for size, wanted in zip(shape, value.shape, strict=True)
    )


def _spell(shape: Sequence[int | None]) -> str:
    return "[" + ", ".join("N" if size is None else str(size) for size in shape) + "]"


def constant_tensors(graph: Graph, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return a copy of every constant of the graph as a tensor."""
    return {
        name: torch.tensor(constant.array, dtype=dtype)
        for name, constant in graph.constants.items()
    }


def forward(
    graph: Graph,
    tensors: Mapping[str, torch.Tensor],
    keep: Collection[str] | None = None,
    parameters: Mapping[str, torch.Tensor] | None = None,
    tap: Callable[[Node, torch.Tensor], torch.Tensor] | None = None,
) -> dict[str, torch.Tensor]:
    """Return the graph's outputs, or the values named in `keep`, as tensors.

    Intermediate values are released after their last use (autograd keeps what it needs).

    Args:
        graph: the network.
        tensors: one tensor for each graph input, all of one floating type, which the results have.
        keep: names of values; None means the graph's outputs.
        parameters: tensors to use in the place of constants, by name; the other constants are
            converted from the graph.
        tap: called with each node and what its operator computed, before its activation; returns
            what to go on with.

    Raises:
        ValueError: `keep` or `parameters` names something that the graph does not have.
    """
    wanted = tuple(graph.outputs if keep is None else keep)
    given = {} if parameters is None else parameters
    unknown = [*(set(wanted) - set(graph.values)), *(set(given) - set(graph.constants))]
    if unknown:
        raise ValueError(f"the graph has no value or constant {unknown[0]!r}")
    dtype = next(iter(tensors.values())).dtype
    remaining = Counter(name for node in graph.nodes for name in node.inputs)
    remaining.update(wanted)
    live = dict(tensors)
    for node in graph.nodes:
        operands = [_operand(graph, name, live, given, dtype) for name in node.inputs]
        result = apply_operator(node.operator, operands)
        if tap is not None:
            result = tap(node, result)
        if node.activation is not None:
            result = apply_activation(node.activation, result)
        if remaining[node.output]:
            live[node.output] = result
        del operands, result
        for name in node.inputs:
            remaining[name] -= 1
            if not remaining[name]:
                live.pop(name, None)
    return {name: live[name] for name in wanted}


def _operand(
    graph: Graph,
    name: str,
    live: Mapping[str, torch.Tensor],
    parameters: Mapping[str, torch.Tensor],
    dtype: torch.dtype,
) -> torch.Tensor:
    if name in live:
        return live[name]
    if name in parameters:
        return parameters[name]
    return torch.tensor(graph.constants[name].array, dtype=dtype)
