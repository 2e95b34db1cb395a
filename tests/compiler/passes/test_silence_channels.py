from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from graph_building import graph_of, random_inputs
from numpy.typing import NDArray

from intlower.compiler.evaluate import forward
from intlower.compiler.graph import Constant, Graph, Moments
from intlower.compiler.operators import Activation, Add, Clip, Conv, Gemm, Relu
from intlower.compiler.passes.silence_channels import SilenceChannels

CHANNELS = 6
RELU6 = Clip(minimum=0.0, maximum=6.0)


def layers(
    second: Conv | Gemm,
    *,
    activation: Activation | None = None,
    mean: NDArray[np.float64] | None = None,
    std: NDArray[np.float64] | None = None,
) -> Graph:
    """A first layer with moments, and a second that reads it.

    Channel 2 is still: its weights are all but 0, and so is its std.
    """
    generator = np.random.default_rng(0)
    image = isinstance(second, Conv)
    groups = second.groups if isinstance(second, Conv) else 1
    first = generator.normal(size=(CHANNELS, 3, 3, 3) if image else (CHANNELS, 3))
    first[2] *= 1e-7
    bias = generator.normal(size=CHANNELS) if mean is None else mean
    size = (4, CHANNELS // groups, *((3, 3) if image else ()))
    graph = graph_of(
        {"x": (None, 3, 6, 6) if image else (None, 3)},
        [(Conv() if image else Gemm(), "x w1 b1", "a"), (second, "a w2 b2", "y")],
        "y",
        {
            "w1": first,
            "b1": bias,
            "w2": generator.normal(size=size),
            "b2": generator.normal(size=4),
        },
    )
    deviation = np.full(CHANNELS, 5.0) if std is None else std
    deviation[2] = 1e-7
    return graph.edit(
        nodes=[replace(graph.nodes[0], activation=activation), *graph.nodes[1:]],
        moments={"a": Moments.of(bias, deviation)},
    )


def assert_close(before: Graph, after: Graph) -> None:
    inputs = random_inputs(before, np.random.default_rng(1))
    expected, actual = forward(before, inputs), forward(after, inputs)
    for name in before.outputs:
        np.testing.assert_allclose(actual[name].numpy(), expected[name].numpy(), atol=1e-5)


@pytest.mark.parametrize("second", [Conv(), Conv(groups=2), Conv(strides=(2, 1)), Gemm()])
def test_a_channel_that_never_varies_moves_into_the_biases(second: Conv | Gemm) -> None:
    graph = layers(second)
    after = SilenceChannels()(graph)
    assert not after.constants["w1"].array[2].any()
    assert after.constants["b1"].array[2] == pytest.approx(graph.constants["b1"].array[2])
    groups = second.groups if isinstance(second, Conv) else 1
    readers = slice(0, 4 // groups)  # of channel 2, which is in the first group
    assert not after.constants["w2"].array[readers, 2].any()
    assert_close(graph, after)


def test_the_other_channels_are_untouched() -> None:
    graph = layers(Conv())
    after = SilenceChannels()(graph)
    others = [i for i in range(CHANNELS) if i != 2]
    for name, axis in (("w1", 0), ("w2", 1)):
        assert np.array_equal(
            after.constants[name].array.take(others, axis),
            graph.constants[name].array.take(others, axis),
        )


def test_a_constant_that_is_not_0_stays_in_a_reader_that_pads() -> None:
    graph = layers(Conv(pads=(1, 1, 1, 1)))
    after = SilenceChannels()(graph)
    assert np.array_equal(after.constants["w2"].array, graph.constants["w2"].array)
    assert not after.constants["w1"].array[2].any()
    assert_close(graph, after)


def test_a_constant_0_leaves_a_reader_that_pads() -> None:
    mean = np.full(CHANNELS, 0.5)
    mean[2] = -1.0
    graph = layers(Conv(pads=(1, 1, 1, 1)), activation=Relu(), mean=mean)
    after = SilenceChannels()(graph)
    assert not after.constants["w2"].array[:, 2].any()
    assert after.constants["b1"].array[2] == 0.0
    assert_close(graph, after)


@pytest.mark.parametrize(("mean", "value"), [(-31.0, 0.0), (37.0, 6.0)])
def test_a_channel_six_deviations_beyond_a_bound_is_that_bound(
    mean: float, value: float
) -> None:
    means = np.zeros(CHANNELS)
    means[4] = mean
    graph = layers(Conv(), activation=RELU6, mean=means)
    after = SilenceChannels()(graph)
    assert not after.constants["w1"].array[4].any()
    assert after.constants["b1"].array[4] == value
    assert_close(graph, after)


def test_five_deviations_are_not_enough() -> None:
    means = np.zeros(CHANNELS)
    means[4] = -25.0
    after = SilenceChannels()(layers(Conv(), activation=Relu(), mean=means))
    assert after.constants["w1"].array[4].any()


def test_the_weight_range_shrinks_to_that_of_the_living() -> None:
    means = np.zeros(CHANNELS)
    means[2] = -1.0
    graph = layers(Conv(), activation=Relu(), mean=means)
    wide = graph.constants["w2"].array.copy()
    wide[:, 2] *= 1e4  # what a channel that is always 0 may have
    graph = graph.edit(constants={**graph.constants, "w2": type(graph.constants["w2"])(wide)})
    after = SilenceChannels()(graph)
    assert np.abs(after.constants["w2"].array).max() < 1e-3 * np.abs(wide).max()
    assert_close(graph, after)


def test_the_moments_of_a_silenced_channel_are_its_value_and_0() -> None:
    means = np.zeros(CHANNELS)
    means[4] = -31.0
    graph = layers(Conv(), activation=Relu(), mean=means)
    moments = SilenceChannels()(graph).moments["a"]
    assert moments.mean.array[4] == 0.0
    assert moments.std.array[4] == moments.std.array[2] == 0.0
    assert np.array_equal(moments.std.array[:2], graph.moments["a"].std.array[:2])


def test_a_second_run_changes_nothing() -> None:
    once = SilenceChannels()(layers(Conv(), activation=Relu()))
    twice = SilenceChannels()(once)
    assert twice.constants == once.constants


def test_a_reader_of_another_kind_still_finds_the_value() -> None:
    generator = np.random.default_rng(3)
    weights = generator.normal(size=(4, 4, 1, 1))
    weights[1] *= 1e-8
    graph = graph_of(
        {"x": (None, 4, 3, 3)},
        [(Conv(), "x w b", "a"), (Add(), "a x", "y")],
        "y a",
        {"w": weights, "b": generator.normal(size=4)},
    )
    deviation = np.array([1.0, 1e-8, 1.0, 1.0])
    graph = graph.edit(moments={"a": Moments.of(graph.constants["b"].array, deviation)})
    after = SilenceChannels()(graph)
    assert not after.constants["w"].array[1].any()
    assert_close(graph, after)


def test_a_layer_whose_channels_are_all_constant_is_left_as_it_is() -> None:
    mean = np.full(CHANNELS, -100.0)
    graph = layers(Conv(), activation=Relu(), mean=mean)
    assert SilenceChannels()(graph) == graph


@pytest.mark.parametrize(("factor", "silenced"), [(0.9, False), (1.1, True)])
def test_what_rests_on_a_few_inputs_is_silenced_only_where_it_stretches_the_range(
    factor: float, silenced: bool
) -> None:
    graph = layers(Gemm())
    weights = graph.constants["w1"].array.copy()
    others = np.delete(np.abs(weights), 2, axis=0)
    weights[2] = factor * others.max()
    seen = replace(graph.moments["a"], observed=True)
    graph = graph.edit(
        constants={**graph.constants, "w1": Constant.of(weights, np.float32)},
        moments={"a": seen},
    )
    after = SilenceChannels()(graph)
    assert (after != graph) == silenced
    if silenced:
        assert after.moments["a"].observed
        assert not after.constants[after.nodes[0].inputs[1]].array[2].any()
