"""Pictures of nothing: random scenes with the statistics that photographs share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration.input_model import PIXEL_MEAN, PIXEL_STD

Image = NDArray[np.float64]

# The leaves of an image cover it so many times; what is left bare shows the background.
LAYERS = 3.0

# The radius of leaves, from a share of the shorter side to half of it, and the least in pixels.
LEAST_RADIUS, LEAST_PIXELS = 1 / 64, 1.0

# How much of pink noise is common to all channels, and how much is each one's own: photographs are nearly grey.
COMMON, OWN = 0.9, 0.4


def scenes(
    count: int, channels: int, height: int, width: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return images of which every other one is of dead leaves, the rest of pink noise.

    The former have the edges and flat areas of photographs, the latter their spectrum; on the networks of
    docs/accuracy.md both together told more of the statistics of layers than either alone.

    Args:
        count: how many.
        channels: of each.
        height: in pixels.
        width: in pixels.
        generator: of the random numbers.

    Returns:
        float32 [count, channels, height, width] in [0, 1].
    """
    makers = (dead_leaves, pink_noise)
    images = [makers[i % 2](channels, height, width, generator) for i in range(count)]
    return np.stack(images).astype(np.float32)


def dead_leaves(
    channels: int, height: int, width: int, generator: np.random.Generator
) -> Image:
    """Return an image of ellipses that lie on each other, of all sizes: float64 [channels, height, width] in [0, 1].

    The density of radii falls with the third power, so that the image looks alike at every scale. Each leaf has a colour near
    grey and a slope of brightness.

    Source: Lee, Mumford, Huang, Occlusion models for natural images, International Journal of Computer Vision 2001.
    """
    shorter = min(height, width)
    greatest = max(shorter / 2, 2 * LEAST_PIXELS)
    least = max(shorter * LEAST_RADIUS, LEAST_PIXELS)
    image = np.broadcast_to(_colour(channels, generator), (channels, height, width)).copy()
    covered = 0.0
    while covered < LAYERS * height * width:
        share = generator.random()
        radius = 1 / np.sqrt(share / least**2 + (1 - share) / greatest**2)
        shape = generator.uniform(0.3, 1.0)
        covered += np.pi * radius**2 * shape
        row, column = generator.uniform(0, height), generator.uniform(0, width)
        top, left = max(int(row - radius), 0), max(int(column - radius), 0)
        bottom, right = int(row + radius) + 2, int(column + radius) + 2
        area = image[:, top:bottom, left:right]
        rows = np.arange(top, top + area.shape[1])[:, None] - row
        columns = np.arange(left, left + area.shape[2])[None, :] - column
        angle = generator.uniform(0, np.pi)
        along = (columns * np.cos(angle) + rows * np.sin(angle)) / radius
        across = (rows * np.cos(angle) - columns * np.sin(angle)) / (radius * shape)
        leaf = _colour(channels, generator) + generator.normal(0, 0.1) * along
        np.copyto(area, np.clip(leaf, 0, 1), where=along**2 + across**2 < 1)
    grain = 0.02 * generator.standard_normal(image.shape)
    return np.clip(image + grain, 0, 1)


def _colour(channels: int, generator: np.random.Generator) -> Image:
    tint = 0.12 * generator.standard_normal((channels, 1, 1)) if channels > 1 else 0.0
    return np.clip(generator.beta(1.1, 1.3) + tint, 0, 1) * np.ones((channels, 1, 1))


def pink_noise(
    channels: int,
    height: int,
    width: int,
    generator: np.random.Generator,
    *,
    clipped: bool = True,
) -> Image:
    """Return noise whose spectrum falls as 1/f: float64 [channels, height, width].

    Args:
        channels: of the image.
        height: in pixels.
        width: in pixels.
        generator: of the random numbers.
        clipped: with the mean and spread of pixels, in [0, 1]; else of mean 0 and deviation 1.
    """
    noise = OWN * generator.standard_normal((channels, height, width))
    noise += COMMON * generator.standard_normal((1, height, width))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    spectrum = np.fft.rfft2(noise) / np.maximum(frequency, 1 / max(height, width))
    pink = np.fft.irfft2(spectrum, s=(height, width))
    pink /= max(float(pink.std()), 1e-12)
    return np.clip(PIXEL_MEAN + PIXEL_STD * pink, 0, 1) if clipped else pink
