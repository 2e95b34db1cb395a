"""Caffe networks: a prototxt with the layers, a caffemodel with their weights. What Ristretto and HiSilicon's mapper read.

Field names and numbers: BVLC/caffe src/caffe/proto/caffe.proto. The caffemodel is written in protobuf's wire format, of which
it needs varints and length-delimited fields only (protobuf.dev, Encoding).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.ascend import quoted
from intlower.backends.export.format import refuse
from intlower.backends.export.real_layers import RealLayer, real_layers
from intlower.compiler.program import IntegerProgram, Tensor

# A message of protobuf's text format: numbers, strings, `Word`s, messages, and tuples of those for repeated fields.
Block = Mapping[str, Any]


class Word(str):
    """A name of an enumeration, which protobuf's text format does not quote."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer of a Caffe network.

    Attributes:
        name: unique.
        type: of the layer.
        bottoms: names of its inputs.
        top: name of its output.
        parameters: what follows in the prototxt.
        blobs: float32 arrays of the caffemodel.
        real: what it was made from; None for inputs and activations.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    top: str
    parameters: Block = field(default_factory=dict)
    blobs: tuple[NDArray[np.float32], ...] = ()
    real: RealLayer | None = None


def caffe_layers(format_name: str, program: IntegerProgram) -> tuple[Layer, ...]:
    """Return a program's layers, inputs first; a free batch becomes 1.

    Raises:
        ExportError: a node that Caffe cannot express: uneven pads, other windows, limits other than a ReLU's.
    """
    layers = [_input(program.tensors[name]) for name in program.inputs]
    for layer in real_layers(program):
        layers.append(_layer(format_name, program, layer))
        layers += _activation(format_name, layer)
    for step in program.host:
        axis = {"softmax_param": {"axis": step.axis}}
        layers.append(
            Layer(
                name=step.output,
                type=step.operator,
                bottoms=(step.input,),
                top=step.output,
                parameters=axis,
            )
        )
    return tuple(layers)


def _input(tensor: Tensor) -> Layer:
    dims = tuple(1 if size is None else size for size in tensor.shape)
    return Layer(
        name=tensor.name,
        type="Input",
        bottoms=(),
        top=tensor.name,
        parameters={"input_param": {"shape": {"dim": dims}}},
    )


def _layer(format_name: str, program: IntegerProgram, layer: RealLayer) -> Layer:
    attributes = layer.attributes
    blobs: tuple[NDArray[np.float32], ...] = ()
    if layer.weights is not None and layer.bias is not None:
        blobs = (layer.weights, layer.bias)
    parameters: Block
    match layer.operator:
        case "conv2d":
            kind = "Convolution"
            parameters = {"convolution_param": _convolution(format_name, layer, blobs[0])}
        case "gemm":
            kind = "InnerProduct"
            parameters = {"inner_product_param": {"num_output": len(blobs[1])}}
        case "add":
            kind, parameters = "Eltwise", {"eltwise_param": {"operation": Word("SUM")}}
        case "max_pool" | "average_pool":
            kind = "Pooling"
            parameters = {"pooling_param": _pooling(format_name, program, layer)}
        case "concat":
            kind = "Concat"
            parameters = {"concat_param": {"axis": _integer(attributes["axis"])}}
        case "reshape":
            shape = attributes["shape"]
            assert isinstance(shape, tuple)
            kind, parameters = "Reshape", {"reshape_param": {"shape": {"dim": shape}}}
        case "softmax":
            kind = "Softmax"
            parameters = {"softmax_param": {"axis": _integer(attributes["axis"])}}
        case "requantize" | "clamp":
            kind, parameters = "Power", {}  # x to the power of 1: the grid alone changes
        case unknown:
            refuse(
                format_name,
                layer.name,
                f"is a {unknown}, which no Caffe layer computes",
                "rewrite that part of the model",
            )
    return Layer(
        name=layer.name,
        type=kind,
        bottoms=layer.inputs,
        top=layer.output,
        parameters=parameters,
        blobs=blobs,
        real=layer,
    )


def _integer(value: Any) -> int:
    return int(value)


def _even_pads(format_name: str, layer: RealLayer) -> tuple[int, int]:
    pads = layer.attributes["pads"]
    assert isinstance(pads, tuple)
    if pads[:2] != pads[2:]:
        refuse(
            format_name,
            layer.name,
            f"has pads {list(pads)}; Caffe pads both ends alike",
            "train with even padding",
        )
    return pads[0], pads[1]


def _convolution(format_name: str, layer: RealLayer, weights: NDArray[np.float32]) -> Block:
    attributes = layer.attributes
    strides, dilations = attributes["strides"], attributes["dilations"]
    assert isinstance(strides, tuple)
    assert isinstance(dilations, tuple)
    pad_h, pad_w = _even_pads(format_name, layer)
    return {
        "num_output": weights.shape[0],
        "group": _integer(attributes["groups"]),
        "kernel_h": weights.shape[2],
        "kernel_w": weights.shape[3],
        "pad_h": pad_h,
        "pad_w": pad_w,
        "stride_h": strides[0],
        "stride_w": strides[1],
        "dilation": dilations,
    }


def _pooling(format_name: str, program: IntegerProgram, layer: RealLayer) -> Block:
    attributes = layer.attributes
    kernel, strides = attributes["kernel_shape"], attributes["strides"]
    assert isinstance(kernel, tuple)
    assert isinstance(strides, tuple)
    pads = _even_pads(format_name, layer)
    mean = layer.operator == "average_pool"
    source = program.tensors[layer.inputs[0]].shape[2:]
    target = program.tensors[layer.output].shape[2:]
    # Caffe's windows go on until the end of the input is covered: pooling_layer.cpp, ceil.
    sizes = tuple(
        math.ceil(((size or 0) + 2 * pad - k) / stride) + 1
        for size, pad, k, stride in zip(source, pads, kernel, strides, strict=True)
    )
    plain = bool((layer.share == 1).all()) and attributes.get("dilations", (1, 1)) == (1, 1)
    if sizes != target or not plain:
        refuse(
            format_name,
            layer.name,
            f"pools to {list(target)}, and Caffe, whose windows cover every input and divide by their area, to {list(sizes)}",
            "pool without padding and overhang",
        )
    return {
        "pool": Word("AVE" if mean else "MAX"),
        "kernel_h": kernel[0],
        "kernel_w": kernel[1],
        "pad_h": pads[0],
        "pad_w": pads[1],
        "stride_h": strides[0],
        "stride_w": strides[1],
    }


def _activation(format_name: str, layer: RealLayer) -> list[Layer]:
    """Return a ReLU in place where a layer limits its output to 0 and more, nothing where it does not limit."""
    if not layer.limited:
        return []
    if not layer.rectified:
        refuse(
            format_name,
            layer.name,
            "limits its output otherwise than by a ReLU, which Caffe has no layer for",
            "leave out ReLU6 and equalization: intlower compile --without equalize",
        )
    name = layer.output
    return [Layer(name=f"{layer.name}_relu", type="ReLU", bottoms=(name,), top=name)]


def prototxt(
    name: str,
    layers: Iterable[Layer],
    change: Callable[[Layer], tuple[str, Block]] = lambda layer: (layer.type, {}),
) -> str:
    """Return the text of a network.

    Args:
        name: of the network.
        layers: in order.
        change: the type of a layer, and further fields.
    """
    lines = [f"name: {quoted(name)}"]
    for layer in layers:
        kind, extra = change(layer)
        block: Block = {
            "name": layer.name,
            "type": kind,
            "bottom": layer.bottoms,
            "top": layer.top,
            **layer.parameters,
            **extra,
        }
        lines += ["layer {", *_lines(block, 1), "}"]
    return "\n".join(lines) + "\n"


def _lines(block: Block, depth: int) -> Iterable[str]:
    indent = "  " * depth
    for key, values in block.items():
        for value in values if isinstance(values, tuple) else (values,):
            if isinstance(value, Mapping):
                yield f"{indent}{key} {{"
                yield from _lines(value, depth + 1)
                yield f"{indent}}}"
            else:
                yield f"{indent}{key}: {_scalar(value)}"


def _scalar(value: int | float | str) -> str:
    return (
        quoted(value) if isinstance(value, str) and not isinstance(value, Word) else str(value)
    )


# Field numbers of caffe.proto.
_NET_NAME, _NET_LAYER = 1, 100
_LAYER_NAME, _LAYER_TYPE, _LAYER_BLOBS = 1, 2, 7
_BLOB_DATA, _BLOB_SHAPE, _SHAPE_DIM = 5, 7, 1


def caffemodel(name: str, layers: Iterable[Layer]) -> bytes:
    """Return the binary NetParameter with the weights of every layer that has any."""
    parts = [_delimited(_NET_NAME, name.encode())]
    for layer in layers:
        if layer.blobs:
            blobs = b"".join(_delimited(_LAYER_BLOBS, _blob(blob)) for blob in layer.blobs)
            names = _delimited(_LAYER_NAME, layer.name.encode()) + _delimited(
                _LAYER_TYPE, layer.type.encode()
            )
            parts.append(_delimited(_NET_LAYER, names + blobs))
    return b"".join(parts)


def _blob(array: NDArray[np.float32]) -> bytes:
    sizes = b"".join(_varint(size) for size in array.shape)
    data = np.ascontiguousarray(array, "<f4").tobytes()
    return _delimited(_BLOB_DATA, data) + _delimited(_BLOB_SHAPE, _delimited(_SHAPE_DIM, sizes))


def _delimited(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
