"""Constants that scale and shift channels, folded into the layers around them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_building import assert_same_function, graph_of, normalization, operators

from intlower.compiler.graph import Moments
from intlower.compiler.operators import (
    Add,
    AnyOperator,
    Conv,
    ConvTranspose,
    Gemm,
    InstanceNormalization,
    Mul,
    Relu,
    Shape,
)
from intlower.compiler.passes.fold_affine import FoldAffine

RANDOM = np.random.default_rng(0)
LAYERS: list[tuple[AnyOperator, Shape, dict[str, Any]]] = [
    (Conv(), (None, 3, 4, 4), {"w": RANDOM.normal(size=(4, 3, 2, 2))}),
    (Conv(groups=2), (None, 4, 4, 4), {"w": RANDOM.normal(size=(4, 2, 1, 1)), "b": np.ones(4)}),
    (ConvTranspose(groups=2), (None, 4, 3, 3), {"w": RANDOM.normal(size=(4, 2, 2, 2))}),
    (
        ConvTranspose(strides=(2, 2)),
        (None, 3, 3, 3),
        {"w": RANDOM.normal(size=(3, 4, 2, 2)), "b": np.ones(4)},
    ),
    (Gemm(), (None, 3), {"w": RANDOM.normal(size=(4, 3))}),
    (InstanceNormalization(), (None, 4, 3, 3), {"s": np.ones(4), "t": RANDOM.normal(size=4)}),
]


@pytest.mark.parametrize("order", [(Mul(),), (Mul(), Add()), (Add(), Mul(), Mul())])
@pytest.mark.parametrize("one_number", [False, True])
@pytest.mark.parametrize(("layer", "shape", "parameters"), LAYERS)
def test_scales_and_shifts_go_into_the_layer_before(
    layer: AnyOperator,
    shape: Shape,
    parameters: dict[str, Any],
    one_number: bool,
    order: tuple[AnyOperator, ...],
) -> None:
    per_channel = (4,) + (1,) * (len(shape) - 2)
    constants = dict(parameters)
    steps = [(layer, " ".join(["x", *parameters]), "v0")]
    for position, operator in enumerate(order):
        constants[f"c{position}"] = RANDOM.normal(size=() if one_number else per_channel)
        steps.append((operator, f"v{position} c{position}", f"v{position + 1}"))
    graph = graph_of({"x": shape}, steps, f"v{len(order)}", constants)
    result = FoldAffine()(graph)
    assert operators(result) == [type(layer).__name__]
    # Parameters are stored as float32 after each step.
    assert_same_function(graph, result, tolerance=1e-5)


def test_a_scale_after_a_normalization_scales_its_parameters() -> None:
    operator, names, constants = normalization(np.random.default_rng(1), "bn", 4)
    constants |= {"c": RANDOM.normal(size=(4, 1, 1)), "d": RANDOM.normal(size=(4, 1, 1))}
    steps = [(operator, f"x {names}", "n"), (Mul(), "n c", "m"), (Add(), "m d", "y")]
    graph = graph_of({"x": (None, 4, 3, 3)}, steps, "y", constants)
    result = FoldAffine()(graph)
    assert operators(result) == ["BatchNormalization"]
    assert_same_function(graph, result, tolerance=1e-5)


def test_a_scale_alone_becomes_a_depthwise_convolution_with_its_shift() -> None:
    constants = {"c": RANDOM.normal(size=(1, 3, 1, 1)), "d": np.float32(2)}
    steps = [(Relu(), "x", "r"), (Mul(), "r c", "m"), (Add(), "m d", "y")]
    graph = graph_of({"x": (None, 3, 4, 4)}, steps, "y", constants)
    result = FoldAffine()(graph)
    assert operators(result) == ["Relu", "Conv"]
    assert result.nodes[1].operator == Conv(groups=3)
    assert_same_function(graph, result, tolerance=1e-6)


@pytest.mark.parametrize("shape", [(3, 4, 1), (3, 4, 4), (4,)])
def test_constants_that_vary_within_a_channel_stay(shape: tuple[int, ...]) -> None:
    steps = [(Relu(), "x", "r"), (Mul(), "r c", "y")]
    graph = graph_of({"x": (None, 3, 4, 4)}, steps, "y", {"c": RANDOM.normal(size=shape)})
    assert FoldAffine()(graph) == graph


def test_a_layer_that_others_read_stays_as_it_is_for_them() -> None:
    constants = {"w": RANDOM.normal(size=(3, 3, 1, 1)), "c": RANDOM.normal(size=(3, 1, 1))}
    steps = [(Conv(), "x w", "v"), (Mul(), "v c", "m"), (Add(), "m v", "y")]
    graph = graph_of({"x": (None, 3, 4, 4)}, steps, "y", constants)
    result = FoldAffine()(graph)
    assert operators(result) == ["Conv", "Conv", "Add"]
    assert_same_function(graph, result, tolerance=1e-6)


def test_shared_weights_stay_for_their_other_reader() -> None:
    constants = {"w": RANDOM.normal(size=(3, 3, 1, 1)), "c": RANDOM.normal(size=(3, 1, 1))}
    steps = [(Conv(), "x w", "v"), (Mul(), "v c", "m"), (Conv(), "m w", "y")]
    graph = graph_of({"x": (None, 3, 4, 4)}, steps, "y", constants)
    result = FoldAffine()(graph)
    assert operators(result) == ["Conv", "Conv"]
    assert_same_function(graph, result, tolerance=1e-6)


def test_moments_of_what_changed_are_dropped() -> None:
    constants = {"w": RANDOM.normal(size=(3, 3, 1, 1)), "c": np.float32(2)}
    steps = [(Conv(), "x w", "v"), (Mul(), "v c", "y")]
    graph = graph_of({"x": (None, 3, 4, 4)}, steps, "y", constants)
    known = Moments.of(np.zeros(3), np.ones(3))
    graph = graph.edit(moments={"x": known, "v": known, "y": known})
    assert set(FoldAffine()(graph).moments) == {"x"}
