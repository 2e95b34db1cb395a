from __future__ import annotations

import networks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from intlower.compiler import second_moments as module
from intlower.compiler.errors import DataError
from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph
from intlower.compiler.importer import import_model
from intlower.compiler.operators import Conv, Gemm
from intlower.compiler.second_moments import input_columns, second_moments


def conv_graph(
    *, groups: int, pads: list[int], strides: list[int], dilations: list[int], batch: object
) -> Graph:
    builder = networks.NetworkBuilder()
    x = builder.conv(
        "x", 4, 8, (3, 2), group=groups, pads=pads, strides=strides, dilations=dilations
    )
    return import_model(builder.model({"x": [batch, 4, 7, 6]}, x))


@settings(deadline=None, max_examples=25)
@given(
    groups=st.sampled_from([1, 2, 4]),
    pads=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    strides=st.lists(st.integers(1, 3), min_size=2, max_size=2),
    dilations=st.lists(st.integers(1, 2), min_size=2, max_size=2),
)
def test_weights_times_columns_are_the_layers_outputs(
    groups: int, pads: list[int], strides: list[int], dilations: list[int]
) -> None:
    graph = conv_graph(
        groups=groups, pads=pads, strides=strides, dilations=dilations, batch="N"
    )
    (node,) = graph.nodes
    assert isinstance(node.operator, Conv)
    x = np.random.default_rng(0).standard_normal((3, 4, 7, 6)).astype(np.float32)
    weights, bias = (graph.constants[name].array for name in node.inputs[1:])
    columns = input_columns(node, x, weights.shape, np.random.default_rng(1))
    found = np.matmul(columns, weights.reshape(groups, 8 // groups, -1).transpose(0, 2, 1))
    found = found.transpose(0, 2, 1).reshape(8, -1) + bias[:, None]
    y = evaluate(graph, {"x": x})[node.output].transpose(1, 0, 2, 3)
    # The positions are taken in another order.
    np.testing.assert_allclose(
        np.sort(found, axis=1), np.sort(y.reshape(8, -1), axis=1), rtol=1e-4, atol=1e-5
    )


def direct(columns: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = columns.mean(axis=1)
    centred = columns - mean[:, None]
    return mean, np.matmul(centred.transpose(0, 2, 1), centred) / columns.shape[1]


def test_moments_are_those_of_all_columns_at_once() -> None:
    graph = conv_graph(groups=2, pads=[1, 1, 1, 1], strides=[1, 1], dilations=[1, 1], batch="N")
    (node,) = graph.nodes
    x = np.random.default_rng(0).standard_normal((9, 4, 7, 6)).astype(np.float32) + 1
    found = second_moments(graph, {"x": x})[node.name]
    shape = graph.constants[node.inputs[1]].array.shape
    columns = input_columns(node, x, shape, np.random.default_rng(0)).astype(np.float64)
    mean, covariance = direct(columns)
    assert found.count == columns.shape[1]
    np.testing.assert_allclose(found.mean.array, mean, rtol=1e-4)
    np.testing.assert_allclose(found.covariance.array, covariance, rtol=1e-3, atol=1e-4)


def test_a_gemm_reads_one_column_of_each_sample() -> None:
    builder = networks.NetworkBuilder()
    graph = import_model(builder.model({"x": ["N", 5]}, builder.gemm("x", 5, 3)))
    (node,) = graph.nodes
    assert isinstance(node.operator, Gemm)
    x = np.random.default_rng(0).standard_normal((10, 5)).astype(np.float32)
    found = second_moments(graph, {"x": x})[node.name]
    assert found.count == 10
    np.testing.assert_allclose(found.covariance.array, direct(x[None])[1], atol=1e-5)


def test_large_maps_are_sampled_and_the_seed_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POSITIONS", 5)
    graph = conv_graph(groups=1, pads=[0, 0, 0, 0], strides=[1, 1], dilations=[1, 1], batch="N")
    x = {"x": np.random.default_rng(0).standard_normal((3, 4, 7, 6)).astype(np.float32)}
    (name,) = (node.name for node in graph.nodes)
    first, again, other = (second_moments(graph, x, seed=seed)[name] for seed in (0, 0, 1))
    assert first.count == 15
    assert first == again
    assert first != other


def test_samples_beyond_the_last_whole_batch_are_left_out() -> None:
    graph = conv_graph(groups=1, pads=[0, 0, 0, 0], strides=[1, 1], dilations=[1, 1], batch=2)
    x = np.zeros((3, 4, 7, 6), np.float32)
    (name,) = (node.name for node in graph.nodes)
    assert second_moments(graph, {"x": x})[name].count == 2 * 5 * 5
    with pytest.raises(DataError, match="too few samples"):
        second_moments(graph, {"x": x[:1]})
