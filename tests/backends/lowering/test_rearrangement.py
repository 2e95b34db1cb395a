from __future__ import annotations

import numpy as np
import pytest
from graph_building import graph_of
from lowered_graphs import SPECS, lower, run, steps_from_float
from numpy.typing import NDArray

from intlower.backends.lowering.resampling import integer_weights
from intlower.compiler.evaluate import evaluate
from intlower.compiler.operators import (
    AnyOperator,
    Coordinates,
    DepthToSpace,
    Gather,
    Interpolation,
    Mul,
    Pad,
    PadMode,
    Reduce,
    Reduction,
    Resize,
    SpaceToDepth,
    Transpose,
)
from intlower.compiler.spec import TargetSpec

X = (None, 4, 4, 6)
GATE = (None, 4, 1, 1)
both = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


def uniform(seed: int, **limits: tuple[float, float]) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    shapes = {"x": X, "gate": GATE}
    return {
        name: generator.uniform(*limit, (4, *shapes[name][1:])).astype(np.float32)
        for name, limit in limits.items()
    }


@both
@pytest.mark.parametrize(
    "operator",
    [
        Transpose(permutation=(0, 3, 1, 2)),
        DepthToSpace(block=2),
        DepthToSpace(block=2, channels_first=True),
        SpaceToDepth(block=2),
        SpaceToDepth(block=2, channels_first=True),
        Pad(pads=(0, 1, 2, 3, 0, 0, 1, 4), mode=PadMode.REFLECT),
        Pad(pads=(0, 1, 2, 3, 0, 0, 1, 4), mode=PadMode.EDGE),
        Pad(pads=(0, 1, 2, 3, 0, 0, 1, 4), mode=PadMode.WRAP),
        Gather(axis=1, indices=(3, 0, 2, 2, 1)),
        Gather(axis=-1, indices=(5, 0)),
        Resize(sizes=(8, 9), scales=(2.0, 1.5)),
        Resize(sizes=(3, 3), scales=(0.75, 0.5), coordinates=Coordinates.ASYMMETRIC),
        Reduce(reduction=Reduction.MAX, axes=(1,)),
        Reduce(reduction=Reduction.MAX, axes=(1, 3)),
    ],
    ids=str,
)
def test_codes_move_as_numbers_do(spec: TargetSpec, operator: AnyOperator) -> None:
    graph = graph_of({"x": X}, [(operator, "x", "y")], "y")
    program = lower(graph, spec, {"x": (-1.0, 1.0), "y": (-1.0, 1.0)})
    x = uniform(0, x=(-1.0, 1.0))
    codes = run(program, x)
    grid = program.tensors["x"].grid
    expected = evaluate(graph, {"x": grid.dequantize(codes["x"])})["y"]
    assert np.array_equal(program.tensors["y"].grid.dequantize(codes["y"]), expected)


@both
@pytest.mark.parametrize(
    ("operator", "most"),
    [
        (Reduce(reduction=Reduction.MEAN, axes=(1, 3)), 0.51),
        (Reduce(reduction=Reduction.SUM, axes=(2,)), 0.51),
        # Weights of 10 bits are off by up to 2**-11 each.
        (Resize(sizes=(9, 9), scales=(2.25, 1.5), interpolation=Interpolation.LINEAR), 0.8),
        (Resize(sizes=(8, 12), scales=(2.0, 2.0), interpolation=Interpolation.CUBIC), 0.8),
    ],
    ids=str,
)
def test_means_and_interpolations_are_within_a_rounding(
    spec: TargetSpec, operator: AnyOperator, most: float
) -> None:
    graph = graph_of({"x": X}, [(operator, "x", "y")], "y")
    program = lower(graph, spec, {"x": (-1.0, 1.0), "y": (-4.0, 4.0)})
    assert steps_from_float(program, graph, uniform(0, x=(-1.0, 1.0)), "y").max() <= most


@both
def test_a_product_with_a_gate_is_rounded_once(spec: TargetSpec) -> None:
    values = {"x": X, "gate": GATE}
    graph = graph_of(values, [(Mul(), "x gate", "y")], "y")
    limits = {"x": (-1.0, 1.0), "gate": (0.0, 1.0)}
    program = lower(graph, spec, {**limits, "y": (-1.0, 1.0)})
    assert [made.kernel.operator for made in program.instructions] == ["multiply"]
    assert steps_from_float(program, graph, uniform(0, **limits), "y").max() <= 0.51


def test_weights_of_each_position_sum_to_one() -> None:
    operator = Resize(sizes=(7,), scales=(7 / 3,), interpolation=Interpolation.LINEAR)
    _, weights = operator.taps(0, 3)
    integers = integer_weights(weights, 10)
    assert (integers.sum(axis=1) == 1 << 10).all()
    assert np.abs(integers - weights * 1024).max() <= 1
