"""Models that Python packages ship: onnx's light ones with weights drawn here, and RapidOCR's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend import test as backend_test

from intlower.compiler.evaluate import evaluate
from intlower.compiler.importer import import_model
from intlower.compiler.operators import Shape
from intlower.compiler.passes.base import run_passes
from intlower.compiler.passes.standard import STANDARD_PASSES

pytestmark = pytest.mark.crosscheck

LIGHT = Path(next(iter(backend_test.__path__))) / "data" / "light"
# Their 60 to 140 million weights take long to draw: they are compared as they are, with weights all alike.
LARGE = ("bvlc_alexnet", "vgg19", "zfnet512")
SMALL = ("densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet")

RAPIDOCR: dict[str, Shape] = {
    "ch_PP-OCRv4_det_infer": (None, 3, 64, 64),
    "ch_PP-OCRv4_rec_infer": (1, 3, 48, 64),  # it moves the batch, which must be fixed
    "ch_ppocr_mobile_v2.0_cls_infer": (None, 3, 48, 64),
}


def with_drawn_weights(model: onnx.ModelProto, seed: int = 0) -> onnx.ModelProto:
    """Return a light model with its constant fills, all alike, replaced by random weights."""
    random = np.random.default_rng(seed)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            shapes[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = [int(size) for size in shapes[node.input[0]]]
        if len(shape) > 1:
            fan_in = int(np.prod(shape[1:]))
            array = random.standard_normal(shape, np.float32) * np.float32(fan_in**-0.5)
        else:
            array = random.uniform(0.5, 1.5, shape).astype(np.float32)  # also variances
        model.graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.ir_version = 8  # from 4 on, initializers need not be inputs
    return model


def assert_agrees(model: onnx.ModelProto, shapes: dict[str, Shape] | None = None) -> None:
    """Compare with onnxruntime, before and after the standard passes."""
    graph = import_model(model, shapes=shapes)
    random = np.random.default_rng(0)
    inputs = {
        value.name: random.standard_normal([d or 1 for d in value.shape], np.float32)
        for value in graph.inputs
    }
    expected = networks.onnxruntime_outputs(model, inputs)
    for candidate in (graph, run_passes(graph, STANDARD_PASSES)):
        actual = evaluate(candidate, inputs)
        for name, array in expected.items():
            # A hundred layers in float32, summed in different orders; relative to the largest number.
            largest = max(1.0, float(np.abs(array).max()))
            np.testing.assert_allclose(actual[name], array, rtol=0, atol=1e-4 * largest)


@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
def test_light_models_agree_with_onnxruntime(name: str) -> None:
    path = LIGHT / f"light_{name}.onnx"
    if not path.exists():
        pytest.skip("this release of onnx does not ship its light models")
    model = onnx.load(path)
    assert_agrees(model if name in LARGE else with_drawn_weights(model))


@pytest.mark.skipif(
    importlib.util.find_spec("rapidocr_onnxruntime") is None,
    reason="rapidocr-onnxruntime is not installed",
)
@pytest.mark.parametrize("name", RAPIDOCR)
def test_rapidocr_models_agree_with_onnxruntime(name: str) -> None:
    package = importlib.util.find_spec("rapidocr_onnxruntime")
    assert package is not None
    assert package.origin is not None
    model = onnx.load(Path(package.origin).parent / "models" / f"{name}.onnx")
    assert_agrees(model, {"x": RAPIDOCR[name]})
