"""`snpe`: encodings JSON in three versions for Qualcomm's converters, and a Q/DQ model for QNN.

Sources: quic/aimet Docs/api_docs/quantization_encoding_specification.rst (0.6.1); AIMET's and QAIRT's 1.0.0 and 2.0.0 files.
Qualcomm's offset is minus the zero point of unsigned codes: x = scale * (code + offset), code 0..2**bits - 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from intlower.backends.export.float_model import to_float
from intlower.backends.export.format import (
    Files,
    Format,
    bits_of,
    grid_of,
    json_bytes,
    model_bytes,
    refuse,
    require_bits,
    shape_of,
    weighted,
)
from intlower.backends.export.qdq import to_qdq
from intlower.compiler.grids import UniformGrid
from intlower.compiler.program import IntegerProgram
from intlower.kernels.signature import ElementType

NAME = "snpe"
Grids = Mapping[str, UniformGrid]


def encodings_0_6_1(activations: Grids, parameters: Grids) -> dict[str, Any]:
    """Return the document of version 0.6.1: a list of encodings for each name, one for each channel."""
    return {
        "version": "0.6.1",
        "activation_encodings": {name: _items_0_6_1(g) for name, g in activations.items()},
        "param_encodings": {name: _items_0_6_1(g) for name, g in parameters.items()},
        "quantizer_args": {
            "activation_bitwidth": max((bits_of(g) for g in activations.values()), default=8),
            "param_bitwidth": max((bits_of(g) for g in parameters.values()), default=8),
            "dtype": "int",
            "is_symmetric": str(all(_symmetric(g) for g in parameters.values())),
            "per_channel_quantization": str(
                any(g.axis is not None for g in parameters.values())
            ),
            "quant_scheme": "post_training_tf",
        },
    }


def encodings_1_0_0(activations: Grids, parameters: Grids) -> dict[str, Any]:
    """Return the document of version 1.0.0: lists of named encodings."""
    return {
        "version": "1.0.0",
        "activation_encodings": [_item_1_0_0(name, g) for name, g in activations.items()],
        "param_encodings": [_item_1_0_0(name, g) for name, g in parameters.items()],
    }


def encodings_2_0_0(activations: Grids, parameters: Grids) -> dict[str, Any]:
    """Return the document of version 2.0.0: the fields of ONNX's QuantizeLinear."""
    both = {**activations, **parameters}
    return {
        "version": "2.0.0",
        "encodings": [_item_2_0_0(name, grid) for name, grid in both.items()],
    }


def _symmetric(grid: UniformGrid) -> bool:
    return grid.element in (ElementType.INT8, ElementType.INT16) and grid.zero_point == 0


def _offset(grid: UniformGrid) -> int:
    return grid.element.limits[0] - grid.zero_point


def _scales(grid: UniformGrid) -> list[float]:
    return [float(scale) for scale in grid.scale.array.reshape(-1)]


def _items_0_6_1(grid: UniformGrid) -> list[dict[str, Any]]:
    offset, steps = _offset(grid), (1 << bits_of(grid)) - 1
    return [
        {
            "bitwidth": bits_of(grid),
            "dtype": "int",
            "is_symmetric": str(_symmetric(grid)),
            "min": scale * offset,
            "max": scale * (offset + steps),
            "offset": offset,
            "scale": scale,
        }
        for scale in _scales(grid)
    ]


def _item_1_0_0(name: str, grid: UniformGrid) -> dict[str, Any]:
    scales = _scales(grid)
    return {
        "name": name,
        "enc_type": "PER_TENSOR" if grid.axis is None else "PER_CHANNEL",
        "dtype": "INT",
        "bw": bits_of(grid),
        "is_sym": _symmetric(grid),
        "scale": scales,
        "offset": [_offset(grid)] * len(scales),
    }


def _item_2_0_0(name: str, grid: UniformGrid) -> dict[str, Any]:
    symmetric = _symmetric(grid)
    scales = _scales(grid)
    item: dict[str, Any] = {
        "name": name,
        "output_dtype": f"{'int' if symmetric else 'uint'}{bits_of(grid)}",
        "y_scale": scales[0] if grid.axis is None else scales,
    }
    if not symmetric:  # an int type is symmetric, and has no zero point
        item["y_zero_point"] = -_offset(grid)
    if grid.axis is not None:
        item["axis"] = grid.axis
    return item


def _write(program: IntegerProgram) -> Files:
    require_bits(NAME, program, 8, 16)
    activations = {name: grid_of(program, name) for name in program.tensors}
    parameters = {}
    for instruction, _, grid in weighted(program):
        if grid.axis is not None and not _symmetric(grid):
            refuse(
                NAME,
                instruction.name,
                "has a scale for each channel and a zero point; per channel, weights are symmetric",
                "compile for a target whose weights are symmetric or have one scale",
            )
        parameters[f"{instruction.name}/weights"] = grid
    versions = {
        "0.6.1": encodings_0_6_1,
        "1.0.0": encodings_1_0_0,
        "2.0.0": encodings_2_0_0,
    }
    return {
        "model.onnx": model_bytes(to_float(program)),
        # The HTP compiles for fixed shapes.
        "model.qdq.onnx": model_bytes(to_qdq(program, integer_edges=True), batch=1),
        **{
            f"encodings_{version}.json": json_bytes(encodings(activations, parameters))
            for version, encodings in versions.items()
        },
    }


def _commands(program: IntegerProgram) -> tuple[str, ...]:
    sizes = " ".join(
        f"-d {name} {shape_of(program.tensors[name].shape)}" for name in program.inputs
    )
    return (
        f"snpe-onnx-to-dlc --input_network model.onnx {sizes} --quantization_overrides encodings_0.6.1.json "
        "--output_path model.dlc",
        "snpe-dlc-quantize --input_dlc model.dlc --input_list inputs.txt --override_params --bias_bitwidth 32 "
        "--output_dlc model_quantized.dlc",
        "or, with QAIRT:",
        f"qairt-converter --input_network model.onnx {sizes} --quantization_overrides encodings_1.0.0.json "
        "--output_path model.dlc",
        "qairt-quantizer --input_dlc model.dlc --bias_bitwidth 32 --output_dlc model_quantized.dlc",
        "or run model.qdq.onnx in onnxruntime's QNNExecutionProvider; on a Linux PC, in Qualcomm's emulator:",
        "intlower verify ARTIFACT --against qnn-htp",
    )


FORMAT = Format(
    name=NAME,
    meaning="Qualcomm SNPE, QNN, QAIRT: encodings and a Q/DQ model",
    expresses="8- and 16-bit uniform grids; weights per channel only where symmetric",
    write=_write,
    files={
        "model.onnx": "the float network with the program's weights",
        "model.qdq.onnx": "Q/DQ model, integer codes in and out, batch of 1",
        "encodings_0.6.1.json": "for --quantization_overrides of SNPE and older AIMET",
        "encodings_1.0.0.json": "the same for QAIRT",
        "encodings_2.0.0.json": "the same in the fields of ONNX's QuantizeLinear",
    },
    commands=_commands,
    notes=(
        "The names in the encodings are those of model.onnx. Biases are 32 bits wide, in units of input scale times weight "
        "scale; the converter derives that itself.",
        "Grids and encodings are public; the arithmetic behind the accumulator is not, so integers may differ by steps.",
    ),
)
