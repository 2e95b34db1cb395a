"""Where synthetic inputs begin, what keeps them legal, and how they grow and move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from intlower.compiler.calibration.input_model import estimate_input
from intlower.compiler.graph import Graph, Value
from intlower.compiler.operators import known

# How much of the noise is common to all channels of an image: photographs are nearly grey.
COMMON, OWN = 0.9, 0.4

# The largest shift in pixels, along each axis.
JITTER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class InputModel:
    """What the inputs called `name` may and should look like.

    Attributes:
        name: of the graph input.
        mean: float32 [C, 1, ...], of each channel.
        std: of all channels.
        minimum: the least legal number.
        maximum: the greatest.
        is_image: whether flips and shifts keep the meaning.
    """

    name: str
    mean: torch.Tensor
    std: float
    minimum: float
    maximum: float
    is_image: bool


def input_model(graph: Graph, value: Value, given: tuple[float, float] | None) -> InputModel:
    """Return what the first layer tells of an input; standard normal numbers where it tells nothing.

    Args:
        graph: batch norm folded, moments recorded.
        value: the graph input.
        given: its range, where the caller knows it.
    """
    estimate = estimate_input(graph, value.name)
    if estimate is None:
        mean, std = np.zeros(1), 1.0
        low, high = (-5.0, 5.0) if given is None else given
    else:
        mean, std = estimate.mean, estimate.std
        found = estimate.range
        low, high = (found.minimum, found.maximum) if given is None else given
    channels = known(value.shape[1]) if len(value.shape) > 1 else 1
    shape = (channels, *(1,) * (len(value.shape) - 2))
    pixels = channels == 3 or (estimate is not None and estimate.is_image)
    return InputModel(
        name=value.name,
        mean=torch.tensor(
            np.broadcast_to(mean, (channels,)).reshape(shape), dtype=torch.float32
        ),
        std=std,
        minimum=low,
        maximum=high,
        is_image=len(value.shape) == 4 and pixels,
    )


def initial_noise(
    model: InputModel, shape: tuple[int, ...], generator: torch.Generator
) -> torch.Tensor:
    """Return noise with the input's mean and std, limited to its range.

    Over height and width its spectrum falls as 1/f, as that of photographs does (pink noise); other inputs get white
    noise.

    Args:
        model: of the input.
        shape: (N, C, ...).
        generator: of the random numbers.
    """
    noise = torch.randn(shape, generator=generator)
    if len(shape) == 4:
        noise = OWN * noise + COMMON * torch.randn(
            (shape[0], 1, *shape[2:]), generator=generator
        )
        height, width = shape[2:]
        frequency = torch.hypot(
            torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None, :]
        ).clamp_min(1.0 / max(height, width))
        noise = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency, s=(height, width))
        noise = noise / noise.std(correction=0).clamp_min(1e-6)
    return (model.mean + model.std * noise).clamp(model.minimum, model.maximum)


def quilted(
    images: torch.Tensor, height: int, width: int, generator: torch.Generator
) -> torch.Tensor:
    """Return as many larger images, each sewn of several of the given in random order, mirrored at random.

    Texture keeps its scale and its place on the grid of the strides, so that statistics survive; enlarging the images would
    blur it.

    Args:
        images: float32 [N, C, h, w].
        height: of the result.
        width: of the result.
        generator: of the random choices.
    """
    count, _, rows, columns = images.shape

    def shuffled() -> torch.Tensor:
        order = torch.randperm(count, generator=generator)
        mirror = torch.rand((count, 1, 1, 1), generator=generator) < 0.5
        return torch.where(mirror, images.flip(3), images)[order]

    bands = [
        torch.cat([shuffled() for _ in range(-(-width // columns))], dim=3)
        for _ in range(-(-height // rows))
    ]
    return torch.cat(bands, dim=2)[:, :, :height, :width].contiguous()


def jittered(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the batch shifted by a few pixels, around the edges, and mirrored half of the time.

    Args:
        images: float32 [N, C, H, W].
        generator: of the random choices.
    """
    shifts = torch.randint(-JITTER, JITTER + 1, (2,), generator=generator).tolist()
    mirror = bool(torch.rand((), generator=generator) < 0.5)
    return moved(images, (shifts[0], shifts[1]), mirror)


def moved(images: torch.Tensor, shifts: tuple[int, int], mirror: bool) -> torch.Tensor:
    """Return [..., H, W] rolled down and right, then mirrored left to right or not."""
    rolled = torch.roll(images, shifts, (-2, -1))
    return rolled.flip(-1) if mirror else rolled
