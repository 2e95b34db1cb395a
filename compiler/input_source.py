"""What a compilation knows of a network's inputs: samples, a canvas shared with others, or what the network itself tells."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration.input_model import estimate_input
from intlower.compiler.errors import CalibrationError, CalibrationWarning, DataError
from intlower.compiler.graph import Graph
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.imagine_moments import ImagineMoments
from intlower.compiler.recipe import Recipe
from intlower.compiler.synthesis import synthesize
from intlower.compiler.synthesis.assumptions import assumptions, likely
from intlower.compiler.synthesis.imagine import Imagined, imagine
from intlower.compiler.synthesis.view import CANVAS, inputs_from

Arrays = Mapping[str, NDArray[Any]]
InputRanges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSource:
    """Where numbers that stand for real inputs come from; at most one of samples, canvas and count is set.

    Attributes:
        samples: for each graph input, [N, ...] float32, or None.
        canvas: what several networks share, as `intlower synthesize` makes it, or None.
        count: how many inputs to make from the network's statistics, or None.
        budget_seconds: wall-clock time for that, or None.
        ranges: (least, greatest) of graph inputs, where known.
        seed: of every random choice.
    """

    samples: Arrays | None
    canvas: NDArray[Any] | None
    count: int | None
    budget_seconds: float | None
    ranges: InputRanges | None
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedGraph:
    """A graph after every pass of a recipe, and what gave it moments where its file has none.

    Attributes:
        graph: after every pass.
        imagined: inputs that were made up for it, or None.
        seen: a shared canvas as this network sees it, where the passes needed it, or None.
        ranges: of the inputs: those given, and those within which such a network was made to see the canvas.
    """

    graph: Graph
    imagined: Imagined | None
    seen: Mapping[str, NDArray[np.float32]] | None
    ranges: InputRanges | None


def input_source(
    samples: Arrays | None,
    count: int | None,
    recipe: Recipe,
    *,
    budget_seconds: float | None,
    ranges: InputRanges | None,
    seed: int,
) -> InputSource:
    """Return the source that a caller and a recipe name together.

    Args:
        samples: for each graph input, [N, ...] float32; or a shared canvas by its own name.
        count: how many inputs the caller wants made; None leaves it to the recipe.
        recipe: it may refuse samples, want them, or want inputs made.
        budget_seconds: see `InputSource`, as the rest.
        ranges: the same.
        seed: the same.

    Raises:
        DataError: two sources are given, the recipe takes none, or it needs one and has none.
    """
    canvas = samples[CANVAS] if samples is not None and set(samples) == {CANVAS} else None
    samples = samples if canvas is None else None
    if (recipe.data_free or recipe.synthesize) and samples is not None:
        raise DataError(
            f"the recipe {recipe.name!r} takes no samples",
            "leave out the samples, or choose another recipe",
        )
    if samples is not None and count is not None:
        raise DataError(
            "inputs are synthesized only in the place of samples", "give one of them"
        )
    if canvas is not None and count is not None:
        raise DataError("a shared canvas is synthesized already", "give one of them")
    made = recipe.synthesize if count is None and canvas is None else count
    if recipe.sample_step and samples is None and canvas is None and not made:
        raise DataError(
            f"the step {recipe.sample_step!r} needs samples",
            f"give a few representative inputs with --samples, or leave out {recipe.sample_step!r}",
        )
    return InputSource(
        samples=samples,
        canvas=canvas,
        count=made or None,
        budget_seconds=budget_seconds,
        ranges=ranges,
        seed=seed,
    )


def prepare(
    graph: Graph, recipe: Recipe, source: InputSource, say: Callable[[str], None]
) -> PreparedGraph:
    """Return the graph after every pass of a recipe.

    Where the file has no moments, `ImagineMoments` is given what only the caller knows: samples are better than what other
    models made, that is better than what is made up, and nothing is made up where only data of the file may decide.
    """
    marker = next((p for p in recipe.passes if isinstance(p, ImagineMoments)), None)
    place = len(recipe.passes) if marker is None else recipe.passes.index(marker)

    def named(name: str) -> None:
        say(f"pass {name}")

    # Taken out of the list: while the passes run, nothing else holds the weights that they replace.
    held = [graph]
    del graph
    graph = run_passes(held.pop(), recipe.passes[:place], named)
    imagined: Imagined | None = None
    seen = None
    ranges = source.ranges
    if marker is not None:
        named(marker.name)
    if marker is not None and marker.applies(graph):
        samples = source.samples
        if source.canvas is not None:
            ranges = likely_ranges(graph, ranges)
            samples = seen = seen_inputs(graph, source.canvas, ranges)
        if samples is not None:
            say("observe samples")
            graph = marker.shown(graph, samples)
        elif not recipe.data_free:
            imagined = imagine(
                graph,
                seed=source.seed,
                input_ranges=ranges,
                count=0 if recipe.synthesize else source.count or 0,
                progress=say,
            )
            graph = marker.told(graph, imagined)
            _warn_of(imagined)
    graph = run_passes(graph, recipe.passes[place + 1 :], named)
    return PreparedGraph(graph=graph, imagined=imagined, seen=seen, ranges=ranges)


def synthetic_inputs(
    prepared: PreparedGraph, recipe: Recipe, source: InputSource, say: Callable[[str], None]
) -> tuple[Arrays | None, tuple[str, ...]]:
    """Return inputs that stand for samples where there are none, and what was found of them; (None, ()) for none.

    Raises:
        CalibrationError: a step of the recipe needs them, and the network tells too little to make them.
    """
    if source.canvas is not None:
        return prepared.seen or seen_inputs(prepared.graph, source.canvas, prepared.ranges), ()
    if source.count is None:
        return None, ()
    if prepared.imagined is not None:
        # What was made up has no statistics to match; a recipe that wants inputs made goes on without them.
        return (None if recipe.synthesize else prepared.imagined.inputs), ()
    try:
        made = synthesize(
            prepared.graph,
            count=source.count,
            seed=source.seed,
            budget_seconds=source.budget_seconds,
            input_ranges=source.ranges,
            progress=say,
        )
    except CalibrationError as error:
        if recipe.sample_step and not recipe.synthesize:
            raise
        warnings.warn(CalibrationWarning(str(error), error.hint), stacklevel=3)
        return None, ()
    return made.samples, (f"synthetic inputs kept: {made.verdict}",)


def seen_inputs(
    graph: Graph, canvas: NDArray[Any], ranges: InputRanges | None
) -> Mapping[str, NDArray[np.float32]]:
    """Return what the network sees of the canvas that it shares with others."""
    name = graph.inputs[0].name
    given = (ranges or {}).get(name)
    if given is None and len(graph.inputs) == 1 and estimate_input(graph, name) is None:
        warnings.warn(
            CalibrationWarning(
                f"no batch-norm statistics tell what input {name!r} is like; it is taken to have mean 0 and deviation 1",
                "give its range with --input-range",
            ),
            stacklevel=3,
        )
    return inputs_from(graph, canvas, given)


def likely_ranges(graph: Graph, given: InputRanges | None) -> InputRanges:
    """Return the inputs' ranges, those not given as `likely` finds them: wide enough for every preprocessing that may be meant."""
    ranges = dict(given or {})
    choices = {value.name: assumptions(value, ranges.get(value.name)) for value in graph.inputs}
    for name in choices:
        if name in ranges:
            continue
        found = likely(graph, name, choices).range
        ranges[name] = (found.minimum, found.maximum)
        warnings.warn(
            CalibrationWarning(
                f"no batch-norm statistics tell what input {name!r} holds: it is {found.source}",
                "give its range with --input-range",
            ),
            stacklevel=3,
        )
    return ranges


def _warn_of(imagined: Imagined) -> None:
    warnings.warn(
        CalibrationWarning(
            f"the model holds no batch-norm statistics: everything rests on {imagined.summary}, and real inputs may "
            "differ",
            "give a few representative inputs with --samples, or their range with --input-range; or export the model "
            "with batch normalization kept (torch: training=TrainingMode.PRESERVE)",
        ),
        stacklevel=5,
    )
