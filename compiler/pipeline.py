"""From a model file to an integer program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from intlower.compiler.calibration import calibrate
from intlower.compiler.calibration.from_samples import Method
from intlower.compiler.discovery import load_target
from intlower.compiler.errors import DataError
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.operators import Shape
from intlower.compiler.passes.base import run_passes
from intlower.compiler.program import IntegerProgram, Origin
from intlower.compiler.recipe import WeightRounding
from intlower.compiler.second_moments import second_moments


def compile_model(
    path: Path,
    *,
    target: str,
    samples: Mapping[str, NDArray[Any]] | None = None,
    method: Method = Method.MIN_MAX,
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
        samples: representative inputs; without them the model's own batch-norm statistics are used.
        method: how samples become ranges.
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
        DataError: samples do not fit the inputs, or the recipe takes none.
        LoweringError: a layer does not fit the target's integers.
    """
    say = progress or _silent
    chosen = load_target(target)  # first: a typo should not wait for the model
    prepared = chosen.recipe(recipe, added=added, removed=removed)
    if prepared.data_free and samples is not None:
        raise DataError(
            f"the recipe {prepared.name!r} takes no samples",
            "leave out the samples, or choose another recipe",
        )
    if prepared.rounding is WeightRounding.GPTQ and samples is None:
        raise DataError(
            "rounding by GPTQ needs samples",
            "give a few representative inputs with --samples, or leave out the step 'gptq'",
        )
    say("read the model")
    model, digest = read_model(path)
    graph = import_model(model, shapes=shapes)
    graph = run_passes(graph, prepared.passes, lambda name: say(f"pass {name}"))
    say("calibrate")
    calibration = calibrate(
        graph,
        samples=samples,
        method=method,
        input_ranges=input_ranges,
        seed=seed,
        noise=not prepared.data_free,
        progress=say,
    )
    statistics = None
    if prepared.rounding is WeightRounding.GPTQ and samples is not None:
        statistics = second_moments(graph, samples, seed=seed, progress=say)
    say(f"lower to {target}")
    origin = Origin(
        source_sha256=digest,
        pipeline=repr(prepared),
        calibration=calibration.summary,
        seed=seed,
    )
    return chosen.lower(graph, calibration.ranges, prepared, origin, statistics)


def _silent(line: str) -> None:
    """Report nothing."""
