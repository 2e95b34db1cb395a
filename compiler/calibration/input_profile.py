"""Inputs whose numbers differ from row to row or from column to column: spectra, cepstra, sensors side by side.

Such features are no texture: the first of them may be ten times as large as the rest, and one mean and one spread for all say
nothing of where they reach. A first convolution tells the places apart, for at its borders and between its strides the taps
meet different ones. With m_x, s_x the mean and std at place x, places along the axis independent, neighbours across it of
correlation r^distance, and T the share of output positions at which tap k meets place x:

    E[y_o]   = b_o + sum_x (sum_k w[o,k] T[k,x]) m_x                                             w summed over the other axis
    Var[y_o] = sum_x (sum_k q[o,k] T[k,x]) s_x^2 + Var_j(mean response at j)                      q = w' r^|distance| w

The first is solved by least squares, damped as its misfit tells; the second by least squares with s_x^2 >= 0, over a grid of r.
Our own method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.moment_rules import tap_coverage
from intlower.compiler.operators import Conv, Shape, known

Array = NDArray[np.float64]

# Correlations of neighbours across the axis that are tried.
NEIGHBOURS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98)

# A profile is believed where it explains the outputs' deviations to this mean error of their logarithms, and leaves at most
# this share of what inputs alike everywhere leave.
BELIEVED, SHARE = 0.3, 0.5

# By how much the greatest place exceeds the median one, as root mean squares, where places are said to differ.
DIFFERENT = 2.0

# Filters for each place that is told apart.
FILTERS = 4

# Taps along an axis, and places, beyond which nothing is tried: such filters are no features side by side.
MOST_TAPS, MOST_PLACES = 64, 4096

# How strongly the spreads of places are held together, relative to what the outputs say.
DAMPING = 1e-2

# Sweeps of the least squares that keep numbers from becoming negative, which settle in far fewer.
SWEEPS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """What an input of one channel looks like, place by place.

    Attributes:
        axis: 0 where rows differ, 1 where columns do.
        mean: float64 [places].
        std: float64 [places].
        misfit: mean |log| of predicted to recorded deviations of the first layer's outputs.
    """

    axis: int
    mean: Array
    std: Array
    misfit: float

    @property
    def overall(self) -> tuple[float, float]:
        """Mean and std over all places together."""
        variance = np.square(self.std).mean() + self.mean.var()
        return float(self.mean.mean()), float(np.sqrt(variance))


def input_profile(
    conv: Conv,
    weights: Array,
    mean: Array,
    std: Array,
    alike: float,
    source: Shape,
    shape: Shape,
) -> Profile | None:
    """Return the profile that explains a first layer's statistics, or None where inputs alike everywhere do as well.

    Args:
        conv: the layer, of one group.
        weights: float64 [O, 1, rows, columns].
        mean: of its outputs less the bias, float64 [O].
        std: of its outputs, float64 [O], positive.
        alike: the misfit of inputs that are alike everywhere.
        source: the input's shape.
        shape: the output's shape.
    """
    found = [_along(axis, conv, weights[:, 0], mean, std, source, shape) for axis in (0, 1)]
    best = min(filter(None, found), key=lambda one: one.misfit, default=None)
    if best is None or best.misfit > min(BELIEVED, SHARE * alike):
        return None
    sizes = np.hypot(best.mean, best.std)
    return best if sizes.max() > DIFFERENT * np.median(sizes) else None


def _along(
    axis: int,
    conv: Conv,
    weights: Array,
    mean: Array,
    std: Array,
    source: Shape,
    shape: Shape,
) -> Profile | None:
    """Return the best profile along one axis; None where the filters are too few to tell, or too large."""
    taps = weights if axis == 1 else weights.transpose(0, 2, 1)  # [O, across, along]
    places = known(source[2 + axis])
    if max(taps.shape[1:]) > MOST_TAPS or not 1 < places <= MOST_PLACES:
        return None
    starts = np.arange(known(shape[2 + axis])) * conv.strides[axis] - conv.pads[axis]
    met = (
        starts + conv.dilations[axis] * np.arange(taps.shape[2])[:, None]
    )  # [along, positions]
    inside = (met >= 0) & (met < places)
    meets = np.stack(
        [
            np.bincount(row[kept], minlength=places)
            for row, kept in zip(met, inside, strict=True)
        ]
    ) / len(starts)
    # Places that all taps meet alike cannot be told apart.
    kinds, of_place, sizes = np.unique(meets, axis=1, return_inverse=True, return_counts=True)
    of_place = of_place.reshape(-1)
    if len(taps) < FILTERS * kinds.shape[1] or kinds.shape[1] < 2:
        return None
    joint = kinds * sizes  # one number for each kind
    covered = tap_coverage(conv, 1 - axis, taps.shape[1], source, shape)
    total = np.einsum("oak,a->ok", taps, covered)
    means = _damped(total / std[:, None], joint, mean / std)[of_place]
    response = np.einsum(
        "ok,kj->oj", total, np.where(inside, means[met.clip(0, places - 1)], 0)
    )
    between = response.var(axis=1)
    distance = np.abs(np.subtract.outer(*(np.arange(taps.shape[1]),) * 2))
    best: Profile | None = None
    for neighbours in NEIGHBOURS:
        alike = np.where(distance == 0, 1.0, neighbours**distance)
        gain = np.einsum("oak,ab,obk->ok", taps, alike, taps) @ joint / np.square(std)[:, None]
        variances = _not_negative(gain, np.maximum(1 - between / np.square(std), 0.0))
        predicted = gain @ variances + between / np.square(std)
        misfit = float(np.abs(0.5 * np.log(np.maximum(predicted, 1e-12))).mean())
        if best is None or misfit < best.misfit:
            best = Profile(axis, means, np.sqrt(variances)[of_place], misfit)
    return best


def _damped(taps: Array, joint: Array, outputs: Array) -> Array:
    """Return the means of kinds of places, damped by as much as free means of each tap fail to explain."""
    free = np.linalg.lstsq(taps, outputs, rcond=None)[0]
    noise = float(np.square(taps @ free - outputs).sum()) / max(len(taps) - taps.shape[1], 1)
    rows = taps @ joint
    signal = np.square(outputs).mean() / max(float(np.square(rows).sum(axis=1).mean()), 1e-300)
    damping = noise / max(float(signal) * joint.shape[1], 1e-300)
    system = rows.T @ rows + (damping + 1e-9 * np.square(rows).mean()) * np.eye(joint.shape[1])
    return np.asarray(np.linalg.solve(system, rows.T @ outputs), np.float64)


def _not_negative(gain: Array, outputs: Array) -> Array:
    """Return what is nearest to the outputs with no number negative, by coordinate descent.

    Args:
        gain: [O, n], not negative.
        outputs: [O].
    """
    damping = np.square(DAMPING * gain.mean())
    square = gain.T @ gain + damping * np.eye(gain.shape[1])
    wanted = gain.T @ outputs
    numbers = np.zeros(gain.shape[1])
    for _ in range(SWEEPS):
        before = numbers.copy()
        for i, diagonal in enumerate(np.diag(square)):
            rest = wanted[i] - square[i] @ numbers + diagonal * numbers[i]
            numbers[i] = max(rest / diagonal, 0.0) if diagonal > 0 else 0.0
        if np.abs(numbers - before).max() <= 1e-6 * np.abs(numbers).max():
            break
    return numbers
