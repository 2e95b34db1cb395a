"""The float meaning of a graph: one small torch function for each operator.

`evaluate` takes and gives NumPy arrays; `forward` works on torch tensors of any floating type and can be differentiated,
with respect to its inputs and to any constant of the graph.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, assert_never

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from intlower.compiler.errors import DataError
from intlower.compiler.graph import Graph, Node, Value
from intlower.compiler.operators import (
    Activation,
    Add,
    AnyOperator,
    AveragePool,
    BatchNormalization,
    ChannelClip,
    Clip,
    Concat,
    Conv,
    Flatten,
    Gemm,
    GlobalAveragePool,
    Identity,
    MatMul,
    MaxPool,
    Pad,
    Relu,
    Reshape,
    Slice,
    Softmax,
    known,
    window_size,
)


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
                # A copy: torch warns of read-only arrays and refuses negative strides.
                name: torch.tensor(
                    np.ascontiguousarray(array[start : start + step] if name in free else array)
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


def apply_operator(operator: AnyOperator, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return what an operator computes, before any fused activation.

    Args:
        operator: the operator.
        inputs: its operands, as its class documents them, all of one floating type.
    """
    x = inputs[0]
    match operator:
        case Conv():
            return _conv(operator, *inputs)
        case Gemm():
            return functional.linear(x, *inputs[1:])
        case MatMul():
            return x @ inputs[1]
        case BatchNormalization():
            return _batch_normalization(operator, *inputs)
        case Relu() | Clip():
            return apply_activation(operator, x)
        case Add():
            return x + inputs[1]
        case AveragePool():
            return _average_pool(operator, x)
        case MaxPool():
            return _max_pool(operator, x)
        case GlobalAveragePool():
            return x.mean((2, 3), keepdim=True)
        case Flatten() | Reshape():
            return x.reshape([known(d) for d in operator.output_shape([tuple(x.shape)])])
        case Softmax():
            return torch.softmax(x, operator.axis)
        case Concat():
            return torch.cat(list(inputs), operator.axis)
        case Pad():
            return _pad(operator, x)
        case Slice():
            return _slice(operator, x)
        case Identity():
            return x
        case _:
            assert_never(operator)


def apply_activation(activation: Activation, x: torch.Tensor) -> torch.Tensor:
    """Return x, [N, C, ...], limited to the activation's bounds."""
    if isinstance(activation, ChannelClip):
        shape = (-1, *(1,) * (x.ndim - 2))
        bounds = (
            torch.tensor(bound.array, dtype=x.dtype).reshape(shape)
            for bound in (activation.minimum, activation.maximum)
        )
        return torch.clamp(x, *bounds)
    low, high = activation.minimum, activation.maximum
    # The same numbers as clamp's; the derivatives of these two take one pass over memory instead of three.
    if (low, high) == (0.0, math.inf):
        return functional.relu(x)
    if math.isfinite(low) and math.isfinite(high):
        return functional.hardtanh(x, low, high)
    return torch.clamp(x, low, high)


def _conv(
    conv: Conv, x: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    top, left, bottom, right = conv.pads
    if (top, left) != (bottom, right):  # torch pads both ends alike
        x, top, left = functional.pad(x, (left, right, top, bottom)), 0, 0
    return functional.conv2d(
        x, weights, bias, conv.strides, (top, left), conv.dilations, conv.groups
    )


def _batch_normalization(
    operator: BatchNormalization,
    x: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
) -> torch.Tensor:
    factor = scale / torch.sqrt(variance + operator.epsilon)
    per_channel = (-1, *(1,) * (x.dim() - 2))
    return x * factor.reshape(per_channel) + (shift - mean * factor).reshape(per_channel)


def _average_pool(pool: AveragePool, x: torch.Tensor) -> torch.Tensor:
    """Sums over zero-padded windows, divided by the number of positions that count.

    A position counts if it is in the input or, with `count_include_pad`, in the explicit padding;
    what hangs over beyond, with `ceil_mode`, never does.
    Source: ONNX AveragePool; onnxruntime for every opset. (torch has no asymmetric pads.)
    """
    padded = _pad_windows(x, pool, (1, 1), 0.0)
    sums = functional.avg_pool2d(padded, pool.kernel_shape, pool.strides, divisor_override=1)
    rows, columns = (
        torch.tensor(
            _counts(pool, axis, x.shape[2 + axis], sums.shape[2 + axis]), dtype=x.dtype
        )
        for axis in (0, 1)
    )
    return sums / (rows[:, None] * columns)


def _counts(pool: AveragePool, axis: int, size: int, windows: int) -> list[int]:
    """Return how many positions count along one spatial axis, for each window."""
    begin, end = pool.pads[axis], pool.pads[axis + 2]
    low, high = (0, begin + size + end) if pool.count_include_pad else (begin, begin + size)
    starts = range(0, windows * pool.strides[axis], pool.strides[axis])
    return [min(start + pool.kernel_shape[axis], high) - max(start, low) for start in starts]


def _max_pool(pool: MaxPool, x: torch.Tensor) -> torch.Tensor:
    padded = _pad_windows(x, pool, pool.dilations, -torch.inf)
    return functional.max_pool2d(
        padded, pool.kernel_shape, pool.strides, dilation=pool.dilations
    )


def _pad_windows(
    x: torch.Tensor, pool: AveragePool | MaxPool, dilations: tuple[int, int], value: float
) -> torch.Tensor:
    """Return x padded so that every window of the pool lies inside, and no other does."""
    pads: list[int] = []
    for axis in (1, 0):  # torch names the last axis first
        size, begin, end = x.shape[2 + axis], pool.pads[axis], pool.pads[axis + 2]
        kernel, stride, dilation = pool.kernel_shape[axis], pool.strides[axis], dilations[axis]
        windows = window_size(size, kernel, stride, begin, end, dilation, pool.ceil_mode)
        extent = (windows - 1) * stride + dilation * (kernel - 1) + 1
        pads += [begin, extent - size - begin]
    return functional.pad(x, pads, value=value)


def _pad(operator: Pad, x: torch.Tensor) -> torch.Tensor:
    begins, ends = operator.pads[: x.dim()], operator.pads[x.dim() :]
    pads = [pad for pair in zip(reversed(begins), reversed(ends), strict=True) for pad in pair]
    return functional.pad(x, pads, value=operator.value)


def _slice(operator: Slice, x: torch.Tensor) -> torch.Tensor:
    for axis, selection in operator.selections(x.dim()).items():
        indices = range(*selection.indices(x.shape[axis]))
        x = x.index_select(axis, torch.tensor(indices))
    return x
