"""The clip of a logarithmic grid."""

from __future__ import annotations

import enum
import math

# A clip below float32's least normal number is that number: nothing smaller is told from 0. Our definition.
_LEAST_CLIP = 2.0**-126

# What rounding errors of a logarithm may add without taking the next step up.
_SLACK = 1e-9


class ClipRounding(enum.Enum):
    """Which clip of the grid a bound becomes.

    NEAREST: the nearest in the log domain; numbers up to 2**(1 / 32) past it saturate. UP: the least one that clips nothing.
    """

    NEAREST = "nearest"
    UP = "up"


def clip_index(
    bound: float, *, rounding: ClipRounding = ClipRounding.NEAREST, steps_per_octave: int = 16
) -> int:
    """Return j, the clip being 2**(j / 16): the hardware takes no other.

    Source: ModelTC/MQBench mqbench/fake_quantize/nnie.py (nearest, reverse-engineered); upward is our definition.

    Args:
        bound: max|x|, not negative, finite.
        rounding: nearest or up.
        steps_per_octave: 16 for 8-bit codes, 128 for 16-bit ones.

    >>> clip_index(2.8284271), clip_index(3.0), clip_index(3.0, rounding=ClipRounding.UP)
    (24, 25, 26)
    """
    exact = steps_per_octave * math.log2(max(bound, _LEAST_CLIP))
    if rounding is ClipRounding.UP:
        return math.ceil(exact - _SLACK)
    return math.floor(exact + 0.5)


def clip_of(index: int, steps_per_octave: int = 16) -> float:
    """Return the clip of an index."""
    return float(2.0 ** (index / steps_per_octave))
