"""Blocks of today's networks, as PyTorch's exporters write them: imported, evaluated, simplified."""

from __future__ import annotations

import importlib.util

import networks
import numpy as np
import onnx
import pytest
from torch_blocks import BLOCKS, exported

from intlower.compiler.evaluate import evaluate
from intlower.compiler.graph import Graph
from intlower.compiler.operators import operator_name
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES

pytestmark = pytest.mark.crosscheck

# What each block is, once what exporters split is one operator again: wherever it was split.
WHOLE: dict[str, set[str]] = {
    "squeeze_excite": {"Conv", "GlobalAveragePool", "Sigmoid", "Mul"},
    "mobilenet_v3": {"Conv", "HardSwish", "HardSigmoid", "GlobalAveragePool", "Mul", "Add"},
    "relaxed_swish": {"Conv", "HardSwish", "HardSigmoid", "GlobalAveragePool", "Mul"},
    "convnext": {"Conv", "Transpose", "LayerNormalization", "MatMul", "Add", "Gelu", "Mul"},
    "convnext_tanh": {
        *("Conv", "Transpose", "LayerNormalization", "MatMul", "Add", "GeluTanh", "Mul")
    },
    "unet": {*("Conv", "LeakyRelu", "AveragePool", "Slice", "Resize"), "ConvTranspose"}
    | {"PRelu", "Concat", "Sigmoid"},
    "shuffle": {"Slice", "Conv", "Concat", "Reshape", "Transpose"},
}


def simplified(model: onnx.ModelProto) -> Graph:
    """Compare a model with onnxruntime before and after the standard passes, and return what they leave."""
    inputs = networks.random_inputs(model, batch=2)
    graph = networks.assert_evaluates_as_in_onnxruntime(model, inputs)
    passed = run_passes(graph, STANDARD_PASSES)
    before, after = evaluate(graph, inputs), evaluate(passed, inputs)
    for name, array in before.items():
        # Folding rounds weights once more.
        np.testing.assert_allclose(after[name], array, rtol=1e-4, atol=2e-5)
    return passed


@pytest.mark.parametrize("opset", [11, 17, 20])
@pytest.mark.parametrize("name", BLOCKS)
def test_what_torchscript_writes_is_imported_and_made_whole(name: str, opset: int) -> None:
    graph = simplified(exported(name, opset=opset, dynamo=False))
    found = {operator_name(node.operator) for node in graph.nodes}
    assert found <= WHOLE.get(name, found)


@pytest.mark.skipif(
    importlib.util.find_spec("onnxscript") is None,
    reason="torch's dynamo exporter needs onnxscript",
)
@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_what_dynamo_writes_is_imported_and_made_whole(name: str) -> None:
    graph = simplified(exported(name, opset=18, dynamo=True, free=name != "yolo"))
    found = {operator_name(node.operator) for node in graph.nodes}
    assert found <= WHOLE.get(name, found)
