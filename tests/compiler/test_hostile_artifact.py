"""Artifacts by strangers: whatever is altered is refused with the place named, or obeys every rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper
from small_programs import classifier

from intlower.compiler import artifact
from intlower.compiler.errors import ArtifactError

PROGRAM = classifier()
DATA = artifact.serialise(PROGRAM)


def edit_metadata(change: Callable[[dict[str, Any]], None]) -> Callable[[ModelProto], None]:
    def edit(model: ModelProto) -> None:
        document = json.loads(model.metadata_props[0].value)
        change(document)
        model.metadata_props[0].value = json.dumps(document, sort_keys=True)

    return edit


def edit_text(old: str, new: str) -> Callable[[ModelProto], None]:
    def edit(model: ModelProto) -> None:
        text = model.metadata_props[0].value
        assert old in text
        model.metadata_props[0].value = text.replace(old, new)

    return edit


def initializer(model: ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def node(model: ModelProto, name: str) -> onnx.NodeProto:
    return next(n for n in model.graph.node if n.name == name)


def attribute(model: ModelProto, name: str, key: str) -> onnx.AttributeProto:
    return next(a for a in node(model, name).attribute if a.name == key)


def alter_function(model: ModelProto) -> None:
    # The half-even rule loses its tie bit.
    conv = next(f for f in model.functions if f.name.startswith("conv2d"))
    next(n for n in conv.node if n.op_type == "Min").op_type = "Max"


def add_node_of_another_domain(model: ModelProto) -> None:
    extra = helper.make_node("Relu", ["logits"], ["extra"])
    model.graph.node.append(extra)


def claim_a_huge_constant(model: ModelProto) -> None:
    initializer(model, "conv.weights").dims[:] = [1 << 40, 1 << 20, 3, 3]


def shrink_raw_data(model: ModelProto) -> None:
    initializer(model, "conv.weights").raw_data = b"\0"


def keep_weights_outside(model: ModelProto) -> None:
    tensor = initializer(model, "conv.weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def use_float_weights(model: ModelProto) -> None:
    tensor = initializer(model, "conv.weights")
    tensor.data_type = TensorProto.FLOAT
    tensor.raw_data = bytes(4 * len(tensor.raw_data))


def damage_a_weight(model: ModelProto) -> None:
    tensor = initializer(model, "conv.weights")
    tensor.raw_data = bytes([tensor.raw_data[0] ^ 1]) + tensor.raw_data[1:]


def use_wide_weights(model: ModelProto) -> None:
    tensor = initializer(model, "conv.weights")
    tensor.data_type = TensorProto.INT16
    tensor.raw_data = bytes(2 * len(tensor.raw_data))


HOSTILE: dict[str, Callable[[ModelProto], Any]] = {
    "a damaged weight": damage_a_weight,
    "no JSON": lambda m: setattr(m.metadata_props[0], "value", "{"),
    "JSON of another kind": lambda m: setattr(m.metadata_props[0], "value", "[1]"),
    "deep JSON": lambda m: setattr(m.metadata_props[0], "value", "[" * 100_000),
    "huge JSON number": edit_text('"format": 3', '"format": 3' + "0" * 5000),
    "another format version": edit_metadata(lambda d: d.update(format=99)),
    "format of another type": edit_metadata(lambda d: d.update(format="1")),
    "format true": edit_metadata(lambda d: d.update(format=True)),
    "no format": edit_metadata(lambda d: d.pop("format")),
    "no tensors": edit_metadata(lambda d: d.pop("tensors")),
    "tensors of another type": edit_metadata(lambda d: d.update(tensors=[])),
    "a tensor without a grid": edit_metadata(lambda d: d["tensors"].pop("sum")),
    "a grid too many": edit_metadata(lambda d: d["tensors"].update(x=d["tensors"]["sum"])),
    "a grid of another type": edit_metadata(lambda d: d["tensors"].update(sum=3)),
    "another dtype": edit_metadata(lambda d: d["tensors"]["sum"].update(dtype="uint8")),
    "a float dtype": edit_metadata(lambda d: d["tensors"]["sum"].update(dtype="float32")),
    "an unhashable dtype": edit_metadata(lambda d: d["tensors"]["sum"].update(dtype=[])),
    "a zero point outside": edit_metadata(lambda d: d["tensors"]["sum"].update(zero_point=999)),
    "a zero point as text": edit_metadata(lambda d: d["tensors"]["sum"].update(zero_point="0")),
    "an unknown rounding": edit_metadata(lambda d: d["tensors"]["sum"].update(rounding="up")),
    "a scale of NaN": edit_metadata(lambda d: d["tensors"]["sum"].update(scale=float("nan"))),
    "an infinite scale": edit_metadata(
        lambda d: d["tensors"]["sum"].update(scale=float("inf"))
    ),
    "a scale past float32": edit_metadata(lambda d: d["tensors"]["sum"].update(scale=1e300)),
    "a scale that underflows": edit_metadata(
        lambda d: d["tensors"]["sum"].update(scale=1e-300)
    ),
    "a negative scale": edit_metadata(lambda d: d["tensors"]["sum"].update(scale=-1.0)),
    "a scale as text": edit_metadata(lambda d: d["tensors"]["sum"].update(scale="1")),
    "a scale that is no float32": edit_metadata(
        lambda d: d["tensors"]["sum"].update(scale=0.1)
    ),
    "nested scales": edit_metadata(lambda d: d["weights"]["conv"].update(scale=[[1.0]])),
    "too few scales": edit_metadata(lambda d: d["weights"]["conv"].update(scale=[1.0])),
    "no scales": edit_metadata(lambda d: d["weights"]["conv"].update(scale=[])),
    "another axis": edit_metadata(lambda d: d["weights"]["conv"].update(axis=1)),
    "no weight grid": edit_metadata(lambda d: d["weights"].pop("conv")),
    "a weight grid too many": edit_metadata(
        lambda d: d["weights"].update(pool=d["weights"]["conv"])
    ),
    "another weight dtype": edit_metadata(lambda d: d["weights"]["conv"].update(dtype="uint8")),
    "an unknown host step": edit_metadata(lambda d: d["host"][0].update(operator="Exec")),
    "a host step elsewhere": edit_metadata(lambda d: d["host"][0].update(input="sum")),
    "a host step along no axis": edit_metadata(lambda d: d["host"][0].update(axis=9)),
    "a tensor's grid along an axis": edit_metadata(
        lambda d: d["tensors"]["sum"].update(axis=7, scale=[1.0])
    ),
    "a host step of another type": edit_metadata(lambda d: d.update(host=["Softmax"])),
    "an unknown field": edit_metadata(lambda d: d.update(extra=1)),
    "another target": edit_metadata(lambda d: d.update(target="other")),
    "a target that is not text": edit_metadata(lambda d: d.update(target="\ud800")),
    "the key twice in JSON": edit_text('{"calibration":', '{"seed": 7, "calibration":'),
    "the metadata twice": lambda m: m.metadata_props.append(m.metadata_props[0]),
    "other metadata": lambda m: m.metadata_props.add(key="x", value="y"),
    "an altered function": alter_function,
    "a function too many": lambda m: m.functions.add(name="f", domain="intlower"),
    "a function missing": lambda m: m.functions.pop(),
    "an unknown kernel": lambda m: setattr(node(m, "conv"), "op_type", "conv9d_s8"),
    "a kernel's variant": lambda m: setattr(
        node(m, "conv"), "op_type", node(m, "conv").op_type + "__portable"
    ),
    "another kernel": lambda m: setattr(node(m, "flatten"), "op_type", "reshape_u8"),
    "another domain": lambda m: setattr(node(m, "conv"), "domain", ""),
    "a node of another domain": add_node_of_another_domain,
    "a node missing": lambda m: m.graph.node.pop(),
    "nodes out of order": lambda m: m.graph.node.reverse(),
    "an instruction's name twice": lambda m: setattr(node(m, "pool"), "name", "conv"),
    "an output twice": lambda m: node(m, "pool").output.append("again"),
    "no output": lambda m: node(m, "pool").ClearField("output"),
    "an input missing": lambda m: node(m, "conv").input.pop(),
    "no inputs": lambda m: node(m, "flatten").ClearField("input"),
    "an unknown constant": lambda m: node(m, "conv").input.__setitem__(1, "nothing"),
    "an attribute missing": lambda m: node(m, "conv").attribute.pop(),
    "an attribute twice": lambda m: node(m, "conv").attribute.append(
        attribute(m, "conv", "groups")
    ),
    "a float attribute": lambda m: attribute(m, "conv", "groups").CopyFrom(
        helper.make_attribute("groups", 1.0)
    ),
    "a stride of 0": lambda m: attribute(m, "conv", "strides").ints.__setitem__(0, 0),
    "a negative pad": lambda m: attribute(m, "conv", "pads").ints.__setitem__(0, -1),
    "a pad of 2**62": lambda m: attribute(m, "conv", "pads").ints.__setitem__(0, 1 << 62),
    "a zero point of 2**62": lambda m: setattr(
        attribute(m, "conv", "input_zero_point"), "i", 1 << 62
    ),
    "a shift of 63": lambda m: setattr(
        initializer(m, "mean.shift"), "raw_data", np.int32(63).tobytes()
    ),
    "a negative multiplier": lambda m: setattr(
        initializer(m, "mean.multiplier"), "raw_data", np.int32(-1).tobytes()
    ),
    "a huge constant": claim_a_huge_constant,
    "a negative dimension": lambda m: initializer(m, "conv.weights").dims.__setitem__(0, -4),
    "a constant cut short": shrink_raw_data,
    "a constant outside the file": keep_weights_outside,
    "float weights": use_float_weights,
    "wide weights": use_wide_weights,
    "integers beside raw data": lambda m: initializer(m, "conv.bias").int32_data.append(1),
    "a constant nobody uses": lambda m: m.graph.initializer.append(
        TensorProto(name="x", data_type=TensorProto.INT8, dims=[1], raw_data=b"\0")
    ),
    "a constant's name twice": lambda m: m.graph.initializer.append(
        initializer(m, "conv.bias")
    ),
    "no constants": lambda m: m.graph.ClearField("initializer"),
    "a huge tensor": lambda m: setattr(
        m.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 1 << 62
    ),
    "a negative size": lambda m: setattr(
        m.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", -1
    ),
    "a free height": lambda m: setattr(
        m.graph.input[0].type.tensor_type.shape.dim[2], "dim_param", "H"
    ),
    "another name of the batch": lambda m: setattr(
        m.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "batch"
    ),
    "a float input": lambda m: setattr(
        m.graph.input[0].type.tensor_type, "elem_type", TensorProto.FLOAT
    ),
    "an input without a type": lambda m: m.graph.input[0].ClearField("type"),
    "no input": lambda m: m.graph.ClearField("input"),
    "no output of the graph": lambda m: m.graph.ClearField("output"),
    "an output listed twice": lambda m: m.graph.output.append(m.graph.output[0]),
    "an empty graph": lambda m: m.ClearField("graph"),
    "another opset": lambda m: setattr(m.opset_import[0], "version", 21),
    "another producer": lambda m: setattr(m, "producer_name", "other"),
    "training": lambda m: m.training_info.add(),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_file_is_refused(name: str) -> None:
    model = ModelProto.FromString(DATA)
    HOSTILE[name](model)
    with pytest.raises(ArtifactError) as caught:
        artifact.parse(model.SerializeToString())
    assert str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_another_format_version_is_said_so() -> None:
    model = ModelProto.FromString(DATA)
    HOSTILE["another format version"](model)
    with pytest.raises(ArtifactError, match="format version 99") as caught:
        artifact.parse(model.SerializeToString())
    assert "compile the model again" in caught.value.hint


def test_an_altered_function_is_named() -> None:
    model = ModelProto.FromString(DATA)
    alter_function(model)
    with pytest.raises(ArtifactError, match="conv2d_s8_s8c_s8__f32even"):
        artifact.parse(model.SerializeToString())


def test_random_damage_gives_an_error_or_a_program_that_obeys_every_rule() -> None:
    generator = np.random.default_rng(0)
    for _ in range(400):
        data = bytearray(DATA)
        for position in generator.integers(0, len(data), generator.integers(1, 4)):
            data[position] ^= 1 << int(generator.integers(0, 8))
        try:
            program = artifact.parse(bytes(data))
        except ArtifactError:
            continue
        assert artifact.parse(artifact.serialise(program)) == program


def test_random_cuts_and_insertions_give_an_error() -> None:
    generator = np.random.default_rng(1)
    for _ in range(200):
        start, length = (int(n) for n in generator.integers(1, [len(DATA), 40]))
        filler = generator.bytes(int(generator.integers(0, 40)))
        data = DATA[:start] + filler + DATA[start + length :]
        if data != DATA:
            try:
                program = artifact.parse(data)
            except ArtifactError:
                continue
            assert artifact.parse(artifact.serialise(program)) == program
