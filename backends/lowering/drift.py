"""How far the means of values have moved from those of the float network, where biases of few bits could not hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.graph import Graph, Node
from intlower.compiler.moments import ValueMoments, clipped_normal
from intlower.compiler.operators import (
    Add,
    AveragePool,
    Concat,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    Relu,
    activation_bounds,
    known,
)

Array = NDArray[np.float64]


@dataclass(slots=True)
class Drift:
    """The shifts of channel means, collected while one graph is lowered.

    Attributes:
        graph: of the values.
        moments: of its values in the float network, as far as they are known.
        found: the shift of each value that has one, [C], after its activation.
    """

    graph: Graph
    moments: Mapping[str, ValueMoments]
    found: dict[str, Array] = field(default_factory=dict)

    def of(self, name: str) -> Array | None:
        """Return the shift of a value, following it back through what hands it on; None where there is none.

        1. Sums add shifts; Concat joins them.
        2. A maximum shifts by as much as what it is taken of (in truth by no more); a mean does, and a Flatten of one
           position for each channel.
        3. Everything else is taken to forget them.
        """
        if name in self.found:
            return self.found[name]
        node = self.graph.producers().get(name)
        if node is None:
            return None
        shifts = [self.of(source) for source in node.inputs]
        if all(shift is None for shift in shifts):
            return None
        match node.operator:
            case Add() | Concat():  # 1
                whole = [
                    np.zeros(known(self.graph.values[source].shape[1]))
                    if shift is None
                    else shift
                    for source, shift in zip(node.inputs, shifts, strict=True)
                    if source in self.graph.values
                ]
                joined = (
                    np.concatenate(whole)
                    if isinstance(node.operator, Concat)
                    else np.sum(whole, axis=0)
                )
                return self._recorded(node, joined)
            case MaxPool() | AveragePool() | GlobalAveragePool() | Relu():  # 2
                return self._recorded(node, shifts[0])
            case Flatten():
                same = (
                    shifts[0] is not None and len(shifts[0]) == self.graph.values[name].shape[1]
                )
                return self._recorded(node, shifts[0] if same else None)
            case _:  # 3
                return None

    def record(self, node: Node, shift: Array) -> None:
        """Keep the shift of what a layer computes, before its activation."""
        self._recorded(node, shift)

    def _recorded(self, node: Node, shift: Array | None) -> Array | None:
        if shift is None:
            return None
        after = shift
        at = self.moments.get(node.output)
        if node.activation is not None and at is not None:
            mean, std = at.before.mean.array, at.before.std.array
            bounds = activation_bounds(node.activation)
            after = clipped_normal(mean + shift, std, *bounds)[0] - at.after.mean.array
        self.found[node.output] = after
        return after
