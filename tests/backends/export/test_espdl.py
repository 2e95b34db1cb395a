from __future__ import annotations

import io
import json

import numpy as np
import pytest
from export_reading import weighted, with_grid
from power_of_two_programs import POSITIONS, power_of_two_classifier
from small_programs import grid

from intlower.backends.export.registry import export_files
from intlower.compiler.errors import ExportError
from intlower.kernels.signature import ElementType


def test_espdl_coefficients_quantize_to_the_programs_codes() -> None:
    program = power_of_two_classifier()
    files = export_files(program, "espdl")
    config = json.loads(files["config.json"])
    for instruction in weighted(program):
        item = config[instruction.name]
        assert item["input_exponent"] == -POSITIONS[instruction.inputs[0]]
        assert item["output_exponent"] == -POSITIONS[instruction.output]
        stored = np.load(io.BytesIO(files[f"coefficients/{instruction.name}_filter.npy"]))
        codes = stored / 2.0 ** item["filter_exponent"]
        weights = instruction.constants["weights"].array
        order = (3, 2, 0, 1) if weights.ndim == 4 else (1, 0)
        assert np.array_equal(codes.transpose(order), weights)
        bias = np.load(io.BytesIO(files[f"coefficients/{instruction.name}_bias.npy"]))
        unit = 2.0 ** (item["filter_exponent"] + item["input_exponent"])
        assert np.array_equal(bias / unit, instruction.constants["bias"].array)
    assert config["conv"]["operation"] == "conv2d"
    assert config["conv"]["activation"] == {"type": "ReLU"}
    assert "activation" not in config["classify"]
    stored = json.loads(files["exponents.json"])
    assert stored == {name: {"exponent": -p, "bits": 8} for name, p in POSITIONS.items()}


def test_espdl_refuses_a_shift_to_the_left() -> None:
    program = with_grid(power_of_two_classifier(), "features", grid(2.0**-11, ElementType.INT8))
    with pytest.raises(ExportError, match="'conv' has the output exponent -11, below"):
        export_files(program, "espdl")
