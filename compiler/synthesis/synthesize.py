"""From a network to calibration data, without data."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from intlower.compiler.errors import CalibrationError, InvalidGraph
from intlower.compiler.graph import Graph
from intlower.compiler.operators import known
from intlower.compiler.synthesis.images import (
    InputModel,
    initial_noise,
    input_model,
    quilted,
)
from intlower.compiler.synthesis.optimize import Stage, Track, optimize
from intlower.compiler.synthesis.teacher import (
    Objective,
    Teacher,
    build_teacher,
    matching_layers,
    resized,
)

# Inputs optimized together, on one core: their joint statistics are matched. Groups share nothing, so that the result does
# not depend on how many of them run at once.
GROUP = 16

# Images from this height and width on begin at half their size, rounded down to what the strides of most networks divide.
LARGE, GRID = 128, 32

# Steps and rates, found on the networks of the tests: (at half size, after it), or alone.
SMALL_STEPS, SMALL_RATE = 40, 0.2
FULL_STEPS, FULL_RATE = 26, 0.15
ONLY_STEPS, ONLY_RATE = 120, 0.2

# The share of the steps in which images that have one stage only are shifted and mirrored. Those of two stages are not:
# they would leave the grid of the strides on which they are sewn together, and gain nothing.
JITTER = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthesis:
    """Synthetic inputs and how good they are.

    Attributes:
        samples: for each graph input, float32 [count, ...].
        losses: the matching loss, mean over the groups: of the noise at the beginning, of the result.
        level: the loss that real data of this batch size would show; where it is reached, optimization stops.
        steps: of the longest group.
        seconds: that it took.
        shortened: whether the time budget left out steps; only then may two runs differ.
    """

    samples: Mapping[str, NDArray[np.float32]]
    losses: tuple[float, float]
    level: float
    steps: int
    seconds: float
    shortened: bool

    @property
    def verdict(self) -> str:
        """The result in words."""
        noise, final = self.losses
        reached = "at the level of real data" if final <= self.level else "above real data's"
        cut = ", cut short by the time budget" if self.shortened else ""
        return (
            f"statistics {final:.3f} off, {reached} ({self.level:.3f}; noise: {noise:.3f}), "
            f"after {self.steps} steps{cut}"
        )


def synthesize(
    graph: Graph,
    *,
    count: int,
    seed: int,
    budget_seconds: float | None = None,
    input_ranges: Mapping[str, tuple[float, float]] | None = None,
    objective: Objective | None = None,
    progress: Callable[[str], None] | None = None,
) -> Synthesis:
    """Return inputs on which the network's layers show the statistics recorded in it.

    Pink noise with the mean and std that the first layer implies is optimized in groups, large images first at half their
    size, then sewn together. Numbers stay within the inputs' estimated ranges. The same arguments give the same bytes,
    whatever the number of cores, as long as the budget leaves out no step.

    Args:
        graph: batch norm folded, moments recorded.
        count: how many inputs to make; more, where the graph takes only whole batches.
        seed: of every random choice, not negative.
        budget_seconds: of wall-clock time, or None.
        input_ranges: (least, greatest) of graph inputs, where known; otherwise estimated.
        objective: what is asked for beside matching statistics; None for the default.
        progress: called with a line now and then.

    Raises:
        CalibrationError: nothing is recorded that inputs could be matched to, or an operator depends on a fixed batch.
        ValueError: `count` or the budget is not positive.
    """
    if count < 1 or (budget_seconds is not None and not budget_seconds > 0):
        raise ValueError("the count and the time budget must be positive")
    if not matching_layers(graph):
        raise CalibrationError(
            "inputs cannot be synthesized: no layer has batch-norm statistics that are not zero",
            "give a few representative inputs, or export the model with batch normalization kept",
        )
    begin = time.monotonic()
    asked = Objective() if objective is None else objective
    given = input_ranges or {}
    models = [input_model(graph, value, given.get(value.name)) for value in graph.inputs]
    try:
        stages = _stages(graph, models, asked)
    except InvalidGraph as error:
        raise CalibrationError(
            f"inputs cannot be synthesized: {error}", "export the model with a free batch"
        ) from None
    fixed = max(value.shape[0] or 1 for value in graph.inputs)
    count = math.ceil(count / fixed) * fixed
    sizes = group_sizes(count)
    groups = len(sizes)
    level = expected_level(max(sizes))
    workers = min(groups, _cores())
    allotted = (
        math.inf if budget_seconds is None else budget_seconds / math.ceil(groups / workers)
    )

    stopped = threading.Event()

    def run(index: int) -> tuple[dict[str, NDArray[np.float32]], Track]:
        def report(line: str) -> None:
            if stopped.is_set():
                raise CancelledError
            if index == 0 and progress is not None:
                progress(f"synthesize {count}: {line}")

        torch.set_num_threads(1)  # a core for each group; OpenMP keeps the number per thread
        return _run_group(
            stages,
            models,
            asked,
            sizes[index],
            level,
            int(np.random.SeedSequence([seed, index]).generate_state(1)[0]),
            time.monotonic() + allotted,
            report,
        )

    with _kept_threads(), ThreadPoolExecutor(workers) as pool:
        try:
            results = list(pool.map(run, range(groups)))
        except BaseException:  # an interrupt too: the other groups shall not keep it waiting
            stopped.set()
            raise
    tracks = [track for _, track in results]
    samples = {
        value.name: np.concatenate([arrays[value.name] for arrays, _ in results])
        for value in graph.inputs
    }
    return Synthesis(
        samples=MappingProxyType(samples),
        losses=(
            _mean([track.losses[0] for track in tracks]),
            _mean([track.losses[-1] for track in tracks]),
        ),
        level=level,
        steps=max(len(track.losses) - 1 for track in tracks),
        seconds=time.monotonic() - begin,
        shortened=any(track.shortened for track in tracks),
    )


def group_sizes(count: int) -> list[int]:
    """Return how many inputs each group gets: as equal as can be, at most GROUP.

    >>> group_sizes(40)
    [14, 13, 13]
    """
    groups = math.ceil(count / GROUP)
    return [count // groups + (index < count % groups) for index in range(groups)]


def expected_level(count: int) -> float:
    """Return the matching loss that a batch of real inputs shows.

    A part does not depend on the batch (the recorded statistics are those of augmented training data), a part falls with
    it (the inputs are a sample). Both were fitted once, to batches of 8 to 64 real inputs of five networks, whose losses
    lie between 0.6 and 2.3 times this.

    >>> [round(expected_level(count), 3) for count in (8, 32)]
    [0.035, 0.02]
    """
    return 0.015 + 0.16 / count


def _stages(graph: Graph, models: list[InputModel], objective: Objective) -> list[Stage]:
    """Return the schedule: the last stage has the graph's own size, one before it half of that."""
    full = build_teacher(graph, classify=objective.class_weight > 0)
    small = _small_teacher(graph) if len(models) == 1 and models[0].is_image else None
    if small is None:
        return [Stage(teacher=full, steps=ONLY_STEPS, rate=ONLY_RATE, jitter=JITTER, share=1.0)]
    return [
        Stage(teacher=small, steps=SMALL_STEPS, rate=SMALL_RATE, jitter=0.0, share=0.5),
        Stage(teacher=full, steps=FULL_STEPS, rate=FULL_RATE, jitter=0.0, share=1.0),
    ]


def _small_teacher(graph: Graph) -> Teacher | None:
    size = [known(length) for length in graph.inputs[0].shape[2:]]
    height, width = (length // 2 // GRID * GRID for length in size)
    if min(size) < LARGE:
        return None
    full = build_teacher(graph, classify=False)
    try:
        small = resized(full.graph, height, width)
    except InvalidGraph:  # a layer needs its size
        return None
    return replace(full, graph=small)


def _run_group(
    stages: list[Stage],
    models: list[InputModel],
    objective: Objective,
    count: int,
    level: float,
    seed: int,
    deadline: float,
    progress: Callable[[str], None],
) -> tuple[dict[str, NDArray[np.float32]], Track]:
    generator = torch.Generator().manual_seed(seed)
    track = Track()
    images = {
        model.name: initial_noise(model, (count, *_sizes(stages[0], model.name)), generator)
        for model in models
    }
    for number, stage in enumerate(stages):
        if number:
            _, height, width = _sizes(stage, models[0].name)
            images = {
                name: quilted(tensor, height, width, generator)
                for name, tensor in images.items()
            }
        labels = None
        if stage.teacher.logits is not None:
            classes = known(stage.teacher.graph.values[stage.teacher.logits].shape[1])
            order = torch.randperm(classes, generator=generator)
            labels = order.repeat(count // classes + 1)[:count]
        now = time.monotonic()
        images = optimize(
            stage,
            images,
            models,
            objective,
            labels,
            level,
            generator,
            now + stage.share * (deadline - now),
            track,
            progress,
        )
    return {name: tensor.numpy() for name, tensor in images.items()}, track


def _sizes(stage: Stage, name: str) -> tuple[int, ...]:
    return tuple(known(size) for size in stage.teacher.graph.values[name].shape[1:])


@contextmanager
def _kept_threads() -> Iterator[None]:
    """Give torch its number of threads back."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cores() -> int:
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
