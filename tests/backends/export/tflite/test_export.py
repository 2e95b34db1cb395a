"""What stands in a .tflite file, read back by the schema that LiteRT ships."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_building import graph_of
from lowered_graphs import SNPE, lower

from intlower.backends.export.tflite import FILE_NAME, export_tflite
from intlower.backends.litert import TARGET
from intlower.compiler.errors import ExportError
from intlower.compiler.graph import Graph
from intlower.compiler.operators import (
    AveragePool,
    Conv,
    Flatten,
    Gemm,
    GlobalAveragePool,
    MaxPool,
    Relu,
    Softmax,
)
from intlower.compiler.program import IntegerProgram

schema = pytest.importorskip(
    "ai_edge_litert.schema_py_generated", reason="pip install 'intlower[litert]'"
)

SPEC = TARGET.member("").spec


def network() -> IntegerProgram:
    generator = np.random.default_rng(0)
    graph = graph_of(
        {"image": (None, 3, 8, 8)},
        [
            (Conv(strides=(2, 2), pads=(0, 0, 1, 1)), "image w b", "features"),
            (Conv(groups=4, pads=(2, 0, 0, 0)), "features d c", "depthwise"),
            (Relu(), "depthwise", "positive"),
            (GlobalAveragePool(), "positive", "mean"),
            (Flatten(), "mean", "flat"),
            (Gemm(), "flat v", "logits"),
            (Softmax(), "logits", "probabilities"),
        ],
        "probabilities",
        {
            "w": generator.normal(size=(4, 3, 3, 3)),
            "b": generator.normal(size=4),
            "d": generator.normal(size=(4, 1, 3, 3)),
            "c": generator.normal(size=4),
            "v": generator.normal(size=(5, 4)),
        },
    )
    return lower(graph, SPEC, dict.fromkeys(graph.values, (-1.0, 7.0)))


def parsed(program: IntegerProgram) -> Any:
    data = export_tflite(program)[FILE_NAME]
    assert data[4:8] == b"TFL3"
    return schema.ModelT.InitFromPackedBuf(data, 0)


def tensors(model: Any) -> dict[str, Any]:
    return {tensor.name.decode(): tensor for tensor in model.subgraphs[0].tensors}


def test_every_tensor_keeps_its_name_and_grid_and_images_are_nhwc() -> None:
    program = network()
    stored = tensors(parsed(program))
    for name, tensor in program.tensors.items():
        written = stored[name]
        sizes = [1, *tensor.shape[1:]]
        expected = [sizes[axis] for axis in (0, 2, 3, 1)] if len(sizes) == 4 else sizes
        assert list(written.shape) == expected
        assert list(written.shapeSignature) == [-1, *expected[1:]]
        numbers = tensor.grid.numbers()
        assert float(written.quantization.scale[0]) == np.float32(numbers["scale"])
        assert int(written.quantization.zeroPoint[0]) == numbers["zero_point"]


def test_weights_and_biases_are_the_programs() -> None:
    program = network()
    model = parsed(program)
    stored = tensors(model)
    for instruction in program.instructions:
        if instruction.weight_grid is None:
            continue
        codes = instruction.constants["weights"].array
        written = stored[f"{instruction.name}/weights"]
        data = np.asarray(model.buffers[written.buffer].data, np.uint8).view(np.int8)
        depthwise = instruction.attributes.get("groups", 1) != 1
        axes = (1, 2, 3, 0) if depthwise else (0, 2, 3, 1)
        images = codes.reshape(*codes.shape, *(1,) * (4 - codes.ndim))
        assert np.array_equal(data.reshape(written.shape), images.transpose(axes))
        assert written.quantization.quantizedDimension == (3 if depthwise else 0)
        assert len(written.quantization.scale) == len(codes)
        biases = model.buffers[stored[f"{instruction.name}/bias"].buffer].data
        assert np.array_equal(
            np.asarray(biases, np.uint8).view(np.int32), instruction.constants["bias"].array
        )


def test_constants_lie_at_multiples_of_sixteen_bytes() -> None:
    data = export_tflite(network())[FILE_NAME]
    model = schema.Model.GetRootAs(data, 0)
    seen = 0
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            field = buffer._tab.Offset(4)
            assert buffer._tab.Vector(field) % 16 == 0
            seen += 1
    assert seen > 8


def test_operators_have_the_versions_of_int8() -> None:
    model = parsed(network())
    versions = {code.builtinCode: code.version for code in model.operatorCodes}
    names = {
        name: number
        for name, number in vars(schema.BuiltinOperator).items()
        if isinstance(number, int)
    }
    assert versions[names["CONV_2D"]] == 3
    assert versions[names["DEPTHWISE_CONV_2D"]] == 3
    assert (
        versions[names["PAD"]] == 2
    )  # pads of the depthwise convolution are not those of SAME
    assert versions[names["SOFTMAX"]] == 2
    codes = [
        model.operatorCodes[o.opcodeIndex].builtinCode for o in model.subgraphs[0].operators
    ]
    assert codes[0] == names["CONV_2D"]  # pads (0, 0, 1, 1) with stride 2 are those of SAME


def test_the_signature_names_inputs_and_outputs() -> None:
    (signature,) = parsed(network()).signatureDefs
    assert signature.signatureKey == b"serving_default"
    assert [entry.name for entry in signature.inputs] == [b"image"]
    assert [entry.name for entry in signature.outputs] == [b"probabilities"]


def test_the_same_program_gives_the_same_bytes() -> None:
    assert export_tflite(network()) == export_tflite(network())


def image_graph(operator: Any) -> Graph:
    return graph_of({"x": (None, 2, 6, 6)}, [(operator, "x", "y")], "y")


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        (AveragePool(kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1)), "averages"),
        (MaxPool(kernel_shape=(2, 2), dilations=(2, 2)), "dilated"),
        (Softmax(axis=2), "axis 2"),
    ],
)
def test_what_tflite_does_not_have_is_refused_by_name(operator: Any, words: str) -> None:
    program = lower(image_graph(operator), SPEC, {"x": (-1.0, 1.0), "y": (-1.0, 1.0)})
    with pytest.raises(ExportError, match=f"node_y.*{words}"):
        export_tflite(program)


def test_another_targets_arithmetic_is_refused() -> None:
    program = lower(image_graph(Relu()), SNPE.spec, {"x": (-1.0, 1.0), "y": (0.0, 1.0)})
    with pytest.raises(ExportError, match="uint8 codes"):
        export_tflite(program)
