from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from intlower.compiler.errors import ArtifactError, CalibrationError
from intlower.compiler.grids import ChannelGrid, Grid, UniformSpec
from intlower.compiler.grids.documents import read_grid
from intlower.kernels.numerics import Rounding

SPEC = UniformSpec(
    bits=8, signed=False, symmetric=False, rounding=Rounding.HALF_AWAY, per_channel=True
)
GRID = ChannelGrid.of(SPEC, np.array([-1.0, 0.0, -3.0]), np.array([1.0, 1.0, 0.0]))


def test_a_document_gives_the_grid_again() -> None:
    assert read_grid(GRID.document(), "grid") == GRID
    assert isinstance(GRID, Grid)


@pytest.mark.parametrize(
    "change", [{"zero_points": [1]}, {"scale": 1.0}, {"zero_points": [0, 0, "1"]}]
)
def test_other_documents_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ArtifactError):
        read_grid({**GRID.document(), **change}, "grid")


@given(arrays(np.float32, (3, 2, 2), elements=st.floats(-4, 4, width=32)))
def test_each_channel_is_a_uniform_grid(values: np.ndarray) -> None:
    codes = GRID.quantize(values)
    assert GRID.misfit(codes) == ""
    for channel, grid in enumerate(GRID.channels):
        assert np.array_equal(codes[channel], grid.quantize(values[channel]))
        found = GRID.dequantize(codes)[channel]
        assert np.array_equal(found, grid.dequantize(codes[channel]))


def test_every_channel_has_its_own_scale_and_an_exact_zero() -> None:
    assert GRID.offsets.tolist() == [128, 0, 255]
    assert len(set(GRID.scale.array.tolist())) == 3
    assert (GRID.dequantize(GRID.quantize(np.zeros((3, 1)))) == 0).all()
    assert [GRID.fits(shape) for shape in ((3, 4), (4, 3), ())] == [True, False, False]


def test_channels_of_two_types_are_no_grid() -> None:
    narrow = replace(GRID.channels[1], maximum=200)
    with pytest.raises(CalibrationError, match="one type"):
        ChannelGrid(channels=(GRID.channels[0], narrow))
    with pytest.raises(CalibrationError, match="NaN"):
        GRID.quantize(np.full((3, 1), np.nan))
