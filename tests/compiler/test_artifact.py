"""The artifact: what is written is read again, the same bytes every time, and nothing else is accepted."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from onnx import ModelProto, TensorProto, helper
from small_programs import ORIGIN, classifier, grid, instruction
from strategies import programs

from intlower.compiler import artifact
from intlower.compiler.artifact_metadata import METADATA_KEY
from intlower.compiler.errors import ArtifactError
from intlower.compiler.program import IntegerProgram, Tensor
from intlower.kernels.signature import ElementType

PROGRAM = classifier()
DATA = artifact.serialise(PROGRAM)


def test_a_program_is_the_same_after_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "program.onnx"
    size = artifact.save(PROGRAM, path)
    assert path.stat().st_size == size == len(DATA)
    assert artifact.open_artifact(path) == PROGRAM


def test_a_fixed_batch_is_kept() -> None:
    program = classifier(batch=2)
    assert artifact.parse(artifact.serialise(program)) == program


@settings(deadline=None, max_examples=25, database=None)
@given(program=programs(elements=tuple(ElementType)[:4]))
def test_any_program_is_the_same_after_a_round_trip(program: IntegerProgram) -> None:
    data = artifact.serialise(program)
    assert artifact.parse(data) == program
    assert artifact.serialise(artifact.parse(data)) == data


def test_equal_programs_give_equal_bytes_whatever_the_order_of_their_tensors() -> None:
    reordered = dataclasses.replace(
        PROGRAM, tensors=dict(reversed(list(PROGRAM.tensors.items())))
    )
    assert artifact.serialise(reordered) == DATA
    assert artifact.serialise(classifier()) == DATA


def test_scales_are_the_same_float32_after_a_round_trip() -> None:
    generator = np.random.default_rng(0)
    bits = generator.integers(1, 0x7F80_0000, (60, 8))  # every positive float32 alike likely
    for scales in bits.astype(np.uint32).view(np.float32).tolist():
        conv, *rest = PROGRAM.instructions
        weight_grid = grid(scales[:4], ElementType.INT8, axis=0)
        tensors = dict(PROGRAM.tensors)
        tensors["sum"] = dataclasses.replace(
            tensors["sum"], grid=grid(scales[4], ElementType.INT8)
        )
        program = dataclasses.replace(
            PROGRAM,
            tensors=tensors,
            instructions=(dataclasses.replace(conv, weight_grid=weight_grid), *rest),
        )
        assert artifact.parse(artifact.serialise(program)) == program


def test_the_file_is_valid_onnx_that_reads_as_the_program() -> None:
    model = artifact.to_model(PROGRAM)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == [
        str(i.kernel) for i in PROGRAM.instructions
    ]
    assert [node.name for node in model.graph.node] == [i.name for i in PROGRAM.instructions]
    assert {tensor.name for tensor in model.graph.initializer} >= {
        "conv.weights",
        "conv.bias",
        "classify.multiplier",
    }
    assert model.graph.input[0].name == "image"
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.INT8
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert model.producer_name == "intlower"


def test_the_metadata_tells_a_stranger_how_to_quantize() -> None:
    (entry,) = artifact.to_model(PROGRAM).metadata_props
    document = json.loads(entry.value)
    assert entry.key == METADATA_KEY
    assert document["inputs"] == {
        "image": {"dtype": "int8", "scale": float(np.float32(0.1)), "zero_point": 0}
    }
    assert set(document["outputs"]) == {"logits", "pooled"}
    assert document["source_sha256"] == ORIGIN.source_sha256
    assert list(document) == sorted(document)


def test_a_tensor_may_have_the_name_of_a_constant() -> None:
    renamed = [
        dataclasses.replace(
            step,
            inputs=tuple("conv.weights" if n == "image" else n for n in step.inputs),
        )
        for step in PROGRAM.instructions
    ]
    tensors = dict(PROGRAM.tensors)
    tensors["conv.weights"] = dataclasses.replace(tensors.pop("image"), name="conv.weights")
    program = dataclasses.replace(
        PROGRAM, inputs=("conv.weights",), tensors=tensors, instructions=tuple(renamed)
    )
    onnx.checker.check_model(artifact.to_model(program), full_check=True)
    assert artifact.parse(artifact.serialise(program)) == program


def test_an_artifact_of_another_release_with_the_same_functions_is_read() -> None:
    model = ModelProto.FromString(DATA)
    model.producer_version = "99.0"
    assert artifact.parse(model.SerializeToString()) == PROGRAM


def test_32_bit_codes_may_be_moved() -> None:
    int32 = ElementType.INT32
    pool = instruction(
        "max_pool_s32",
        "pool",
        ("x",),
        "y",
        kernel_shape=(1, 1),
        strides=(1, 1),
        pads=(0, 0, 0, 0),
        dilations=(1, 1),
    )
    program = IntegerProgram(
        target="test",
        inputs=("x",),
        outputs=("y",),
        tensors={n: Tensor(name=n, shape=(None, 1, 1, 1), grid=grid(1.0, int32)) for n in "xy"},
        instructions=(pool,),
        origin=ORIGIN,
    )
    assert artifact.parse(artifact.serialise(program)) == program


# Writing.


def test_saving_replaces_a_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "program.onnx"
    path.write_bytes(b"old")
    artifact.save(PROGRAM, path)
    assert path.read_bytes() == DATA
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot write") as caught:
        artifact.save(PROGRAM, tmp_path / "nowhere" / "program.onnx")
    assert "folder" in caught.value.hint


def test_a_folder_in_the_place_of_the_file_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "program.onnx"
    path.mkdir()
    with pytest.raises(ArtifactError, match="cannot write"):
        artifact.save(PROGRAM, path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "program.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="No space left"):
        artifact.save(PROGRAM, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


# Reading what is not ours.


def test_a_missing_file_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot read") as caught:
        artifact.open_artifact(tmp_path / "nothing.onnx")
    assert caught.value.hint


def test_a_folder_is_not_an_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot read"):
        artifact.open_artifact(tmp_path)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(b"not onnx at all")
    with pytest.raises(ArtifactError, match=re.escape(str(path))):
        artifact.open_artifact(path)


@pytest.mark.parametrize("data", [b"", b"not onnx at all", DATA[:1000], DATA[: len(DATA) // 2]])
def test_other_bytes_are_not_an_artifact(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        artifact.parse(data)


def test_a_float_model_is_pointed_to_compile() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    node = helper.make_node("Relu", ["x"], ["y"])
    model = helper.make_model(helper.make_graph([node], "float", [value], [value]))
    with pytest.raises(ArtifactError, match="not an artifact") as caught:
        artifact.parse(model.SerializeToString())
    assert "intlower compile" in caught.value.hint
