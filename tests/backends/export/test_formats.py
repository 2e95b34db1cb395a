"""Each format's files are read back, by other people's parsers where there are any, and are the program's grids."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import small_programs
from google.protobuf import text_format
from onnx import numpy_helper
from power_of_two_programs import POSITIONS, WEIGHT_POSITION, power_of_two_classifier
from small_programs import grid
from text_messages import AMCT, CAFFE

from intlower.backends.export import ascend, snpe, tensorrt
from intlower.backends.export.format import real_biases, real_weights
from intlower.backends.export.registry import export_files
from intlower.compiler.constant import Constant
from intlower.compiler.errors import ExportError
from intlower.compiler.grids import UniformGrid
from intlower.compiler.program import Instruction, IntegerProgram
from intlower.kernels.signature import ElementType


def document(program: IntegerProgram, name: str, path: str) -> Any:
    return json.loads(export_files(program, name)[path])


def with_grid(program: IntegerProgram, name: str, new: UniformGrid) -> IntegerProgram:
    """Return a program with another grid of a tensor; the integers stay as they are."""
    tensor = replace(program.tensors[name], grid=new)
    return replace(program, tensors={**program.tensors, name: tensor})


def shifted(old: UniformGrid, zero_point: int) -> UniformGrid:
    return replace(old, zero_point=zero_point)


def weighted(program: IntegerProgram) -> list[Instruction]:
    return [i for i in program.instructions if i.weight_grid is not None]


# qdq


def test_qdq_holds_every_scale_and_the_weight_codes() -> None:
    program = small_programs.classifier()
    for path in ("model.qdq.onnx", "model.integer.qdq.onnx"):
        model = onnx.load_from_string(export_files(program, "qdq")[path])
        stored = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        for name, tensor in program.tensors.items():
            if f"{name}/scale" in stored:
                assert stored[f"{name}/scale"] == tensor.grid.scale.array
        conv = program.instructions[0]
        assert np.array_equal(stored["conv/weights"], conv.constants["weights"].array)


# tensorrt


def test_tensorrt_cache_and_ranges_are_the_scales() -> None:
    program = small_programs.classifier()
    files = export_files(program, "tensorrt")
    scales = {name: float(t.grid.scale.array) for name, t in program.tensors.items()}
    text = files["calibration.cache"].decode()
    assert tensorrt.read_calibration_cache(text) == scales
    assert text.splitlines()[1] == "image: " + struct.pack(">f", np.float32(0.1)).hex()
    ranges = json.loads(files["dynamic_ranges.json"])
    assert ranges["act_quant_info"] == {name: 127 * s for name, s in scales.items()}
    assert ranges["tensorrt"]["blob_range"] == ranges["act_quant_info"]


def test_tensorrt_gets_no_integer_bias() -> None:
    files = export_files(small_programs.classifier(), "tensorrt")
    types = {
        initializer.data_type
        for initializer in onnx.load_from_string(files["model.qdq.onnx"]).graph.initializer
    }
    assert onnx.TensorProto.INT32 not in types


def test_not_a_cache_is_refused() -> None:
    with pytest.raises(ExportError, match="not a calibration cache"):
        tensorrt.read_calibration_cache("hello\nworld: 00000000\n")


# snpe


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


# nart


def test_nart_parameters_are_the_grids() -> None:
    program = small_programs.classifier()
    stored = document(program, "nart", "qparams.json")
    conv = program.instructions[0]
    assert conv.weight_grid is not None
    weights = [float(s) for s in conv.weight_grid.scale.array]
    symmetric = {"zero_point": 0.0, "type": "symmetric"}
    assert stored["conv_bottom"] == {"alpha": float(np.float32(0.1)), "bit": 8, **symmetric}
    assert stored["conv_param_1"] == {"alpha": weights, "bit": 8, **symmetric}
    products = np.float32(0.1) * conv.weight_grid.scale.array
    assert stored["conv_param_2"] == {
        "alpha": [float(s) for s in products],
        "bit": 32,
        **symmetric,
    }
    assert stored["residual_bottom_0"] == stored["residual_bottom_1"] == stored["pool_top"]
    assert document(program, "nart", "config.json")["default_net_type_token"] == "cuda_quant"


def test_nart_sends_asymmetric_programs_to_the_processor() -> None:
    program = small_programs.classifier()
    program = with_grid(program, "image", shifted(program.tensors["image"].grid, 3))
    assert document(program, "nart", "qparams.json")["conv_bottom"]["type"] == "biased"
    config = document(program, "nart", "config.json")
    assert config["quant"] == {
        "symmetric": False,
        "bit_width": 8,
        "qparams_file": "qparams.json",
    }


# ncnn


def test_ncnn_table_reads_back_as_the_reciprocals_of_the_scales() -> None:
    program = small_programs.classifier()
    text = export_files(program, "ncnn")["model.table"].decode()
    rows = {
        key: np.array(numbers, np.float32)
        for key, *numbers in map(str.split, text.splitlines())
    }
    assert set(rows) == {"conv", "conv_param_0", "classify", "classify_param_0"}
    for instruction in weighted(program):
        outputs = len(instruction.constants["bias"].array)
        assert instruction.weight_grid is not None
        scales = np.broadcast_to(instruction.weight_grid.scale.array, (outputs,))
        assert np.array_equal(rows[f"{instruction.name}_param_0"], np.float32(1) / scales)
        source = program.tensors[instruction.inputs[0]].grid.scale.array
        assert np.array_equal(rows[instruction.name], [np.float32(1) / source])


# ascend


def test_ascend_records_read_back_in_protobufs_parser() -> None:
    program = small_programs.classifier()
    program = with_grid(program, "image", shifted(program.tensors["image"].grid, 3))
    text = export_files(program, "ascend")["record.txt"].decode()
    records = text_format.Parse(text, AMCT["ScaleOffsetRecord"]()).record
    assert [record.key for record in records] == ["conv", "classify"]
    for record, instruction in zip(records, weighted(program), strict=True):
        source, weights = program.tensors[instruction.inputs[0]].grid, instruction.weight_grid
        assert weights is not None
        assert np.float32(record.value.scale_d) == source.scale.array
        assert record.value.offset_d == source.zero_point
        stored = np.array(record.value.scale_w, np.float32)
        assert np.array_equal(stored, weights.scale.array.reshape(-1))
        assert list(record.value.offset_w) == [0] * stored.size


@pytest.mark.parametrize("key", ['a"b', "back\\slash", "é\n", "\\303"])
def test_ascend_keys_survive_quoting(key: str) -> None:
    text = ascend.record_text(
        [ascend.Record(key=key, scale_d=1e-7, offset_d=-128, scale_w=[0.1])]
    )
    record = text_format.Parse(text, AMCT["ScaleOffsetRecord"]()).record[0]
    assert record.key == key
    assert np.float32(record.value.scale_d) == np.float32(1e-7)


def test_ascend_refuses_unsigned_weights_and_extreme_scales() -> None:
    program = small_programs.classifier()
    conv = program.instructions[0]
    assert conv.weight_grid is not None
    moved = replace(conv, weight_grid=shifted(conv.weight_grid, 3))
    with pytest.raises(ExportError, match="'conv' has int8 weights with zero point 3"):
        export_files(
            replace(program, instructions=(moved, *program.instructions[1:])), "ascend"
        )
    program = with_grid(program, "image", grid(1e-9, ElementType.INT8))
    with pytest.raises(ExportError, match="'conv' has scales 1e-09 to"):
        export_files(program, "ascend")


# vitis


def test_vitis_positions_are_those_of_the_scales() -> None:
    program = power_of_two_classifier()
    stored = document(program, "vitis", "quant_info.json")
    assert stored["input"] == {"image": [[8, POSITIONS["image"]]]}
    assert stored["output"] == {
        i.name: [[8, POSITIONS[i.output]]] for i in program.instructions
    }
    assert stored["param"]["conv.weight"] == [[8, WEIGHT_POSITION]]
    # biases of up to 500 need more than 8 bits
    assert stored["param"]["conv.bias"] == [[32, POSITIONS["image"] + WEIGHT_POSITION]]


def test_a_vitis_bias_of_8_bits_has_a_position_of_its_own() -> None:
    program = power_of_two_classifier()
    conv = program.instructions[0]
    constants = {**conv.constants, "bias": Constant.of([8 * 127, -8 * 128, 8, 0], np.int32)}
    changed = replace(conv, constants=constants)
    program = replace(program, instructions=(changed, *program.instructions[1:]))
    stored = document(program, "vitis", "quant_info.json")
    position = POSITIONS["image"] + WEIGHT_POSITION
    assert stored["param"]["conv.bias"] == [[8, position - 3]]


@pytest.mark.parametrize("position", [11, -7])
def test_vitis_refuses_a_shift_out_of_range(position: int) -> None:
    program = with_grid(
        power_of_two_classifier(), "features", grid(2.0**-position, ElementType.INT8)
    )
    with pytest.raises(
        ExportError, match=f"'conv' shifts its sum by {10 - position}, and the DPU"
    ):
        export_files(program, "vitis")


@pytest.mark.parametrize("name", ["vitis", "espdl", "ristretto"])
def test_formats_of_powers_of_two_refuse_other_scales(name: str) -> None:
    program = with_grid(power_of_two_classifier(), "sum", grid(0.3, ElementType.INT8))
    with pytest.raises(
        ExportError, match=f"{name}: 'sum' has the scale 0.3, not a power of two"
    ):
        export_files(program, name)


# espdl


def test_espdl_coefficients_quantize_to_the_programs_codes() -> None:
    program = power_of_two_classifier()
    files = export_files(program, "espdl")
    config = json.loads(files["config.json"])
    for instruction in weighted(program):
        item = config[instruction.name]
        assert item["input_exponent"] == -POSITIONS[instruction.inputs[0]]
        assert item["output_exponent"] == -POSITIONS[instruction.output]
        stored = np.load(io.BytesIO(files[f"coefficients/{instruction.name}_filter.npy"]))
        codes = stored / 2.0 ** item["filter_exponent"]
        weights = instruction.constants["weights"].array
        order = (3, 2, 0, 1) if weights.ndim == 4 else (1, 0)
        assert np.array_equal(codes.transpose(order), weights)
        bias = np.load(io.BytesIO(files[f"coefficients/{instruction.name}_bias.npy"]))
        unit = 2.0 ** (item["filter_exponent"] + item["input_exponent"])
        assert np.array_equal(bias / unit, instruction.constants["bias"].array)
    assert config["conv"]["operation"] == "conv2d"
    assert config["conv"]["activation"] == {"type": "ReLU"}
    assert "activation" not in config["classify"]
    stored = json.loads(files["exponents.json"])
    assert stored == {name: {"exponent": -p, "bits": 8} for name, p in POSITIONS.items()}


def test_espdl_refuses_a_shift_to_the_left() -> None:
    program = with_grid(power_of_two_classifier(), "features", grid(2.0**-11, ElementType.INT8))
    with pytest.raises(ExportError, match="'conv' has the output exponent -11, below"):
        export_files(program, "espdl")


# ristretto


def test_ristretto_reads_back_in_protobufs_parser() -> None:
    program = power_of_two_classifier()
    files = export_files(program, "ristretto")
    net = text_format.Parse(files["quantized.prototxt"].decode(), CAFFE["NetParameter"]())
    layers = {layer.name: layer for layer in net.layer}
    assert list(layers["image"].input_param.shape[0].dim) == [1, 2, 6, 6]
    for instruction in weighted(program):
        stored = layers[instruction.name].quantization_param
        assert stored.fl_layer_in == POSITIONS[instruction.inputs[0]]
        assert stored.fl_layer_out == POSITIONS[instruction.output]
        assert stored.fl_params == WEIGHT_POSITION
        assert stored.bw_layer_in == stored.bw_layer_out == stored.bw_params == 8
    kinds = [(layer.type, list(layer.bottom), list(layer.top)) for layer in net.layer]
    assert kinds == [
        ("Input", [], ["image"]),
        ("ConvolutionRistretto", ["image"], ["features"]),
        ("ReLU", ["features"], ["features"]),
        ("Pooling", ["features"], ["pooled"]),
        ("Eltwise", ["pooled", "pooled"], ["sum"]),
        ("Pooling", ["sum"], ["mean"]),
        ("Reshape", ["mean"], ["flat"]),
        ("FcRistretto", ["flat"], ["logits"]),
        ("Softmax", ["logits"], ["probabilities"]),
    ]


def test_the_caffemodel_has_the_reals_of_the_codes() -> None:
    program = power_of_two_classifier()
    files = export_files(program, "ristretto")
    net = CAFFE["NetParameter"].FromString(files["weights.caffemodel"])
    assert [(layer.name, layer.type) for layer in net.layer] == [
        ("conv", "Convolution"),
        ("classify", "InnerProduct"),
    ]
    for layer, instruction in zip(net.layer, weighted(program), strict=True):
        expected = real_weights(instruction), real_biases(program, instruction)
        for blob, array in zip(layer.blobs, expected, strict=True):
            assert tuple(blob.shape.dim) == array.shape
            assert np.array_equal(np.array(blob.data, np.float32), array.reshape(-1))


def conv_of(program: IntegerProgram, **attributes: Any) -> IntegerProgram:
    conv = program.instructions[0]
    changed = replace(conv, attributes={**conv.attributes, **attributes})
    return replace(program, instructions=(changed, *program.instructions[1:]))


def test_caffe_refuses_uneven_pads_and_other_limits() -> None:
    program = power_of_two_classifier()
    uneven = conv_of(program, pads=(2, 1, 0, 1))
    with pytest.raises(ExportError, match=r"'conv' has pads \[2, 1, 0, 1\]"):
        export_files(uneven, "ristretto")
    conv = program.instructions[0]
    capped = {**conv.constants, "maximum": Constant.of([100, 127, 127, 127], np.int32)}
    program = replace(
        program, instructions=(replace(conv, constants=capped), *program.instructions[1:])
    )
    with pytest.raises(ExportError, match="'conv' limits its output otherwise than by a ReLU"):
        export_files(program, "ristretto")


# what several formats refuse


@pytest.mark.parametrize("name", ["tensorrt", "ncnn", "vitis", "espdl", "ristretto"])
def test_symmetric_formats_refuse_a_zero_point(name: str) -> None:
    program = power_of_two_classifier()
    program = with_grid(program, "sum", shifted(program.tensors["sum"].grid, 5))
    with pytest.raises(ExportError, match=f"{name}: 'sum' has the zero point 5"):
        export_files(program, name)


@pytest.mark.parametrize("name", ["vitis", "espdl", "ristretto"])
def test_formats_with_one_scale_refuse_channels(name: str) -> None:
    with pytest.raises(ExportError, match=f"{name}: 'conv' has a scale for each channel"):
        export_files(small_programs.classifier(), name)
