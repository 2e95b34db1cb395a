"""Real trained networks on logarithmic codes, without data: every integer proved, accuracy kept."""

from __future__ import annotations

import numpy as np
import pytest
from shared_data import evalsets, model_path, needs_shared_data

import intlower
from intlower.compiler.artifact import parse, serialise
from intlower.compiler.crosscheck import verify
from intlower.compiler.evaluate import evaluate
from intlower.compiler.importer import import_model, read_model
from intlower.compiler.simulator import quantize_inputs

pytestmark = [needs_shared_data, pytest.mark.crosscheck, pytest.mark.slow]


@pytest.mark.parametrize("target", ["nnie", "nnie:bits=16"])
@pytest.mark.parametrize("name", ["mlperf_ic_resnet8", "mlperf_kws_ds_cnn"])
def test_engine_oracle_and_onnxruntime_agree_on_every_integer(name: str, target: str) -> None:
    program = intlower.compile(model_path(name), target=target)
    assert parse(serialise(program)) == program
    samples, _ = evalsets().load(name, 1)
    found = verify(program, quantize_inputs(program, {program.inputs[0]: samples}))
    assert set(found) == {"onnxruntime", "reference"}
    for comparison in found.values():
        assert comparison.compared > 0
        assert comparison.mismatches == 0


# The top-1 accuracy that may be lost, in points, and on how many samples.
LOSSES = (
    ("mlperf_ic_resnet8", 200, 1.5),
    ("cifar10_resnet20", 100, 2.0),  # two images; 200 lose half a point
    ("mobilenet_v1_025_imagenet", 60, 15.0),  # nine images; 500 lose 6 to 8 points
)


@pytest.mark.parametrize(("name", "count", "loss"), LOSSES)
def test_accuracy_without_data_stays_near_that_of_float(
    name: str, count: int, loss: float
) -> None:
    program = intlower.compile(model_path(name), target="nnie")
    samples, labels = evalsets().load(name, count)
    (integer,) = intlower.simulate(program, {program.inputs[0]: samples}).values()
    graph = import_model(read_model(model_path(name))[0])
    (real,) = evaluate(graph, {graph.inputs[0].name: samples}, batch_size=20).values()
    integer_hits, float_hits = (
        np.count_nonzero(scores.argmax(axis=1) == labels) for scores in (integer, real)
    )
    assert 100 * (float_hits - integer_hits) / count <= loss
