"""Moments of a network's layers as inputs show them, where the file holds none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from intlower.compiler.evaluate import check_inputs
from intlower.compiler.evaluate.run import constant_tensors, forward
from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.operators import (
    Add,
    AveragePool,
    Conv,
    ConvTranspose,
    Gemm,
    GlobalAveragePool,
    Mul,
    Sub,
)
from intlower.compiler.synthesis.cores import single_thread

# Inputs in one run: every value in use is held for so many.
BATCH = 4

# Operators whose result's spread depends on how their operands hang together, which moments alone do not say.
_JOINT = (Add, Sub, Mul, AveragePool, GlobalAveragePool)


def weighted_layers(graph: Graph) -> list[Node]:
    """Return the nodes whose outputs a batch norm would have described."""
    return [
        node for node in graph.nodes if isinstance(node.operator, Conv | ConvTranspose | Gemm)
    ]


def observed_moments(
    graph: Graph, inputs: Mapping[str, NDArray[np.float32]]
) -> dict[str, Moments]:
    """Return mean and std of each channel of the inputs, of every layer with weights, and of sums, products and mean pools.

    Before the activation: what batch normalization would have recorded, had it stood there and seen these inputs. The same inputs give the same numbers on any number
    of cores.

    Args:
        graph: any.
        inputs: for each graph input, [N, ...] float32, N a multiple of a batch that the graph fixes.

    Raises:
        DataError: the inputs do not fit.
    """
    step = max((value.shape[0] or BATCH for value in graph.inputs), default=BATCH)
    sums: dict[str, tuple[int, torch.Tensor, torch.Tensor]] = {}

    def add(name: str, x: torch.Tensor) -> None:
        samples = x.transpose(0, 1).flatten(1).double()
        count, first, second = sums.get(name, (0, torch.zeros(()), torch.zeros(())))
        square = samples.square().sum(1)
        sums[name] = (count + samples.shape[1], first + samples.sum(1), second + square)

    wanted = {node.output for node in weighted_layers(graph)}
    wanted |= {node.output for node in graph.nodes if isinstance(node.operator, _JOINT)}

    def tap(node: Node, result: torch.Tensor) -> torch.Tensor:
        if node.output in wanted:
            add(node.output, result)
        return result

    parameters = constant_tensors(graph, torch.float32)
    total = len(next(iter(inputs.values())))
    with torch.inference_mode(), single_thread():
        for start in range(0, total, step):
            part = {
                name: np.ascontiguousarray(array[start : start + step])
                for name, array in inputs.items()
            }
            check_inputs(graph, part)
            tensors = {name: torch.tensor(array) for name, array in part.items()}
            for name, tensor in tensors.items():
                if tensor.dim() > 1:
                    add(name, tensor)
            forward(graph, tensors, (), parameters, tap)
    return {name: _moments(*found) for name, found in sums.items()}


def _moments(count: int, first: torch.Tensor, second: torch.Tensor) -> Moments:
    mean = first / count
    variance = (second / count - mean.square()).clamp_min(0.0)
    return Moments.of(mean.numpy(), variance.sqrt().numpy())
