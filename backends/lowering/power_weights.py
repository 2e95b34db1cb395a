"""Weights on grids whose scales are powers of two: positions by squared error, and weights that are powers themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.rounding import round_weights
from intlower.compiler.constant import Constant
from intlower.compiler.grids import UniformGrid
from intlower.compiler.power_spec import PositionRule, PowerOfTwoSpec
from intlower.compiler.recipe import WeightRounding
from intlower.compiler.second_moments import SecondMoments

# Positions tried, that which covers the weights included: each one further saturates more of them.
SCOPE = 4


@dataclass(frozen=True, slots=True)
class PowerWeights:
    """The grid of a layer's weights.

    Attributes:
        spec: the target's.
        positions: int64 [1], or [O] where each output channel has its own.
    """

    spec: PowerOfTwoSpec
    positions: NDArray[np.int64]

    @property
    def grid(self) -> UniformGrid:
        """The uniform grid of the codes."""
        low, high = self.spec.weights.limits
        single = not self.spec.weights.per_channel
        steps = np.exp2(-self.positions.astype(np.float64)).astype(np.float32)
        return UniformGrid(
            scale=Constant.of(steps[0] if single else steps, np.float32),
            zero_point=0,
            element=self.spec.weights.element,
            minimum=low,
            maximum=high,
            rounding=self.spec.weights.rounding,
            axis=None if single else 0,
        )

    @property
    def settles(self) -> bool:
        """Whether a code may move to its neighbour."""
        return not self.spec.weights_powers

    def round(
        self,
        weights: NDArray[np.float64],
        rounding: WeightRounding,
        moments: SecondMoments | None,
    ) -> NDArray[Any]:
        """Return the codes of weights."""
        if self.spec.weights_powers:
            return power_codes(weights)
        return round_weights(weights, self.grid, rounding, moments)

    def dequantize(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the real numbers of codes."""
        return self.grid.dequantize(codes).astype(np.float64)


# Exponents of weights that are powers of two. Source: exp_min and exp_max of pmgysel/caffe src/caffe/proto/caffe.proto.
LEAST_EXPONENT, GREATEST_EXPONENT = -8, -1


def power_codes(weights: NDArray[np.float64]) -> NDArray[np.int16]:
    """Return sign * 2**(e + 8), e = round(log2|w|) within -8..-1, ties away from zero; 0 becomes 2**-8: there is no 0.

    Source: Trim2IntegerPowerOf2, pmgysel/caffe src/caffe/ristretto/layers/base_ristretto_layer.cpp.

    >>> power_codes(np.array([0.5, -0.3, 0.0, 3.0, -0.001])).tolist()
    [128, -64, 1, 128, -1]
    """
    size = np.maximum(np.abs(weights), 2.0**-60)
    exponents = np.log2(size)
    rounded = np.copysign(np.floor(np.abs(exponents) + 0.5), exponents)
    chosen = np.clip(rounded, LEAST_EXPONENT, GREATEST_EXPONENT) - LEAST_EXPONENT
    return np.asarray(np.where(weights < 0, -1.0, 1.0) * np.exp2(chosen), np.int16)


def weight_positions(spec: PowerOfTwoSpec, weights: NDArray[Any]) -> NDArray[np.int64]:
    """Return the positions of a layer's weights: [O] where each output channel has its own, else [1].

    1. Weights that are powers of two: -LEAST_EXPONENT.
    2. Under Ristretto's rule for tensors, its rule for parameters: bits - ceil(log2 max|w| + 1), which saturates none.
    3. Else the position with the least squared error, of SCOPE from the covering one up, the first of equals.

    Args:
        spec: the target's.
        weights: [O, ...].
    """
    outputs = len(weights)
    rows = weights.astype(np.float64).reshape(outputs if spec.weights.per_channel else 1, -1)
    if spec.weights_powers:
        return np.full(1, -LEAST_EXPONENT)
    grid = spec.weights
    if spec.positions is PositionRule.WITHOUT_SIGN:
        bound = np.maximum(np.abs(rows).max(axis=1), 2.0**-40)
        found = grid.bits - np.ceil(np.log2(bound) + 1).astype(np.int64)
        return np.asarray(np.minimum(found, grid.greatest_position), np.int64)
    covering = np.array(
        [grid.position(max(-row.min(), 0.0), max(row.max(), 0.0)) for row in rows], np.int64
    )
    best, least = covering, np.full(len(rows), np.inf)
    low, high = grid.limits
    for further in range(SCOPE):
        tried = np.minimum(covering + further, grid.greatest_position)
        step = np.exp2(-tried.astype(np.float64))[:, None]
        error = np.square(np.clip(np.rint(rows / step), low, high) * step - rows).sum(axis=1)
        better = error < least
        best, least = np.where(better, tried, best), np.where(better, error, least)
    return best
