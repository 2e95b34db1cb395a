from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_with_statistics import NetworkWithStatistics, pictures, small_classifier

from intlower.compiler.errors import CalibrationError, DataError
from intlower.compiler.graph import Graph, Node, Value
from intlower.compiler.operators import Add, Conv
from intlower.compiler.synthesis.view import (
    View,
    inputs_from,
    resize,
    resize_matrix,
    view_of,
)

LENGTH = st.integers(1, 20)
# torch 2.13 repeats the first row where the image or the result is one pixel wide.
SIDE = st.integers(2, 20)


@given(size=st.tuples(SIDE, SIDE), target=st.tuples(SIDE, SIDE))
@settings(deadline=None, max_examples=40)
def test_resizing_is_torch_s_interpolation_with_anti_aliasing(
    size: tuple[int, int], target: tuple[int, int]
) -> None:
    images = torch.rand((2, 3, *size), generator=torch.Generator().manual_seed(0))
    expected = functional.interpolate(images, target, mode="bilinear", antialias=True)
    assert torch.allclose(resize(images, *target), expected, atol=1e-5)


@given(source=LENGTH, target=LENGTH)
def test_resizing_keeps_a_plain_image_and_its_box(source: int, target: int) -> None:
    weights = resize_matrix(source, target)
    assert weights.min() >= 0
    assert torch.allclose(weights.sum(1), torch.ones(target), atol=1e-6)


def view(channels: int, *, backwards: bool = False, is_image: bool = True) -> View:
    ends = torch.arange(2.0 * channels).reshape(2, channels, 1, 1)
    return View(
        name="x",
        shape=(channels, 4, 6),
        is_image=is_image,
        reversed_channels=backwards,
        black=-ends[0],
        white=ends[1],
        mean=torch.full((channels,), 0.5),
        std=0.25,
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shared", [1, 3])
def test_black_and_white_stay_so_whatever_the_size_and_the_channels(
    channels: int, shared: int
) -> None:
    seen = view(channels)
    for colour, expected in ((0.0, seen.black), (1.0, seen.white)):
        inputs = seen(torch.full((2, shared, 9, 5), colour))
        assert inputs.shape == (2, channels, 4, 6)
        assert torch.allclose(inputs, expected.expand_as(inputs), atol=1e-5)


def test_a_derivative_reaches_every_pixel() -> None:
    canvas = torch.rand((1, 3, 9, 7)).requires_grad_()
    (slope,) = torch.autograd.grad(view(3)(canvas, (2, 2)).sum(), canvas)
    assert slope.shape == canvas.shape
    assert (slope[:, 1:] > 0).all()  # the first channel's black is its white here


def test_a_model_of_blue_first_sees_blue_first() -> None:
    canvas = torch.rand((1, 3, 4, 6))
    forwards, backwards = view(3), view(3, backwards=True)
    assert torch.allclose(forwards(canvas), backwards(canvas.flip(1)))


def test_a_canvas_that_cannot_be_seen_is_refused() -> None:
    with pytest.raises(CalibrationError, match="of 3 channels cannot see a canvas of 2"):
        view(3)(torch.zeros((1, 2, 4, 6)))
    with pytest.raises(CalibrationError, match="images cannot be made"):
        view(3)(torch.zeros((1, 12)))
    with pytest.raises(CalibrationError, match="cannot be made of a canvas of shape"):
        view(1, is_image=False)(torch.zeros((1, 1, 4, 7)))


def test_pixels_in_the_unit_range_are_seen_as_they_are() -> None:
    graph = small_classifier()
    seen = view_of(graph)
    assert seen.is_image
    canvas = np.random.default_rng(0).random((2, 3, 16, 16), np.float32)
    assert np.array_equal(inputs_from(graph, canvas)["x"], canvas)
    assert seen.std == pytest.approx(pictures(64, 3, 16, 16).std(), rel=0.3)


def test_a_range_that_is_known_decides() -> None:
    canvas = np.array([0.0, 1.0], np.float32).reshape(2, 1, 1, 1)
    seen = inputs_from(small_classifier(), canvas, (-7.0, 9.0))["x"]
    assert seen.shape == (2, 3, 16, 16)
    assert np.unique(seen).tolist() == [-7.0, 9.0]


def test_colours_that_fit_no_preprocessing_are_taken_for_photographs() -> None:
    network = NetworkWithStatistics((None, 3, 8, 8))
    network.add(Conv(), "x", (12, 3, 3, 3))
    network.add(Conv(), "v0", (4, 12, 1, 1))
    seen = view_of(network.graph(1000 + 400 * pictures(32, 3, 8, 8)))
    assert seen.is_image
    assert torch.allclose(seen.mean, torch.full((3,), 0.46), atol=0.01)
    assert (seen.black > 900).all()
    assert (seen.white < 1600).all()


def test_a_model_of_two_inputs_has_no_view() -> None:
    graph = Graph(
        inputs=(Value(name="a", shape=(None, 3)), Value(name="b", shape=(None, 3))),
        outputs=("y",),
        nodes=(Node(name="y", operator=Add(), inputs=("a", "b"), output="y"),),
        constants={},
    )
    with pytest.raises(CalibrationError, match="one input only, not of 2"):
        view_of(graph)


@pytest.mark.parametrize(
    "canvas",
    [
        np.zeros((2, 3, 16, 16)),
        np.zeros((0, 3, 16, 16), np.float32),
        np.full((1, 3, 16, 16), 1.5, np.float32),
        np.full((1, 3, 16, 16), -0.5, np.float32),
        np.full((1, 3, 16, 16), np.nan, np.float32),
    ],
)
def test_what_is_no_canvas_is_refused(canvas: np.ndarray) -> None:
    with pytest.raises(DataError, match="a shared canvas"):
        inputs_from(small_classifier(), canvas)
