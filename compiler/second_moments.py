"""How the numbers that a layer multiplies its weights with vary together, seen on samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.errors import DataError
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph, Node
from intlower.compiler.operators import Conv, Gemm

# Output positions taken of each sample, and samples evaluated at once: what is held at a time is bounded.
POSITIONS = 128
BATCH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondMoments:
    """Moments of a layer's input columns: of the K = I/groups * kh * kw numbers that one output sums.

    Attributes:
        mean: float64 [groups, K].
        covariance: float64 [groups, K, K], biased.
        count: columns seen in each group.
    """

    mean: Constant
    covariance: Constant
    count: int


def second_moments(
    graph: Graph,
    samples: Mapping[str, NDArray[Any]],
    *,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Mapping[str, SecondMoments]:
    """Return the second moments of what every Conv and Gemm with constant weights reads, by node name.

    Padded zeros count as they are read. Of each sample at most POSITIONS output positions are taken, at random.

    Args:
        graph: batch norm folded.
        samples: for each graph input, [N, ...] float32.
        seed: of the choice of positions.
        progress: called with a line now and then.

    Raises:
        DataError: the samples do not fit the graph's inputs.
    """
    nodes = [
        node
        for node in graph.nodes
        if isinstance(node.operator, Conv | Gemm) and node.inputs[1] in graph.constants
    ]
    fixed = next((value.shape[0] for value in graph.inputs if value.shape[0] is not None), None)
    step = fixed or BATCH
    count = min((len(array) for array in samples.values()), default=0)
    if fixed is not None:
        count -= count % fixed
    if not count:
        raise DataError("there are too few samples", f"give at least {fixed or 1}")
    generator = np.random.default_rng(seed)
    sums = {node.name: _Sums() for node in nodes}
    for start in range(0, count, step):
        if progress is not None:
            progress(f"second moments, sample {start} of {count}")
        batch = {
            name: array[start : min(start + step, count)] for name, array in samples.items()
        }
        values = evaluate(graph, batch, keep={node.inputs[0] for node in nodes})
        for node in nodes:
            weights = graph.constants[node.inputs[1]].array
            sums[node.name].add(
                input_columns(node, values[node.inputs[0]], weights.shape, generator)
            )
    return MappingProxyType({name: total.moments() for name, total in sums.items()})


@dataclass(slots=True)
class _Sums:
    """Sums over columns, in the making."""

    count: int = 0
    total: NDArray[np.float64] | float = 0.0
    products: NDArray[np.float64] | float = 0.0

    def add(self, columns: NDArray[Any]) -> None:
        # Products in single precision, sums of them in double: 4 * 128 columns a time lose nothing that matters.
        self.count += columns.shape[1]
        self.total = self.total + columns.sum(axis=1, dtype=np.float64)
        self.products = self.products + np.matmul(columns.transpose(0, 2, 1), columns)

    def moments(self) -> SecondMoments:
        mean = np.asarray(self.total) / self.count
        raw = np.asarray(self.products) / self.count
        covariance = raw - mean[:, :, None] * mean[:, None, :]
        return SecondMoments(
            mean=Constant.of(mean, np.float64),
            covariance=Constant.of(covariance, np.float64),
            count=self.count,
        )


def input_columns(
    node: Node,
    x: NDArray[np.float32],
    shape: tuple[int, ...],
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Return columns of what a layer multiplies its weights with: [groups, n, I/groups * kh * kw].

    Args:
        node: a Conv or Gemm.
        x: its input, [N, C, H, W] or [N, I].
        shape: of its weights, [O, I/groups, kh, kw] or [O, I].
        generator: of the choice of at most POSITIONS positions in each sample, the same in all of them.
    """
    operator = node.operator
    if not isinstance(operator, Conv):
        return x[None]
    top, left, bottom, right = operator.pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    (rise, run), (tall, wide) = operator.dilations, shape[2:]
    windows = sliding_window_view(
        padded, ((tall - 1) * rise + 1, (wide - 1) * run + 1), axis=(2, 3)
    )[:, :, :: operator.strides[0], :: operator.strides[1], ::rise, ::run]
    height, width = windows.shape[2:4]
    chosen = generator.permutation(height * width)[:POSITIONS]
    taken = windows[:, :, chosen // width, chosen % width]  # [N, C, P, kh, kw]
    samples, channels, positions = taken.shape[:3]
    grouped = taken.reshape(
        samples, operator.groups, channels // operator.groups, positions, tall * wide
    )
    return np.ascontiguousarray(
        grouped.transpose(1, 0, 3, 2, 4).reshape(operator.groups, samples * positions, -1)
    )
