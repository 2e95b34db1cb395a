"""What numbers a network's input may hold, where its file does not say: preprocessings of pixels, or numbers about 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.calibration.input_model import (
    PIXEL_BOXES,
    profile_range,
    weights_profile,
)
from intlower.compiler.calibration.input_profile import Profile
from intlower.compiler.calibration.ranges import Range
from intlower.compiler.graph import Graph, Moments, Value
from intlower.compiler.operators import known
from intlower.compiler.synthesis.observe import observed_moments
from intlower.compiler.synthesis.scenes import pink_noise, scenes

Arrays = Mapping[str, NDArray[np.float32]]

# The white of a box beyond which its pixels are counted in bytes.
BYTES = 10.0

# Deviations tried of numbers that are no pixels, and half the width of their box in them.
DEVIATIONS, REACH = (1.0, 4.0, 16.0, 64.0), 5.0

# By how much livelier the rarer assumptions (bytes, numbers far from 1) must leave the layers to be believed.
EVIDENCE = 0.5


@dataclass(frozen=True, slots=True)
class Box:
    """One preprocessing.

    Attributes:
        name: in words.
        low: float64 [C], the least number of each channel.
        high: likewise the greatest.
    """

    name: str
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Assumption:
    """What an input may hold.

    Attributes:
        boxes: preprocessings of one order of magnitude, any of which may be meant.
        pixels: whether images fill them, or numbers about their middle.
        rare: whether only evidence speaks for it.
        profile: what each row or column is like, where that is known; there is one box then.
    """

    boxes: tuple[Box, ...]
    pixels: bool
    rare: bool
    profile: Profile | None = None

    @property
    def middle(self) -> Box:
        """The box that stands for all of them."""
        return self.boxes[len(self.boxes) // 2]

    @property
    def range(self) -> Range:
        """The least range that holds every box."""
        low = min(float(box.low.min()) for box in self.boxes)
        high = max(float(box.high.max()) for box in self.boxes)
        return Range(low, high, f"taken as {self.describe(low, high)}")

    def describe(self, low: float, high: float) -> str:
        """Return the assumption in words."""
        if len(self.boxes) == 1:
            return self.boxes[0].name
        return f"pixels, of a usual preprocessing within [{low:.3g}, {high:.3g}]"


def assumptions(value: Value, given: tuple[float, float] | None) -> list[Assumption]:
    """Return what an input may hold, the most usual first.

    1. An input [N, C, H, W] of 1 or 3 channels may take pixels: about 1, or bytes. One of 3 channels takes nothing else.
    2. Any other may take numbers about 0, of some deviation.
    3. A given range leaves the preprocessings that have it, or itself: pixels where (1) says so, else numbers.

    Args:
        value: the graph input.
        given: its range, where it is known.
    """
    channels = known(value.shape[1]) if len(value.shape) > 1 else 1
    image = len(value.shape) == 4 and channels in (1, 3)
    boxes = _pixel_boxes(channels) if image else ()
    if given is not None:
        meant = tuple(b for b in boxes if np.allclose((b.low.min(), b.high.max()), given, 0.01))
        low, high = (np.full(channels, end, np.float64) for end in given)
        plain = Box(f"numbers in [{given[0]:g}, {given[1]:g}]", low, high)
        return [Assumption(meant or (plain,), pixels=image, rare=False)]
    found: list[Assumption] = []
    if image:
        small = tuple(box for box in boxes if box.high.max() <= BYTES)
        large = tuple(box for box in boxes if box.high.max() > BYTES)
        found = [Assumption(small, True, False), Assumption(large, True, True)]
    if channels != 3 or not image:
        for deviation in DEVIATIONS:
            half = np.full(channels, REACH * deviation)
            box = Box(f"numbers about 0 of deviation {deviation:g}", -half, half)
            found.append(Assumption((box,), False, image or deviation != DEVIATIONS[0]))
    return found


def _pixel_boxes(channels: int) -> tuple[Box, ...]:
    """Return every preprocessing, for one channel by the mean of its channels."""
    boxes: list[Box] = []
    for name, black, white in PIXEL_BOXES:
        if channels == 1:
            black, white = black.mean(keepdims=True), white.mean(keepdims=True)
        low, high = (
            np.broadcast_to(end, (channels,)).astype(np.float64) for end in (black, white)
        )
        boxes.append(Box(name, low, high))
    return tuple(boxes)


def pictures(
    value: Value, assumed: Assumption, count: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return what is to be put into a box, [count, ...] in [0, 1].

    Images where pixels are assumed; else numbers about the middle, as far apart as REACH says, neighbours alike where there are
    rows and columns; or with the mean and the spread of each row or column, those of one alike.

    Args:
        value: the graph input.
        assumed: what it holds.
        count: how many.
        generator: of the random numbers.
    """
    shape = tuple(known(size) for size in value.shape[1:])
    if assumed.profile is not None:
        drawn = [
            _by_place(assumed.profile, shape[1], shape[2], generator) for _ in range(count)
        ]
        low, high = (float(end[0]) for end in (assumed.middle.low, assumed.middle.high))
        return np.clip((np.stack(drawn) - low) / (high - low), 0, 1).astype(np.float32)
    if assumed.pixels:
        return scenes(count, shape[0], shape[1], shape[2], generator)
    if len(shape) == 3:
        noise = np.stack([pink_noise(*shape, generator, clipped=False) for _ in range(count)])
    else:
        noise = generator.standard_normal((count, *shape))
    return np.clip(0.5 + noise / (2 * REACH), 0, 1).astype(np.float32)


def _by_place(
    profile: Profile, height: int, width: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return one input of one channel: pink noise in each place by itself, [1, height, width]."""
    across = width if profile.axis == 0 else height
    noise = [pink_noise(1, across, 1, generator, clipped=False)[0, :, 0] for _ in profile.mean]
    places = profile.mean[:, None] + profile.std[:, None] * np.stack(noise)
    return (places if profile.axis == 0 else places.T)[None]


def likely(graph: Graph, name: str, choices: Mapping[str, list[Assumption]]) -> Assumption:
    """Return the assumption under which the layers are liveliest.

    Channels stand still where numbers are far smaller than the network expects, for biases alone decide then; and where they are
    far greater, most are limited or grow in step. Measured by the mean over layers and channels of

        log(1 + (mean / std)**2)

    to which EVIDENCE is added for a rare assumption. Other inputs hold the first of theirs. Where the first layer's weights
    tell rows or columns apart, see `weights_profile`, that is assumed in the place of numbers alike.

    Args:
        graph: batch norm folded.
        name: of the input.
        choices: for every input.
    """
    if len(choices[name]) == 1:
        return choices[name][0]
    profile = weights_profile(graph, name)
    if profile is not None:
        return _of_profile(profile)
    held = [
        _stillness(graph, name, one, choices) + EVIDENCE * one.rare for one in choices[name]
    ]
    return choices[name][int(np.argmin(held))]


def _of_profile(profile: Profile) -> Assumption:
    found = profile_range(profile)
    low, high = (np.array([end]) for end in (found.minimum, found.maximum))
    places = ("rows", "columns")[profile.axis]
    box = Box(f"numbers of which {places} differ as the first layer's weights do", low, high)
    return Assumption((box,), pixels=False, rare=False, profile=profile)


def _stillness(
    graph: Graph, name: str, one: Assumption, choices: Mapping[str, list[Assumption]]
) -> float:
    batch = max(value.shape[0] or 2 for value in graph.inputs)
    inputs: dict[str, NDArray[np.float32]] = {}
    for value in graph.inputs:
        assumed = one if value.name == name else choices[value.name][0]
        drawn = pictures(value, assumed, batch, np.random.default_rng(0))
        inputs[value.name] = placed(drawn, assumed.middle)
    return stillness(
        {k: m for k, m in observed_moments(graph, inputs).items() if k not in inputs}
    )


def stillness(moments: Mapping[str, Moments]) -> float:
    """Return the mean over layers and live channels of log(1 + (mean / std)**2); infinite where every channel is dead."""
    layers: list[float] = []
    for found in moments.values():
        mean, std = found.mean.array, found.std.array
        alive = std > 1e-3 * np.median(std)
        if alive.any() and np.isfinite(mean).all() and np.isfinite(std).all():
            layers.append(float(np.log1p(np.square(mean[alive] / std[alive])).mean()))
    return float(np.mean(layers)) if layers else float("inf")


def placed(drawn: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    """Return pictures with black and white put at the ends of a box."""
    shape = (-1, *(1,) * (drawn.ndim - 2)) if drawn.ndim > 1 else (-1,)
    low, high = box.low.reshape(shape), box.high.reshape(shape)
    return (low + (high - low) * drawn).astype(np.float32)
