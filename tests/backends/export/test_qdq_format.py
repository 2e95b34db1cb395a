from __future__ import annotations

import numpy as np
import onnx
import small_programs
from onnx import numpy_helper

from intlower.backends.export.registry import export_files


def test_qdq_holds_every_scale_and_the_weight_codes() -> None:
    program = small_programs.classifier()
    for path in ("model.qdq.onnx", "model.integer.qdq.onnx"):
        model = onnx.load_from_string(export_files(program, "qdq")[path])
        stored = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        for name, tensor in program.tensors.items():
            if f"{name}/scale" in stored:
                assert stored[f"{name}/scale"] == tensor.grid.scale.array
        conv = program.instructions[0]
        assert np.array_equal(stored["conv/weights"], conv.constants["weights"].array)
