"""Inputs for a network whose file tells nothing of its data: batch normalization is folded into its weights.

What is left are the weights and the biases. Random scenes (`scenes.py`) stand for images; which numbers pixels are, of the
usual preprocessings, is weighed by how lively the layers are; and the scenes are bent until the network sees a class in them,
for without that its deep layers stay far below what they reach on real inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray

from intlower.compiler.calibration.ranges import Range
from intlower.compiler.errors import InvalidGraph
from intlower.compiler.graph import Graph, Moments, Value
from intlower.compiler.operators import Flatten, Identity, Reshape, Softmax, known
from intlower.compiler.synthesis.assumptions import (
    Box,
    assumptions,
    likely,
    pictures,
    placed,
)
from intlower.compiler.synthesis.bending import bent
from intlower.compiler.synthesis.cores import cores, kept_threads
from intlower.compiler.synthesis.observe import observed_moments
from intlower.compiler.synthesis.teacher import cut

Arrays = Mapping[str, NDArray[np.float32]]

# Inputs made: so many pixels in all, of a channel, within these bounds.
PIXELS, FEWEST, MOST = 8 * 224 * 224, 8, 32

# Inputs that one core bends together; groups share nothing, so that the result does not depend on the number of cores.
GROUP = 4

SOURCE = "generated inputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imagined:
    """What generated inputs tell.

    Attributes:
        inputs: for each graph input, [N, ...] float32.
        ranges: of the graph's inputs: wide enough for every preprocessing that may be meant.
        moments: of inputs and layers, see `observed_moments`.
        summary: in words, what they are.
    """

    inputs: Arrays
    ranges: Mapping[str, Range]
    moments: Mapping[str, Moments]
    summary: str


def imagine(
    graph: Graph,
    *,
    seed: int,
    input_ranges: Mapping[str, tuple[float, float]] | None = None,
    count: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Imagined:
    """Return inputs that the network may have been made for, and what its layers show on them.

    1. What numbers an input holds is chosen by how lively the layers are, see `likely`. Where that leaves several
       preprocessings of pixels, they take turns, two inputs each, and the input's range holds them all.
    2. The inputs are scenes, or noise where they are no images.
    3. Where the network ends in classes, inputs are bent until it sees one in each, see `bent`.

    Args:
        graph: batch norm folded, activations fused.
        seed: of every random choice.
        input_ranges: (least, greatest) of graph inputs, where known.
        count: how many inputs to make at least; moments need some in any case.
        progress: called with a line now and then.
    """
    say = progress or (lambda _: None)
    say("generate inputs")
    given = dict(input_ranges or {})
    choices = {value.name: assumptions(value, given.get(value.name)) for value in graph.inputs}
    assumed = {name: likely(graph, name, choices) for name in choices}
    generator = np.random.default_rng(seed)
    number = _count(graph, count)
    turns = {
        name: [one.boxes[i // 2 % len(one.boxes)] for i in range(number)]
        for name, one in assumed.items()
    }
    inputs = {
        value.name: _filled(
            pictures(value, assumed[value.name], number, generator), turns[value.name]
        )
        for value in graph.inputs
    }
    scores = class_scores_of(graph)
    if scores is not None:
        say("bend generated inputs towards classes")
        inputs = _bent(graph, scores, inputs, turns, seed)
    ranges = {name: one.range for name, one in assumed.items()}
    described = "; ".join(f"{name} {found.source}" for name, found in ranges.items())
    return Imagined(
        inputs=inputs,
        ranges=ranges,
        moments=observed_moments(graph, inputs),
        summary=f"{number} {SOURCE} ({described})",
    )


def class_scores_of(graph: Graph) -> str | None:
    """Return the value that holds a number for each class, before a softmax; None where the graph does not end in classes."""
    if len(graph.outputs) != 1:
        return None
    producers, name = graph.producers(), graph.outputs[0]
    sizes = {_size(value) for value in graph.inputs}
    while name in producers and isinstance(
        producers[name].operator, Softmax | Flatten | Reshape | Identity
    ):
        name = producers[name].inputs[0]
    value = graph.values[name]
    single = len(value.shape) > 1 and value.shape[1] == _size(value)
    return name if name in producers and single and 2 <= _size(value) not in sizes else None


def _size(value: Value) -> int:
    return int(np.prod([known(size) for size in value.shape[1:]]))


def _count(graph: Graph, least: int) -> int:
    """Return how many inputs to make: a multiple of the batch that the graph may fix."""
    pixels = max(int(np.prod([known(d) for d in value.shape[2:]])) for value in graph.inputs)
    batch = max(value.shape[0] or 1 for value in graph.inputs)
    number = max(min(max(PIXELS // pixels, FEWEST), MOST), least)
    return ceil(number / batch) * batch


def _filled(drawn: NDArray[np.float32], boxes: list[Box]) -> NDArray[np.float32]:
    parts = [placed(drawn[i : i + 1], box) for i, box in enumerate(boxes)]
    return np.concatenate(parts)


def _bent(
    graph: Graph,
    scores: str,
    inputs: Arrays,
    turns: Mapping[str, list[Box]],
    seed: int,
) -> dict[str, NDArray[np.float32]]:
    """Return the inputs bent, group by group; as they were where the graph has no free batch."""
    count = len(next(iter(inputs.values())))
    classes = _size(graph.values[scores])
    labels = np.random.default_rng([seed, 1]).permutation(max(classes, count))[:count] % classes
    try:
        trunk = cut(graph, (scores,))
    except InvalidGraph:
        return dict(inputs)

    def limit(name: str, ends: list[NDArray[np.float64]]) -> torch.Tensor:
        rank = inputs[name].ndim
        shaped = [end.reshape(-1, *(1,) * (rank - 2)) if rank > 1 else end for end in ends]
        return torch.tensor(np.stack(shaped), dtype=torch.float32)

    def run(start: int) -> dict[str, torch.Tensor]:
        torch.set_num_threads(1)
        chosen = slice(start, start + GROUP)
        some = {name: torch.tensor(array[chosen]) for name, array in inputs.items()}
        lows = {name: limit(name, [box.low for box in turns[name][chosen]]) for name in inputs}
        highs = {
            name: limit(name, [box.high for box in turns[name][chosen]]) for name in inputs
        }
        return bent(trunk, some, torch.tensor(labels[chosen]), lows, highs)

    starts = range(0, count, GROUP)
    with kept_threads(), ThreadPoolExecutor(min(len(starts), cores())) as pool:
        groups = list(pool.map(run, starts))
    return {name: np.concatenate([group[name].numpy() for group in groups]) for name in inputs}
