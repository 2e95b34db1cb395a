"""Puts channels about 0 where codes are symmetric, so that none of them are left to numbers that do not occur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.graph import Node
from intlower.compiler.operators import activation_bounds
from intlower.compiler.passes.absorb_bias import AbsorbBias
from intlower.compiler.passes.rewriting import Readable


@dataclass(frozen=True, slots=True, kw_only=True)
class CenterRanges(AbsorbBias):
    """Absorbs biases as `AbsorbBias` does, but so much that each channel reaches as far below 0 as above.

    Numbers behind a Relu are never negative: of symmetric codes they use half. With

        c_i = (least_i + greatest_i) / 2,   least, greatest = mean -+ reach * std within the activation's bounds

    channels lie about 0, and the grid's step is half as wide. The rewriting is that of `AbsorbBias`, whose rules 1, 2 and 4
    hold; a layer is left alone

    a. unless its greatest magnitude falls by `gain`;
    b. if its activation is an ordinary Relu: that is one instruction everywhere, and bounds of each channel are not. A limit
       from above has become those already, where channels were scaled.
    """

    name: ClassVar[str] = "center_ranges"

    gain: float = 0.25

    def _shift(self, graph: Readable, node: Node) -> NDArray[np.float64]:
        least, greatest = self._ends(graph, node)
        return np.asarray((least + greatest) / 2)

    def _narrows(self, graph: Readable, node: Node, shift: NDArray[np.float64]) -> bool:
        if not np.isfinite(activation_bounds(node.activation)[1]).all():  # b
            return False
        least, greatest = self._ends(graph, node)
        before = max(float(np.abs(least).max()), float(np.abs(greatest).max()))
        after = max(float(np.abs(least - shift).max()), float(np.abs(greatest - shift).max()))
        return after < (1 - self.gain) * before

    def _ends(
        self, graph: Readable, node: Node
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        recorded = graph.moments[node.output]
        mean, reach = recorded.mean.array, self.reach * recorded.std.array
        low, high = activation_bounds(node.activation)
        return np.clip(mean - reach, low, high), np.clip(mean + reach, low, high)
