"""What a shared set is worth for calibration, beside a model's own set, noise, moments, and a set of the other models.

Every set calibrates twice: with the moments that batch norm left, as `compile` does with synthetic inputs, and alone, as it
does with samples. The first is what a user gets; the second shows the sets apart, since moments hide their differences.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower import api
from intlower.compiler.divergence import kl_divergence, sqnr_db
from intlower.compiler.errors import CalibrationWarning
from intlower.compiler.synthesis.lesson import Lesson, Wishes
from intlower.compiler.synthesis.shared import noise_canvas
from intlower.compiler.synthesis.synthesize import group_sizes
from intlower.compiler.synthesis.teacher import classifier_output
from intlower.compiler.synthesis.view import CANVAS, inputs_from
from intlower.evaluation import (
    Arrays,
    Runnable,
    open_float_model,
    open_integer_program,
    run_in_batches,
)
from intlower.jobs import Engine
from intlower.school import ModelFile, SchoolJob, graph_of, school_of, shared_set, teach

Canvas = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Inputs of one model to measure on.

    Attributes:
        inputs: float32 [N, ...], by name; the first ones calibrate as "real" samples, the rest measures.
        labels: int64 [N].
    """

    inputs: Arrays
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How near a program is to the float model.

    Attributes:
        kl: mean divergence of the class probabilities; None where the model is no classifier.
        sqnr_db: of the outputs; None also where they are equal.
        drop: of top-1, a share of 1; None without labels.
    """

    kl: float | None
    sqnr_db: float | None
    drop: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """What one source of ranges does for one model.

    Attributes:
        model: its name.
        source: "moments", "noise", "own set", "shared set", "left out" or "real samples".
        matching: the matching loss of the inputs, in groups as they are synthesized; None for moments.
        alone: calibrated with the inputs alone; None for moments.
        combined: calibrated with moments, and the inputs where there are any; None for real samples.
    """

    model: str
    source: str
    matching: float | None
    alone: Quality | None
    combined: Quality | None

    def document(self) -> dict[str, Any]:
        """Return the row for a JSON document."""

        def figures(quality: Quality | None) -> dict[str, float | None] | None:
            if quality is None:
                return None
            return {"kl": quality.kl, "sqnr_db": quality.sqnr_db, "drop": quality.drop}

        return {
            "model": self.model,
            "source": self.source,
            "matching": self.matching,
            "alone": figures(self.alone),
            "combined": figures(self.combined),
        }


def report(
    models: Sequence[ModelFile],
    canvas: Canvas,
    *,
    target: str,
    seed: int,
    data: Sequence[Labelled] | None,
    engine: Engine | None,
    budget_seconds: float | None,
    threads: int,
    progress: Callable[[str], None],
) -> list[ReportRow]:
    """Return the rows of every model: as many sets are made as there are models, twice.

    Args:
        models: the teachers.
        canvas: float32 [N, C, ...], what they share.
        target: name of an installed target.
        seed: of the shared set; the others take it too, and those to measure on the next one.
        data: of each model; None for inputs synthesized for it alone from another seed.
        engine: runs the teachers' steps.
        budget_seconds: for each set, or None.
        threads: of the simulator and the float model.
        progress: called with a line now and then.

    Raises:
        IntlowerError: a model does not go to the target, or a set cannot be made.
    """
    rows: list[ReportRow] = []
    for index, model in enumerate(models):

        def made(
            teachers: Sequence[ModelFile],
            what: str,
            shift: int = 0,
            shape: tuple[int, ...] | None = None,
        ) -> Canvas:
            return shared_set(
                teachers,
                count=len(canvas),
                seed=seed + shift,
                engine=engine,
                budget_seconds=budget_seconds,
                shape=shape,
                progress=lambda line: progress(f"{what}: {line}"),
            ).canvas

        others = [other for other in models if other is not model]
        own = made([model], f"{model.name} by itself")
        sets = {
            "noise": noise_canvas(school_of([model]), len(canvas), seed),
            "own set": own,
        }
        if others:
            sets["shared set"] = canvas
            sets["left out"] = made(others, f"all but {model.name}", shape=canvas.shape[1:])
        if data is None:
            fresh = made([model], f"{model.name}, to measure on", 1)
            meter = _Meter.of(model, target, threads, _view(model, fresh), None)
        else:
            rest = {name: array[len(canvas) :] for name, array in data[index].inputs.items()}
            labels = data[index].labels[len(canvas) :]
            meter = _Meter.of(model, target, threads, rest, labels)
        progress(f"{model.name}: moments")
        rows.append(
            ReportRow(
                model=model.name,
                source="moments",
                matching=None,
                alone=None,
                combined=meter.measure(None),
            )
        )
        for source, pixels in sets.items():
            progress(f"{model.name}: {source}")
            seen = _view(model, pixels)
            rows.append(
                ReportRow(
                    model=model.name,
                    source=source,
                    matching=_matching(model, seen),
                    alone=meter.measure(seen),
                    combined=meter.measure({CANVAS: pixels}),
                )
            )
        if data is not None:
            real = {name: array[: len(canvas)] for name, array in data[index].inputs.items()}
            rows.append(
                ReportRow(
                    model=model.name,
                    source="real samples",
                    matching=_matching(model, real),
                    alone=meter.measure(real),
                    combined=None,
                )
            )
    return rows


def _view(model: ModelFile, canvas: Canvas) -> Arrays:
    return inputs_from(graph_of(model), canvas, model.input_range)


def _matching(model: ModelFile, inputs: Arrays) -> float:
    (array,) = inputs.values()
    found, start = [], 0
    for size in group_sizes(len(array)):
        lesson = Lesson(
            teacher=0,
            size=array.shape[2:],
            inputs=array[start : start + size],
            others=None,
            wishes=Wishes(),
            first=False,
        )
        found.append(teach(SchoolJob(model=model, lesson=lesson)).matching)
        start += size
    return float(np.mean(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meter:
    """Compiles a model and measures it against the float model on the same inputs each time."""

    model: ModelFile
    target: str
    threads: int
    inputs: Arrays
    labels: NDArray[np.int64] | None
    scores: NDArray[Any]

    @classmethod
    def of(
        cls,
        model: ModelFile,
        target: str,
        threads: int,
        inputs: Arrays,
        labels: NDArray[np.int64] | None,
    ) -> _Meter:
        """Return a meter; the float model runs once."""
        return cls(
            model=model,
            target=target,
            threads=threads,
            inputs=inputs,
            labels=labels,
            scores=_scores(open_float_model(model.path, threads), inputs),
        )

    def measure(self, samples: Mapping[str, NDArray[Any]] | None) -> Quality:
        """Return how near the program is that these samples calibrate."""
        given = self.model.input_range
        (name,) = self.inputs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CalibrationWarning)  # the figures show it
            program = api.compile(
                self.model.path,
                target=self.target,
                samples=samples,
                input_ranges=None if given is None else {name: given},
                shapes=dict(self.model.shapes),
            )
        network = open_integer_program(program, self.threads)
        scores = _scores(network, self.inputs)
        classifies = classifier_output(graph_of(self.model)) is not None
        drop = None
        if self.labels is not None:
            right = [(found.argmax(1) == self.labels).mean() for found in (self.scores, scores)]
            drop = float(right[0] - right[1])
        return Quality(
            kl=kl_divergence(self.scores, scores, network.step) if classifies else None,
            sqnr_db=sqnr_db(self.scores, scores),
            drop=drop,
        )


def _scores(network: Runnable, inputs: Arrays) -> NDArray[Any]:
    first = next(iter(run_in_batches(network, inputs).values()))
    return first.reshape(len(first), -1)
