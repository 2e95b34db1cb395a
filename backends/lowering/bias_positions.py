"""Biases of few bits: where their binary point lies, and how rounding of weights makes up for what they cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.scales import round_bias
from intlower.compiler.grids import UniformGrid
from intlower.compiler.power_spec import BiasPlace, PowerOfTwoSpec
from intlower.kernels.numerics import shift_half_up

# Positions tried for a bias of its own.
SCOPE = 4

# How often rounding looks for more weights to turn: the first time leaves less than the smallest turn it did not take.
TURNS = 2


@dataclass(frozen=True, slots=True)
class Bias:
    """A layer's biases as the target holds them.

    Attributes:
        codes: [O], in units of the accumulator.
        real: float64 [O], the numbers that they stand for.
        steps: float64 [O], between such numbers.
    """

    codes: list[int]
    real: NDArray[np.float64]
    steps: NDArray[np.float64]

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
    price: Callable[[NDArray[np.float64]], float],
) -> Bias:
    """Return biases at the position that the target gives them, shifted to the accumulator's.

        q = clamp(round(b * 2**p_b)),   code = q * 2**(p_w + p_x - p_b), ties up where that is a shift to the right

    A position of their own is that of the least price, of SCOPE from the greatest at which none saturates, within the
    target's limits of shifts. Source of those: Xilinx/Vitis-AI vai_q_pytorch
    nndct_shared/quantization/fix_pos_adjust.py.

    Args:
        spec: the target's.
        bias: [O].
        read: position of the input.
        weights: positions of the weights, [1] or [O].
        written: position of the output.
        price: from the errors of biases, [O], to what they cost.
    """
    accumulator = np.broadcast_to(weights + read, bias.shape)
    match spec.bias:
        case BiasPlace.ACCUMULATOR:
            own = accumulator
        case BiasPlace.WEIGHTS:
            own = np.broadcast_to(weights, bias.shape)
        case BiasPlace.OWN:
            least, most = -(1 << 30), spec.activations.greatest_position
            if spec.shifts is not None:
                least = int(accumulator.max()) - spec.shifts.bias_most
                guard = spec.shifts.least_bias(int(accumulator.min()) - written)
                most = min(most, int(accumulator.min()) - guard)
            covering = Bias.covering(spec, float(np.abs(bias).max()))
            placed = [
                _held(spec, bias, np.full(bias.shape, position), accumulator)
                for position in sorted(
                    {min(max(covering + k, least), most) for k in range(SCOPE)}
                )
            ]
            return min(placed, key=lambda found: price(found.real - bias))
    return _held(spec, bias, own, accumulator)


def _held(
    spec: PowerOfTwoSpec,
    bias: NDArray[np.float64],
    own: NDArray[np.int64],
    accumulator: NDArray[np.int64],
) -> Bias:
    """Return biases at positions of their own, [O], in an accumulator at others, [O]."""
    limit = 1 << (spec.bias_bits - 1)
    codes: list[int] = []
    for value, position, unit in zip(bias, own, accumulator, strict=True):
        code = round_bias(float(value) * 2.0 ** int(position), spec.bias_rounding)
        code = min(max(code, -limit), limit - 1)
        shift = int(unit) - int(position)
        codes.append(code << shift if shift >= 0 else int(shift_half_up(code, -shift)))
    real = np.array([float(code) for code in codes]) * np.exp2(-accumulator.astype(np.float64))
    return Bias(codes, real, np.exp2(-own.astype(np.float64)))


def settle_means(
    weights: NDArray[np.float64],
    codes: NDArray[Any],
    grid: UniformGrid,
    means: NDArray[np.float64],
    variances: NDArray[np.float64],
    missing: NDArray[np.float64],
) -> NDArray[Any]:
    """Return codes of which a few are turned to the other neighbour, so that each channel's mean moves by what is missing.

    A weight of error e steps that is turned by t = +1 or -1 changes its channel's mean by t step rho E[x], and adds
    (1 + 2 t e) step**2 rho Var[x] to its noise. Those come first that add the least for what they move, and as many as make

        (what is still missing)**2 + noise added

    least. A code never ends a step or more from its weight, nor off the grid. Our own method: the bias correction of Nagel
    et al. 2019, section 4.2, where the bias has too few bits to take it.

    Args:
        weights: [O, ...].
        codes: alike.
        grid: theirs.
        means: of what each weight multiplies, alike; see `mean_inputs`.
        variances: likewise.
        missing: [O], what is to be added to each channel's mean.
    """
    outputs = len(weights)
    step = np.broadcast_to(grid.scale.array.astype(np.float64), (outputs,))[:, None]
    found = codes.reshape(outputs, -1).astype(np.int64)
    exact = weights.reshape(outputs, -1) / step
    effect = step * means.reshape(outputs, -1)
    noise = np.square(step) * variances.reshape(outputs, -1)
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
        added = (1 + 2 * turn * error) * noise
        price = np.where(allowed, added / np.where(gain > 0, gain, 1.0), np.inf)
        order = np.argsort(price, axis=1, kind="stable")
        moved = np.cumsum(
            np.take_along_axis(np.where(allowed, gain, 0.0), order, axis=1), axis=1
        )
        cost = np.cumsum(
            np.take_along_axis(np.where(allowed, added, 0.0), order, axis=1), axis=1
        )
        whole = np.square(np.abs(left)[:, None] - moved) + cost
        count = np.where(whole.min(axis=1) < np.square(left), whole.argmin(axis=1) + 1, 0)
        wanted = np.arange(gain.shape[1]) < count[:, None]
        wanted &= np.take_along_axis(allowed, order, axis=1)
        chosen = np.zeros_like(allowed)
        np.put_along_axis(chosen, order, wanted, axis=1)
        found = np.where(chosen, turned, found)
        left = left - np.where(chosen, turn * effect, 0.0).sum(axis=1)
    return found.reshape(codes.shape).astype(codes.dtype)
