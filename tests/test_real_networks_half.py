"""Real trained networks in half precision, wholly or between quantized layers: every bit proved, accuracy kept."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from shared_data import evalsets, model_path, needs_shared_data

import intlower
from intlower.compiler.crosscheck import verify
from intlower.compiler.evaluate import evaluate
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import quantize_inputs

pytestmark = [needs_shared_data, pytest.mark.crosscheck, pytest.mark.slow]

NETWORKS = (
    "mlperf_ic_resnet8",
    "mlperf_kws_ds_cnn",
    "cifar10_resnet20_slicepad",
    "mobilenet_v1_025_imagenet",
)
TARGETS = ("tensorrt_fp16", "adreno:acc=fp16,overflow=saturate", "ascend310")

# The top-1 accuracy that may be lost, in points, and on how many samples.
LOSSES = (
    ("tensorrt_fp16", "mlperf_kws_ds_cnn", 500, 0.2),
    ("adreno:acc=fp16", "mlperf_ic_resnet8", 50, 2.0),
    ("ascend310", "mlperf_ic_resnet8", 200, 1.5),
    ("ascend310", "mobilenet_v1_025_imagenet", 60, 6.7),  # four images; 500 give 1.8 points
)


@cache
def compiled(name: str, target: str) -> IntegerProgram:
    return intlower.compile(model_path(name), target=target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_engine_oracle_and_onnxruntime_agree_on_every_bit(name: str, target: str) -> None:
    program = compiled(name, target)
    samples, _ = evalsets().load(name, 1)
    found = verify(program, quantize_inputs(program, {program.inputs[0]: samples}))
    assert set(found) == {"onnxruntime", "reference"}
    for comparison in found.values():
        assert comparison.compared > 0
        assert comparison.mismatches == 0


@pytest.mark.parametrize(("target", "name", "count", "loss"), LOSSES)
def test_accuracy_without_data_stays_near_that_of_float(
    target: str, name: str, count: int, loss: float
) -> None:
    program = compiled(name, target)
    samples, labels = evalsets().load(name, count)
    (found,) = intlower.simulate(program, {program.inputs[0]: samples}).values()
    graph = import_model(read_model(model_path(name))[0])
    (real,) = evaluate(graph, {graph.inputs[0].name: samples}, batch_size=20).values()
    hits, float_hits = (
        np.count_nonzero(scores.argmax(axis=1) == labels) for scores in (found, real)
    )
    assert 100 * (float_hits - hits) / count <= loss
