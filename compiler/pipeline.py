"""From a model file to an integer program."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration import Assumed, Calibration, Ranges, calibrate
from intlower.compiler.calibration.input_model import estimate_input
from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.select import Method
from intlower.compiler.discovery import load_target
from intlower.compiler.errors import CalibrationError, CalibrationWarning, DataError, ModelError
from intlower.compiler.graph import Graph
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.operators import Shape
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.imagine_moments import ImagineMoments
from intlower.compiler.placement import runs_on_host
from intlower.compiler.program import IntegerProgram, Origin
from intlower.compiler.recipe import Recipe, WeightRounding
from intlower.compiler.sample_correction import correct_on_samples
from intlower.compiler.second_moments import second_moments
from intlower.compiler.spec import Contract, TargetSpec
from intlower.compiler.synthesis import Synthesis
from intlower.compiler.synthesis import synthesize as synthesize_inputs
from intlower.compiler.synthesis.assumptions import assumptions, likely
from intlower.compiler.synthesis.imagine import Imagined, imagine
from intlower.compiler.synthesis.view import CANVAS, inputs_from


def compile_model(
    path: Path,
    *,
    target: str,
    samples: Mapping[str, NDArray[Any]] | None = None,
    synthesize: int | None = None,
    budget_seconds: float | None = None,
    method: Method | None = None,
    input_ranges: Mapping[str, tuple[float, float]] | None = None,
    shapes: Mapping[str, Shape] | None = None,
    recipe: str = "default",
    added: Sequence[str] = (),
    removed: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> IntegerProgram:
    """Return the integer program of a model for a target.

    Args:
        path: of the ONNX file.
        target: name of an installed target.
        samples: representative inputs; without them the model's own batch-norm statistics are used. A shared canvas, as
            `intlower synthesize` writes it, counts as synthesized inputs.
        synthesize: how many inputs to make from the network's statistics and calibrate with, in the place of samples.
        budget_seconds: wall-clock time for that, or None.
        method: how ranges are taken from numbers: of samples, or of what the moments tell. None: from samples as the target's
            vendor does it; from moments as mean and spread tell.
        input_ranges: (least, greatest) of graph inputs, where known.
        shapes: of graph inputs, where the file leaves them open.
        recipe: name of one of the target's recipes.
        added: names of steps that the recipe gets as well.
        removed: names of steps that the recipe goes without.
        seed: of every random choice.
        progress: called with a line for each stage.

    Raises:
        TargetError: the target is not installed, has no such recipe or step, or does not run an operator.
        ModelError: the file cannot be read as a graph.
        CalibrationError: ranges cannot be found.
        DataError: samples do not fit the inputs, the recipe takes none, or inputs are to be synthesized as well.
        LoweringError: a layer does not fit the target's integers.
    """
    say = progress or _silent
    canvas = samples[CANVAS] if samples is not None and set(samples) == {CANVAS} else None
    samples = samples if canvas is None else None
    chosen = load_target(target)  # first: a typo should not wait for the model
    prepared = chosen.recipe(recipe, added=added, removed=removed)
    if (prepared.data_free or prepared.synthesize) and samples is not None:
        raise DataError(
            f"the recipe {prepared.name!r} takes no samples",
            "leave out the samples, or choose another recipe",
        )
    if samples is not None and synthesize is not None:
        raise DataError(
            "inputs are synthesized only in the place of samples", "give one of them"
        )
    if canvas is not None and synthesize is not None:
        raise DataError("a shared canvas is synthesized already", "give one of them")
    if synthesize is None and canvas is None and prepared.synthesize:
        synthesize = prepared.synthesize
    if prepared.sample_step and samples is None and synthesize is None and canvas is None:
        raise DataError(
            f"the step {prepared.sample_step!r} needs samples",
            f"give a few representative inputs with --samples, or leave out {prepared.sample_step!r}",
        )
    say("read the model")
    held, digest = _imported(path, shapes)
    asked = 0 if prepared.synthesize else synthesize or 0
    # Taken out of the list: while the passes run, nothing else holds the weights that they replace.
    graph, imagined, seen, input_ranges = _prepared_graph(
        held.pop(), prepared, samples, canvas, input_ranges, asked, seed, say
    )
    # What the host computes between halves is on grids that follow from ranges.
    needs_ranges = prepared.needs_ranges or runs_on_host(chosen.spec, graph)
    made = None
    # What was made up has no statistics to match.
    if synthesize is not None and needs_ranges and imagined is None:
        made = _synthesized(
            graph,
            synthesize,
            budget_seconds,
            input_ranges,
            seed,
            bool(prepared.sample_step) and not prepared.synthesize,
            say,
        )
    synthetic = None if made is None else made.samples
    if asked and imagined is not None:
        synthetic = imagined.inputs
    if canvas is not None and needs_ranges:
        synthetic = seen or _seen(graph, canvas, input_ranges)
    if prepared.synthesize and synthetic is None and needs_ranges:
        # With a warning: what is left is the default.
        rest = chosen.recipe("default", added=added, removed=removed)
        prepared = replace(rest, name=prepared.name, passes=prepared.passes)
    calibration = Calibration(ranges={}, summary="none: the target needs no ranges")
    if needs_ranges:
        say("calibrate")
        calibration = calibrate(
            graph,
            samples=samples,
            synthetic=synthetic,
            method=method or _usual_method(chosen.spec, samples is not None),
            form=_grid_form(chosen.spec),
            input_ranges=input_ranges,
            assumed=None
            if imagined is None
            else Assumed(ranges=imagined.ranges, summary=imagined.summary),
            seed=seed,
            noise=not prepared.data_free,
            progress=say,
        )
    statistics = None
    representative = synthetic if samples is None else samples
    if prepared.rounding is WeightRounding.GPTQ and representative is not None:
        statistics = second_moments(graph, representative, seed=seed, progress=say)
    say(f"lower to {target}")
    origin = Origin(
        source_sha256=digest,
        pipeline=repr(prepared),
        calibration=calibration.summary + ("" if canvas is None else "; from a shared canvas"),
        seed=seed,
        recipe=prepared.name,
        steps=prepared.steps,
        verdicts=(
            *(() if imagined is None else (f"no batch norm: moments of {imagined.summary}",)),
            *(() if made is None else (f"synthetic inputs kept: {made.verdict}",)),
        ),
        ranges=_by_source(calibration.ranges),
    )
    program = chosen.lower(graph, calibration.ranges, prepared, origin, statistics)
    if not prepared.correct_on_samples or representative is None:
        return program
    correction = correct_on_samples(program, graph, representative, say)
    verdicts = (*origin.verdicts, correction.describe())
    return replace(correction.program, origin=replace(origin, verdicts=verdicts))


def _by_source(ranges: Ranges) -> dict[str, tuple[str, ...]]:
    """Return the names of the values that each source of ranges served."""
    names: dict[str, list[str]] = {}
    for name, found in ranges.items():
        names.setdefault(found.source, []).append(name)
    return {source: tuple(served) for source, served in names.items()}


def _imported(path: Path, shapes: Mapping[str, Shape] | None) -> tuple[list[Graph], str]:
    """Return a model's graph, alone in a list, and the digest of its file; the model's own memory is free again."""
    model, digest = read_model(path)
    graph = import_model(model, shapes=shapes)
    for value in graph.inputs:
        if not value.shape:
            raise ModelError(
                f"input {value.name!r} is one number without axes",
                "export the model with a batch axis: [N, ...]",
            )
    return [graph], digest


def _prepared_graph(
    graph: Graph,
    recipe: Recipe,
    samples: Mapping[str, NDArray[Any]] | None,
    canvas: NDArray[Any] | None,
    input_ranges: Mapping[str, tuple[float, float]] | None,
    count: int,
    seed: int,
    say: Callable[[str], None],
) -> tuple[
    Graph,
    Imagined | None,
    Mapping[str, NDArray[np.float32]] | None,
    Mapping[str, tuple[float, float]] | None,
]:
    """Return the graph after every pass, and where it has no moments what gave them: inputs made up, or a canvas as it is seen.

    The last is the inputs' ranges: those given, and the one in which such a graph was made to see the canvas.

    They come in the place of the pass `ImagineMoments`, with what only the caller knows: samples are better, then what other
    models made, and none are made up where only data of the file may decide.
    """
    marker = next((p for p in recipe.passes if isinstance(p, ImagineMoments)), None)
    place = len(recipe.passes) if marker is None else recipe.passes.index(marker)

    def named(name: str) -> None:
        say(f"pass {name}")

    held = [graph]
    del graph
    graph = run_passes(held.pop(), recipe.passes[:place], named)
    imagined: Imagined | None = None
    seen = None
    if marker is not None:
        named(marker.name)
    if marker is not None and marker.applies(graph):
        if samples is None and canvas is not None:
            input_ranges = _with_likely(graph, input_ranges)
            samples = seen = _seen(graph, canvas, input_ranges)
        if samples is not None:
            say("observe samples")
            graph = marker.shown(graph, samples)
        elif not recipe.data_free:
            imagined = imagine(
                graph, seed=seed, input_ranges=input_ranges, count=count, progress=say
            )
            graph = marker.told(graph, imagined)
            _warn_of(imagined)
    graph = run_passes(graph, recipe.passes[place + 1 :], named)
    return graph, imagined, seen, input_ranges


def _with_likely(
    graph: Graph, given: Mapping[str, tuple[float, float]] | None
) -> Mapping[str, tuple[float, float]]:
    """Return the inputs' ranges, those not given as `likely` finds them: wide enough for every preprocessing that may be meant."""
    ranges = dict(given or {})
    choices = {value.name: assumptions(value, ranges.get(value.name)) for value in graph.inputs}
    for name in choices.keys() - ranges.keys():
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


def _usual_method(spec: Contract, samples: bool) -> Method:
    return Method(spec.calibration) if samples else Method.MIN_MAX


def _grid_form(spec: Contract) -> GridForm:
    """Return the grid that rules of calibration lay out; one of 8 bits where the target's is not uniform."""
    if isinstance(spec, TargetSpec):
        return GridForm(bits=spec.activations.bits, symmetric=spec.activations.symmetric)
    return GridForm(bits=8, symmetric=True)


def _synthesized(
    graph: Graph,
    count: int,
    budget_seconds: float | None,
    input_ranges: Mapping[str, tuple[float, float]] | None,
    seed: int,
    needed: bool,
    progress: Callable[[str], None],
) -> Synthesis | None:
    """Return synthetic inputs; where the network tells too little to make them, None with a warning, unless needed."""
    try:
        return synthesize_inputs(
            graph,
            count=count,
            seed=seed,
            budget_seconds=budget_seconds,
            input_ranges=input_ranges,
            progress=progress,
        )
    except CalibrationError as error:
        if needed:
            raise
        warnings.warn(CalibrationWarning(str(error), error.hint), stacklevel=3)
        return None


def _seen(
    graph: Graph,
    canvas: NDArray[Any],
    input_ranges: Mapping[str, tuple[float, float]] | None,
) -> Mapping[str, NDArray[np.float32]]:
    """Return what the model sees of a canvas that it shares with others."""
    name = graph.inputs[0].name
    given = (input_ranges or {}).get(name)
    if given is None and len(graph.inputs) == 1 and estimate_input(graph, name) is None:
        warnings.warn(
            CalibrationWarning(
                f"no batch-norm statistics tell what input {name!r} is like; it is taken to have mean 0 and deviation 1",
                "give its range with --input-range",
            ),
            stacklevel=3,
        )
    return inputs_from(graph, canvas, given)


def _silent(line: str) -> None:
    """Report nothing."""
