"""The zoo measures what it says, keeps what it knows, and hides nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest

from benchmarks.zoo import __main__ as command
from benchmarks.zoo.catalogue import catalogue
from benchmarks.zoo.light import NAMES, light_model
from benchmarks.zoo.measure import measure, read_record, write_record
from benchmarks.zoo.model import ZooModel, images
from benchmarks.zoo.page import page
from benchmarks.zoo.run import ZooJob, measure_bounded


def small(make: Any = networks.conv_bn_relu) -> ZooModel:
    return ZooModel(name="small", package="onnx", origin="made here", make=make)


def test_the_zoo_has_what_it_promises() -> None:
    names = [entry.name for entry in catalogue()]
    assert len(set(names)) == len(names)
    assert len({name for name in names if name.startswith("pytorchcv-")}) >= 60
    assert {name for name in names if name.startswith("light-")} == {
        f"light-{n}" for n in NAMES
    }
    for block in ("mobilenetv3", "efficientnet", "regnety", "shufflenetv2", "convnext", "vit"):
        assert {f"torch-{block}-torchscript", f"torch-{block}-dynamo"} <= set(names)


def test_a_network_is_measured_and_not_measured_again(tmp_path: Path) -> None:
    measure(small(), tmp_path, ("tensorrt", "snpe"))
    record = read_record(tmp_path, "small")
    assert record["imported"] is True
    assert record["calibration"] == "moments"
    assert record["float_error"] < 1e-5
    for result in record["targets"].values():
        assert result["mismatches"] == {"onnxruntime": 0, "reference": 0}
        assert result["compared"] > 0
        assert result["sqnr"] > 20
    record["targets"]["snpe"]["seconds"] = -1.0
    record["targets"]["nnie"] = {"seconds": 1.0, "instructions": 1}  # its run was ended
    write_record(tmp_path, "small", record)
    measure(small(), tmp_path, ("tensorrt", "snpe"))
    del record["targets"]["nnie"]
    assert read_record(tmp_path, "small") == record


def test_a_flat_softmax_is_judged_by_what_it_reads(tmp_path: Path) -> None:
    def classifier() -> onnx.ModelProto:
        b = networks.NetworkBuilder()
        scores = b.node("Gemm", "x", b.normal(16, 1000, scale=0.1))
        return b.model({"x": ["N", 16]}, b.node("Softmax", scores, axis=1))

    measure(small(classifier), tmp_path, ("snpe", "tensorrt"))
    results = read_record(tmp_path, "small")["targets"]
    assert results["snpe"]["sqnr"] < 5 < 25 < results["snpe"]["logits_sqnr"]
    assert results["tensorrt"]["host"] == 1
    assert results["tensorrt"]["logits_sqnr"] > 25


def test_what_cannot_be_made_or_imported_is_recorded(tmp_path: Path) -> None:
    def broken() -> onnx.ModelProto:
        raise ValueError("no exporter")

    measure(small(broken), tmp_path, ("snpe",))
    assert "no exporter" in read_record(tmp_path, "small")["exported"]

    def unsupported() -> onnx.ModelProto:
        b = networks.NetworkBuilder()
        return b.model({"x": ["N", 4]}, b.node("Erf", b.node("Det", "x")))

    measure(replace(small(unsupported), name="other"), tmp_path, ("snpe",))
    assert "Det" in read_record(tmp_path, "other")["imported"]


def test_a_process_past_its_time_leaves_its_reason(tmp_path: Path) -> None:
    job = ZooJob(name="mtcnn-pnet", folder=tmp_path, targets=("snpe",), seconds=0.01, threads=1)
    assert measure_bounded(job) == "mtcnn-pnet"
    assert read_record(tmp_path, "mtcnn-pnet")["imported"] == "past the limit of 0 s"
    late = replace(job, name="mtcnn-rnet", deadline=time.time() - 1)
    measure_bounded(late)
    assert read_record(tmp_path, "mtcnn-rnet") == {}


def test_the_page_lists_every_failure_and_marks_what_is_old() -> None:
    good = {"seconds": 1.0, "instructions": 3, "host": 1, "sqnr": 30.0, "compared": 7}
    records: dict[str, dict[str, Any]] = {
        "good": {
            "imported": True,
            "float_error": 0.0,
            "targets": {
                "snpe": {**good, "mismatches": {"onnxruntime": 0}, "sources": "new"},
                "nnie": {"reason": "UnsupportedByTarget: no such layer"},
            },
        },
        "wrong": {
            "imported": True,
            "float_error": 0.0,
            "targets": {"snpe": {**good, "mismatches": {"onnxruntime": 2}, "sources": "old"}},
        },
        "ended": {
            "imported": True,
            "float_error": 0.0,
            "targets": {"snpe": {"seconds": 1.0, "instructions": 3, "host": 0}},
        },
        "refused": {
            "imported": "UnsupportedOperator: 3 nodes are not supported: Det at 'a'; b; c"
        },
        "unmade": {"exported": "ValueError: no exporter"},
    }
    entries = [replace(small(), name=name) for name in (*records, "absent")]
    text = page(entries, records, ("snpe", "nnie"), 60.0, "new")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["snpe", "3", "2", "1 (33.3%)", "2", "14", "1"] in rows
    assert ["nnie", "2", "0", "0 (0.0%)", "0", "0", "2"] in rows
    cells = {row[0]: row[-2:] for row in rows if len(row) == 7 and row[0] in records}
    assert cells["good"] == ["0, 30.0 dB, 1.0 s, *o*, host 1", "no †"]
    assert cells["wrong"] == ["**2**, 30.0 dB, 1.0 s, *o*, host 1 †", "-"]
    assert ["good", "nnie", "UnsupportedByTarget: no such layer"] in rows
    assert ["wrong", "snpe", "integers differ: onnxruntime 2"] in rows
    assert [
        "refused",
        "import",
        "UnsupportedOperator: 3 nodes are not supported: Det at 'a'; and 2 more",
    ] in rows
    assert next(row for row in rows if row[:1] == ["ended"])[-2:] == ["-", "-"]
    assert ["unmade", "ValueError: no exporter"] in rows
    assert text.rstrip().endswith("absent")


@pytest.mark.parametrize(
    ("again", "left"), [("failed", ["a"]), ("outdated", ["b"]), ("all", [])]
)
def test_results_are_forgotten_as_asked(tmp_path: Path, again: str, left: list[str]) -> None:
    results = {
        "a": {"mismatches": {"onnxruntime": 0}, "sources": "old"},
        "b": {"reason": "none", "sources": "new"},
    }
    write_record(tmp_path, "small", {"imported": True, "targets": results})
    command.forget(tmp_path, "small", ("a", "b"), again, "new")
    assert list(read_record(tmp_path, "small")["targets"]) == left


def test_noise_is_smooth_and_within_bounds() -> None:
    x = images((3, 32, 32), 4, 0, (0.0, 1.0))
    assert x.shape == (4, 3, 32, 32)
    assert 0 <= x.min() < 0.1
    assert 0.9 < x.max() <= 1
    assert np.corrcoef(x[..., :-1].ravel(), x[..., 1:].ravel())[0, 1] > 0.4
    assert np.array_equal(x, images((3, 32, 32), 4, 0, (0.0, 1.0)))


def test_a_light_model_has_weights_that_differ() -> None:
    try:
        model = light_model("squeezenet")
    except FileNotFoundError:
        pytest.skip("this release of onnx does not ship its light models")
    assert not any(node.op_type == "ConstantOfShape" for node in model.graph.node)
    weights = [
        onnx.numpy_helper.to_array(t) for t in model.graph.initializer if len(t.dims) == 4
    ]
    assert all(array.std() > 0 for array in weights)
