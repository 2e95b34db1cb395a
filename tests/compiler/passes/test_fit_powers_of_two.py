"""Scaling tensors to fit powers of two keeps the function, the moments and the borders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest

from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph
from intlower.compiler.grids import UniformSpec
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.moments import propagate_moments
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.fit_powers_of_two import FitPowersOfTwo
from intlower.compiler.passes.standard import STANDARD_PASSES
from intlower.kernels.numerics import Rounding

GRID = UniformSpec(
    bits=8, signed=True, symmetric=True, rounding=Rounding.HALF_AWAY, power_of_two=True
)
FIT = FitPowersOfTwo(activations=GRID, weights=GRID)
NETWORKS: tuple[Callable[..., onnx.ModelProto], ...] = (
    networks.depthwise_separable,
    networks.residual_block,
    networks.classifier,
    networks.concat_network,
    networks.slice_pad_shortcut,
)


def graph_of(make: Callable[..., onnx.ModelProto], path: Path) -> Graph:
    onnx.save(make(seed=3), path / "model.onnx")
    return run_passes(import_model(read_model(path / "model.onnx")[0]), STANDARD_PASSES)


@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: str(make.__name__))
def test_the_function_is_kept(make: Callable[..., onnx.ModelProto], tmp_path: Path) -> None:
    graph = graph_of(make, tmp_path)
    fitted = FIT(graph)
    shape = (4, *(d or 1 for d in graph.inputs[0].shape[1:]))
    samples = {
        graph.inputs[0].name: np.random.default_rng(0).normal(size=shape).astype(np.float32)
    }
    expected, actual = evaluate(graph, samples), evaluate(fitted, samples)
    for name, array in expected.items():
        assert np.allclose(actual[name], array, rtol=1e-4, atol=1e-5 * np.abs(array).max())


@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: str(make.__name__))
def test_moments_follow_what_is_computed(
    make: Callable[..., onnx.ModelProto], tmp_path: Path
) -> None:
    graph = graph_of(make, tmp_path)
    fitted = FIT(graph)
    shape = (8, *(d or 1 for d in graph.inputs[0].shape[1:]))
    samples = {
        graph.inputs[0].name: np.random.default_rng(1).normal(size=shape).astype(np.float32)
    }
    before = evaluate(graph, samples, keep=list(graph.values))
    after = evaluate(fitted, samples, keep=list(fitted.values))
    old, new = propagate_moments(graph), propagate_moments(fitted)
    moved = 0
    for name, known in old.items():
        size = np.abs(before[name]).max()
        if size == 0 or known.before.std.array.max() == 0:
            continue
        factor = float(np.abs(after[name]).max() / size)
        ratio = new[name].before.std.array.max() / known.before.std.array.max()
        assert ratio == pytest.approx(factor, rel=1e-3)
        moved += abs(factor - 1) > 0.01
    assert moved or not graph.moments


def test_a_second_run_finds_nothing_left_to_gain(tmp_path: Path) -> None:
    once = FIT(graph_of(networks.depthwise_separable, tmp_path))
    twice = FIT(once)
    for name, array in once.constants.items():
        ratio = np.abs(twice.constants[name].array).max() / max(
            np.abs(array.array).max(), 1e-30
        )
        # sixteenths of an octave are its resolution
        assert abs(np.log2(ratio)) < 0.13 or array.array.max() == 0
