from __future__ import annotations

import pytest
import small_programs
from export_reading import shifted, with_grid
from power_of_two_programs import power_of_two_classifier
from small_programs import grid

from intlower.backends.export.registry import export_files
from intlower.compiler.errors import ExportError
from intlower.kernels.signature import ElementType


@pytest.mark.parametrize("name", ["vitis", "espdl", "ristretto"])
def test_formats_of_powers_of_two_refuse_other_scales(name: str) -> None:
    program = with_grid(power_of_two_classifier(), "sum", grid(0.3, ElementType.INT8))
    with pytest.raises(
        ExportError, match=f"{name}: 'sum' has the scale 0.3, not a power of two"
    ):
        export_files(program, name)


@pytest.mark.parametrize("name", ["tensorrt", "ncnn", "vitis", "espdl", "ristretto"])
def test_symmetric_formats_refuse_a_zero_point(name: str) -> None:
    program = power_of_two_classifier()
    program = with_grid(program, "sum", shifted(program.tensors["sum"].grid, 5))
    with pytest.raises(ExportError, match=f"{name}: 'sum' has the zero point 5"):
        export_files(program, name)


@pytest.mark.parametrize("name", ["vitis", "espdl", "ristretto"])
def test_formats_with_one_scale_refuse_channels(name: str) -> None:
    with pytest.raises(ExportError, match=f"{name}: 'conv' has a scale for each channel"):
        export_files(small_programs.classifier(), name)
