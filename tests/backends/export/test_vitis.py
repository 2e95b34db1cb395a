from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from export_reading import document, with_grid
from power_of_two_programs import POSITIONS, WEIGHT_POSITION, power_of_two_classifier
from small_programs import grid

from intlower.backends.export.registry import export_files
from intlower.compiler.constant import Constant
from intlower.compiler.errors import ExportError
from intlower.kernels.signature import ElementType


def test_vitis_positions_are_those_of_the_scales() -> None:
    program = power_of_two_classifier()
    stored = document(program, "vitis", "quant_info.json")
    assert stored["input"] == {"image": [[8, POSITIONS["image"]]]}
    assert stored["output"] == {
        i.name: [[8, POSITIONS[i.output]]] for i in program.instructions
    }
    assert stored["param"]["conv.weight"] == [[8, WEIGHT_POSITION]]
    # biases of up to 500 need more than 8 bits
    assert stored["param"]["conv.bias"] == [[32, POSITIONS["image"] + WEIGHT_POSITION]]


def test_a_vitis_bias_of_8_bits_has_a_position_of_its_own() -> None:
    program = power_of_two_classifier()
    conv = program.instructions[0]
    constants = {**conv.constants, "bias": Constant.of([8 * 127, -8 * 128, 8, 0], np.int32)}
    changed = replace(conv, constants=constants)
    program = replace(program, instructions=(changed, *program.instructions[1:]))
    stored = document(program, "vitis", "quant_info.json")
    position = POSITIONS["image"] + WEIGHT_POSITION
    assert stored["param"]["conv.bias"] == [[8, position - 3]]


@pytest.mark.parametrize("position", [11, -7])
def test_vitis_refuses_a_shift_out_of_range(position: int) -> None:
    program = with_grid(
        power_of_two_classifier(), "features", grid(2.0**-position, ElementType.INT8)
    )
    with pytest.raises(
        ExportError, match=f"'conv' shifts its sum by {10 - position}, and the DPU"
    ):
        export_files(program, "vitis")
