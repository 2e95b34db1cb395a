"""Lowers channels to about their mean, where a logarithmic grid is finest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.graph import Node
from intlower.compiler.moment_rules import normal_points
from intlower.compiler.operators import activation_bounds
from intlower.compiler.passes.absorb_bias import AbsorbBias
from intlower.compiler.passes.rewriting import Readable


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterChannels(AbsorbBias):
    """Absorbs biases as `AbsorbBias` does, but wherever it can, and as much as makes logarithmic levels most exact.

    The error of a logarithmic level is in proportion to its magnitude: the noise of a channel is about that of
    E[(x - c)**2], and least where c is the mean. Numbers that the activation holds at a limit have no share in it:

        c_i = E[x_i | low < x_i < high] of a normal distribution with the recorded moments

    rounded to a power of 2**(1 / steps), for the zeros that the activation leaves become -c_i, and have a level there.

    This is our own method; the rewriting is `AbsorbBias`, whose rules 1, 2 and 4 hold; the range of the whole tensor,
    its rule 3, does not matter here.
    """

    name: ClassVar[str] = "center_channels"

    steps: int = 16

    def _shift(self, graph: Readable, node: Node) -> NDArray[np.float64]:
        recorded = graph.moments[node.output]
        mean, std = recorded.mean.array[:, None], recorded.std.array[:, None]
        low, high = (
            np.asarray(bound, np.float64).reshape(-1, 1)
            for bound in activation_bounds(node.activation)
        )
        x = mean + std * normal_points()
        free = (low < x) & (x < high)
        center = np.where(free, x, 0.0).sum(axis=1) / np.maximum(free.sum(axis=1), 1)
        exponent = np.rint(np.log2(np.abs(np.where(center == 0, 1.0, center))) * self.steps)
        return np.asarray(np.sign(center) * 2.0 ** (exponent / self.steps))

    def _narrows(self, graph: Readable, node: Node, shift: NDArray[np.float64]) -> bool:
        return True
