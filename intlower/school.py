"""One set of images for several model files, their teachers in this process, in others or on a cluster.

A worker gets a model's path and what one step shows it, and answers with a derivative: the model stays where its file is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from intlower.compiler.errors import CalibrationError, ModelError
from intlower.compiler.graph import Graph
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.compiler.synthesis.lesson import Answer, Lesson, answer, teacher_for
from intlower.compiler.synthesis.school import School, found_school
from intlower.compiler.synthesis.shared import Ask, SharedSet, synthesize_shared
from intlower.compiler.synthesis.teacher import Teacher
from intlower.jobs import Engine

# Teachers that one process keeps ready, each at one size. Their weights are small beside what a step computes.
KEPT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A model as its file, and where its inputs are not known from it.

    Attributes:
        name: for messages, different for each model.
        path: of the ONNX file; workers see it under the same path.
        sha256: of the file, in hex.
        shapes: of its inputs, by name, where the file leaves them open.
        input_range: of its only input, where known.
    """

    name: str
    path: Path
    sha256: str
    shapes: tuple[tuple[str, tuple[int | None, ...]], ...] = ()
    input_range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolJob:
    """One step with one teacher.

    Attributes:
        model: the teacher's file.
        lesson: what it is shown.
    """

    model: ModelFile
    lesson: Lesson


def model_files(
    paths: Sequence[Path],
    *,
    shapes: Mapping[str, tuple[int | None, ...]],
    input_ranges: Mapping[str, tuple[float, float]],
) -> tuple[ModelFile, ...]:
    """Return the models of some files; shapes and ranges go to every model that has an input of the name.

    Raises:
        CalibrationError: no model has an input of a name.
        ModelError: a file is there twice, or is no model.
    """
    stems = [path.stem for path in paths]
    files = []
    inputs: set[str] = set()
    for path, stem in zip(paths, stems, strict=True):
        model, digest = read_model(path)
        given = {value.name for value in model.graph.input}
        inputs |= given
        ranges = [found for name, found in input_ranges.items() if name in given]
        files.append(
            ModelFile(
                name=stem if stems.count(stem) == 1 else str(path),
                path=path.resolve(),
                sha256=digest,
                shapes=tuple(sorted((n, s) for n, s in shapes.items() if n in given)),
                input_range=ranges[0] if ranges else None,
            )
        )
    for name in sorted({*shapes, *input_ranges} - inputs):
        raise CalibrationError(
            f"no model has an input {name!r}", f"the inputs are {', '.join(sorted(inputs))}"
        )
    twice = {file.path for file in files if [f.path for f in files].count(file.path) > 1}
    for path in sorted(twice):
        raise ModelError(f"{path} is given twice", "name every model once")
    return tuple(files)


@lru_cache(maxsize=KEPT)
def graph_of(model: ModelFile) -> Graph:
    """Return a model's graph with batch norm folded.

    Raises:
        ModelError: the file is no model, or not the one that it was.
    """
    read, digest = read_model(model.path)
    if digest != model.sha256:
        raise ModelError(f"{model.path} has changed since the start", "start again")
    return run_passes(import_model(read, shapes=dict(model.shapes)), STANDARD_PASSES)


@lru_cache(maxsize=KEPT)
def _teacher(model: ModelFile, size: tuple[int, ...]) -> Teacher:
    return teacher_for(graph_of(model), size)


def teach(job: SchoolJob) -> Answer:
    """Return a teacher's answer; what workers run."""
    torch.set_num_threads(1)  # sums depend on the number of threads
    return answer(_teacher(job.model, job.lesson.size), job.lesson)


def asking(models: Sequence[ModelFile], engine: Engine | None) -> Ask:
    """Return what asks the teachers of a school.

    Args:
        models: the teachers, in the school's order.
        engine: runs their steps; None for this process, one after the other.
    """

    def ask(lessons: Sequence[Lesson]) -> list[Answer]:
        jobs = [SchoolJob(model=models[lesson.teacher], lesson=lesson) for lesson in lessons]
        if engine is None:
            return [_named(job) for job in jobs]
        answers: dict[int, Answer] = {}
        for outcome in engine.run(teach, jobs):
            failed = outcome.failure
            if failed is not None:
                name = jobs[outcome.index].model.name
                raise CalibrationError(f"{name}: {failed.message}", failed.hint)
            assert outcome.result is not None
            answers[outcome.index] = outcome.result
        return [answers[index] for index in range(len(jobs))]

    return ask


def _named(job: SchoolJob) -> Answer:
    try:
        return teach(job)
    except CalibrationError as error:
        raise CalibrationError(f"{job.model.name}: {error}", error.hint) from None


def school_of(models: Sequence[ModelFile], shape: tuple[int, ...] | None = None) -> School:
    """Return the school of some models; see `found_school`.

    Raises:
        CalibrationError: see `found_school`.
        ModelError: a file is no model that can be read; it is named.
    """
    graphs = {}
    for model in models:
        try:
            graphs[model.name] = graph_of(model)
        except ModelError as error:
            raise ModelError(f"{model.name}: {error}", error.hint) from None
    return found_school(
        graphs,
        {model.name: model.input_range for model in models if model.input_range is not None},
        shape,
    )


def shared_set(
    models: Sequence[ModelFile],
    *,
    count: int,
    seed: int,
    engine: Engine | None = None,
    budget_seconds: float | None = None,
    shape: tuple[int, ...] | None = None,
    progress: Callable[[str], None] | None = None,
) -> SharedSet:
    """Return inputs that some models share; see `synthesize_shared`.

    Args:
        models: the teachers.
        count: how many inputs to make.
        seed: of every random choice.
        engine: runs the teachers' steps; None for this process. The inputs are the same bytes.
        budget_seconds: of wall-clock time, or None.
        shape: of one sample of the canvas; None for what the models need.
        progress: called with a line for each step.

    Raises:
        CalibrationError: the models have no inputs in common, or one cannot teach.
    """
    return synthesize_shared(
        school_of(models, shape),
        asking(models, engine),
        count=count,
        seed=seed,
        budget_seconds=budget_seconds,
        progress=progress,
    )
