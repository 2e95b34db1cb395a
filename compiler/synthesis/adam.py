"""The optimizer of synthetic inputs: Adam with a memory for a hundred steps, and its schedule of rates."""

from __future__ import annotations

import math

import torch

# Adam's decay of the mean gradient and of the mean square. Source of the latter: gradients change with the images, so
# that the usual 0.999 remembers too long for a hundred steps.
MOMENTUM, SQUARES = 0.9, 0.99

# Steps over which the rate rises, and the share of it that is left at the end of the cosine.
WARM_UP, LAST_RATE = 5, 0.02


class Adam:
    """The running means of one tensor's gradients.

    Args:
        like: a tensor of the same shape.
    """

    def __init__(self, like: torch.Tensor) -> None:
        self._first = torch.zeros_like(like)
        self._second = torch.zeros_like(like)
        self._steps = 0

    def direction(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return where the gradients point, each number about 1 in size; take this one into account."""
        self._steps += 1
        self._first.lerp_(gradient, 1 - MOMENTUM)
        self._second.lerp_(gradient.square(), 1 - SQUARES)
        mean = self._first / (1 - MOMENTUM**self._steps)
        deviation = (self._second / (1 - SQUARES**self._steps)).sqrt_()
        return mean / deviation.clamp_min_(1e-12)


def schedule(step: int, steps: int) -> float:
    """Return the rate of a step as a share of the stage's: a short rise, then a cosine.

    >>> [round(schedule(step, 100), 2) for step in (0, 4, 50, 99)]
    [0.2, 1.0, 0.51, 0.02]
    """
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / max(steps, 1))
    return min(1.0, (step + 1) / WARM_UP) * (LAST_RATE + (1 - LAST_RATE) * cosine)
