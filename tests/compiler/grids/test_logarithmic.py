from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intlower.compiler.errors import CalibrationError
from intlower.compiler.grids import Grid, LogGrid, linear_grid
from intlower.compiler.grids.documents import read_grid
from intlower.kernels.numerics_log import encode_one, encode_thresholds

grids = st.builds(LogGrid.reaching, st.sampled_from([8, 16]), st.floats(2.0**-10, 2.0**18))


@given(grids)
def test_every_level_has_its_code(grid: LogGrid) -> None:
    codes = np.arange(grid.layout.codes).astype(grid.dtype)
    assert np.array_equal(grid.quantize(grid.dequantize(codes)), codes)


@given(grids, st.floats(-300, 300, width=32))
def test_a_number_inside_is_off_by_half_a_step_of_its_logarithm(
    grid: LogGrid, x: float
) -> None:
    x = np.float32(x)
    level = float(grid.dequantize(grid.quantize(x)))
    if 2 * grid.step * 1.05 < abs(x) <= grid.clip:
        assert abs(math.log2(abs(level) / abs(float(x)))) <= 0.5 / grid.layout.steps + 1e-6
        assert (level > 0) == (x > 0)
    elif abs(x) > grid.clip:
        assert abs(level) == pytest.approx(grid.clip)


def test_the_rules_of_the_published_quantizer_around_zero() -> None:
    grid = LogGrid(bits=8, z=-96)  # the least level is 2**-6
    least = 2.0**-6
    values = [0.0, -0.0, least / 2, np.nextafter(np.float32(least / 2), np.float32(0)), least]
    assert grid.quantize(values).tolist() == [128, 128, 0, 128, 0]
    second = 2.0 ** (-95 / 16)
    assert grid.quantize([-second, -second * 0.51, -second * 0.49]).tolist() == [129, 129, 128]
    exact = LogGrid(
        bits=8, z=-97
    )  # -2**-7, a power of two, is the boundary: it belongs to zero
    assert exact.quantize([-(2.0**-7), -(2.0**-7) * (1 + 1e-6)]).tolist() == [128, 129]


def test_the_clip_is_rounded_to_the_nearest_step() -> None:
    assert LogGrid.reaching(8, 4.0).z == 32 - 127
    assert LogGrid.reaching(8, 6.0).clip == pytest.approx(2 ** (41 / 16))
    assert LogGrid.reaching(16, 1.0).z == -4095


@given(grids, st.integers(-(2**24), 2**24))
def test_linear_numbers_get_the_codes_of_the_reals_that_they_are(grid: LogGrid, y: int) -> None:
    thresholds, negative = encode_thresholds(grid.layout, grid.z)
    assert encode_one(y, thresholds, negative) == int(grid.quantize(y / 4096))


@given(grids)
def test_a_document_gives_the_same_grid(grid: LogGrid) -> None:
    assert read_grid(json.loads(json.dumps(grid.document())), "grid") == grid
    assert isinstance(grid, Grid)


def test_codes_above_the_format_are_refused() -> None:
    grid = LogGrid.reaching(16, 1.0)
    assert grid.misfit(np.array([8191], np.uint16)) == ""
    assert "8192" in grid.misfit(np.array([8192], np.uint16))


@pytest.mark.parametrize(("bits", "z"), [(8, 1000), (8, -1000), (12, 0), (16, 10_000)])
def test_impossible_grids_are_refused(bits: int, z: int) -> None:
    with pytest.raises(CalibrationError, match="logarithmic"):
        LogGrid(bits=bits, z=z)


def test_nan_is_refused_and_infinities_saturate() -> None:
    grid = LogGrid.reaching(8, 1.0)
    assert grid.quantize([np.inf, -np.inf]).tolist() == [127, 255]
    with pytest.raises(CalibrationError, match="NaN"):
        grid.quantize(np.nan)


def test_linear_numbers_have_12_fraction_bits() -> None:
    grid = linear_grid()
    assert grid.dequantize([4096, -1]).tolist() == [1.0, -(2.0**-12)]
