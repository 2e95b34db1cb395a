"""What a model sees of a canvas that several models share: resized, its channels mapped, in the range of its own inputs.

A canvas holds numbers in [0, 1]: black and white where models take images, otherwise the least and the greatest number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from intlower.compiler.calibration.input_model import (
    PIXEL_MEAN,
    PIXEL_STD,
    InputEstimate,
    estimate_input,
)
from intlower.compiler.errors import CalibrationError, DataError
from intlower.compiler.graph import Graph
from intlower.compiler.operators import known
from intlower.compiler.synthesis.images import InputModel, input_model

# The one array of a file that holds a canvas; no model's input is called so.
CANVAS = "shared_canvas"

# Source: ITU-R BT.601, the luma of red, green and blue.
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How one model sees a canvas.

        input = black + (white - black) * channels(resize(canvas))

    Attributes:
        name: of the model's only input.
        shape: of one sample, without the batch.
        is_image: whether it takes photographs; if not, only a canvas of its own shape fits.
        reversed_channels: whether it takes blue, green, red.
        black: float32 [C, 1, ...], what 0 on the canvas becomes.
        white: the same of 1.
        mean: float32 [C], of its inputs, on the canvas's scale.
        std: of all channels, on the canvas's scale.
    """

    name: str
    shape: tuple[int, ...]
    is_image: bool
    reversed_channels: bool
    black: torch.Tensor
    white: torch.Tensor
    mean: torch.Tensor
    std: float

    def __call__(
        self, canvas: torch.Tensor, size: tuple[int, ...] | None = None
    ) -> torch.Tensor:
        """Return the model's inputs, float32 [N, C, ...]; differentiable.

        Args:
            canvas: float32 [N, C, ...] in [0, 1].
            size: height and width of the result; None for the model's own.

        Raises:
            CalibrationError: the canvas is of another kind than the model's inputs.
        """
        if not self.is_image:
            if tuple(canvas.shape[1:]) != self.shape:
                raise CalibrationError(
                    f"inputs of shape {list(self.shape)} cannot be made of a canvas of shape "
                    f"{list(canvas.shape[1:])}",
                    "only images are resized; synthesize for this model alone",
                )
            return self.black + (self.white - self.black) * canvas
        if canvas.dim() != 4:
            raise CalibrationError(
                f"images cannot be made of a canvas of shape {list(canvas.shape[1:])}",
                "synthesize for models that take images",
            )
        seen = resize(canvas, *(self.shape[1:] if size is None else size))
        return self.black + (self.white - self.black) * self._channels(seen)

    def _channels(self, pixels: torch.Tensor) -> torch.Tensor:
        given, wanted = pixels.shape[1], self.shape[0]
        if given == 3 and wanted == 1:
            return (pixels * torch.tensor(LUMA).reshape(3, 1, 1)).sum(1, keepdim=True)
        if given == 1 and wanted == 3:
            return pixels.expand(-1, 3, -1, -1)
        if given != wanted:
            raise CalibrationError(
                f"a model of {wanted} channels cannot see a canvas of {given}",
                "only grey and colour are turned into each other",
            )
        return pixels.flip(1) if self.reversed_channels else pixels


def inputs_from(
    graph: Graph, canvas: NDArray[Any], given: tuple[float, float] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Return what a model sees of a canvas that was made for it or for others, by the name of its input.

    Args:
        graph: batch norm folded, moments recorded.
        canvas: float32 [N, C, ...] in [0, 1].
        given: the range of its input, where known.

    Raises:
        CalibrationError: the model has several inputs, or others than can be made of the canvas.
        DataError: the canvas is none.
    """
    if canvas.dtype != np.float32 or canvas.ndim < 2 or 0 in canvas.shape:
        raise DataError(
            f"a shared canvas is {canvas.dtype}{list(canvas.shape)}, not float32[N, C, ...]",
            "make one with 'intlower synthesize'",
        )
    if not (canvas.min() >= 0 and canvas.max() <= 1):
        raise DataError(
            "a shared canvas has numbers outside [0, 1]", "make one with 'intlower synthesize'"
        )
    view = view_of(graph, given)
    with torch.inference_mode():
        return {view.name: view(torch.tensor(canvas)).numpy()}


def view_of(graph: Graph, given: tuple[float, float] | None = None) -> View:
    """Return how a model sees a canvas, from what its first layer tells of its inputs.

    1. Where the statistics fit a preprocessing of pixels, black and white are its.
    2. Of three channels that fit none, those for which mean and std are those of photographs.
    3. Otherwise the canvas spans the inputs' range.

    Args:
        graph: batch norm folded, moments recorded.
        given: the range of the input, where the caller knows it; then black and white are its ends.

    Raises:
        CalibrationError: the model has several inputs.
    """
    if len(graph.inputs) != 1:
        raise CalibrationError(
            f"a canvas can be shared by models of one input only, not of {len(graph.inputs)}",
            "calibrate this model alone with compile --synthesize",
        )
    (value,) = graph.inputs
    model = input_model(graph, value, given)
    estimate = estimate_input(graph, value.name)
    black, white = _ends(model, estimate, given)
    span = white - black
    return View(
        name=value.name,
        shape=tuple(known(size) for size in value.shape[1:]),
        is_image=model.is_image,
        reversed_channels=estimate is not None and estimate.is_bgr,
        black=black,
        white=white,
        mean=((model.mean - black) / span).flatten(),
        std=model.std / float(span.mean()),
    )


def _ends(
    model: InputModel,
    estimate: InputEstimate | None,
    given: tuple[float, float] | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    if given is None and estimate is not None and estimate.box is not None:  # 1
        black, white = (
            np.broadcast_to(end, (len(model.mean),)).reshape(model.mean.shape)
            for end in estimate.box
        )
        return torch.tensor(black, dtype=torch.float32), torch.tensor(
            white, dtype=torch.float32
        )
    if given is None and model.is_image:  # 2
        per_pixel = model.std / PIXEL_STD
        return model.mean - per_pixel * PIXEL_MEAN, model.mean + per_pixel * (1 - PIXEL_MEAN)
    return (  # 3
        torch.full_like(model.mean, model.minimum),
        torch.full_like(model.mean, model.maximum),
    )


def resize(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return images of another size, by linear interpolation with anti-aliasing; differentiable.

    Args:
        images: float32 [N, C, H, W].
        height: of the result.
        width: of the result.

    Source: Pillow, Resample.c (precompute_coeffs with the bilinear filter), which torch's interpolate(antialias=True) follows.
    """
    rows, columns = images.shape[2:]
    if height != rows:
        images = resize_matrix(rows, height) @ images
    if width != columns:
        images = images @ resize_matrix(columns, width).T
    return images


def resize_matrix(source: int, target: int) -> torch.Tensor:
    """Return the weights of each of `source` numbers in each of `target`: float32 [target, source], rows of sum 1.

    >>> [round(weight, 3) for weight in resize_matrix(4, 2)[0].tolist()]
    [0.429, 0.429, 0.143, 0.0]
    """
    scale = source / target
    support = max(scale, 1.0)
    centers = (np.arange(target)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(source)[None, :] + 0.5 - centers) / support
    weights = np.maximum(1.0 - distance, 0.0)
    return torch.tensor(weights / weights.sum(axis=1, keepdims=True), dtype=torch.float32)
