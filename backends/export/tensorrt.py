"""`tensorrt`: a Q/DQ model for explicit precision, and a calibration cache and ranges for implicit precision.

Source of the cache's lines: NVIDIA's samples (`prob: 3c010204` is 1/127); of the two JSON forms: MQBench deploy_linear.py,
key "tensorrt", and ppq/parser/tensorRT.py, key "act_quant_info"; both give the greatest real number of 127.
"""

from __future__ import annotations

import struct

from intlower.backends.export.float_model import to_float
from intlower.backends.export.format import (
    Files,
    Format,
    json_bytes,
    model_bytes,
    refuse,
    require_bits,
    require_symmetric,
    shape_of,
)
from intlower.backends.export.qdq import to_qdq
from intlower.compiler.errors import ExportError
from intlower.compiler.program import IntegerProgram
from intlower.kernels.signature import ElementType

NAME = "tensorrt"
# TensorRT compares the calibrator's name, the part after the version, with the one in use.
CACHE_HEADER = "TRT-8601-EntropyCalibration2"
_GREATEST_CODE = 127


def calibration_cache(scales: dict[str, float]) -> str:
    """Return the text of a calibration cache: for each tensor, its scale as a big-endian float32 in hexadecimal.

    Args:
        scales: by name of tensor; names hold no line break.

    >>> calibration_cache({"prob": 1 / 127}).splitlines()[1]
    'prob: 3c010204'
    """
    lines = [f"{name}: {struct.pack('>f', scale).hex()}" for name, scale in scales.items()]
    return "\n".join([CACHE_HEADER, *lines]) + "\n"


def read_calibration_cache(text: str) -> dict[str, float]:
    """Return the scales of a calibration cache; the inverse of `calibration_cache`.

    Raises:
        ExportError: the text is not one.
    """
    header, *lines = text.splitlines()
    if not header.startswith("TRT-"):
        raise ExportError("not a calibration cache: its first line does not name TensorRT")
    scales = {}
    for line in lines:
        name, _, digits = line.rpartition(": ")
        scales[name] = struct.unpack(">f", bytes.fromhex(digits))[0]
    return scales


def _write(program: IntegerProgram) -> Files:
    require_bits(NAME, program, 8)
    require_symmetric(NAME, program)
    for tensor in program.tensors.values():
        if tensor.grid.element is not ElementType.INT8:
            refuse(
                NAME,
                tensor.name,
                f"has {tensor.grid.element.dtype_name} codes, and TensorRT takes int8",
                "compile for a target with signed symmetric grids",
            )
    scales = {name: tensor.grid.step for name, tensor in program.tensors.items()}
    ranges = {name: scale * _GREATEST_CODE for name, scale in scales.items()}
    return {
        "model.qdq.onnx": model_bytes(to_qdq(program, float_bias=True)),
        "model.onnx": model_bytes(to_float(program)),
        "calibration.cache": calibration_cache(scales).encode(),
        "dynamic_ranges.json": json_bytes(
            {"act_quant_info": ranges, "tensorrt": {"blob_range": ranges}}
        ),
    }


def _commands(program: IntegerProgram) -> tuple[str, ...]:
    shapes = ",".join(
        f"{name}:{shape_of(program.tensors[name].shape, 'x')}" for name in program.inputs
    )
    free = any(program.tensors[name].shape[0] is None for name in program.inputs)
    option = f" --shapes={shapes}" if free else ""
    return (
        f"trtexec --onnx=model.qdq.onnx --int8 --fp16{option} --saveEngine=model.engine",
        "or, with implicit precision (up to TensorRT 9):",
        f"trtexec --onnx=model.onnx --int8 --calib=calibration.cache{option} --saveEngine=model.engine",
    )


FORMAT = Format(
    name=NAME,
    meaning="NVIDIA TensorRT: Q/DQ model, calibration cache, dynamic ranges",
    expresses="int8 symmetric grids, weights per tensor or per output channel",
    write=_write,
    files={
        "model.qdq.onnx": "Q/DQ model with float biases, for explicit precision",
        "model.onnx": "the float network with the program's weights, for implicit precision",
        "calibration.cache": "scale of every tensor of model.onnx, big-endian float32 in hexadecimal",
        "dynamic_ranges.json": "greatest real number of every tensor, as MQBench and PPQ write it",
    },
    commands=_commands,
    notes=(
        "Biases are float32: TensorRT's parser takes no DequantizeLinear of int32, and its biases are float in any case.",
        f"The cache's first line is {CACHE_HEADER}; put in your TensorRT's version and calibrator where it insists on them.",
    ),
    # A cache line is `name: digits`, and names end at the last colon.
    characters=r"[^\s:\x00-\x1f\x7f]",
)
