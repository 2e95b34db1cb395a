from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minifloat_programs import RULES

from intlower.compiler.errors import ArtifactError, CalibrationError, ScaleOutOfRange
from intlower.compiler.grids import Grid, MinifloatGrid
from intlower.compiler.grids.documents import read_grid
from intlower.kernels.minifloat_rule import MinifloatRule

GRIDS = [MinifloatGrid.published(rule) for rule in RULES]


@pytest.mark.parametrize("grid", GRIDS, ids=repr)
def test_a_document_gives_the_grid_again(grid: MinifloatGrid) -> None:
    assert read_grid(grid.document(), "grid") == grid
    assert isinstance(grid, Grid)


@pytest.mark.parametrize("layout", ["e3m4away", "e4m3", "float8"])
def test_other_documents_are_refused(layout: str) -> None:
    with pytest.raises(ArtifactError):
        read_grid({**GRIDS[0].document(), "layout": layout}, "grid")


@pytest.mark.parametrize("grid", GRIDS, ids=repr)
@pytest.mark.parametrize("extreme", [False, True])
def test_random_codes_are_codes(grid: MinifloatGrid, extreme: bool) -> None:
    codes = grid.random_codes(np.random.default_rng(1), (1000,), extreme)
    assert codes.dtype == grid.dtype
    assert grid.misfit(codes) == ""
    assert np.array_equal(grid.quantize(grid.dequantize(codes)), codes)


@given(
    st.sampled_from([MinifloatRule.of(8, 4), MinifloatRule.of(16, 4)]),
    st.floats(2.0**-20, 2.0**20),
)
def test_a_grid_holds_the_bound_that_it_reaches_and_no_octave_more(
    rule: MinifloatRule, bound: float
) -> None:
    greatest = MinifloatGrid.reaching(rule, bound).real_limits[1]
    assert greatest / 2 < bound <= greatest


def test_what_is_no_number_or_no_code_is_refused() -> None:
    with pytest.raises(CalibrationError, match="NaN"):
        GRIDS[0].quantize([np.nan])
    assert "-128" in GRIDS[0].misfit(np.array([-128], np.int8))
    assert GRIDS[0].quantize([np.inf, -np.inf]).tolist() == [127, -127]


def test_exponents_beyond_single_precision_are_refused() -> None:
    with pytest.raises(ScaleOutOfRange, match="exponent bias"):
        MinifloatGrid(rule=RULES[0], exponent_bias=60)
    assert MinifloatGrid.reaching(RULES[0], 0.0).exponent_bias == 48
