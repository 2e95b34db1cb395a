from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from export_reading import weighted
from google.protobuf import text_format
from power_of_two_programs import POSITIONS, WEIGHT_POSITION, power_of_two_classifier
from text_messages import CAFFE

from intlower.backends.export.format import real_biases, real_weights
from intlower.backends.export.registry import export_files
from intlower.compiler.constant import Constant
from intlower.compiler.errors import ExportError
from intlower.compiler.pipeline import compile_model
from intlower.compiler.program import IntegerProgram


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


def test_minifloats_are_written_in_the_published_layout(tmp_path: Path) -> None:
    model = networks.classifier(seed=5)
    onnx.save(model, tmp_path / "model.onnx")
    name = "ristretto:precision=minifloat,ranges=published"
    program = compile_model(tmp_path / "model.onnx", target=name)
    files = export_files(program, "ristretto")
    net = text_format.Parse(files["quantized.prototxt"].decode(), CAFFE["NetParameter"]())
    written = [layer for layer in net.layer if layer.type.endswith("Ristretto")]
    assert [layer.name for layer in written] == [i.name for i in weighted(program)]
    for layer in written:
        stored = layer.quantization_param
        assert (stored.precision, stored.exp_bits, stored.mant_bits) == (1, 4, 3)
    held = CAFFE["NetParameter"].FromString(files["weights.caffemodel"])
    for layer, instruction in zip(held.layer, weighted(program), strict=True):
        assert np.array_equal(
            np.array(layer.blobs[0].data, np.float32), real_weights(instruction).reshape(-1)
        )
    own = compile_model(tmp_path / "model.onnx", target="ristretto:precision=minifloat")
    with pytest.raises(ExportError, match="exponent bias") as caught:
        export_files(own, "ristretto")
    assert "ranges=published" in str(caught.value.hint)
