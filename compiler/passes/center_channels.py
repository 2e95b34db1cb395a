"""Lowers channels to about their mean, where a logarithmic grid is finest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.graph import Graph, Node
from intlower.compiler.passes.absorb_bias import AbsorbBias


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterChannels(AbsorbBias):
    """Absorbs biases as `AbsorbBias` does, but wherever it can, and all that lies above the mean less `deviations`.

    The error of a logarithmic level is in proportion to its magnitude: the noise of a channel is about that of its
    square, E[(x - c)**2], and least where c is the mean. So the range of the whole tensor does not matter here. Each c_i
    is rounded to a power of 2**(1 / steps), for the zeros that an activation leaves become -c_i, and have a level there.

    This is our own method; the rewriting is `AbsorbBias`, whose rules 1, 2 and 4 hold.
    """

    name: ClassVar[str] = "center_channels"

    deviations: float = 0.5
    steps: int = 16

    def _shift(self, graph: Graph, node: Node) -> NDArray[np.float64]:
        shift = AbsorbBias._shift(self, graph, node)
        exponent = np.rint(np.log2(np.abs(np.where(shift == 0, 1.0, shift))) * self.steps)
        return np.asarray(np.sign(shift) * 2.0 ** (exponent / self.steps))

    def _narrows(self, graph: Graph, node: Node, shift: NDArray[np.float64]) -> bool:
        return True
