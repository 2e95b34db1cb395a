"""What a value looks like by its moments alone: every rule that looks at samples runs without any.

Each channel's numbers before the activation are normal, as everywhere in `compiler/moments.py`; the activation limits them.
All channels count alike: a feature map has as many positions in each. So a value is a mixture of limited normals, cut off at
DEVIATIONS, where the ranges of moments end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from intlower.compiler.calibration.methods import tf
from intlower.compiler.calibration.methods.magnitudes import BINS, Magnitudes
from intlower.compiler.calibration.methods.sample import WeightedNumbers
from intlower.compiler.calibration.methods.select import Method, Summary
from intlower.compiler.errors import CalibrationError

# Half width of a range in standard deviations. Nagel et al. 2019, Data-Free Quantization, section 5, take 6; on the five
# networks of docs/accuracy.md 5 gives a much lower divergence on some and no other one on the rest, 4 a higher one on some.
DEVIATIONS = 5.0

# The codes for which they were measured.
MEASURED_BITS = 8


def deviations(bits: int) -> float:
    """Return the half width of a range in standard deviations, for codes of so many bits.

    DEVIATIONS at 8 bits; at others in proportion to where a normal distribution is best cut: finer steps let a range reach
    further, coarser ones make it pay to clip.

    >>> [round(deviations(bits), 1) for bits in (2, 4, 8, 16)]
    [2.2, 3.3, 5.0, 7.6]
    """
    return DEVIATIONS * best_normal_cut(bits) / best_normal_cut(MEASURED_BITS)


def best_normal_cut(bits: int) -> float:
    """Return the z at which clipping a standard normal to [-z, z] and rounding to 2**bits levels has the least squared error.

    The root of the error's derivative, z / (3 * 4**bits) = 2 (phi(z) - z Q(z)), by bisection: the left side grows with z,
    the right side falls.

    Source: Banner, Nahshan, Soudry, Post training 4-bit quantization of convolutional networks for rapid-deployment,
    NeurIPS 2019, equation (5) with a normal distribution.

    >>> round(best_normal_cut(4), 2), round(best_normal_cut(8), 2)
    (2.56, 3.92)
    """
    low, high = 0.0, 40.0
    for _ in range(60):
        z = (low + high) / 2
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        tail = math.erfc(z / math.sqrt(2)) / 2
        if z / (3 * 4**bits) < 2 * (density - z * tail):
            low = z
        else:
            high = z
    return low


def best_cut(mean: ArrayLike, std: ArrayLike, bits: int) -> tuple[float, float]:
    """Return the range at which clipping a mixture of normals and rounding to 2**bits levels has the least squared error.

    With a range [l, h], each end is the root of the error's derivative, as in `best_normal_cut`:

        (h - l) / (12 * 4**bits) = mean of std (phi(z) - z Q(z)),  z = (h - mean) / std, or (mean - l) / std

    Args:
        mean: of each equally frequent part.
        std: likewise, not negative.
        bits: of the codes.

    >>> low, high = best_cut([3.0, 3.0], [2.0, 2.0], 8)
    >>> round(low, 2) == round(3 - 2 * best_normal_cut(8), 2), round(high, 2) == round(3 + 2 * best_normal_cut(8), 2)
    (True, True)
    """
    mean, std = (np.asarray(array, np.float64).reshape(-1) for array in (mean, std))
    unit = np.where(std > 0, std, 1.0)

    def beyond(end: float, sign: float) -> float:
        z = sign * (end - mean) / unit
        density = np.exp(-0.5 * np.square(z)) / math.sqrt(2 * math.pi)
        tail = torch.special.ndtr(torch.from_numpy(-z)).numpy()
        excess = np.where(std > 0, std * (density - z * tail), np.maximum(-z, 0.0))
        return float(excess.mean())

    widest = float(40.0 * std.max())
    ends = [float(mean.min()) - widest, float(mean.max()) + widest]
    outer = tuple(ends)
    inner = (float(mean.max()), float(mean.min()))
    for _ in range(8):  # each end depends weakly on the other
        for i, sign in enumerate((-1.0, 1.0)):
            near, far = inner[i], outer[i]
            for _ in range(50):
                end = (near + far) / 2
                width = abs(end - ends[1 - i])
                if width / (12 * 4**bits) < beyond(end, sign):
                    near = end
                else:
                    far = end
            ends[i] = (near + far) / 2
    return min(ends), max(ends)


# Numbers of a quantile sample, and of each channel at least.
NUMBERS, LEAST_NUMBERS = 1 << 16, 64


@dataclass(frozen=True, slots=True, eq=False)
class LimitedNormals:
    """A mixture of equally frequent normals, each limited to an interval.

    Attributes:
        mean: float64 [C], finite.
        std: float64 [C], finite, not negative.
        low: float64 [C], limits; may be -inf.
        high: float64 [C], at least `low`; may be inf.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(
        cls, mean: ArrayLike, std: ArrayLike, low: ArrayLike = -np.inf, high: ArrayLike = np.inf
    ) -> LimitedNormals:
        """Return the mixture; arguments that are one number serve all channels.

        Raises:
            CalibrationError: a mean or a deviation is not finite, or a deviation is negative.
        """
        arrays = [np.asarray(a, np.float64) for a in (mean, std, low, high)]
        mean, std, low, high = (a.reshape(-1) for a in np.broadcast_arrays(*arrays))
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
            raise CalibrationError("a value's moments are not finite")
        return cls(mean, std, low, high)

    @property
    def extremes(self) -> tuple[float, float]:
        """The least and the greatest number within DEVIATIONS."""
        reach = DEVIATIONS * self.std
        least = np.clip(self.mean - reach, self.low, self.high)
        greatest = np.clip(self.mean + reach, self.low, self.high)
        return float(least.min()), float(greatest.max())

    def share_below(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of numbers below each edge, the mean over channels.

            0 for e <= low,  Phi((e - mean) / std) for low < e <= high,  1 for e > high

        Args:
            edges: float64 [n].
        """
        total = np.zeros(len(edges))
        for mean, std, low, high in zip(self.mean, self.std, self.low, self.high, strict=True):
            if std > 0:
                share = torch.special.ndtr(torch.from_numpy((edges - mean) / std)).numpy()
            else:
                share = (edges > mean).astype(np.float64)
            total += np.where(edges > high, 1.0, np.where(edges > low, share, 0.0))
        return total / len(self.mean)


def quantile_sample(mixture: LimitedNormals, numbers: int = NUMBERS) -> WeightedNumbers:
    """Return numbers and weights that integrate functions over a mixture: the midpoint rule, limits kept as they are.

        x = clip(mean + std * z, low, high),  weight = phi(z),  z the middles of equal intervals of [-5, 5]

    Deterministic. Smooth functions are integrated almost exactly (the midpoint rule converges exponentially for them);
    the steps of a grid to about one interval. Weights sum to 1.

    Args:
        mixture: C channels.
        numbers: about as many in all; each channel has LEAST_NUMBERS or more.
    """
    each = max(numbers // len(mixture.mean), LEAST_NUMBERS)
    z = DEVIATIONS * ((2 * np.arange(each) + 1) / each - 1)
    values = np.clip(
        mixture.mean[:, None] + mixture.std[:, None] * z,
        mixture.low[:, None],
        mixture.high[:, None],
    )
    weights = np.exp(-0.5 * np.square(z))
    weights = np.broadcast_to(weights / (weights.sum() * len(mixture.mean)), values.shape)
    return WeightedNumbers(values.ravel(), weights.ravel())


def expected_magnitudes(mixture: LimitedNormals) -> Magnitudes:
    """Return the expected histogram of |x|, its counts summing to 1."""
    low, high = mixture.extremes
    greatest = max(-low, high)
    if greatest <= 0.0:
        return Magnitudes()
    edges = np.asarray(greatest * np.arange(1, BINS) / BINS, np.float64)
    # Below an edge: x < edge and not x < -edge; numbers of exactly -edge are none of a continuous density's concern.
    inside = mixture.share_below(edges) - mixture.share_below(-edges)
    return Magnitudes(greatest / BINS, _shares(inside))


def expected_density(mixture: LimitedNormals) -> tf.Density:
    """Return the expected density of Qualcomm's rule."""
    empty = tf.Density.over(*mixture.extremes)
    if empty.width == 0.0:
        return empty
    edges = np.asarray(empty.left + empty.width * np.arange(1, tf.BINS), np.float64)
    return tf.Density(empty.left, empty.width, _shares(mixture.share_below(edges)), 1)


def _shares(below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shares between edges from those below them; what rounding made of an empty bin is 0."""
    shares = np.diff(np.concatenate([[0.0], below, [1.0]]))
    return np.where(shares > math.sqrt(np.finfo(np.float64).eps), shares, 0.0)


def modelled_summary(mixture: LimitedNormals, method: Method) -> Summary:
    """Return what a rule would see of a value, without data."""
    low, high = mixture.extremes
    detail: Any = None
    match method:
        case Method.PERCENTILE_ABS | Method.MSE | Method.ENTROPY | Method.ENTROPY_EDGE:
            detail = expected_magnitudes(mixture)
        case Method.TF_ENHANCED:
            detail = expected_density(mixture)
        case Method.IFMR | Method.DIFFS | Method.DIFFS_MODE | Method.PERCENTILE:
            detail = quantile_sample(mixture)
        case Method.MIN_MAX | Method.TF:
            pass
    return Summary(low, high, detail)
