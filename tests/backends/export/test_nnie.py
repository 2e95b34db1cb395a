from __future__ import annotations

import json
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
import small_programs
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from text_messages import CAFFE

from intlower.backends.export.nnie import MapperConfig, mapper_config, param_dict, position
from intlower.backends.export.registry import export_files
from intlower.compiler.errors import ExportError
from intlower.compiler.grids import LogGrid
from intlower.compiler.pipeline import compile_model


@given(st.dictionaries(st.text(max_size=5), st.lists(st.integers(-256, 256), max_size=3)))
def test_clips_read_back_as_they_were(positions: dict[str, list[int]]) -> None:
    clips = {layer: [2 ** (k / 16) for k in values] for layer, values in positions.items()}
    stored = json.loads(param_dict(clips))["nnie"]["gfpq_param_dict"]
    assert stored == clips
    assert {
        layer: [position(layer, c) for c in cs] for layer, cs in stored.items()
    } == positions


def test_the_clips_of_the_public_example_are_allowed() -> None:
    assert [position("Add_7", clip) for clip in (4.0, 2.8284271)] == [32, 24]


@pytest.mark.parametrize("clip", [3.0, 0.0, -1.0, float("nan"), float("inf"), 2.0**17, 2.828])
def test_other_clips_are_refused_with_the_layer(clip: float) -> None:
    with pytest.raises(ExportError, match="nnie: 'conv' has the clip"):
        param_dict({"conv": [2.0, clip]})


def test_the_mappers_configuration_has_one_key_a_line() -> None:
    text = mapper_config(
        MapperConfig(
            prototxt_file="net.prototxt",
            caffemodel_file="net.caffemodel",
            image_list="images.txt",
            instruction_name="net",
            high_precision=True,
            data_scale=1 / 255,
        )
    )
    fields = dict(line[1:].split("] ") for line in text.splitlines())
    assert fields["prototxt_file"] == "net.prototxt"
    assert fields["compile_mode"] == "1"
    assert float(fields["data_scale"]) == pytest.approx(1 / 255, rel=1e-6)
    assert fields["internal_stride"] == "16"


def test_the_network_and_the_clips_are_the_programs(tmp_path: Path) -> None:
    model = networks.classifier(seed=5)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    program = compile_model(tmp_path / "model.onnx", target="nnie", samples=samples)
    files = export_files(program, "nnie")
    stored = json.loads(files["net_gfpq_param_dict.json"])["nnie"]["gfpq_param_dict"]
    layers = text_format.Parse(files["net.prototxt"].decode(), CAFFE["NetParameter"]()).layer
    blobs = CAFFE["NetParameter"].FromString(files["net.caffemodel"]).layer
    grids = [tensor.grid for tensor in program.tensors.values()]
    positions = {grid.clip_steps for grid in grids if isinstance(grid, LogGrid)}
    assert {position(layer, c) for layer, clips in stored.items() for c in clips} == positions
    assert set(stored) <= {layer.name for layer in layers}
    weights = {i.name: i for i in program.instructions if i.weight_grid is not None}
    assert {layer.name for layer in blobs} == set(weights)
    for layer in blobs:
        instruction = weights[layer.name]
        grid = instruction.weight_grid
        assert isinstance(grid, LogGrid)
        reals = np.array(layer.blobs[0].data, np.float32)
        codes = instruction.constants["weights"].array
        assert np.array_equal(grid.quantize(reals).reshape(codes.shape), codes)
        assert np.abs(reals).max() <= grid.clip
    assert export_files(program, "nnie") == files


def test_uniform_programs_are_refused() -> None:
    with pytest.raises(ExportError, match="nnie: 'image' is on a uniform grid"):
        export_files(small_programs.classifier(), "nnie")
