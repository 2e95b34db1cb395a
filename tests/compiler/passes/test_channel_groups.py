from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import Step, assert_same_function, graph_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.operators import (
    Activation,
    AveragePool,
    Clip,
    Concat,
    Conv,
    DepthToSpace,
    Elementwise,
    Flatten,
    Function,
    Gemm,
    GlobalAveragePool,
    MaxPool,
    Mul,
    Pad,
    Relu,
    Reshape,
    Slice,
    Softmax,
    SpaceToDepth,
    Transpose,
)
from intlower.compiler.passes.channel_groups import KEPT, channel_groups, scaled_channels
from intlower.compiler.passes.equalize import Equalize
from intlower.compiler.passes.fill_depthwise import FillDepthwise
from intlower.compiler.passes.snap_limits import SnapLimits

# Scaled weights are rounded to float32 once in each layer, and terms of the sums may cancel.
ROUNDED = 2e-5
RELU6 = Clip(minimum=0.0, maximum=6.0)


def half(start: int, end: int) -> Slice:
    return Slice(starts=(start,), ends=(end,), axes=(1,), steps=(1,))


# From `a` of 8 channels and 6x6 positions to what the last layer reads; weights are made to fit.
SHUFFLE: list[Step] = [
    (Reshape(shape=(0, 2, 4, 6, 6)), "a", "s"),
    (Transpose(permutation=(0, 2, 1, 3, 4)), "s", "t"),
    (Reshape(shape=(0, 8, 6, 6)), "t", "u"),
]
BLOCKS: dict[str, list[Step]] = {
    "squeeze and expand": [
        (Conv(), "a v1", "e1"),
        (Conv(pads=(1, 1, 1, 1)), "a v2", "e3"),
        (Concat(axis=1), "e1 e3", "z"),
    ],
    "inception": [
        (Conv(), "a v1", "i1"),
        (MaxPool(kernel_shape=(3, 3), pads=(1, 1, 1, 1)), "a", "p"),
        (Conv(), "p v2", "i2"),
        (AveragePool(kernel_shape=(3, 3), pads=(1, 1, 1, 1)), "a", "q"),
        (Concat(axis=1), "i1 q i2", "z"),
    ],
    "dense": [
        (Conv(), "a v1", "d1"),
        (Concat(axis=1), "a d1", "c1"),
        (Conv(), "c1 v2", "d2"),
        (Concat(axis=1), "c1 d2", "z"),
    ],
    "cross stage": [
        (half(0, 4), "a", "left"),
        (half(4, 8), "a", "right"),
        (Conv(), "right v1", "r1"),
        (Conv(pads=(1, 1, 1, 1)), "r1 v2", "r2"),
        (Concat(axis=1), "r2 left r1", "z"),
    ],
    "shuffle": [*SHUFFLE, (Conv(groups=8, pads=(1, 1, 1, 1)), "u v1", "z")],
    "shuffle in groups": [
        *SHUFFLE,
        (Conv(groups=2), "u v1", "w"),
        (Conv(groups=4), "w v2", "z"),
    ],
    "depthwise chain": [
        (Conv(groups=8, pads=(1, 1, 1, 1)), "a v1", "k1"),
        (Conv(groups=8, pads=(1, 1, 1, 1)), "k1 v2", "k2"),
        (Conv(groups=8), "k2 v3", "z"),
    ],
    "gate": [
        (GlobalAveragePool(), "a", "g0"),
        (Conv(), "g0 v1", "g1"),
        (Elementwise(function=Function.SIGMOID), "g1", "g2"),
        (Mul(), "a g2", "z"),
    ],
    "space and depth": [
        (SpaceToDepth(block=2), "a", "s"),
        (Conv(), "s v1", "m"),
        (DepthToSpace(block=2), "m", "z"),
    ],
    "leaky": [(Elementwise(function=Function.LEAKY_RELU, alpha=0.1), "a", "z")],
    "padded channels": [(Pad(pads=(0, 2, 0, 0, 0, 2, 0, 0)), "a", "z")],
    "halves joined": [
        (half(0, 4), "a", "left"),
        (half(4, 8), "a", "right"),
        (Concat(axis=2), "left right", "j"),
        (MaxPool(kernel_shape=(2, 2), strides=(2, 2)), "j", "z"),
    ],
}
FREE = {name for name in BLOCKS if name not in ("padded channels",)}


def weights(generator: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    """Weights whose output channels, and input channels, differ in size by up to two orders of magnitude."""
    rows = 10.0 ** generator.uniform(-1, 1, (shape[0], 1, *(1,) * (len(shape) - 2)))
    columns = 10.0 ** generator.uniform(-1, 1, (1, shape[1], *(1,) * (len(shape) - 2)))
    return np.asarray(generator.normal(size=shape) * rows * columns)


def network(block: str, activation: Activation | None, seed: int) -> Graph:
    """A layer, a block, a layer behind a Flatten and another one; every layer but the last is activated."""
    generator = np.random.default_rng(seed)
    steps: list[Step] = [(Conv(), "x w1 b1", "a")]
    constants = {"w1": weights(generator, 8, 3, 1, 1), "b1": generator.normal(size=8)}
    made = graph_of({"x": (None, 3, 6, 6)}, steps, "a", constants)
    for step in BLOCKS[block]:
        operator, names, _ = step
        *sources, last = names.split()
        if isinstance(operator, Conv):
            channels = made.values[sources[0]].shape[1]
            assert channels is not None
            outputs = 8 if sources[0] != "a" or operator.groups > 1 else 6
            outputs = 8 if block in ("gate", "space and depth") else outputs
            kernel = 3 if any(operator.pads) else 1
            constants[last] = weights(
                generator, outputs, channels // operator.groups, kernel, kernel
            )
        steps.append(step)
        made = graph_of({"x": (None, 3, 6, 6)}, steps, step[2], constants)
    size = int(np.prod([d or 1 for d in made.values["z"].shape[1:]]))
    steps += [(Flatten(), "z", "f"), (Gemm(), "f w8 b8", "h"), (Gemm(), "h w9", "y")]
    constants |= {
        "w8": weights(generator, 5, size),
        "b8": generator.normal(size=5),
        "w9": weights(generator, 4, 5),
    }
    graph = graph_of({"x": (None, 3, 6, 6)}, steps, "y", constants)
    return graph.edit(
        nodes=[
            replace(node, activation=activation)
            if isinstance(node.operator, Conv | Gemm) and node.output != "y"
            else node
            for node in graph.nodes
        ]
    )


@pytest.mark.parametrize("block", BLOCKS)
@given(activation=st.sampled_from([None, Relu(), RELU6]), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=4)
def test_any_scale_of_any_group_keeps_the_function(
    block: str, activation: Activation | None, seed: int
) -> None:
    graph = network(block, activation, seed)
    groups = channel_groups(graph)
    scale = 2.0 ** np.random.default_rng(seed).uniform(-2, 2, groups.count)
    scale[KEPT] = 1.0
    assert_same_function(
        graph, scaled_channels(graph, groups, scale), tolerance=ROUNDED, seed=seed
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_passes_keep_the_function(block: str) -> None:
    graph = network(block, RELU6, 7)
    for rewrite in (Equalize(), FillDepthwise(), SnapLimits()):
        assert_same_function(graph, rewrite(graph), tolerance=ROUNDED, seed=1)


@pytest.mark.parametrize("block", sorted(FREE))
def test_the_first_layer_may_be_scaled_through_the_block(block: str) -> None:
    graph = network(block, Relu(), 3)
    assert (channel_groups(graph).of["a"] != KEPT).all()
    after = Equalize()(graph)
    assert after.constants["w1"] != graph.constants["w1"]


@pytest.mark.parametrize("block", BLOCKS)
def test_moments_stay_those_of_the_values(block: str) -> None:
    graph = network(block, Relu(), 5)
    x = np.random.default_rng(0).normal(size=(4, 3, 6, 6)).astype(np.float32)
    names = tuple(v for v in graph.values if v not in ("x", "s", "t", "j"))

    def measured(graph: Graph) -> dict[str, Moments]:
        values = evaluate(graph, {"x": x}, keep=names)
        rows = {n: np.moveaxis(v, 1, 0).reshape(v.shape[1], -1) for n, v in values.items()}
        return {n: Moments.of(v.mean(axis=1), v.std(axis=1)) for n, v in rows.items()}

    after = Equalize()(graph.edit(moments=measured(graph)))
    for name, found in measured(after).items():
        known = after.moments[name]
        size = np.abs(found.mean.array).max() + found.std.array.max()
        np.testing.assert_allclose(known.mean.array, found.mean.array, atol=1e-4 * size)
        np.testing.assert_allclose(known.std.array, found.std.array, atol=1e-4 * size)


def test_shuffled_channels_keep_their_groups() -> None:
    groups = channel_groups(network("shuffle", Relu(), 0))
    order = np.arange(8).reshape(2, 4).T.ravel()
    np.testing.assert_array_equal(groups.of["u"], groups.of["a"][order])


def test_channels_that_meet_at_one_position_have_one_scale() -> None:
    groups = channel_groups(network("halves joined", Relu(), 0))
    np.testing.assert_array_equal(groups.of["z"], groups.of["a"][:4])
    np.testing.assert_array_equal(groups.of["a"][4:], groups.of["a"][:4])


def test_a_chain_of_depthwise_layers_evens_out_from_end_to_end() -> None:
    after = Equalize(sweeps=300)(network("depthwise chain", Relu(), 2))
    sizes = [
        np.abs(after.constants[name].array).reshape(8, -1).max(axis=1)
        for name in ("w1", "v1", "v2", "v3")
    ]
    for size in sizes[1:]:
        np.testing.assert_allclose(size, sizes[0], rtol=0.1)


def test_a_function_that_does_not_scale_keeps_what_it_reads() -> None:
    graph = graph_of(
        {"x": (None, 3, 6, 6)},
        [
            (Conv(), "x w1", "a"),
            (Softmax(axis=1), "a", "s"),
            (Concat(axis=1), "a s", "z"),
            (Conv(), "z w2", "y"),
        ],
        "y",
        {"w1": np.ones((4, 3, 1, 1)), "w2": np.ones((2, 8, 1, 1))},
    )
    assert not channel_groups(graph).of["z"].any()
    assert Equalize()(graph) == graph
