"""The optimization of one group of synthetic inputs: Adam on the numbers themselves, in stages."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from intlower.compiler.synthesis.images import InputModel, jittered
from intlower.compiler.synthesis.teacher import Objective, Teacher

# Adam's decay of the mean gradient and of the mean square. Source of the latter: gradients change with the images, so
# that the usual 0.999 remembers too long for a hundred steps.
MOMENTUM, SQUARES = 0.9, 0.99

# Steps over which the rate rises, and the share of it that is left at the end of the cosine.
WARM_UP, LAST_RATE = 5, 0.02

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
    """
    current = {name: tensor.clone() for name, tensor in images.items()}
    first = {name: torch.zeros_like(tensor) for name, tensor in current.items()}
    second = {name: torch.zeros_like(tensor) for name, tensor in current.items()}
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
        gradients = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
        spent = (now - begin) / step * (steps - step) if step else math.nan
        left = f", {spent:.0f} s left" if step else ""
        progress(f"step {step} of {steps}, loss {track.losses[-1]:.4f}{left}")
        rate = stage.rate * schedule(step, steps)
        with torch.no_grad():
            for model, gradient in zip(models, gradients, strict=True):
                name = model.name
                first[name].lerp_(gradient, 1 - MOMENTUM)
                second[name].lerp_(gradient.square(), 1 - SQUARES)
                mean = first[name] / (1 - MOMENTUM ** (step + 1))
                deviation = (second[name] / (1 - SQUARES ** (step + 1))).sqrt_()
                direction = mean / deviation.clamp_min_(1e-12)
                current[name] = (leaves[name] - rate * model.std * direction).clamp_(
                    model.minimum, model.maximum
                )
    return {name: tensor.detach() for name, tensor in current.items()}


def schedule(step: int, steps: int) -> float:
    """Return the rate of a step as a share of the stage's: a short rise, then a cosine.

    >>> [round(schedule(step, 100), 2) for step in (0, 4, 50, 99)]
    [0.2, 1.0, 0.51, 0.02]
    """
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / max(steps, 1))
    return min(1.0, (step + 1) / WARM_UP) * (LAST_RATE + (1 - LAST_RATE) * cosine)
