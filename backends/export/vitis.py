"""`vitis`: positions of Vitis AI's DPU as quant_info.json, and a Q/DQ model with scales that are powers of two.

Source: Xilinx/Vitis-AI src/vai_quantizer/vai_q_pytorch nndct_shared/quantization: {"param", "output", "input"}, each name
with [[bit width, position]]; limits of shifts: fix_pos_adjust.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from intlower.backends.export.float_model import to_float
from intlower.backends.export.format import (
    Files,
    Format,
    bits_of,
    grid_of,
    json_bytes,
    model_bytes,
    power_of_two,
    refuse,
    require_bits,
    require_per_tensor,
    require_symmetric,
    weighted,
)
from intlower.backends.export.qdq import to_qdq
from intlower.compiler.program import Instruction, IntegerProgram
from intlower.kernels.signature import ElementType

NAME = "vitis"
_LARGEST_SHIFT = 16


def quant_info(program: IntegerProgram) -> dict[str, Any]:
    """Return [[bit width, position]] of parameters, of layers' outputs and of network inputs.

    Raises:
        ExportError: a scale is no power of two, or a layer shifts by less than 0 or more than 16.
    """
    positions = {
        name: power_of_two(NAME, name, tensor.grid) for name, tensor in program.tensors.items()
    }
    parameters = {}
    for instruction, _, grid in weighted(program):
        weights = power_of_two(NAME, instruction.name, grid)
        sum_position = positions[instruction.inputs[0]] + weights
        shift = sum_position - positions[instruction.output]
        if not 0 <= shift <= _LARGEST_SHIFT:
            refuse(
                NAME,
                instruction.name,
                f"shifts its sum by {shift}, and the DPU by 0 to {_LARGEST_SHIFT}",
                "compile for a target that moves positions into that range",
            )
        parameters[f"{instruction.name}.weight"] = [[bits_of(grid), weights]]
        parameters[f"{instruction.name}.bias"] = [list(_bias(instruction, sum_position))]
    return {
        "param": parameters,
        "output": {
            i.name: [[bits_of(grid_of(program, i.output)), positions[i.output]]]
            for i in program.instructions
        },
        "input": {
            name: [[bits_of(grid_of(program, name)), positions[name]]]
            for name in program.inputs
        },
    }


def _bias(instruction: Instruction, sum_position: int) -> tuple[int, int]:
    """Return (bit width, position) of bias codes: 8 bits where they lose nothing by it, else 32 at the sum's position."""
    codes = instruction.constants["bias"].array.astype(np.int64)
    joined = int(np.bitwise_or.reduce(np.abs(codes)))
    common = (joined & -joined).bit_length() - 1 if joined else 0
    shifted = codes >> common
    if shifted.min() >= -128 and shifted.max() <= 127:
        return 8, sum_position - common
    return 32, sum_position


def _write(program: IntegerProgram) -> Files:
    require_bits(NAME, program, 8)
    require_symmetric(NAME, program)
    require_per_tensor(NAME, program)
    for tensor in program.tensors.values():
        if tensor.grid.element is not ElementType.INT8:
            refuse(
                NAME,
                tensor.name,
                f"has {tensor.grid.element.dtype_name} codes, and the DPU takes int8",
                "compile for a target with signed grids",
            )
    return {
        "quant_info.json": json_bytes(quant_info(program)),
        "model.qdq.onnx": model_bytes(to_qdq(program)),
        "model.onnx": model_bytes(to_float(program)),
    }


FORMAT = Format(
    name=NAME,
    meaning="AMD Vitis AI (Xilinx DPU): quant_info.json and a power-of-two Q/DQ model",
    expresses="int8 grids with one power-of-two scale for each tensor, shifts of 0 to 16",
    write=_write,
    files={
        "quant_info.json": "bit width and position of every tensor",
        "model.qdq.onnx": "Q/DQ model, float32 in and out",
        "model.onnx": "the float network with the program's weights",
    },
    commands=lambda program: (
        "vai_c_xir -x quantize_result/model_int.xmodel -a arch.json -o compiled -n model   # after vai_q_pytorch",
        "or run model.qdq.onnx in onnxruntime's VitisAIExecutionProvider:",
        "python -c \"import onnxruntime; onnxruntime.InferenceSession('model.qdq.onnx', "
        "providers=['VitisAIExecutionProvider'])\"",
    ),
    notes=(
        "quant_info.json takes the place of quantize_result/quant_info.json of a calibration run; its nesting differs between "
        "versions of Vitis AI.",
        "A bias whose codes need more than 8 bits is listed with 32 bits at the sum's position; the DPU rounds it to 8.",
        "onnxruntime rounds ties to even, the DPU up: the Q/DQ model and the DPU differ at ties.",
    ),
)
