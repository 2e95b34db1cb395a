from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intlower.compiler.constant import Constant
from intlower.compiler.errors import CalibrationError
from intlower.compiler.grids import UniformGrid, UniformSpec, round_real
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import ElementType

SYMMETRIC = UniformSpec(bits=8, signed=True, symmetric=True, rounding=Rounding.HALF_EVEN)
ASYMMETRIC = UniformSpec(
    bits=8, signed=False, symmetric=False, rounding=Rounding.HALF_AWAY, minimum_range=0.01
)
reals = st.floats(min_value=-1e4, max_value=1e4, width=32)


@given(reals, reals, st.sampled_from([SYMMETRIC, ASYMMETRIC]), st.floats(0, 1))
def test_a_value_inside_the_range_comes_back_within_half_a_step(
    a: float, b: float, spec: UniformSpec, position: float
) -> None:
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    grid = spec.grid(low, high)
    x = np.float32(low + position * (high - low))
    step = float(grid.scale.array)
    # An asymmetric range is shifted by up to half a step so that 0 is a code: its ends may lie half a step outside.
    slack = 0.5 if spec is SYMMETRIC else 1.0
    assert abs(float(grid.dequantize(grid.quantize(x))) - float(x)) <= step * (slack + 1e-4)


@given(reals, reals, st.sampled_from([SYMMETRIC, ASYMMETRIC]))
def test_real_zero_is_exactly_a_code(a: float, b: float, spec: UniformSpec) -> None:
    grid = spec.grid(min(a, b), max(a, b))
    assert float(grid.dequantize(grid.quantize(0.0))) == 0.0


@given(reals, reals, st.sampled_from([SYMMETRIC, ASYMMETRIC]))
def test_every_code_survives_dequantization(a: float, b: float, spec: UniformSpec) -> None:
    grid = spec.grid(min(a, b), max(a, b))
    codes = np.arange(grid.minimum, grid.maximum + 1)
    assert np.array_equal(grid.quantize(grid.dequantize(codes)), codes)


def test_the_example_of_the_snpe_documentation() -> None:
    grid = ASYMMETRIC.grid(-5.1, 5.1)
    assert grid.zero_point == 128  # the range becomes [-5.12, 5.08]
    assert float(grid.scale.array) == pytest.approx(0.04)
    assert ASYMMETRIC.grid(5.0, 10.0).real_limits == pytest.approx((0.0, 10.0))


def test_the_example_of_a_tensorrt_calibration_cache() -> None:
    # `prob: 3c010204` is the big-endian single-precision scale of a range of 1: 1/127.
    scale = SYMMETRIC.grid(0.0, 1.0).scale.array
    assert scale.astype(">f4").tobytes().hex() == "3c010204"


def test_infinities_saturate_and_nan_is_refused() -> None:
    grid = SYMMETRIC.grid(-1.0, 1.0)
    assert grid.quantize([np.inf, -np.inf, 3e38]).tolist() == [127, -128, 127]
    with pytest.raises(CalibrationError, match="NaN"):
        grid.quantize(np.nan)


@pytest.mark.parametrize("limits", [(np.nan, 1.0), (-np.inf, 1.0), (1.0, -1.0)])
def test_an_impossible_range_is_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(CalibrationError):
        SYMMETRIC.grid(*limits)


def test_a_range_of_nothing_is_widened() -> None:
    assert float(ASYMMETRIC.grid(0.0, 0.0).scale.array) == pytest.approx(0.01 / 255)
    assert float(SYMMETRIC.grid(0.0, 0.0).scale.array) > 0


def test_channel_scales_apply_along_their_axis() -> None:
    grid = SYMMETRIC.channel_grid(np.array([1.27, 12.7]), axis=0)
    x = np.array([[1.27, -0.01], [12.7, -0.1]])
    assert grid.quantize(x).tolist() == [[127, -1], [127, -1]]


def test_a_grid_with_an_impossible_scale_or_zero_point_is_refused() -> None:
    def grid(scale: float, zero_point: int) -> UniformGrid:
        return UniformGrid(
            scale=Constant.of(scale, np.float32),
            zero_point=zero_point,
            element=ElementType.UINT8,
            minimum=0,
            maximum=255,
            rounding=Rounding.HALF_EVEN,
        )

    for scale, zero_point in (
        (0.0, 0),
        (np.nan, 0),
        (-1.0, 0),
        (np.inf, 0),
        (1.0, -1),
        (1.0, 256),
    ):
        with pytest.raises(CalibrationError):
            grid(scale, zero_point)


def test_a_spec_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="bits"):
        UniformSpec(bits=1, signed=True, symmetric=True, rounding=Rounding.FLOOR)
    with pytest.raises(ValueError, match="narrow"):
        UniformSpec(bits=8, signed=False, symmetric=False, rounding=Rounding.FLOOR, narrow=True)
    with pytest.raises(ValueError, match="symmetric"):
        UniformSpec(bits=8, signed=False, symmetric=True, rounding=Rounding.FLOOR)
    with pytest.raises(ValueError, match="powers of two"):
        UniformSpec(
            bits=8, signed=True, symmetric=False, rounding=Rounding.FLOOR, power_of_two=True
        )


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        (Rounding.HALF_EVEN, [-2, -2, 0, 0, 2, 2]),
        (Rounding.HALF_AWAY, [-3, -2, -1, 1, 2, 3]),
        (Rounding.HALF_UP, [-2, -1, 0, 1, 2, 3]),
        (Rounding.FLOOR, [-3, -2, -1, 0, 1, 2]),
    ],
)
def test_reals_are_rounded_by_the_tie_rule(rounding: Rounding, expected: list[int]) -> None:
    assert (
        round_real(np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]), rounding).tolist() == expected
    )
