"""Ranges from data: min-max, or percentiles of a histogram."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration.ranges import Range
from intlower.compiler.errors import CalibrationError, DataError
from intlower.compiler.evaluate import check_inputs, evaluate
from intlower.compiler.graph import Graph
from intlower.compiler.operators import (
    Concat,
    Flatten,
    Identity,
    MaxPool,
    Pad,
    Reshape,
    Slice,
    Softmax,
)

# Bins of the histogram between a value's least and greatest number.
BINS = 4096

# The share of numbers that a percentile range leaves out at each end. Source: 99.99 %, the default percentile of
# NVIDIA/TensorRT tools/pytorch-quantization calib/histogram.py.
TAIL = 1e-4

# Samples evaluated at once: every value of the graph is held for so many.
BATCH = 8


class Method(enum.Enum):
    """How a range is taken from the numbers seen."""

    MIN_MAX = "min-max"
    PERCENTILE = "percentile"


def ranges_from_samples(
    graph: Graph,
    samples: Mapping[str, NDArray[Any]],
    method: Method,
    source: str,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Range]:
    """Return the range of every value over samples, in bounded memory.

    Percentiles need a second pass: a histogram between the least and the greatest number of the first. The graph's outputs
    keep min-max, and so does what a final softmax reads: clipping logits costs accuracy, and gains nothing.

    Args:
        graph: any.
        samples: for each graph input, [N, ...] float32.
        method: min-max or percentile.
        source: what the ranges are said to come from.
        progress: called with a line now and then.

    Raises:
        CalibrationError: a value is not finite.
        DataError: the samples do not fit the graph's inputs.
    """
    _check_counts(graph, samples)
    limits: dict[str, tuple[float, float]] = {}
    for values in _batches(graph, samples, progress):
        for name, array in values.items():
            if not np.isfinite(array).all():
                raise CalibrationError(
                    f"the value {name!r} is not finite for some sample",
                    "check that the samples are preprocessed as the model expects",
                )
            low, high = limits.get(name, (np.inf, -np.inf))
            limits[name] = min(low, float(array.min())), max(high, float(array.max()))
    if method is Method.PERCENTILE:
        final = final_values(graph)
        histograms = {name: np.zeros(BINS, np.int64) for name in limits if name not in final}
        for values in _batches(graph, samples, progress):
            for name, histogram in histograms.items():
                histogram += np.histogram(values[name], BINS, limits[name])[0]
        for name, histogram in histograms.items():
            limits[name] = _without_tails(histogram, *limits[name])
    return {name: Range(low, high, source) for name, (low, high) in limits.items()}


def final_values(graph: Graph) -> set[str]:
    """Return the graph's outputs and the values that reach one through operators that keep numbers, or a softmax."""
    final = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.output in final and isinstance(
            node.operator,
            Softmax | Flatten | Reshape | Slice | Pad | MaxPool | Concat | Identity,
        ):
            final.update(node.inputs)
    return final


def _check_counts(graph: Graph, samples: Mapping[str, NDArray[Any]]) -> None:
    """Prove that every input has samples, all as many, of the right shape; fixed batches are checked one by one."""
    counts = {
        value.name: len(samples[value.name]) for value in graph.inputs if value.name in samples
    }
    fixed = next((value.shape[0] for value in graph.inputs if value.shape[0] is not None), 1)
    if len(counts) < len(graph.inputs) or 0 in counts.values():
        names = ", ".join(value.name for value in graph.inputs)
        raise DataError(f"samples are needed for every input of the model: {names}")
    if len(set(counts.values())) > 1 or any(count % fixed for count in counts.values()):
        listed = ", ".join(f"{count} of {name!r}" for name, count in counts.items())
        raise DataError(
            f"the samples do not make whole batches: {listed}",
            f"give each input as many, a multiple of {fixed}",
        )
    if all(value.shape[0] is None for value in graph.inputs):
        check_inputs(graph, samples)


def _batches(
    graph: Graph,
    samples: Mapping[str, NDArray[Any]],
    progress: Callable[[str], None] | None,
) -> Iterator[dict[str, NDArray[np.float32]]]:
    names = tuple(graph.values)
    count = len(next(iter(samples.values())))
    fixed = [value.shape[0] for value in graph.inputs if value.shape[0] is not None]
    size = fixed[0] if fixed else BATCH
    for start in range(0, count, size):
        if progress is not None:
            progress(f"calibrate: sample {start} of {count}")
        piece = {name: array[start : start + size] for name, array in samples.items()}
        yield evaluate(graph, piece, keep=names)


def _without_tails(
    histogram: NDArray[np.int64], low: float, high: float
) -> tuple[float, float]:
    """Return the edges of the bins that hold all but TAIL of the numbers at each end."""
    edges = np.linspace(low, high, BINS + 1)
    share = np.cumsum(histogram) / histogram.sum()
    first = int(np.searchsorted(share, TAIL, side="right"))
    last = int(np.searchsorted(share, 1 - TAIL, side="left"))
    return float(edges[first]), float(edges[min(last, BINS - 1) + 1])
