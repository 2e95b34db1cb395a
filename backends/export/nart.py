"""`nart`: quantization parameters and configuration for SenseTime's NART.

Source: ModelTC/NART python/docs/tutorial/switch/cuda_quant.rst with examples/cuda_quant_qparams.json: `LAYER_bottom`,
`LAYER_top`, `LAYER_param_1` (weights) and `LAYER_param_2` (bias, whose alpha is input alpha times weight alpha).
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
    require_bits,
    weight_grid_of,
)
from intlower.compiler.grids import UniformGrid
from intlower.compiler.program import Instruction, IntegerProgram

NAME = "nart"


def qparams(program: IntegerProgram) -> dict[str, Any]:
    """Return the parameters of every layer's inputs, output, weights and bias, by key."""
    entries: dict[str, Any] = {}
    for instruction in program.instructions:
        name, inputs = instruction.name, instruction.inputs
        for position, source in enumerate(inputs):
            key = f"{name}_bottom" if len(inputs) == 1 else f"{name}_bottom_{position}"
            entries[key] = _parameters(grid_of(program, source))
        entries[f"{name}_top"] = _parameters(grid_of(program, instruction.output))
        if instruction.weight_grid is not None:
            entries[f"{name}_param_1"] = _parameters(weight_grid_of(instruction))
            entries[f"{name}_param_2"] = _bias_parameters(program, instruction)
    return entries


def _parameters(grid: UniformGrid) -> dict[str, Any]:
    scales = grid.scale.array
    return {
        "alpha": float(scales) if grid.axis is None else [float(scale) for scale in scales],
        "zero_point": float(grid.zero_point),
        "bit": bits_of(grid),
        "type": "biased" if grid.element.limits[0] == 0 or grid.zero_point else "symmetric",
    }


def _bias_parameters(program: IntegerProgram, instruction: Instruction) -> dict[str, Any]:
    source = grid_of(program, instruction.inputs[0]).scale.array
    product = (source * weight_grid_of(instruction).scale.array).astype(np.float32)
    return {
        "alpha": float(product) if product.ndim == 0 else [float(alpha) for alpha in product],
        "zero_point": 0.0,
        "bit": 32,
        "type": "symmetric",
    }


def _module(program: IntegerProgram) -> str:
    """Return NART's module: for asymmetric grids the CPU's, else the GPU's."""
    symmetric = all(
        grid_of(program, name).zero_point == 0 and tensor.grid.element.limits[0] < 0
        for name, tensor in program.tensors.items()
    )
    return "cuda_quant" if symmetric else "quant"


def _write(program: IntegerProgram) -> Files:
    require_bits(NAME, program, *range(2, 9))
    module = _module(program)
    config = {
        "default_net_type_token": module,
        "rand_input": False,
        "data_num": 1,
        module: {
            "symmetric": module == "cuda_quant",
            "bit_width": min(bits_of(grid_of(program, name)) for name in program.tensors),
            "qparams_file": "qparams.json",
        },
    }
    return {
        "model.onnx": model_bytes(to_float(program), batch=1),
        "qparams.json": json_bytes(qparams(program)),
        "config.json": json_bytes(config),
    }


FORMAT = Format(
    name=NAME,
    meaning="SenseTime NART: quantization parameters and configuration",
    expresses="uniform grids of 2 to 8 bits; symmetric ones for GPU (cuda_quant), others for ARM (quant)",
    write=_write,
    files={
        "model.onnx": "the float network with the program's weights, batch of 1",
        "qparams.json": "alpha, zero_point, bit and type of every blob",
        "config.json": "which module runs, and with which parameters",
    },
    commands=lambda program: (
        f"python -m nart.switch -t {_module(program)} -c config.json --onnx model.onnx",
    ),
    notes=(
        "NART's public example has one alpha for each weight tensor; where the program has one for each output channel, alpha is "
        "a list. The keys of layers with several inputs, LAYER_bottom_0 and on, are our definition.",
    ),
)
