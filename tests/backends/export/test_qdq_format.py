from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import small_programs
from export_reading import with_grid
from onnx import numpy_helper

from intlower.backends.export.registry import export_files
from intlower.compiler.grids import uniform


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


def test_an_input_narrower_than_its_type_is_limited() -> None:
    program = small_programs.classifier()
    grid = replace(uniform(program.tensors["image"].grid, "image"), minimum=-7, maximum=7)
    program = with_grid(program, "image", grid)
    session = onnxruntime.InferenceSession(
        export_files(program, "qdq")["model.qdq.onnx"], providers=["CPUExecutionProvider"]
    )
    signs = np.random.default_rng(1).choice([-1.0, 1.0], (2, 2, 6, 6)).astype(np.float32)
    at_the_end, beyond = (
        session.run(None, {"image": signs * np.float32(limit)})
        for limit in (grid.real_limits[1], 100)
    )
    for first, second in zip(at_the_end, beyond, strict=True):
        assert np.array_equal(first, second)
