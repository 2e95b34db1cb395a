from __future__ import annotations

import numpy as np
import pytest
import torch
from graph_building import graph_of, normalization, operators, random_inputs
from shared_data import model_path, needs_shared_data

from intlower.compiler.evaluate import forward
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.operators import (
    Add,
    BatchNormalization,
    Clip,
    Conv,
    Flatten,
    Gemm,
    Identity,
    MatMul,
    MaxPool,
    Relu,
)
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES

# Each with the number of Conv and Gemm that no normalization follows: the last layer and plain shortcuts.
REAL_NETWORKS = {
    "cifar10_resnet20": 3,
    "cifar10_resnet20_slicepad": 1,
    "mlperf_ad_fc_autoencoder": 1,
    "mlperf_ic_resnet8": 3,
    "mlperf_kws_ds_cnn": 1,
    "mobilenet_v1_025_imagenet": 1,
    "mobilenet_v2_imagenet": 1,
}


@needs_shared_data
@pytest.mark.parametrize(
    ("name", "plain"),
    [
        pytest.param(
            *item, marks=pytest.mark.slow if "mobilenet" in item[0] else (), id=item[0]
        )
        for item in REAL_NETWORKS.items()
    ],
)
def test_a_real_network_keeps_its_function_and_gains_moments(name: str, plain: int) -> None:
    graph = import_model(read_model(model_path(name))[0])
    lowered = run_passes(graph, STANDARD_PASSES)
    assert not any(
        isinstance(node.operator, BatchNormalization | MatMul | Relu | Clip | Identity)
        for node in lowered.nodes
    )
    layers = [node for node in lowered.nodes if isinstance(node.operator, Conv | Gemm)]
    assert len([node for node in layers if node.output not in lowered.moments]) == plain
    inputs = random_inputs(graph, np.random.default_rng(0), batch=1)
    # In float64 only the folded weights' rounding to 24 bits is left, once for each layer; in float32 sums differ too.
    rounding = len(layers) * 2.0**-24
    for dtype, tolerance in ((torch.float64, rounding), (torch.float32, 1e-4)):
        typed = {name: tensor.to(dtype) for name, tensor in inputs.items()}
        with torch.inference_mode():
            expected, actual = forward(graph, typed), forward(lowered, typed)
        for output in graph.outputs:
            difference = (actual[output] - expected[output]).abs().max().item()
            assert difference <= tolerance * expected[output].abs().max().item()


def test_the_passes_together_leave_one_node_for_each_layer() -> None:
    generator = np.random.default_rng(0)
    conv_norm, conv_names, conv_constants = normalization(generator, "m", 4)
    gemm_norm, gemm_names, gemm_constants = normalization(generator, "n", 5)
    graph = graph_of(
        {"x": (None, 2, 8, 8)},
        [
            (Conv(), "x w", "a"),
            (Add(), "a c", "b"),
            (Identity(), "b", "d"),
            (conv_norm, f"d {conv_names}", "e"),
            (MaxPool(kernel_shape=(2, 2), strides=(2, 2)), "e", "f"),
            (Relu(), "f", "g"),
            (Flatten(), "g", "h"),
            (Relu(), "x", "unused"),
            (Identity(), "v", "weights"),
            (MatMul(), "h weights", "i"),
            (Add(), "row i", "j"),
            (gemm_norm, f"j {gemm_names}", "k"),
            (Clip(minimum=0.0, maximum=6.0), "k", "l"),
            (Identity(), "l", "y"),
        ],
        "y",
        {
            "w": generator.normal(size=(4, 2, 3, 3)),
            "c": generator.normal(size=(4, 1, 1)),
            "v": generator.normal(size=(36, 5)),
            "row": generator.normal(size=5),
            **conv_constants,
            **gemm_constants,
        },
    )
    lowered = run_passes(graph, STANDARD_PASSES)
    assert operators(lowered) == ["Conv", "MaxPool", "Flatten", "Gemm"]
    assert [node.output for node in lowered.nodes] == ["e", "g", "h", "y"]
    assert lowered.nodes[0].activation == Relu()
    assert lowered.nodes[-1].activation == Clip(minimum=0.0, maximum=6.0)
    assert set(lowered.moments) == {"e", "y"}
    inputs = random_inputs(graph, generator)
    expected, actual = forward(graph, inputs)["y"], forward(lowered, inputs)["y"]
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_running_the_passes_again_changes_nothing() -> None:
    norm, names, constants = normalization(np.random.default_rng(0), "n", 3)
    graph = graph_of(
        {"x": (None, 3, 4, 4)},
        [(norm, f"x {names}", "a"), (Relu(), "a", "b"), (Add(), "b x", "y")],
        "y",
        constants,
    )
    lowered = run_passes(graph, STANDARD_PASSES)
    assert run_passes(lowered, STANDARD_PASSES) == lowered
