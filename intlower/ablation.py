"""What each step of a recipe is worth: the recipe grown step by step, and the full one without each."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower import api
from intlower.compiler.discovery import load_target
from intlower.compiler.errors import CalibrationWarning, LoweringError
from intlower.compiler.program import IntegerProgram
from intlower.evaluation import Evaluation, class_scores, open_integer_program, summarise

Steps = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationRow:
    """One recipe and what it gives.

    Attributes:
        label: "naive", "+ step" on top of the row before, or "all - step".
        steps: of the recipe.
        evaluation: on the samples; None where the network cannot be lowered so.
        failure: why it cannot, else empty.
        seconds: of the compilation.
        unchanged: whether the integers are those of the recipe that this one adds a step to, or takes one from; the
            evaluation is that one's then.
    """

    label: str
    steps: Steps
    evaluation: Evaluation | None
    failure: str
    seconds: float
    unchanged: bool = False

    def document(self) -> dict[str, Any]:
        """Return the row for a JSON document."""
        document: dict[str, Any] = {"recipe": self.label, "steps": list(self.steps)}
        if self.evaluation is None:
            document["failure"] = self.failure
        else:
            document |= self.evaluation.document()
        return document | {"unchanged": self.unchanged, "seconds": round(self.seconds, 3)}


def labelled_recipes(steps: Sequence[str]) -> list[tuple[str, Steps]]:
    """Return the recipes of an ablation: cumulative, then leave-one-out, each set of steps once.

    >>> [label for label, _ in labelled_recipes(["a", "b"])]
    ['naive', '+ a', '+ b', 'all - a']
    """
    every = tuple(steps)
    grown = [("naive", ()), *((f"+ {step}", every[: i + 1]) for i, step in enumerate(every))]
    reduced = [(f"all - {step}", tuple(s for s in every if s != step)) for step in every]
    known = {chosen for _, chosen in grown}
    return [*grown, *((label, chosen) for label, chosen in reduced if chosen not in known)]


def ablate(
    model: Path,
    target: str,
    inputs: Mapping[str, NDArray[np.float32]],
    labels: NDArray[np.int64],
    float_scores: NDArray[Any],
    *,
    added: Sequence[str] = (),
    samples: Mapping[str, NDArray[Any]] | None = None,
    options: Mapping[str, Any] | None = None,
    threads: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[AblationRow]:
    """Return what each step of a target's default recipe is worth on a labelled set.

    A step that changes no integer is not run again.

    Args:
        model: path of the ONNX file.
        target: name of an installed target.
        inputs: one array for each input of the model, batch first.
        labels: int64 [count].
        float_scores: [count, classes] of the float model.
        added: names of steps to measure on top of the default recipe.
        samples: for calibration.
        options: further keyword arguments of `api.compile`.
        threads: of the simulator.
        progress: called with a recipe's label, the number of samples done and of all.

    Raises:
        IntlowerError: the model, the target or the data are at fault.
    """
    chosen = load_target(target)
    steps = chosen.recipe("default", added=added).steps
    rows: list[AblationRow] = []
    compared: tuple[IntegerProgram, Evaluation] | None = None
    for label, some in labelled_recipes(steps):

        def count(done: int, total: int, label: str = label) -> None:
            if progress is not None:
                progress(label, done, total)

        count(0, len(labels))
        begin = time.perf_counter()
        with warnings.catch_warnings():
            # The same for every row; the figures show what it is worth.
            warnings.simplefilter("ignore", CalibrationWarning)
            try:
                program = api.compile(
                    model,
                    target=target,
                    samples=samples,
                    recipe="none",
                    added=some,
                    **(options or {}),
                )
            except LoweringError as error:
                rows.append(_failed(label, some, error, time.perf_counter() - begin))
                continue
        seconds = time.perf_counter() - begin
        unchanged = compared is not None and _same_integers(program, compared[0])
        if compared is not None and unchanged:
            evaluation = compared[1]
        else:
            network = open_integer_program(program, threads)
            scores = class_scores(network, inputs, labels, count)
            evaluation = summarise(scores, labels, float_scores, step=network.step)
        rows.append(
            AblationRow(
                label=label,
                steps=some,
                evaluation=evaluation,
                failure="",
                seconds=seconds,
                unchanged=unchanged,
            )
        )
        if some == steps[: len(some)]:  # grown; the last of these has every step
            compared = (program, evaluation)
    return rows


def _same_integers(program: IntegerProgram, other: IntegerProgram) -> bool:
    return replace(program, origin=other.origin) == other


def _failed(label: str, steps: Steps, error: LoweringError, seconds: float) -> AblationRow:
    return AblationRow(
        label=label, steps=steps, evaluation=None, failure=str(error), seconds=seconds
    )
