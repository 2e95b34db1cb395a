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

    Before the activation: what batch normalization would have recorded, had it stood there and seen these inputs; nothing
    where that is not finite. The same inputs give the same numbers on any number of cores.

    Args:
        graph: any.
        inputs: for each graph input, [N, ...] float32, N a multiple of a batch that the graph fixes.

    Raises:
        DataError: the inputs do not fit.
    """
    step = max((value.shape[0] or BATCH for value in graph.inputs), default=BATCH)
    sums: dict[str, _Sums] = {}

    def add(name: str, x: torch.Tensor) -> None:
        sums.setdefault(name, _Sums(x)).add(x)

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
    known = ((name, found.moments()) for name, found in sums.items())
    return {name: moments for name, moments in known if moments is not None}


class _Sums:
    """Sums of each channel of one value, about a number that it has: what never varies has a deviation of exactly 0."""

    def __init__(self, x: torch.Tensor) -> None:
        self._axes = [axis for axis in range(x.dim()) if axis != 1]
        self._about = x[
            tuple(slice(None) if axis == 1 else slice(1) for axis in range(x.dim()))
        ]
        self._count = 0
        self._first = self._second = torch.zeros((), dtype=torch.float64)

    def add(self, x: torch.Tensor) -> None:
        apart = x - self._about
        self._count += x.numel() // x.shape[1]
        # Torch sums float32 pairwise: as exact as the numbers are.
        self._first = self._first + apart.sum(self._axes).double()
        self._second = self._second + apart.square_().sum(self._axes).double()

    def moments(self) -> Moments | None:
        mean = self._first / self._count
        variance = (self._second / self._count - mean.square()).clamp_min(0.0)
        # Behind a logarithm or a quotient there may be numbers that are none.
        if not bool(torch.isfinite(mean).all() and torch.isfinite(variance).all()):
            return None
        centre = self._about.flatten().double() + mean
        return Moments.of(centre.numpy(), variance.sqrt().numpy(), observed=True)
