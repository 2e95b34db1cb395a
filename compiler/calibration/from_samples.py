"""Ranges from data, by any of the rules in `methods/`."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration.clipping import clipped_signal_db, warn_of_clipping
from intlower.compiler.calibration.final import final_values
from intlower.compiler.calibration.masks import masked_scores, raised
from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.magnitudes import Magnitudes
from intlower.compiler.calibration.methods.percentile import without_tails
from intlower.compiler.calibration.methods.select import Method, Summary, limits, nothing_seen
from intlower.compiler.calibration.ranges import Range
from intlower.compiler.errors import CalibrationError, DataError
from intlower.compiler.evaluate import check_inputs, evaluate
from intlower.compiler.graph import Graph

# Bins of the histogram of percentiles, between a value's least and greatest number.
BINS = 4096

# Samples evaluated at once: every value of the graph is held for so many.
BATCH = 8
# Elements of all values of a batch together: beyond, batches are smaller. The most of one sample: 4 GiB of float32.
KEPT = 1 << 27
LARGEST_SUM = 1 << 30


def ranges_from_samples(
    graph: Graph,
    samples: Mapping[str, NDArray[Any]],
    method: Method,
    source: str,
    progress: Callable[[str], None] | None = None,
    form: GridForm | None = None,
) -> dict[str, Range]:
    """Return the range of every value over samples, in bounded memory.

    Percentiles need a second pass: a histogram between the least and the greatest number of the first. The graph's outputs
    keep min-max under every method, and so does what a final softmax reads: clipping logits costs accuracy, and gains
    nothing. (The vendors' tools clip them too.) Of scores that a constant masks, what no share of a softmax shows is left out.
    A CalibrationWarning names what is clipped to little of its signal.

    Args:
        graph: any.
        samples: for each graph input, [N, ...] float32.
        method: how a range is taken from numbers.
        source: what the ranges are said to come from.
        progress: called with a line now and then.
        form: of the grid that will lie over the ranges; None for 8 bits, symmetric.

    Raises:
        CalibrationError: a value is not finite.
        DataError: the samples do not fit the graph's inputs.
    """
    _check_counts(graph, samples)
    masked = masked_scores(graph)
    final = final_values(graph) | set(masked)
    chosen = {name: Method.MIN_MAX if name in final else method for name in graph.values}
    form = form or GridForm()
    seen: dict[str, Summary] = {}
    for values in _batches(graph, samples, progress):
        for name, array in values.items():
            if name in masked:
                array = raised(array, masked[name], form.bits)
            if not np.isfinite(array).all():
                raise CalibrationError(
                    f"the value {name!r} is not finite for some sample",
                    "check that the samples are preprocessed as the model expects",
                )
            summary = seen[name] if name in seen else nothing_seen(chosen[name], form)
            seen[name] = summary.including(array)
    if method is Method.PERCENTILE:
        found = _percentiles(graph, samples, seen, final, progress)
    else:
        found, left = {}, {}
        for i, (name, summary) in enumerate(seen.items()):
            if progress is not None and chosen[name] is not Method.MIN_MAX:
                progress(f"calibrate: {method.value} of value {i + 1} of {len(seen)}")
            found[name] = low, high = limits(chosen[name], summary, form)
            if isinstance(summary.detail, Magnitudes):
                left[name] = clipped_signal_db(summary.detail, max(-low, high))
        warn_of_clipping(left, method.value)
    return {name: Range(low, high, source) for name, (low, high) in found.items()}


def _percentiles(
    graph: Graph,
    samples: Mapping[str, NDArray[Any]],
    seen: Mapping[str, Summary],
    final: Collection[str],
    progress: Callable[[str], None] | None,
) -> dict[str, tuple[float, float]]:
    """Return the range of every value without its tails; of final values the whole range."""
    found = {name: (summary.minimum, summary.maximum) for name, summary in seen.items()}
    histograms = {name: np.zeros(BINS, np.int64) for name in found if name not in final}
    for values in _batches(graph, samples, progress):
        for name, histogram in histograms.items():
            histogram += _counts(values[name], *found[name])
    for name, histogram in histograms.items():
        found[name] = without_tails(histogram, *found[name])
    return found


def _counts(array: NDArray[np.float32], low: float, high: float) -> NDArray[np.int64]:
    """Return how many numbers are in each of BINS bins between two of them."""
    # NumPy divides the range in the array's own type, and refuses bins without width.
    narrow = high - low < 2 * BINS * np.spacing(np.float32(max(abs(low), abs(high))))
    numbers = array.astype(np.float64) if narrow else array
    return np.asarray(np.histogram(numbers, BINS, (low, high))[0])


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
    elements = sum(math.prod(d or 1 for d in value.shape) for value in graph.values.values())
    if elements > LARGEST_SUM:
        raise CalibrationError(
            f"the network's values have {elements:_} elements; all of them are looked at, and "
            f"{LARGEST_SUM:_} is the most",
            "give a smaller input size with --shape NAME=...",
        )
    size = fixed[0] if fixed else max(1, min(BATCH, KEPT // elements))
    for start in range(0, count, size):
        if progress is not None:
            progress(f"calibrate: sample {start} of {count}")
        piece = {name: array[start : start + size] for name, array in samples.items()}
        yield evaluate(graph, piece, keep=names)
