"""Winograd's minimal filtering in integers: a 3x3 convolution with fewer products and the same sums.

An output tile of m x m pixels is made from a window of (m + 2) x (m + 2) codes d and the filter g by

    y = A' [(G g G') * (B' d B)] A                                                              (W1)

with ' for transposed, * element by element, summed over input channels between the two transforms (Lavin and Gray, Fast
Algorithms for Convolutional Neural Networks, 2015, section 4; the matrices of F(2x2, 3x3) and F(4x4, 3x3) are theirs).
Theirs have fractions. Here each row of G is multiplied by an integer that clears them, and each row of A' by what makes
its coefficients integers again: row i of the output comes out f[i] times too large, pixel (i, j) f[i] * f[j] times:

    m = 2: f = (2, 2)           m = 4: f = (24, 12, 6, 6)                                         (W2)

All of (W1) is additions and products of integers, so it may be carried out modulo 2**32: S = f[i] * f[j] * y modulo
2**32. The odd part of the factor (9 for m = 4) has an inverse modulo 2**32, and an arithmetic shift by the even part
2**e recovers y wherever -2**(31 - e) <= y < 2**(31 - e). The planner proves that from the weights (`sum_fits`), and that
both transformed operands fit the 16 bits of the instruction (`windows_fit`, `filters_fit`).

The functions below take anything that adds, subtracts and multiplies by small integers: numbers, arrays, vectors of
LLVM code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KERNEL_EDGE = 3


def _input_2(d: Sequence[Any]) -> list[Any]:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _filter_2(g: Sequence[Any]) -> list[Any]:
    ends = g[0] + g[2]
    return [g[0] * 2, ends + g[1], ends - g[1], g[2] * 2]


def _output_2(m: Sequence[Any]) -> list[Any]:
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _input_4(d: Sequence[Any]) -> list[Any]:
    even, odd = d[4] - d[2] * 4, d[3] - d[1] * 4
    even_half, odd_half = d[4] - d[2], (d[3] - d[1]) * 2
    return [
        (d[0] - d[2]) * 4 + even_half,
        even + odd,
        even - odd,
        even_half + odd_half,
        even_half - odd_half,
        (d[1] - d[3]) * 4 + d[5] - d[3],
    ]


def _filter_4(g: Sequence[Any]) -> list[Any]:
    ends, spread = g[0] + g[2], g[0] + g[2] * 4
    return [
        g[0] * 6,
        g[1] * -1 - ends,
        g[1] - ends,
        spread + g[1] * 2,
        spread - g[1] * 2,
        g[2] * 6,
    ]


def _output_4(m: Sequence[Any]) -> list[Any]:
    sum_1, difference_1 = m[1] + m[2], m[1] - m[2]
    sum_2, difference_2 = m[3] + m[4], m[3] - m[4]
    return [
        m[0] + sum_1 * 4 + sum_2,
        difference_1 * 2 + difference_2,
        sum_1 + sum_2,
        difference_1 + difference_2 * 2 + m[5],
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """One size of output tile.

    Attributes:
        edge: m, pixels along an edge of the output tile.
        input: B' along one axis, of m + 2 elements.
        filter: G along one axis, of 3 elements, with the integers of (W2).
        output: A' along one axis, of m + 2 elements, times f.
        odd: the odd part of each f[i].
        shifts: the even part of each f[i], as exponents of 2.
    """

    edge: int
    input: Callable[[Sequence[Any]], list[Any]]
    filter: Callable[[Sequence[Any]], list[Any]]
    output: Callable[[Sequence[Any]], list[Any]]
    odd: int
    shifts: tuple[int, ...]

    @property
    def window(self) -> int:
        """Codes along an edge of the window."""
        return self.edge + KERNEL_EDGE - 1

    @property
    def positions(self) -> int:
        """Products of one channel for one output tile."""
        return self.window**2

    @property
    def inverse(self) -> int:
        """The int32 that multiplies odd**2 to 1 modulo 2**32."""
        inverse = pow(self.odd**2, -1, 1 << 32)
        return inverse - (inverse >> 31 << 32)


TRANSFORMS = {
    2: Transform(
        edge=2, input=_input_2, filter=_filter_2, output=_output_2, odd=1, shifts=(1, 1)
    ),
    4: Transform(
        edge=4,
        input=_input_4,
        filter=_filter_4,
        output=_output_4,
        odd=3,
        shifts=(3, 2, 1, 1),
    ),
}


def on_both_axes(
    along: Callable[[Sequence[Any]], list[Any]], grid: Sequence[Sequence[Any]]
) -> list[list[Any]]:
    """Return a transform carried out down the columns of a grid, then along its rows."""
    columns = [along([row[j] for row in grid]) for j in range(len(grid[0]))]
    return [along([column[i] for column in columns]) for i in range(len(columns[0]))]


def transformed_filters(transform: Transform, weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return G g G' of every filter, [positions, O, C], positions row by row.

    Args:
        transform: the size.
        weights: [O, 3, 3, C].
    """
    grid = [[weights[:, i, j] for j in range(KERNEL_EDGE)] for i in range(KERNEL_EDGE)]
    rows = on_both_axes(transform.filter, grid)
    return np.stack([values for row in rows for values in row])


def windows_fit(transform: Transform, low: int, high: int) -> bool:
    """Return whether B' d B fits int16 for every d in [low, high]; what is formed on the way may wrap.

    A linear form of numbers in a range is greatest where each stands at the end that its coefficient's sign asks for.
    """
    unit = np.eye(transform.positions, dtype=np.int64).reshape(
        transform.window, transform.window, -1
    )
    grid = [[unit[i, j] for j in range(transform.window)] for i in range(transform.window)]
    forms = np.stack([form for row in on_both_axes(transform.input, grid) for form in row])
    positive, negative = forms.clip(min=0).sum(axis=1), forms.clip(max=0).sum(axis=1)
    greatest = positive * high + negative * low
    least = positive * low + negative * high
    return bool(greatest.max() < 1 << 15 and least.min() >= -(1 << 15))


def filters_fit(transform: Transform, weights: NDArray[np.int64]) -> bool:
    """Return whether G g G' is sure to fit int16: no form of a filter grows it by more than its coefficients."""
    forms = np.stack(transform.filter(list(np.eye(KERNEL_EDGE, dtype=np.int64))))
    growth = int(abs(forms).sum(axis=1).max()) ** 2
    return growth * int(abs(weights).max(initial=0)) < 1 << 15


def sum_fits(transform: Transform, weights: NDArray[np.int64], low: int, high: int) -> bool:
    """Return whether every sum of a filter's products survives the factor of (W2), for every code in [low, high].

    Args:
        transform: the size.
        weights: [O, ...], zero point removed.
        low: least code less its zero point.
        high: greatest code less its zero point.
    """
    flat = weights.reshape(len(weights), -1)
    positive, negative = flat.clip(min=0).sum(axis=1), flat.clip(max=0).sum(axis=1)
    limit = 1 << (31 - 2 * max(transform.shifts))
    greatest, least = positive * high + negative * low, positive * low + negative * high
    return bool(greatest.max(initial=0) < limit and least.min(initial=0) >= -limit)
