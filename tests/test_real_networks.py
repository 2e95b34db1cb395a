"""Real trained networks, without data: every integer proved, accuracy kept."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from shared_data import evalsets, model_path, needs_shared_data

import intlower
from intlower.compiler.artifact import serialise
from intlower.compiler.crosscheck import verify
from intlower.compiler.evaluate import evaluate
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.program import IntegerProgram
from intlower.compiler.simulator import quantize_inputs

pytestmark = [needs_shared_data, pytest.mark.crosscheck, pytest.mark.slow]

NETWORKS = (
    "mlperf_ic_resnet8",
    "mlperf_kws_ds_cnn",
    "cifar10_resnet20",
    "cifar10_resnet20_slicepad",
    "mobilenet_v1_025_imagenet",
    "mobilenet_v2_imagenet",
)
TARGETS = ("snpe", "tensorrt")

# The top-1 accuracy that may be lost, in points, and on how many samples. One of 200 samples is half a point.
LOSSES = (
    ("mlperf_ic_resnet8", 200, 1.5),
    ("mlperf_kws_ds_cnn", 500, 1.5),
    ("cifar10_resnet20", 200, 1.5),
    ("mobilenet_v1_025_imagenet", 60, 6.7),  # four images; 500 give 1.6 to 2.2 points
    ("mobilenet_v2_imagenet", 40, 5.0),  # two images; 500 give no loss
)


@cache
def compiled(name: str, target: str) -> IntegerProgram:
    return intlower.compile(model_path(name), target=target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_engine_oracle_and_onnxruntime_agree_on_every_integer(name: str, target: str) -> None:
    program = compiled(name, target)
    samples, _ = evalsets().load(name, 2)
    found = verify(program, quantize_inputs(program, {program.inputs[0]: samples}))
    assert set(found) == {"onnxruntime", "reference"}
    for comparison in found.values():
        assert comparison.compared > 0
        assert comparison.mismatches == 0


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_model_gives_the_same_bytes(target: str) -> None:
    again = intlower.compile(model_path("cifar10_resnet20"), target=target)
    assert serialise(again) == serialise(compiled("cifar10_resnet20", target))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("name", "count", "loss"), LOSSES)
def test_accuracy_without_data_stays_near_that_of_float(
    name: str, count: int, loss: float, target: str
) -> None:
    program = compiled(name, target)
    samples, labels = evalsets().load(name, count)
    (integer,) = intlower.simulate(program, {program.inputs[0]: samples}).values()
    graph = import_model(read_model(model_path(name))[0])
    (real,) = evaluate(graph, {graph.inputs[0].name: samples}, batch_size=20).values()
    integer_hits, float_hits = (
        np.count_nonzero(scores.argmax(axis=1) == labels) for scores in (integer, real)
    )
    assert 100 * (float_hits - integer_hits) / count <= loss
