from __future__ import annotations

import numpy as np
import pytest

from intlower.compiler.errors import ArtifactError, CalibrationError
from intlower.compiler.grids import Grid, HalfGrid
from intlower.compiler.grids.documents import read_grid
from intlower.kernels.half_rule import Subnormals

GRIDS = [
    HalfGrid(subnormals=subnormals, saturate=saturate)
    for subnormals in Subnormals
    for saturate in (False, True)
]


@pytest.mark.parametrize("grid", GRIDS, ids=repr)
def test_a_document_gives_the_grid_again(grid: HalfGrid) -> None:
    assert read_grid(grid.document(), "grid") == grid
    assert isinstance(grid, Grid)


@pytest.mark.parametrize(
    "change", [{"dtype": "int8"}, {"subnormals": "sometimes"}, {"saturate": 1}]
)
def test_other_documents_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ArtifactError):
        read_grid({**HalfGrid().document(), **change}, "grid")


@pytest.mark.parametrize("grid", GRIDS, ids=repr)
@pytest.mark.parametrize("extreme", [False, True])
def test_random_codes_are_codes(grid: HalfGrid, extreme: bool) -> None:
    codes = grid.random_codes(np.random.default_rng(1), (1000,), extreme)
    assert codes.dtype == grid.dtype
    assert grid.misfit(codes) == ""
    again = grid.quantize(grid.dequantize(codes))
    assert np.array_equal(again.view(np.uint16), codes.view(np.uint16))


def test_what_a_target_does_not_have_is_a_misfit() -> None:
    subnormal = np.array([2.0**-20], np.float16)
    assert HalfGrid().misfit(subnormal) == ""
    assert "subnormal" in HalfGrid(subnormals=Subnormals.FLUSHED).misfit(subnormal)
    infinite = np.array([np.inf], np.float16)
    assert HalfGrid().misfit(infinite) == ""
    assert "infinities" in HalfGrid(saturate=True).misfit(infinite)
    assert "NaN" in HalfGrid().misfit(np.array([np.nan], np.float16))


def test_nan_is_refused() -> None:
    with pytest.raises(CalibrationError, match="NaN"):
        HalfGrid().quantize([np.nan])


def test_overflow_is_infinity_or_the_greatest_number() -> None:
    assert HalfGrid().quantize([65519.0, 65520.0, -1e30]).tolist() == [65504, np.inf, -np.inf]
    saturated = HalfGrid(saturate=True).quantize([65520.0, -np.inf])
    assert saturated.tolist() == [65504, -65504]
