"""Biases of few bits: where their binary point lies, and how rounding of weights makes up for what they cannot hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.scales import round_bias
from intlower.compiler.grids import UniformGrid
from intlower.compiler.power_spec import BiasPlace, PowerOfTwoSpec
from intlower.kernels.numerics import shift_half_up

# How often rounding looks for more weights to turn: the first time leaves less than the smallest turn it did not take.
TURNS = 2


@dataclass(frozen=True, slots=True)
class Bias:
    """A layer's biases as the target holds them.

    Attributes:
        codes: [O], in units of the accumulator.
        real: float64 [O], the numbers that they stand for.
    """

    codes: list[int]
    real: NDArray[np.float64]

    @staticmethod
    def covering(spec: PowerOfTwoSpec, bound: float) -> int:
        """Return the greatest position at which a bias of a magnitude does not saturate by more than half a step."""
        greatest = (1 << (spec.bias_bits - 1)) - 0.5
        position = int(np.floor(np.log2(greatest / max(bound, 2.0**-60))))
        return min(position, spec.activations.greatest_position)


def place_bias(
    spec: PowerOfTwoSpec,
    bias: NDArray[np.float64],
    read: int,
    weights: NDArray[np.int64],
    written: int,
) -> Bias:
    """Return biases at the position that the target gives them, shifted to the accumulator's.

        q = clamp(round(b * 2**p_b)),   code = q * 2**(p_w + p_x - p_b), ties up where that is a shift to the right

    A position of their own is the greatest at which none saturates, within the target's limits of shifts. Source of those:
    Xilinx/Vitis-AI vai_q_pytorch nndct_shared/quantization/fix_pos_adjust.py.

    Args:
        spec: the target's.
        bias: [O].
        read: position of the input.
        weights: positions of the weights, [1] or [O].
        written: position of the output.
    """
    accumulator = np.broadcast_to(weights + read, bias.shape)
    match spec.bias:
        case BiasPlace.ACCUMULATOR:
            own = accumulator
        case BiasPlace.WEIGHTS:
            own = np.broadcast_to(weights, bias.shape)
        case BiasPlace.OWN:
            found = Bias.covering(spec, float(np.abs(bias).max()))
            if spec.shifts is not None:
                least = spec.shifts.least_bias(int(accumulator.min()) - written)
                found = max(found, int(accumulator.max()) - spec.shifts.bias_most)
                found = min(found, int(accumulator.min()) - least)
            own = np.full(bias.shape, found)
    limit = 1 << (spec.bias_bits - 1)
    codes: list[int] = []
    for value, position, unit in zip(bias, own, accumulator, strict=True):
        code = round_bias(float(value) * 2.0 ** int(position), spec.bias_rounding)
        code = min(max(code, -limit), limit - 1)
        shift = int(unit) - int(position)
        codes.append(code << shift if shift >= 0 else int(shift_half_up(code, -shift)))
    real = np.array([float(c) for c in codes]) * np.exp2(-accumulator.astype(np.float64))
    return Bias(codes, real)


def settle_means(
    weights: NDArray[np.float64],
    codes: NDArray[Any],
    grid: UniformGrid,
    means: NDArray[np.float64],
    missing: NDArray[np.float64],
) -> NDArray[Any]:
    """Return codes of which a few are turned to the other neighbour, so that each channel's mean moves by what is missing.

    A weight that is turned by one step changes its channel's mean by step * rho E[x]. Those come first that cost the least
    squared error of weights for what they move; a code never ends a step or more from its weight, nor off the grid. Our own
    method: the bias correction of Nagel et al. 2019, section 4.2, where the bias has too few bits to take it.

    Args:
        weights: [O, ...].
        codes: alike.
        grid: theirs.
        means: of what each weight multiplies, alike; see `mean_inputs`.
        missing: [O], what is to be added to each channel's mean.
    """
    outputs = len(weights)
    step = np.broadcast_to(grid.scale.array.astype(np.float64), (outputs,))[:, None]
    found = codes.reshape(outputs, -1).astype(np.int64)
    exact = weights.reshape(outputs, -1) / step
    effect = step * means.reshape(outputs, -1)
    left = missing.copy()
    for _ in range(TURNS):
        error = found - exact
        turn = np.where(np.sign(effect) * np.sign(left)[:, None] >= 0, 1, -1)
        gain = np.abs(effect)
        turned = found + turn
        allowed = (
            (gain > 0)
            & (np.abs(error + turn) < 1)
            & (turned >= grid.minimum)
            & (turned <= grid.maximum)
            & (left != 0)[:, None]
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            price = np.where(allowed, (1 + 2 * turn * error) / gain, np.inf)
        order = np.argsort(price, axis=1, kind="stable")
        sorted_gain = np.take_along_axis(np.where(allowed, gain, 0.0), order, axis=1)
        total = np.cumsum(sorted_gain, axis=1)
        wanted = (total - sorted_gain / 2 <= np.abs(left)[:, None]) & (sorted_gain > 0)
        wanted = np.logical_and.accumulate(wanted, axis=1)
        chosen = np.zeros_like(allowed)
        np.put_along_axis(chosen, order, wanted, axis=1)
        found = np.where(chosen, turned, found)
        left = left - np.where(chosen, turn * effect, 0.0).sum(axis=1)
    return found.reshape(codes.shape).astype(codes.dtype)
