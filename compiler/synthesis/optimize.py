"""The optimization of one group of synthetic inputs: Adam on the numbers themselves, in stages."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from intlower.compiler.synthesis.adam import Adam, schedule
from intlower.compiler.synthesis.gradients import check_start, input_gradients, of_unit_length
from intlower.compiler.synthesis.images import InputModel, jittered
from intlower.compiler.synthesis.teacher import Objective, Teacher

# Steps that tell how long a step takes.
PROBES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of the schedule.

    Attributes:
        teacher: at the stage's size of input.
        steps: at most.
        rate: of the first steps, in deviations of the input.
        jitter: the share of the steps in which images are shifted and mirrored.
        share: of the time budget that is left when the stage begins.
    """

    teacher: Teacher
    steps: int
    rate: float
    jitter: float
    share: float


@dataclass(slots=True, kw_only=True)
class Track:
    """What happened to one group.

    Attributes:
        losses: the matching loss before each step, over all stages.
        shortened: whether the budget left out steps.
    """

    losses: list[float] = field(default_factory=list)
    shortened: bool = False


def optimize(
    stage: Stage,
    images: Mapping[str, torch.Tensor],
    models: Sequence[InputModel],
    objective: Objective,
    labels: torch.Tensor | None,
    level: float,
    generator: torch.Generator,
    deadline: float,
    track: Track,
    progress: Callable[[str], None],
) -> dict[str, torch.Tensor]:
    """Return inputs whose matching loss is at most `level`, or as low as the stage brings it.

    Args:
        stage: network, steps and rate.
        images: float32 [N, ...], where to begin, for each graph input.
        models: of the graph inputs.
        objective: what to minimize.
        labels: of a classifier.
        level: the matching loss at which to stop.
        generator: of the random choices.
        deadline: of the stage, on `time.monotonic`.
        track: is extended.
        progress: called with a line for each step.

    Raises:
        CalibrationError: no derivative reaches the inputs, or the network's values are not finite.
    """
    current = {name: tensor.clone() for name, tensor in images.items()}
    adam = {name: Adam(tensor) for name, tensor in current.items()}
    steps, begin = stage.steps, time.monotonic()
    for step in range(stage.steps + 1):
        now = time.monotonic()
        if step == PROBES and now + (steps - step) * (now - begin) / step > deadline:
            steps = step + max(0, int((deadline - now) / (now - begin) * step))
            track.shortened = True
        if now >= deadline and track.losses:  # one loss is always measured
            track.shortened = True
            break
        moving = step < stage.jitter * steps
        leaves = {model.name: current[model.name].requires_grad_() for model in models}
        shown = {
            model.name: jittered(leaves[model.name], generator)
            if moving and model.is_image
            else leaves[model.name]
            for model in models
        }
        total, matching = stage.teacher.losses(shown, objective, labels)
        track.losses.append(float(matching))
        if step >= steps or (not moving and track.losses[-1] <= level):
            break
        gradients = input_gradients(total, list(leaves.values()))
        if step == 0:
            check_start(track.losses[-1], gradients, stage.teacher.graph)
        spent = (now - begin) / step * (steps - step) if step else math.nan
        left = f", {spent:.0f} s left" if step else ""
        progress(f"step {step} of {steps}, loss {track.losses[-1]:.4f}{left}")
        rate = stage.rate * schedule(step, steps)
        with torch.no_grad():
            for model, gradient in zip(models, gradients, strict=True):
                name = model.name
                direction = adam[name].direction(of_unit_length(gradient))
                current[name] = (leaves[name] - rate * model.std * direction).clamp_(
                    model.minimum, model.maximum
                )
    return {name: tensor.detach() for name, tensor in current.items()}
