from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import assert_same_function, graph_of, operators
from hypothesis import given, settings
from hypothesis import strategies as st

from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph, Moments
from intlower.compiler.moments import propagate_moments
from intlower.compiler.operators import Activation, Clip, Conv, Pad, Relu, activation_bounds
from intlower.compiler.passes.center_padded import CenterPadded

# Numbers are moved and moved back in float32.
ROUNDED = 3e-5
RELU6 = Clip(minimum=0.0, maximum=6.0)


def layers(
    seed: int = 0,
    activation: Activation | None = RELU6,
    pads: tuple[int, int, int, int] = (1, 1, 1, 1),
    groups: int = 4,
    second_reader: bool = False,
) -> Graph:
    """A 1x1 layer with the moments that normal inputs give it, and a 3x3 layer that pads."""
    generator = np.random.default_rng(seed)
    w1, b1 = generator.normal(size=(4, 3, 1, 1)), generator.normal(1.0, 2.0, 4)
    steps = [(Conv(), "x w1 b1", "a"), (Conv(groups=groups, pads=pads), "a w2", "y")]
    if second_reader:
        steps.append((Conv(), "a w3", "z"))
    graph = graph_of(
        {"x": (None, 3, 8, 8)},
        steps,
        "y z" if second_reader else "y",
        {
            "w1": w1,
            "b1": b1,
            "w2": generator.normal(size=(4, 4 // groups, 3, 3)),
        }
        | ({"w3": generator.normal(size=(2, 4, 1, 1))} if second_reader else {}),
    )
    std = np.sqrt(np.square(w1).sum(axis=(1, 2, 3)))
    return graph.edit(
        nodes=[replace(graph.nodes[0], activation=activation), *graph.nodes[1:]],
        moments={"a": Moments.of(b1, std)},
    )


@given(
    seed=st.integers(0, 99),
    pads=st.sampled_from([(1, 1, 1, 1), (0, 1, 2, 0), (1, 0, 0, 0)]),
    groups=st.sampled_from([1, 2, 4]),
)
@settings(deadline=None, max_examples=20)
def test_the_function_is_kept_at_borders_too(
    seed: int, pads: tuple[int, int, int, int], groups: int
) -> None:
    graph = layers(seed, pads=pads, groups=groups)
    after = CenterPadded()(graph)
    assert operators(after) == ["Conv", "Pad", "Conv"]
    assert_same_function(graph, after, tolerance=ROUNDED, seed=seed)


def test_both_limits_are_the_same_power_of_two() -> None:
    after = CenterPadded()(layers(3))
    low, high = (np.asarray(b) for b in activation_bounds(after.nodes[0].activation))
    pad = after.nodes[1].operator
    assert isinstance(pad, Pad)
    np.testing.assert_allclose(low, pad.value)
    assert np.log2(-pad.value).is_integer()
    reached = after.moments["a"].mean.array + 5 * after.moments["a"].std.array
    np.testing.assert_allclose(np.minimum(high, reached), -low, rtol=1e-6)


def test_moments_are_those_of_the_values() -> None:
    after = CenterPadded()(layers(4))
    x = np.random.default_rng(0).normal(size=(400, 3, 8, 8)).astype(np.float32)
    values = evaluate(after, {"x": x}, keep=("a", after.nodes[1].output))
    known = propagate_moments(after)
    found = values["a"].mean(axis=(0, 2, 3))
    np.testing.assert_allclose(known["a"].after.mean.array, found, atol=0.05)
    # Every tap of the 3x3 layer meets the padded map at 8x8 positions: all but one row or column of it.
    padded = values[after.nodes[1].output]
    taps = [padded[:, :, i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
    met = np.mean([tap.mean(axis=(0, 2, 3)) for tap in taps], axis=0)
    np.testing.assert_allclose(known[after.nodes[1].output].after.mean.array, met, atol=0.05)


@pytest.mark.parametrize(
    "graph",
    [
        layers(activation=Relu()),
        layers(activation=None),
        layers(activation=Clip(minimum=-1.0, maximum=1.0)),
        layers(pads=(0, 0, 0, 0)),
        layers(second_reader=True),
        layers().edit(moments={}),
    ],
    ids=["no limit", "no activation", "below 0", "no padding", "two readers", "no moments"],
)
def test_other_layers_are_left_alone(graph: Graph) -> None:
    assert CenterPadded()(graph) == graph
