from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
import small_programs
from export_reading import shifted, weighted, with_grid
from google.protobuf import text_format
from onnx import numpy_helper
from small_programs import grid
from text_messages import AMCT

from intlower.backends.export import ascend
from intlower.backends.export.registry import export_files
from intlower.compiler.errors import ExportError
from intlower.compiler.grids import uniform
from intlower.compiler.pipeline import compile_model
from intlower.compiler.simulator import open_program
from intlower.kernels.signature import ElementType


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


def quantized_layers(model: onnx.ModelProto) -> dict[str, tuple[onnx.NodeProto, ...]]:
    """Return the AscendQuant, the layer and the AscendDequant of every quantized layer."""
    nodes = {node.name: node for node in model.graph.node}
    names = [name.removesuffix(".quant") for name in nodes if name.endswith(".quant")]
    return {
        name: (nodes[f"{name}.quant"], nodes[name], nodes[f"{name}.dequant"]) for name in names
    }


def test_ascend310s_deploy_model_computes_the_programs_numbers(tmp_path: Path) -> None:
    model = networks.conv_bn_relu(seed=5)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    program = compile_model(tmp_path / "model.onnx", target="ascend310", samples=samples)
    files = export_files(program, "ascend")
    deploy = onnx.load_from_string(files["model_deploy_model.onnx"])
    constants = {i.name: numpy_helper.to_array(i) for i in deploy.graph.initializer}
    ((name, (quant, layer, dequant)),) = quantized_layers(deploy).items()
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in quant.attribute}
    assert attributes["dst_type"] == b"INT8"
    x = program.tensors[program.inputs[0]].grid.quantize(samples[program.inputs[0]])
    rounded = np.rint(x.astype(np.float32) * np.float32(attributes["scale"]))
    codes = np.clip(rounded + attributes["offset"], -128, 127) - attributes["offset"]
    # Sums of codes are exact in double precision.
    weights, bias = (constants[input_name] for input_name in layer.input[1:])
    assert (weights.dtype, bias.dtype) == (np.int8, np.int32)
    window = {a.name: onnx.helper.get_attribute_value(a) for a in layer.attribute}
    padded = np.pad(
        codes, [(0, 0), (0, 0), *zip(*np.reshape(window["pads"], (2, 2)), strict=True)]
    )
    views = np.lib.stride_tricks.sliding_window_view(padded, weights.shape[2:], axis=(2, 3))
    views = views[:, :, :: window["strides"][0], :: window["strides"][1]]
    sums = np.einsum("nchwij,ocij->nohw", views, weights.astype(np.float64))
    sums += bias[:, None, None]
    parameters = constants[dequant.input[1]]
    assert dequant.input[1] == f"{name}.dequant.param"
    assert parameters.dtype == np.uint64
    assert (parameters >> 32 == 0).all()
    scales = parameters.astype(np.uint32).view(np.float32)
    product = (sums.astype(np.float32) * scales[:, None, None]).astype(np.float16)
    found = np.maximum(product, np.float16(0))
    expected = open_program(program).run({program.inputs[0]: x})[program.outputs[0]]
    assert np.array_equal(found, expected)


def test_ascend310s_records_are_its_grids(tmp_path: Path) -> None:
    model = networks.classifier(seed=5)
    onnx.save(model, tmp_path / "model.onnx")
    samples = networks.random_inputs(model, batch=4)
    program = compile_model(tmp_path / "model.onnx", target="ascend310", samples=samples)
    files = export_files(program, "ascend")
    records = text_format.Parse(
        files["record.txt"].decode(), AMCT["ScaleOffsetRecord"]()
    ).record
    layers = {i.name.removesuffix(".sums"): i for i in weighted(program)}
    assert [record.key for record in records] == list(layers)
    for record in records:
        instruction = layers[record.key]
        source = uniform(program.tensors[instruction.inputs[0]].grid, record.key)
        assert np.float32(record.value.scale_d) == source.scale.array
        assert record.value.offset_d == source.zero_point
        assert instruction.weight_grid is not None
        scales = uniform(instruction.weight_grid, record.key).scale.array.reshape(-1)
        assert np.array_equal(np.array(record.value.scale_w, np.float32), scales)
    nodes = {node.name for node in onnx.load_from_string(files["model.onnx"]).graph.node}
    assert set(layers) <= nodes
