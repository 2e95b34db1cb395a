"""Channels that move with their bounds: the function is kept, and what is left of errors is least."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import Step, graph_of, random_inputs
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.backends.lowering.drift import Drift
from intlower.backends.lowering.moves import Moves, moving_cost
from intlower.backends.lowering.positions import power_grid
from intlower.backends.vitis import TARGET
from intlower.compiler.constant import Constant
from intlower.compiler.evaluate import forward
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.moments import propagate_moments
from intlower.compiler.operators import (
    Activation,
    Add,
    AveragePool,
    ChannelClip,
    Clip,
    Conv,
    Elementwise,
    Flatten,
    Function,
    Gemm,
    GlobalAveragePool,
    MaxPool,
    Relu,
)
from intlower.compiler.passes.rewriting import moved_bounds

CHANNELS = 4
SPEC = TARGET.member("").spec.activations
PADDED = Conv(pads=(1, 1, 1, 1))


def network(
    seed: int,
    *between: Step,
    activation: Activation | None = None,
    reader: Conv | Gemm | None = None,
    taps: int = 1,
) -> Graph:
    """A layer `a` with moments, operators between, and a layer that reads the last of them."""
    generator = np.random.default_rng(seed)
    reader = reader or Conv()
    reads = between[-1][2] if between else "a"
    size = (3, CHANNELS, taps, taps) if isinstance(reader, Conv) else (3, CHANNELS)
    graph = graph_of(
        {"x": (None, 3, 6, 6), "other": (None, CHANNELS, 6, 6)},
        [(Conv(), "x w1 b1", "a"), *between, (reader, f"{reads} w2 b2", "y")],
        "y",
        {
            "w1": generator.normal(size=(CHANNELS, 3, 1, 1)),
            "b1": generator.normal(size=CHANNELS),
            "w2": generator.normal(size=size),
            "b2": generator.normal(size=3),
        },
    )
    known = Moments.of(
        generator.normal(size=CHANNELS), np.exp(generator.normal(size=CHANNELS) / 2)
    )
    return graph.edit(
        nodes=[replace(graph.nodes[0], activation=activation), *graph.nodes[1:]],
        moments={"a": known, "other": known, "x": Moments.of(np.zeros(3), np.ones(3))},
    )


def channel_clip(seed: int) -> ChannelClip:
    generator = np.random.default_rng(seed)
    low = generator.normal(size=CHANNELS) - 1
    return ChannelClip(
        minimum=Constant.of(low, np.float64),
        maximum=Constant.of(low + np.exp(generator.normal(size=CHANNELS)), np.float64),
    )


BETWEEN: list[tuple[Step, ...]] = [
    (),
    ((MaxPool(kernel_shape=(2, 2), pads=(1, 1, 0, 0)), "a", "p"),),
    ((AveragePool(kernel_shape=(2, 2), pads=(1, 1, 0, 0), count_include_pad=False), "a", "p"),),
    ((Add(), "a other", "s"),),
    ((Add(), "a a", "s"),),
    ((GlobalAveragePool(), "a", "p"),),
]


@settings(max_examples=10)
@pytest.mark.parametrize("between", BETWEEN)
@given(seed=st.integers(0, 1 << 20))
def test_what_moves_is_taken_back_exactly(between: tuple[Step, ...], seed: int) -> None:
    """Where `moving_cost` is 0, moving bias and bounds, and taking the drift off the reader's bias, keeps the function."""
    activation = channel_clip(seed) if seed % 2 else None
    graph = network(seed, *between, activation=activation)
    moments = propagate_moments(graph)
    assert moving_cost(graph, graph.nodes[0], moments) == 0.0
    move = np.random.default_rng(seed + 1).normal(size=CHANNELS)
    drift = Drift(graph, moments)
    drift.record(graph.nodes[0], np.zeros(CHANNELS), move)
    shift = drift.of(graph.nodes[-1].inputs[0])
    assert shift is not None
    taps = graph.constants["w2"].array[:, :, 0, 0]
    constants = {
        **graph.constants,
        "b1": Constant.of(graph.constants["b1"].array + move, np.float32),
        "b2": Constant.of(graph.constants["b2"].array - taps @ shift, np.float32),
    }
    first = replace(graph.nodes[0], activation=moved_bounds(activation, move))
    moved = graph.edit(nodes=[first, *graph.nodes[1:]], constants=constants)
    inputs = random_inputs(graph, np.random.default_rng(2))
    expected, actual = forward(graph, inputs)["y"], forward(moved, inputs)["y"]
    np.testing.assert_allclose(actual.numpy(), expected.numpy(), atol=2e-4)


@pytest.mark.parametrize(
    "graph",
    [
        network(0, (Elementwise(function=Function.TANH), "a", "t")),
        network(0, (Relu(), "a", "r")),
        network(
            0,
            (
                AveragePool(kernel_shape=(2, 2), pads=(1, 1, 0, 0), count_include_pad=True),
                "a",
                "p",
            ),
        ),
        replace(network(0), outputs=("y", "a")),
        network(0).edit(moments={}),
    ],
    ids=["function", "relu", "counted padding", "output", "no moments"],
)
def test_what_nothing_takes_back_stays(graph: Graph) -> None:
    moments = propagate_moments(graph)
    moves = Moves(graph, graph.nodes[0], moments, power_grid(SPEC, 4, False), True)
    assert not moves.chosen(np.full(CHANNELS, 0.01)).any()


@pytest.mark.parametrize("activation", [Relu(), Clip(minimum=0.0, maximum=1.3)])
def test_one_limit_for_all_channels_stays(activation: Activation) -> None:
    graph = network(0, activation=activation)
    moments = propagate_moments(graph)
    moves = Moves(graph, graph.nodes[0], moments, power_grid(SPEC, 4, False), True)
    assert not moves.chosen(np.full(CHANNELS, 0.01)).any()


def test_a_layer_without_activation_moves_by_the_whole_offset() -> None:
    graph = network(0)
    moves = Moves(
        graph, graph.nodes[0], propagate_moments(graph), power_grid(SPEC, 4, False), True
    )
    offset = np.array([0.01, -0.02, 0.03, 0.0])
    assert np.array_equal(moves.chosen(offset), offset)


def test_padding_readers_and_flattened_ones_are_told_apart() -> None:
    inside = network(0, (GlobalAveragePool(), "a", "p"), (Flatten(), "p", "f"), reader=Gemm())
    assert moving_cost(inside, inside.nodes[0], propagate_moments(inside)) == 0.0
    padded = network(0, reader=PADDED, taps=3)
    cost = moving_cost(padded, padded.nodes[0], propagate_moments(padded))
    # 6 rows: the outer taps meet data at 5 of 6 positions, the middle one always
    rows = np.array([5 / 6, 1, 5 / 6])
    met = np.outer(rows, rows)
    assert cost == pytest.approx((met * (1 - met)).mean())


@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 20), bound=st.booleans())
def test_less_variance_is_left_than_where_nothing_moves(seed: int, bound: bool) -> None:
    """Errors of drawn numbers: the bias's, and those of the codes of bounds."""
    activation = channel_clip(seed)
    graph = network(seed, activation=activation)
    moments, grid = propagate_moments(graph), power_grid(SPEC, 3, False)
    moves = Moves(graph, graph.nodes[0], moments, grid, bound)
    generator = np.random.default_rng(seed)
    offset = generator.uniform(-0.1, 0.1, CHANNELS) if bound else np.zeros(CHANNELS)
    move = moves.chosen(offset)
    before = graph.moments["a"]
    drawn = generator.normal(size=(CHANNELS, 20000))
    x = before.mean.array[:, None] + before.std.array[:, None] * drawn
    low, high = activation.minimum.array, activation.maximum.array

    def errors(m: np.ndarray) -> np.ndarray:
        """Of numbers on no grid, between bounds that are codes."""
        ends = [grid.dequantize(grid.quantize(limit + m))[:, None] for limit in (low, high)]
        off = offset if bound else m
        exact = np.clip(x, low[:, None], high[:, None])
        held = [x <= low[:, None], x >= high[:, None]]
        got = np.select(held, [np.broadcast_to(end, x.shape) for end in ends], x + off[:, None])
        return np.asarray(got - exact)

    left, still = errors(move), errors(np.zeros(CHANNELS))
    margin = 0.05 * 2.0**-6
    assert (left.var(axis=1) <= still.var(axis=1) + margin).all()
    # The mean is known: what moves, what the bias still lacks where numbers are free, and the codes of bounds.
    free = ((x > low[:, None]) & (x < high[:, None])).mean(axis=1)
    rest = (offset - move) * free if bound else 0.0
    expected = move + rest + moves.limit_shift(move)
    np.testing.assert_allclose(left.mean(axis=1), expected, atol=0.02 * 2.0**-3)


@given(seed=st.integers(0, 1 << 20))
def test_free_biases_put_a_bound_on_the_grid_or_stay(seed: int) -> None:
    activation = channel_clip(seed)
    graph = network(seed, activation=activation)
    grid = power_grid(SPEC, 3, False)
    moves = Moves(graph, graph.nodes[0], propagate_moments(graph), grid, False)
    move = moves.chosen(np.zeros(CHANNELS))
    assert (np.abs(move) <= grid.step / 2 + 1e-9).all()
    ends = np.array([activation.minimum.array, activation.maximum.array]) + move
    off = np.abs(ends / grid.step - np.rint(ends / grid.step))
    assert ((off.min(axis=0) < 1e-6) | (move == 0)).all()
    assert move.any()
