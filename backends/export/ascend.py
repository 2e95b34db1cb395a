"""`ascend`: the record file of Huawei's AMCT, protobuf text.

Source: hicann/amct proto/scale_offset_record_pytorch.proto (message ScaleOffsetRecord) and docs/zh/context/record.md: the
grid of the input and of the weights of every Conv, Gemm and MatMul; weights are symmetric, per channel only in Conv.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.ascend_deploy import deploy_model
from intlower.backends.export.float_model import to_float
from intlower.backends.export.format import (
    Files,
    Format,
    grid_of,
    model_bytes,
    refuse,
    require_bits,
    shape_of,
    shortest,
    weight_grid_of,
    weight_scales,
)
from intlower.backends.export.real_layers import RealLayer, real_layers
from intlower.backends.export.real_model import real_model
from intlower.compiler.grids import HalfGrid, UniformGrid
from intlower.compiler.program import Instruction, IntegerProgram
from intlower.kernels.signature import ElementType

NAME = "ascend"
# A scale below float32's epsilon is replaced by 1 (amct utils), one above 1/epsilon is refused by its parser.
_LEAST_SCALE = 2.0**-23


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The grids of one layer.

    Attributes:
        key: name of the node.
        scale_d: of the input.
        offset_d: of the input, -128..127: code = round(x / scale_d) + offset_d.
        scale_w: of the weights, one or one for each output channel.
    """

    key: str
    scale_d: float
    offset_d: int
    scale_w: Sequence[float]


def record_text(records: Sequence[Record]) -> str:
    """Return records as protobuf text of the message ScaleOffsetRecord."""
    return "".join(_record_text(record) for record in records)


def _record_text(record: Record) -> str:
    channels = "".join(
        f"    scale_w: {shortest(scale)}\n    offset_w: 0\n" for scale in record.scale_w
    )
    return (
        f"record {{\n  key: {quoted(record.key)}\n  value {{\n"
        f"    scale_d: {shortest(record.scale_d)}\n    offset_d: {record.offset_d}\n"
        f"{channels}  }}\n}}\n"
    )


def quoted(text: str) -> str:
    r"""Return a text as a string literal of protobuf's text format: bytes that are not plain ASCII as octal escapes.

    >>> quoted('a"b\\é')
    '"a\\"b\\\\\\303\\251"'
    """
    parts = []
    for byte in text.encode():
        character = chr(byte)
        if character in '"\\':
            parts.append("\\" + character)
        elif 32 <= byte < 127:
            parts.append(character)
        else:
            parts.append(f"\\{byte:03o}")
    return '"' + "".join(parts) + '"'


def _write(program: IntegerProgram) -> Files:
    mixed = [tensor for tensor in program.tensors.values() if isinstance(tensor.grid, HalfGrid)]
    if not mixed:
        require_bits(NAME, program, 8)
    layers = real_layers(program)
    found = [_record(program, layer) for layer in layers if layer.product is not None]
    if not found:
        refuse(
            NAME,
            program.inputs[0],
            "and all that follows is half precision, and AMCT's record is of quantized layers",
            "give the float model to atc; the format 'json' holds the program",
        )
    files = {"record.txt": record_text(found).encode("ascii")}
    if not mixed:
        return {"model.onnx": model_bytes(to_float(program)), **files}
    return {
        "model.onnx": model_bytes(real_model(program)),
        "model_deploy_model.onnx": model_bytes(deploy_model(program)),
        **files,
    }


def _record(program: IntegerProgram, layer: RealLayer) -> Record:
    """Return the record of a layer that multiplies or averages codes.

    Raises:
        ExportError: AMCT has no such grid.
    """
    assert layer.product is not None  # the caller chose it
    if layer.product.weight_grid is None and "kernel_shape" not in layer.attributes:
        refuse(
            NAME,
            layer.name,
            "runs on the host beside half precision, and AMCT's record is of quantized layers",
            "the format 'json' holds the program",
        )
    source = grid_of(program, layer.product.inputs[0])
    if layer.product.weight_grid is None:  # a mean: the sum times 1 / area
        area = np.prod(np.array(layer.attributes["kernel_shape"]))
        scales = np.array([1 / area], np.float32)
    else:
        scales = _weight_scales(layer, layer.product)
    used = [float(scale) for scale in (*scales.reshape(-1), source.scale.array)]
    if min(used) < _LEAST_SCALE or max(used) > 1 / _LEAST_SCALE:
        refuse(
            NAME,
            layer.name,
            f"has scales {min(used):.3g} to {max(used):.3g}; AMCT takes 2**-23 to 2**23",
            "equalize the weights, or silence channels that are always 0",
        )
    return Record(
        key=layer.name,
        scale_d=used[-1],
        # codes 0..255 are counted from -128
        offset_d=source.zero_point - (128 if source.element is ElementType.UINT8 else 0),
        scale_w=used[:-1],
    )


def _weight_scales(layer: RealLayer, product: Instruction) -> NDArray[np.float32]:
    grid = weight_grid_of(product)
    hint = "compile for a target with signed symmetric weights"
    if grid.element is not ElementType.INT8 or grid.zero_point != 0:
        refuse(
            NAME,
            layer.name,
            f"has {grid.element.dtype_name} weights with zero point {grid.zero_point}; "
            "AMCT takes int8 with offset_w 0",
            hint,
        )
    if grid.axis is not None and layer.operator == "gemm":
        refuse(
            NAME,
            layer.name,
            "has a scale for each channel; AMCT has one for a matrix product",
            hint,
        )
    return weight_scales(product) if grid.axis is not None else grid.scale.array


def _commands(program: IntegerProgram) -> tuple[str, ...]:
    shapes = ";".join(
        f"{name}:{shape_of(program.tensors[name].shape)}" for name in program.inputs
    )
    made = any(isinstance(tensor.grid, HalfGrid) for tensor in program.tensors.values())
    mark = "# AMCT's own model_deploy_model.onnx, in place of the one here: " if made else ""
    return (
        f"{mark}python -c \"import amct_onnx; amct_onnx.convert_model('model.onnx', 'record.txt', 'model')\"",
        f'atc --framework=5 --model=model_deploy_model.onnx --output=model --input_shape="{shapes}" '
        "--soc_version=Ascend310",
    )


FORMAT = Format(
    name=NAME,
    meaning="Huawei Ascend: record file for AMCT and ATC",
    expresses="8-bit grids, half precision between layers; int8 symmetric weights, per channel in convolutions",
    write=_write,
    files={
        "model.onnx": "the float network with the program's weights",
        "model_deploy_model.onnx": "what AMCT makes of both, for programs of the target 'ascend310'",
        "record.txt": "protobuf text: scale and offset of every layer's input and weights",
    },
    commands=_commands,
    grids=(UniformGrid, HalfGrid),
    notes=(
        "AMCT quantizes the inputs of convolutions and matrix products only; between them the network runs in float16.",
    ),
)
