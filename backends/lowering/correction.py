"""Analytic bias correction: what rounding the weights does to each channel's mean, taken back in its bias."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.graph import Graph, Node
from intlower.compiler.moment_rules import tap_coverage
from intlower.compiler.moments import ValueMoments
from intlower.compiler.operators import Conv

_ALL = slice(None)


def corrected_bias(
    graph: Graph,
    node: Node,
    moments: Mapping[str, ValueMoments],
    bias: NDArray[np.float64],
    error: NDArray[np.float64],
    rows: slice = _ALL,
    outputs: int | None = None,
) -> NDArray[np.float64]:
    """Return a layer's bias less the mean that the error of its weights adds.

        b'_o = b_o - sum_{i,k} rho_k error[o,i,k] E[x_i]

    with rho_k the share of output positions at which tap k meets data, not padding. A layer whose input has no moments
    keeps its bias.

    Source: Nagel et al. 2019, section 4.2; rho is ours, exact for channels of constant mean.

    Args:
        graph: of the node.
        node: a Conv or Gemm.
        moments: of the graph's values.
        bias: [O].
        error: rounded weights less weights, [O, I/groups, ...].
        rows: which of the layer's output channels these are.
        outputs: how many it has, where these are not all.
    """
    source = moments.get(node.inputs[0])
    if source is None:
        return bias
    shape = (len(bias) if outputs is None else outputs, *error.shape[1:])
    means = mean_inputs(graph, node, source.after.mean.array, shape)[rows]
    correction: NDArray[np.float64] = (error * means).reshape(len(bias), -1).sum(axis=1)
    return bias - correction


def mean_inputs(
    graph: Graph, node: Node, mean: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Return for each weight the mean of what it multiplies, rho_k E[x_i], in the weights' shape.

    Args:
        graph: of the node.
        node: a Conv or Gemm.
        mean: of the channels that it reads, [C].
        shape: of its weights, (O, I/groups, ...).
    """
    groups, coverage = 1, np.ones(shape[2:])
    if isinstance(node.operator, Conv):
        groups = node.operator.groups
        before, after = graph.values[node.inputs[0]].shape, graph.values[node.output].shape
        rows, columns = (
            tap_coverage(node.operator, axis, shape[2 + axis], before, after) for axis in (0, 1)
        )
        coverage = np.outer(rows, columns)
    by_row = mean.reshape(groups, -1)
    if groups > 1:
        by_row = np.repeat(by_row, shape[0] // groups, axis=0)
    products = by_row.reshape(*by_row.shape, *(1,) * coverage.ndim) * coverage
    return np.broadcast_to(products, (shape[0], *products.shape[1:]))
