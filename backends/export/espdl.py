"""`espdl`: exponents and coefficients for Espressif's ESP-DL.

Source: ESP-DL documentation, Specification of config.json and Usage of convert.py: value = code * 2**exponent; one item for
each layer with operation, feature_type, filter_exponent, bias, input_exponent, output_exponent and activation; coefficients
in LAYER_filter.npy ([height, width, in, out], depthwise [height, width, channel, 1], matrix [in, out]) and LAYER_bias.npy. The condition on exponents
is espressif/esp-ppq parser/espdl_exporter.py.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.float_model import to_float
from intlower.backends.export.format import (
    Files,
    Format,
    bits_of,
    grid_of,
    json_bytes,
    model_bytes,
    power_of_two,
    real_biases,
    real_weights,
    refuse,
    require_bits,
    require_per_tensor,
    require_symmetric,
    weighted,
)
from intlower.compiler.program import Instruction, IntegerProgram

NAME = "espdl"


def layer_config(program: IntegerProgram) -> dict[str, Any]:
    """Return config.json: one item for each layer with weights.

    Raises:
        ExportError: a scale is no power of two, or a sum would have to be shifted left.
    """
    config: dict[str, Any] = {}
    for instruction, source, grid in weighted(program):
        target = grid_of(program, instruction.output)
        input_exponent = -power_of_two(NAME, instruction.inputs[0], source)
        filter_exponent = -power_of_two(NAME, instruction.name, grid)
        output_exponent = -power_of_two(NAME, instruction.output, target)
        if output_exponent < input_exponent + filter_exponent:
            refuse(
                NAME,
                instruction.name,
                f"has the output exponent {output_exponent}, below that of its sum, "
                f"{input_exponent + filter_exponent}; ESP-DL only shifts right",
                "compile for a target that moves exponents into that range",
            )
        item: dict[str, Any] = {
            "operation": _operation(instruction),
            "feature_type": f"s{bits_of(source)}",
            "filter_exponent": filter_exponent,
            "bias": "True",
            "input_exponent": input_exponent,
            "output_exponent": output_exponent,
        }
        if (instruction.constants["minimum"].array == 0).all():
            item["activation"] = {"type": "ReLU"}
        config[instruction.name] = item
    return config


def exponents(program: IntegerProgram) -> dict[str, Any]:
    """Return the exponent and the width of every tensor."""
    return {
        name: {
            "exponent": -power_of_two(NAME, name, tensor.grid),
            "bits": bits_of(grid_of(program, name)),
        }
        for name, tensor in program.tensors.items()
    }


def _operation(instruction: Instruction) -> str:
    if instruction.kernel.operator.endswith("gemm"):
        return "fully_connected"
    shape, groups = (
        instruction.constants["weights"].array.shape,
        instruction.attributes["groups"],
    )
    if groups == 1:
        return "conv2d"
    if groups == shape[0] and shape[1] == 1:
        return "depthwise_conv2d"
    return refuse(
        NAME,
        instruction.name,
        f"is a convolution in {groups} groups; ESP-DL knows 1 or one for each channel",
        "replace it in the model",
    )


def _coefficients(instruction: Instruction) -> NDArray[np.float32]:
    weights = real_weights(instruction)
    match _operation(instruction):
        case "fully_connected":
            return weights.T
        case "depthwise_conv2d":
            return weights.transpose(2, 3, 0, 1)
        case _:
            return weights.transpose(2, 3, 1, 0)


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def _write(program: IntegerProgram) -> Files:
    require_bits(NAME, program, 8, 16)
    require_symmetric(NAME, program)
    require_per_tensor(NAME, program)
    files = {
        "config.json": json_bytes(layer_config(program)),
        "exponents.json": json_bytes(exponents(program)),
        "model.onnx": model_bytes(to_float(program), batch=1),
    }
    for instruction, _, _ in weighted(program):
        files[f"coefficients/{instruction.name}_filter.npy"] = _npy(_coefficients(instruction))
        files[f"coefficients/{instruction.name}_bias.npy"] = _npy(
            real_biases(program, instruction)
        )
    return files


FORMAT = Format(
    name=NAME,
    meaning="Espressif ESP-DL: exponents and coefficients",
    expresses="signed grids with one power-of-two scale for each tensor, shifts to the right",
    write=_write,
    files={
        "config.json": "exponents of every layer, for convert.py",
        "exponents.json": "exponent and width of every tensor",
        "model.onnx": "the float network with the program's weights, batch of 1",
    },
    commands=lambda program: (
        "cp config.json coefficients/",
        "python convert.py -t esp32s3 -i coefficients -n model_coefficient -o .   # ESP-DL 1.1, tools/convert_tool",
        "or, with ESP-DL 3, quantize model.onnx with esp_ppq.api.espdl_quantize_onnx and compare with exponents.json",
    ),
    notes=(
        "coefficients/LAYER_filter.npy and LAYER_bias.npy are the reals of the program's codes.",
        "exponents.json lists what an .espdl file stores as `exponents`; there is no public tool that reads it from JSON.",
    ),
    characters=r"[A-Za-z0-9_]",
)
