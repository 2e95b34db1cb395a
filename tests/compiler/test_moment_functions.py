"""Moments of functions, products and resampling, against samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from graph_building import graph_of

from intlower.compiler.evaluate import forward
from intlower.compiler.graph import Moments
from intlower.compiler.moments import propagate_moments
from intlower.compiler.operators import (
    LRN,
    Add,
    AnyOperator,
    ConvTranspose,
    DepthToSpace,
    Elementwise,
    Function,
    InstanceNormalization,
    LayerNormalization,
    Mul,
    Pad,
    PadMode,
    PRelu,
    Reduce,
    Reduction,
    Resize,
    Shape,
    SpaceToDepth,
    Sub,
    Transpose,
)

RANDOM = np.random.default_rng(0)
SHAPE: Shape = (None, 4, 3, 2)
MEAN, STD = np.array([0.5, -1.0, 2.0, 0.0]), np.array([1.0, 0.5, 2.0, 0.1])
SAMPLES = 20_000


def assert_moments(
    operator: AnyOperator,
    names: str = "x",
    constants: dict[str, Any] | None = None,
    *,
    upper: bool = False,
    inputs: int = 1,
) -> None:
    shapes = dict.fromkeys(["x", "z"][:inputs], SHAPE)
    graph = graph_of(shapes, [(operator, names, "y")], "y", constants)
    known = propagate_moments(graph, dict.fromkeys(shapes, Moments.of(MEAN, STD)))["y"].after
    per_channel = (-1, 1, 1)
    tensors = {
        name: torch.from_numpy(
            RANDOM.normal(size=(SAMPLES, 4, 3, 2)) * STD.reshape(per_channel)
            + MEAN.reshape(per_channel)
        )
        for name in shapes
    }
    y = forward(graph, tensors)["y"].numpy()
    channels = np.moveaxis(y, 1, 0).reshape(y.shape[1], -1)
    scale = np.abs(channels).max()
    # Of 20,000 samples a mean is known to a hundredth of a std, and a std to less than that.
    np.testing.assert_allclose(known.mean.array, channels.mean(1), atol=0.01 * scale, rtol=0.02)
    found = channels.std(1)
    if upper:
        assert (known.std.array >= 0.98 * found).all()
    else:
        np.testing.assert_allclose(known.std.array, found, atol=0.01 * scale, rtol=0.03)


@pytest.mark.parametrize(
    "operator",
    [
        Elementwise(function=Function.SIGMOID),
        Elementwise(function=Function.HARD_SWISH),
        Elementwise(function=Function.GELU),
        Elementwise(function=Function.LEAKY_RELU, alpha=0.1),
        Elementwise(function=Function.ABS),
        Elementwise(function=Function.SOFTPLUS),
    ],
)
def test_functions(operator: Elementwise) -> None:
    assert_moments(operator)


def test_prelu() -> None:
    assert_moments(PRelu(), "x s", {"s": RANDOM.uniform(-1, 1, (4, 1, 1))})


@pytest.mark.parametrize("operator", [Add(), Sub(), Mul()])
def test_two_independent_values(operator: AnyOperator) -> None:
    assert_moments(operator, "x z", inputs=2)


@pytest.mark.parametrize("operator", [Add(), Sub(), Mul()])
def test_a_value_with_itself(operator: AnyOperator) -> None:
    assert_moments(operator, "x x")


def test_a_constant_factor() -> None:
    assert_moments(Mul(), "x c", {"c": RANDOM.normal(size=(4, 1, 1))})


def test_a_transposed_convolution() -> None:
    operator = ConvTranspose(strides=(2, 2), pads=(1, 0, 0, 1))
    constants = {"w": RANDOM.normal(size=(4, 3, 3, 3)), "b": RANDOM.normal(size=3)}
    assert_moments(operator, "x w b", constants)


@pytest.mark.parametrize(
    "operator",
    [
        Transpose(permutation=(0, 1, 3, 2)),
        Transpose(permutation=(0, 2, 3, 1)),
        DepthToSpace(block=2),
        DepthToSpace(block=2, channels_first=True),
        SpaceToDepth(block=1),
        Pad(pads=(0, 0, 1, 1, 0, 0, 1, 1), mode=PadMode.REFLECT),
        Reduce(reduction=Reduction.MEAN, axes=()),
    ],
)
def test_moved_elements(operator: AnyOperator) -> None:
    assert_moments(operator)


@pytest.mark.parametrize(
    "operator",
    [
        Resize(sizes=(6, 4), scales=(2.0, 2.0)),
        Reduce(reduction=Reduction.MEAN, axes=(3,)),
        Reduce(reduction=Reduction.SUM, axes=(2, 3)),
    ],
)
def test_resampled_elements_vary_at_most_so_much(operator: AnyOperator) -> None:
    assert_moments(operator, upper=True)


def test_normalizations_leave_their_parameters() -> None:
    constants = {"s": RANDOM.uniform(0.5, 2, 4), "t": RANDOM.normal(size=4)}
    graph = graph_of({"x": SHAPE}, [(InstanceNormalization(), "x s t", "y")], "y", constants)
    known = propagate_moments(graph, {"x": Moments.of(MEAN, STD)})["y"].before
    np.testing.assert_allclose(known.mean.array, constants["t"], rtol=1e-6)
    np.testing.assert_allclose(known.std.array, constants["s"], rtol=1e-6)


@pytest.mark.parametrize(
    "operator",
    [
        Elementwise(function=Function.LOG),
        Elementwise(function=Function.SQRT),
        LRN(size=3),
        Reduce(reduction=Reduction.MEAN, axes=(1,)),
        Reduce(reduction=Reduction.MAX, axes=(2,)),
    ],
)
def test_what_is_not_known_has_no_moments(operator: AnyOperator) -> None:
    graph = graph_of({"x": SHAPE}, [(operator, "x", "y")], "y")
    assert "y" not in propagate_moments(graph, {"x": Moments.of(MEAN, STD)})


def test_a_layer_norm_over_channels_has_no_moments() -> None:
    constants = {"s": np.ones((4, 3, 2))}
    graph = graph_of({"x": SHAPE}, [(LayerNormalization(axis=1), "x s", "y")], "y", constants)
    assert "y" not in propagate_moments(graph, {"x": Moments.of(MEAN, STD)})
