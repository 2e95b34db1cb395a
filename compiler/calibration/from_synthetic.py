"""Ranges from synthetic inputs, held together with those from moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from intlower.compiler.calibration.from_samples import Method, ranges_from_samples
from intlower.compiler.calibration.ranges import Range
from intlower.compiler.graph import Graph

SOURCE = "synthetic inputs"


def ranges_with_synthetic(
    graph: Graph,
    samples: Mapping[str, NDArray[Any]],
    known: Mapping[str, Range],
    method: Method,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Range]:
    """Return the range of every value, from synthetic inputs and from what moments tell.

    1. The inputs keep their known ranges: synthetic ones seldom touch black and white.
    2. Each end of a value that both know lies halfway between them. Moments overestimate, since they take the widest
       channel at 6 deviations; a few synthetic inputs underestimate, above all the logits of a classifier.
    3. A value that only synthetic inputs reach has their range.

    Args:
        graph: batch norm folded.
        samples: synthetic, [N, ...] float32 for each graph input.
        known: the ranges of the inputs and those from moments.
        method: how samples become ranges.
        progress: called with a line now and then.

    Raises:
        CalibrationError: a value is not finite.
        DataError: the samples do not fit the graph's inputs.
    """
    seen = ranges_from_samples(graph, samples, method, SOURCE, progress)
    inputs = {value.name for value in graph.inputs}
    ranges: dict[str, Range] = {}
    for name, synthetic in seen.items():
        recorded = known.get(name)
        if recorded is None:  # 3
            ranges[name] = synthetic
        else:  # 1, 2
            ranges[name] = recorded if name in inputs else _halfway(recorded, synthetic)
    return ranges


def _halfway(recorded: Range, synthetic: Range) -> Range:
    return Range(
        0.5 * (recorded.minimum + synthetic.minimum),
        0.5 * (recorded.maximum + synthetic.maximum),
        f"{recorded.source} and {synthetic.source}",
    )
