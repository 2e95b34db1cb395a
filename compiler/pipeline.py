"""From a model file to an integer program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from intlower.compiler.calibration import Assumed, Calibration, Ranges, calibrate
from intlower.compiler.calibration.methods.form import GridForm
from intlower.compiler.calibration.methods.select import Method
from intlower.compiler.discovery import load_target
from intlower.compiler.errors import ModelError
from intlower.compiler.graph import Graph
from intlower.compiler.importer import end_at, import_model, read_model
from intlower.compiler.input_source import (
    Arrays,
    PreparedGraph,
    input_source,
    prepare,
    synthetic_inputs,
)
from intlower.compiler.operators import Shape
from intlower.compiler.placement import runs_on_host
from intlower.compiler.program import IntegerProgram, Origin
from intlower.compiler.recipe import WeightRounding
from intlower.compiler.sample_correction import correct_on_samples
from intlower.compiler.second_moments import second_moments
from intlower.compiler.spec import Contract, TargetSpec


def compile_model(
    path: Path,
    *,
    target: str,
    samples: Arrays | None = None,
    synthesize: int | None = None,
    budget_seconds: float | None = None,
    method: Method | None = None,
    input_ranges: Mapping[str, tuple[float, float]] | None = None,
    shapes: Mapping[str, Shape] | None = None,
    outputs: Sequence[str] = (),
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
        outputs: names of values at which the network ends, instead of at its outputs.
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
    chosen = load_target(target)  # first: a typo should not wait for the model
    prepared = chosen.recipe(recipe, added=added, removed=removed)
    source = input_source(
        samples,
        synthesize,
        prepared,
        budget_seconds=budget_seconds,
        ranges=input_ranges,
        seed=seed,
    )
    say("read the model")
    held, digest = _imported(path, shapes, outputs)
    ready = prepare(held.pop(), prepared, source, say)
    calibration = Calibration(ranges={}, summary="none: the target needs no ranges")
    synthetic: Arrays | None = None
    findings: tuple[str, ...] = ()
    # What the host computes between halves is on grids that follow from ranges.
    if prepared.needs_ranges or runs_on_host(chosen.spec, ready.graph):
        synthetic, findings = synthetic_inputs(ready, prepared, source, say)
        if prepared.synthesize and synthetic is None:
            # With a warning: what is left is the default.
            rest = chosen.recipe("default", added=added, removed=removed)
            prepared = replace(rest, name=prepared.name, passes=prepared.passes)
        say("calibrate")
        calibration = calibrate(
            ready.graph,
            samples=source.samples,
            synthetic=synthetic,
            method=method or _usual_method(chosen.spec, source.samples is not None),
            form=_grid_form(chosen.spec),
            input_ranges=ready.ranges,
            assumed=_assumed(ready),
            seed=seed,
            noise=not prepared.data_free,
            progress=say,
        )
    representative = synthetic if source.samples is None else source.samples
    statistics = None
    if prepared.rounding is WeightRounding.GPTQ and representative is not None:
        statistics = second_moments(ready.graph, representative, seed=seed, progress=say)
    say(f"lower to {target}")
    shared = "" if source.canvas is None else "; from a shared canvas"
    origin = Origin(
        source_sha256=digest,
        pipeline=repr(prepared),
        calibration=calibration.summary + shared,
        seed=seed,
        recipe=prepared.name,
        steps=prepared.steps,
        verdicts=(*_verdicts(ready), *findings),
        ranges=_by_source(calibration.ranges),
    )
    program = chosen.lower(ready.graph, calibration.ranges, prepared, origin, statistics)
    if not prepared.correct_on_samples or representative is None:
        return program
    correction = correct_on_samples(program, ready.graph, representative, say)
    verdicts = (*origin.verdicts, correction.describe())
    return replace(correction.program, origin=replace(origin, verdicts=verdicts))


def _assumed(ready: PreparedGraph) -> Assumed | None:
    """Return what stands for the file's own moments where it has none."""
    if ready.imagined is None:
        return None
    return Assumed(ranges=ready.imagined.ranges, summary=ready.imagined.summary)


def _verdicts(ready: PreparedGraph) -> tuple[str, ...]:
    if ready.imagined is None:
        return ()
    return (f"no batch norm: moments of {ready.imagined.summary}",)


def _by_source(ranges: Ranges) -> dict[str, tuple[str, ...]]:
    """Return the names of the values that each source of ranges served."""
    names: dict[str, list[str]] = {}
    for name, found in ranges.items():
        names.setdefault(found.source, []).append(name)
    return {source: tuple(served) for source, served in names.items()}


def _imported(
    path: Path, shapes: Mapping[str, Shape] | None, outputs: Sequence[str]
) -> tuple[list[Graph], str]:
    """Return a model's graph, alone in a list, and the digest of its file; the model's own memory is free again."""
    model, digest = read_model(path)
    if outputs:
        end_at(model, outputs)
    graph = import_model(model, shapes=shapes)
    for value in graph.inputs:
        if not value.shape:
            raise ModelError(
                f"input {value.name!r} is one number without axes",
                "export the model with a batch axis: [N, ...]",
            )
    return [graph], digest


def _usual_method(spec: Contract, samples: bool) -> Method:
    return Method(spec.calibration) if samples else Method.MIN_MAX


def _grid_form(spec: Contract) -> GridForm:
    """Return the grid that rules of calibration lay out; one of 8 bits where the target's is not uniform."""
    if isinstance(spec, TargetSpec):
        return GridForm(bits=spec.activations.bits, symmetric=spec.activations.symmetric)
    return GridForm(bits=8, symmetric=True)


def _silent(line: str) -> None:
    """Report nothing."""
