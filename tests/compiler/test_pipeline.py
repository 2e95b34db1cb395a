from __future__ import annotations

import hashlib
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest

from intlower.compiler.calibration.methods.select import Method
from intlower.compiler.discovery import load_target
from intlower.compiler.errors import (
    CalibrationError,
    CalibrationWarning,
    DataError,
    ModelError,
    TargetError,
    UnknownTarget,
)
from intlower.compiler.pipeline import compile_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(networks.classifier(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_a_program_records_how_it_came_to_be(model: Path) -> None:
    program = compile_model(model, target="snpe", recipe="none", seed=11)
    origin = program.origin
    assert program.target == "snpe"
    assert origin.source_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert origin.pipeline == repr(load_target("snpe").recipe("none"))
    assert origin.calibration.startswith("batch-norm moments")
    assert origin.seed == 11
    assert (origin.recipe, origin.steps, origin.verdicts) == ("none", (), ())
    (named,) = (names for source, names in origin.ranges.items() if "first layer" in source)
    assert named == ("input",)
    assert sum(len(names) for names in origin.ranges.values()) >= len(program.instructions)


def test_samples_and_given_ranges_reach_the_program(model: Path) -> None:
    samples = networks.random_inputs(networks.classifier(), batch=6)
    program = compile_model(
        model,
        target="tensorrt",
        samples=samples,
        method=Method.PERCENTILE,
        input_ranges={"input": (-2.0, 2.54)},
    )
    assert program.origin.calibration == "6 samples, percentile"
    assert float(program.tensors["input"].grid.scale.array) == pytest.approx(0.02)


def test_progress_names_every_stage(model: Path) -> None:
    lines: list[str] = []
    compile_model(model, target="snpe", progress=lines.append)
    assert lines[0] == "read the model"
    assert lines[-2:] == ["calibrate", "lower to snpe"]
    passes = load_target("snpe").recipe("default").passes
    assert lines[1:-2] == [f"pass {rewrite.name}" for rewrite in passes]


def test_open_shapes_are_given_by_the_caller(tmp_path: Path) -> None:
    network = networks.conv_bn_relu(batch="N")
    for axis in (2, 3):
        network.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "side"
    onnx.save(network, tmp_path / "open.onnx")
    with pytest.raises(ModelError):
        compile_model(tmp_path / "open.onnx", target="snpe")
    program = compile_model(
        tmp_path / "open.onnx", target="snpe", shapes={"input": (None, 3, 8, 8)}
    )
    assert program.tensors["input"].shape == (None, 3, 8, 8)


def test_a_wrong_target_is_refused_before_the_model_is_read(tmp_path: Path) -> None:
    with pytest.raises(UnknownTarget):
        compile_model(tmp_path / "missing.onnx", target="snpee")
    with pytest.raises(TargetError, match="no recipe 'best'"):
        compile_model(tmp_path / "missing.onnx", target="snpe", recipe="best")


def test_what_does_not_fit_is_refused(model: Path) -> None:
    with pytest.raises(DataError):
        compile_model(
            model, target="snpe", samples={"input": np.zeros((1, 3, 9, 8), np.float32)}
        )
    with pytest.raises(CalibrationError):
        compile_model(model, target="snpe", input_ranges={"image": (0.0, 1.0)})


def test_a_model_that_tells_nothing_warns(tmp_path: Path) -> None:
    onnx.save(networks.concat_network(), tmp_path / "model.onnx")
    with pytest.warns(CalibrationWarning):
        compile_model(tmp_path / "model.onnx", target="snpe")
