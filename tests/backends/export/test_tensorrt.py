from __future__ import annotations

import json
import struct

import numpy as np
import onnx
import pytest
import small_programs

from intlower.backends.export import tensorrt
from intlower.backends.export.registry import export_files
from intlower.compiler.errors import ExportError


def test_tensorrt_cache_and_ranges_are_the_scales() -> None:
    program = small_programs.classifier()
    files = export_files(program, "tensorrt")
    scales = {name: float(t.grid.scale.array) for name, t in program.tensors.items()}
    text = files["calibration.cache"].decode()
    assert tensorrt.read_calibration_cache(text) == scales
    assert text.splitlines()[1] == "image: " + struct.pack(">f", np.float32(0.1)).hex()
    ranges = json.loads(files["dynamic_ranges.json"])
    assert ranges["act_quant_info"] == {name: 127 * s for name, s in scales.items()}
    assert ranges["tensorrt"]["blob_range"] == ranges["act_quant_info"]


def test_tensorrt_gets_no_integer_bias() -> None:
    files = export_files(small_programs.classifier(), "tensorrt")
    types = {
        initializer.data_type
        for initializer in onnx.load_from_string(files["model.qdq.onnx"]).graph.initializer
    }
    assert onnx.TensorProto.INT32 not in types


def test_not_a_cache_is_refused() -> None:
    with pytest.raises(ExportError, match="not a calibration cache"):
        tensorrt.read_calibration_cache("hello\nworld: 00000000\n")
