"""What each target makes of each model: accuracy, size and times, one job for each pair.

A job holds paths and names only and reads everything itself, the float model included: it may run on another machine.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from intlower import api
from intlower.benchmarking import alternate
from intlower.compiler.discovery import load_target
from intlower.compiler.errors import (
    CalibrationWarning,
    LoweringError,
    UnsupportedByTarget,
    UnsupportedOperator,
)
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import open_program, quantize_inputs
from intlower.data_files import fit_inputs, fit_labels, fit_samples, read_data
from intlower.evaluation import (
    Evaluation,
    class_scores,
    open_float_model,
    open_integer_program,
    summarise,
)
from intlower.failures import CHECK_FAILED, Failure, one_line
from intlower.jobs import Engine

# What one sample takes is timed alone, after the accuracies: enough runs for a median, no more.
_TIMING_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonJob:
    """One model on one target.

    Attributes:
        model: path of the ONNX file.
        target: name of an installed target.
        data: path of labelled samples, see `data_files.read_data`.
        samples: path of calibration inputs; None for a compilation without data.
        count: use the first samples only; None for all.
        input_ranges: see `api.compile`.
        shapes: see `api.compile`.
        recipe: see `api.compile`.
        threads: of the float model and the simulator; times are always of one.
    """

    model: Path
    target: str
    data: Path
    samples: Path | None = None
    count: int | None = None
    input_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    recipe: str = "default"
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of one model on one target.

    Attributes:
        evaluation: accuracy beside the float model's.
        size_bytes: of the artifact.
        compile_seconds: from the ONNX file to the program.
        simulate_ms: median time of one sample on one thread.
        warnings: what the compiler warned of.
    """

    evaluation: Evaluation
    size_bytes: int
    compile_seconds: float
    simulate_ms: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """The answer for one model on one target: figures, or the reason why there are none.

    Attributes:
        model: name of the model's file.
        target: name of the target.
        figures: None where the target does not run the model, or something failed.
        unsupported: why the target does not run the model, else empty.
        failure: what failed, else None.
    """

    model: str
    target: str
    figures: Figures | None = None
    unsupported: str = ""
    failure: Failure | None = None

    @property
    def remark(self) -> str:
        """What a reader must know beside the figures, or instead of them."""
        if self.unsupported:
            return f"unsupported: {self.unsupported}"
        if self.failure is not None:
            return f"failed: {self.failure.message}"
        return "" if self.figures is None else "; ".join(self.figures.warnings)

    def document(self) -> dict[str, Any]:
        """Return the row for a JSON document."""
        document: dict[str, Any] = {"model": self.model, "target": self.target}
        if self.unsupported:
            return document | {"status": "unsupported", "reason": self.unsupported}
        if self.failure is not None:
            return document | {"status": "failed"} | self.failure.document()
        assert self.figures is not None
        found = self.figures
        return (
            document
            | {"status": "measured"}
            | found.evaluation.document()
            | {
                "size_bytes": found.size_bytes,
                "compile_seconds": round(found.compile_seconds, 3),
                "simulate_ms": round(found.simulate_ms, 6),
                "warnings": list(found.warnings),
            }
        )


def compare(
    jobs: Sequence[ComparisonJob], engine: Engine
) -> Iterator[tuple[int, ComparisonRow]]:
    """Yield (index of the job, its row) for every job, as they finish.

    Args:
        jobs: what to measure.
        engine: what runs them.
    """
    for outcome in engine.run(measure, jobs):
        if outcome.result is not None:
            yield outcome.index, outcome.result
            continue
        job = jobs[outcome.index]
        failure = outcome.failure or _no_answer()
        yield (
            outcome.index,
            ComparisonRow(model=job.model.name, target=job.target, failure=failure),
        )


def _no_answer() -> Failure:
    return Failure(
        type="NoAnswer",
        message="the worker gave no answer",
        hint="this is a defect of intlower: please report it",
        exit_code=CHECK_FAILED,
    )


def measure(job: ComparisonJob) -> ComparisonRow:
    """Return the row of a job: compile, evaluate beside the float model, time one sample.

    Raises:
        IntlowerError: the model or the data are at fault. That a target does not run the model is an answer.
    """
    # Imported by workers only: it brings torch, for which the command line need not wait.
    from intlower.compiler.pipeline import compile_model

    source = str(job.data)
    float_model = open_float_model(job.model, job.threads)
    arrays = read_data(job.data)
    inputs = fit_inputs(arrays, float_model.inputs, source)
    labels = fit_labels(arrays, len(next(iter(inputs.values()))), source)[: job.count]
    inputs = {name: array[: job.count] for name, array in inputs.items()}
    samples = (
        None if job.samples is None else fit_samples(read_data(job.samples), str(job.samples))
    )
    load_target(job.target).recipe(job.recipe)  # what it imports is not part of a compilation
    begin = time.perf_counter()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CalibrationWarning)
            program = compile_model(
                job.model,
                target=job.target,
                samples=samples,
                input_ranges=job.input_ranges,
                shapes=job.shapes,
                recipe=job.recipe,
            )
    except (UnsupportedByTarget, UnsupportedOperator, LoweringError) as error:
        return ComparisonRow(
            model=job.model.name, target=job.target, unsupported=one_line(str(error))
        )
    compile_seconds = time.perf_counter() - begin
    with tempfile.TemporaryDirectory() as folder:
        size_bytes = api.save(program, Path(folder) / "artifact.onnx")
    network = open_integer_program(program, job.threads)
    scores = class_scores(network, inputs, labels)
    float_scores = class_scores(float_model, inputs, labels)
    figures = Figures(
        evaluation=summarise(scores, labels, float_scores, step=network.step),
        size_bytes=size_bytes,
        compile_seconds=compile_seconds,
        simulate_ms=_simulate_ms(program, inputs),
        warnings=tuple(
            one_line(str(warning.message))
            for warning in caught
            if issubclass(warning.category, CalibrationWarning)
        ),
    )
    return ComparisonRow(model=job.model.name, target=job.target, figures=figures)


def _simulate_ms(program: IntegerProgram, inputs: Mapping[str, NDArray[Any]]) -> float:
    """Return the median milliseconds of one sample: codes to codes, on one thread."""
    # A network that fixes its batch takes that many at a time.
    batch = program.tensors[program.inputs[0]].shape[0] or 1
    codes = quantize_inputs(program, {name: array[:batch] for name, array in inputs.items()})
    simulator = open_program(program)
    timing = alternate({"simulate": lambda: simulator.run(codes)}, seconds=_TIMING_SECONDS)
    return timing["simulate"].median_ms / batch
