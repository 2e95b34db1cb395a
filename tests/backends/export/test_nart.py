from __future__ import annotations

import numpy as np
import small_programs
from export_reading import document, shifted, with_grid


def test_nart_parameters_are_the_grids() -> None:
    program = small_programs.classifier()
    stored = document(program, "nart", "qparams.json")
    conv = program.instructions[0]
    assert conv.weight_grid is not None
    weights = [float(s) for s in conv.weight_grid.scale.array]
    symmetric = {"zero_point": 0.0, "type": "symmetric"}
    assert stored["conv_bottom"] == {"alpha": float(np.float32(0.1)), "bit": 8, **symmetric}
    assert stored["conv_param_1"] == {"alpha": weights, "bit": 8, **symmetric}
    products = np.float32(0.1) * conv.weight_grid.scale.array
    assert stored["conv_param_2"] == {
        "alpha": [float(s) for s in products],
        "bit": 32,
        **symmetric,
    }
    assert stored["residual_bottom_0"] == stored["residual_bottom_1"] == stored["pool_top"]
    assert document(program, "nart", "config.json")["default_net_type_token"] == "cuda_quant"


def test_nart_sends_asymmetric_programs_to_the_processor() -> None:
    program = small_programs.classifier()
    program = with_grid(program, "image", shifted(program.tensors["image"].grid, 3))
    assert document(program, "nart", "qparams.json")["conv_bottom"]["type"] == "biased"
    config = document(program, "nart", "config.json")
    assert config["quant"] == {
        "symmetric": False,
        "bit_width": 8,
        "qparams_file": "qparams.json",
    }
