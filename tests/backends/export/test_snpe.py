from __future__ import annotations

import json
from dataclasses import replace

import onnx
import pytest
import small_programs
from export_reading import shifted
from power_of_two_programs import power_of_two_classifier
from small_programs import grid

from intlower.backends.export import snpe
from intlower.backends.export.registry import export_files
from intlower.compiler.errors import ExportError
from intlower.kernels.signature import ElementType


def test_snpe_encodings_of_all_versions_are_the_grids() -> None:
    program = small_programs.classifier()
    unsigned = replace(grid(0.25, ElementType.UINT8), zero_point=17)
    activations = {"image": program.tensors["image"].grid, "x": unsigned}
    parameters = {"w": program.instructions[0].weight_grid}
    assert parameters["w"] is not None
    per_channel = [float(s) for s in parameters["w"].scale.array]

    old = snpe.encodings_0_6_1(activations, parameters)
    item = old["activation_encodings"]["x"][0]
    assert (item["offset"], item["scale"], item["is_symmetric"]) == (-17, 0.25, "False")
    assert (item["min"], item["max"]) == unsigned.real_limits
    assert [i["scale"] for i in old["param_encodings"]["w"]] == per_channel
    assert {i["offset"] for i in old["param_encodings"]["w"]} == {-128}

    middle = snpe.encodings_1_0_0(activations, parameters)
    by_name = {
        i["name"]: i for k in ("activation_encodings", "param_encodings") for i in middle[k]
    }
    assert by_name["x"]["scale"] == [0.25]
    assert by_name["x"]["offset"] == [-17]
    assert by_name["w"]["enc_type"] == "PER_CHANNEL"
    assert by_name["w"]["scale"] == per_channel
    assert by_name["image"]["is_sym"] is True

    new = {i["name"]: i for i in snpe.encodings_2_0_0(activations, parameters)["encodings"]}
    assert new["x"] == {
        "name": "x",
        "output_dtype": "uint8",
        "y_scale": 0.25,
        "y_zero_point": 17,
    }
    assert new["w"] == {"name": "w", "output_dtype": "int8", "y_scale": per_channel, "axis": 0}


def test_snpe_encodings_name_every_value_of_the_float_network() -> None:
    files = export_files(power_of_two_classifier(), "snpe")
    graph = onnx.load_from_string(files["model.onnx"]).graph
    encodings = json.loads(files["encodings_0.6.1.json"])
    computed = {name for node in graph.node for name in node.output} | {"image"}
    # the sum before a ReLU is fused with it, and has no grid of its own
    assert set(encodings["activation_encodings"]) == computed - {
        "probabilities",
        "features/computed",
    }
    weights = {i.name for i in graph.initializer if i.name.endswith("/weights")}
    assert set(encodings["param_encodings"]) == weights


def test_snpe_model_has_a_fixed_batch() -> None:
    files = export_files(small_programs.classifier(), "snpe")
    graph = onnx.load_from_string(files["model.qdq.onnx"]).graph
    sizes = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    assert sizes == [1, 2, 6, 6]


def test_snpe_refuses_channels_with_a_zero_point() -> None:
    program = small_programs.classifier()
    conv = program.instructions[0]
    assert conv.weight_grid is not None
    moved = replace(conv, weight_grid=shifted(conv.weight_grid, 3))
    program = replace(program, instructions=(moved, *program.instructions[1:]))
    with pytest.raises(
        ExportError, match="snpe: 'conv' has a scale for each channel and a zero"
    ):
        export_files(program, "snpe")
