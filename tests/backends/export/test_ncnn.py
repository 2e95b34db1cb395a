from __future__ import annotations

import numpy as np
import small_programs
from export_reading import weighted

from intlower.backends.export.registry import export_files


def test_ncnn_table_reads_back_as_the_reciprocals_of_the_scales() -> None:
    program = small_programs.classifier()
    text = export_files(program, "ncnn")["model.table"].decode()
    rows = {
        key: np.array(numbers, np.float32)
        for key, *numbers in map(str.split, text.splitlines())
    }
    assert set(rows) == {"conv", "conv_param_0", "classify", "classify_param_0"}
    for instruction in weighted(program):
        outputs = len(instruction.constants["bias"].array)
        assert instruction.weight_grid is not None
        scales = np.broadcast_to(instruction.weight_grid.scale.array, (outputs,))
        assert np.array_equal(rows[f"{instruction.name}_param_0"], np.float32(1) / scales)
        source = program.tensors[instruction.inputs[0]].grid.scale.array
        assert np.array_equal(rows[instruction.name], [np.float32(1) / source])
