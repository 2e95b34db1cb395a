"""`ncnn`: the calibration table of ncnn2int8.

Source: Tencent/ncnn tools/quantize/ncnn2int8.cpp, read_int8scale_table: lines `LAYER_param_0 SCALE...` (weights, one scale
for each output channel) and `LAYER SCALE` (input), keys of at most 255 characters, fields separated by spaces, numbers read
by sscanf("%f"). A scale is codes per unit: the reciprocal of a grid's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from intlower.backends.export.float_model import to_float
from intlower.backends.export.format import (
    Files,
    Format,
    model_bytes,
    require_bits,
    require_symmetric,
    shortest,
    weight_scales,
    weighted,
)
from intlower.compiler.program import IntegerProgram

NAME = "ncnn"
_WEIGHTS = "_param_0"


def table(weights: Mapping[str, Sequence[float]], inputs: Mapping[str, float]) -> str:
    """Return the text of a calibration table.

    Args:
        weights: codes per unit of every output channel, by layer.
        inputs: codes per unit of the layer's input, by layer.

    >>> table({"conv": [2.0, 4.0]}, {"conv": 0.5}).splitlines()
    ['conv_param_0 2 4', 'conv 0.5']
    """
    lines = [
        " ".join([f"{name}{_WEIGHTS}", *(shortest(scale) for scale in scales)])
        for name, scales in weights.items()
    ]
    lines += [f"{name} {shortest(scale)}" for name, scale in inputs.items()]
    return "\n".join(lines) + "\n"


def _write(program: IntegerProgram) -> Files:
    require_bits(NAME, program, 8)
    require_symmetric(NAME, program)
    one = np.float32(1)
    weights = {i.name: list(one / weight_scales(i)) for i, _, _ in weighted(program)}
    inputs = {i.name: float(one / source.scale.array) for i, source, _ in weighted(program)}
    return {
        "model.onnx": model_bytes(to_float(program), batch=1),
        "model.table": table(weights, inputs).encode(),
    }


FORMAT = Format(
    name=NAME,
    meaning="Tencent ncnn: calibration table for ncnn2int8",
    expresses="8-bit symmetric grids",
    write=_write,
    files={
        "model.onnx": "the float network with the program's weights, batch of 1",
        "model.table": "codes per unit of weights (each output channel) and of layer inputs",
    },
    commands=lambda program: (
        "onnx2ncnn model.onnx model.param model.bin",
        "ncnnoptimize model.param model.bin model-opt.param model-opt.bin 0",
        "ncnn2int8 model-opt.param model-opt.bin model-int8.param model-int8.bin model.table",
    ),
    notes=(
        "The table's keys are the names of model.onnx's nodes, which onnx2ncnn keeps; pnnx gives layers names of its own.",
        "ncnn keeps biases and most layers between convolutions in float, and clips codes to -127..127.",
    ),
    characters=r"[A-Za-z0-9_./-]",
)
