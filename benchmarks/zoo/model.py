"""What an entry of the zoo is."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

Shape = tuple[int | None, ...]

SAMPLES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooModel:
    """A network that somebody published, and how to get it as ONNX.

    Attributes:
        name: unique in the zoo; a file name.
        package: the distribution that ships the network or the code that builds it.
        origin: where it is from and whose weights it has, in a few words.
        make: returns the model; needs the package.
        shapes: of graph inputs that the file leaves open.
        image: (least, greatest) of the inputs that it was made for.
        text: whether it reads text: noise would leave it silent.
    """

    name: str
    package: str
    origin: str
    make: Callable[[], onnx.ModelProto]
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    image: tuple[float, float] = (-2.0, 2.0)
    text: bool = False

    def inputs(self, shape: Shape, count: int, seed: int) -> NDArray[np.float32]:
        """Return inputs of one name: noise or text.

        Args:
            shape: of the graph input, batch first.
            count: number of samples.
            seed: of what is drawn.
        """
        draw = text_images if self.text else images
        return draw(tuple(d or 1 for d in shape[1:]), count, seed, self.image)

    @property
    def version(self) -> str:
        """The version of the package, empty where it is not installed."""
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return ""


def package_file(module: str, *parts: str) -> Path:
    """Return the path of a file that a package ships, without importing the package.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"{module} is not installed", name=module)
    return Path(found.origin).parent.joinpath(*parts)


def images(
    shape: tuple[int, ...], count: int, seed: int, bounds: tuple[float, float] = (-2.0, 2.0)
) -> NDArray[np.float32]:
    """Return noise that is smooth along the last two axes, as pictures are: blocks of 8, 4, 2 and 1 elements.

    Args:
        shape: of one sample.
        count: number of samples.
        seed: of the noise.
        bounds: what values are clipped to; half as wide as four standard deviations of the noise.
    """
    random = np.random.default_rng(seed)
    total = np.zeros((count, *shape), np.float32)
    scales = (8, 4, 2, 1) if len(shape) >= 2 else (1,)
    for scale in scales:
        coarse = [*shape[:-2], *(-(-size // scale) for size in shape[-2:])]
        noise = random.standard_normal((count, *coarse), np.float32)
        for axis, size in zip((-1, -2), reversed(shape[-2:]), strict=False):
            noise = np.repeat(noise, scale, axis)
            noise = np.take(noise, range(size), axis)
        total += noise / np.float32(len(scales) ** 0.5)
    low, high = bounds
    return np.clip(
        total * np.float32((high - low) / 4) + np.float32((high + low) / 2), low, high
    ).astype(np.float32)


def text_images(
    shape: tuple[int, ...], count: int, seed: int, bounds: tuple[float, float]
) -> NDArray[np.float32]:
    """Return dark digits and letters on a light ground.

    Args:
        shape: (channels, height, width) of one sample.
        count: number of samples.
        seed: of the letters.
        bounds: the numbers of ink and ground.
    """
    from PIL import Image, ImageDraw, ImageFont

    random = np.random.default_rng(seed)
    letters = list("abcdefghijkmnpqrstuvwxyzABCDEFGHKLMNPRTUVWXYZ23456789")
    font = ImageFont.load_default(30)
    pages = []
    for _ in range(count):
        page = Image.new("L", (shape[2], shape[1]), 255)
        pen = ImageDraw.Draw(page)
        for top in range(6, shape[1] - 30, 40):
            pen.text((8, top), "".join(random.choice(letters, 8)), font=font, fill=0)
        pages.append(np.asarray(page, np.float32) / 255)
    low, high = bounds
    gray = np.stack(pages)[:, None] * np.float32(high - low) + np.float32(low)
    return np.repeat(gray, shape[0], axis=1)
