"""How far the means of values have moved from those of the float network, by biases of few bits and by ties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce

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
    normalize_axis,
)

Array = NDArray[np.float64]


def _exactly(node: Node) -> None:
    """Tell of rounding that moves no mean."""


@dataclass(slots=True)
class Drift:
    """The shifts of channel means, collected while one graph is lowered.

    Attributes:
        graph: of the values.
        moments: of its values in the float network, as far as they are known.
        rounded: returns what rounding itself adds to the means of a node's results, [C] before the activation, or None.
        found: the shift of each value that has one, [C], after its activation.
        forgotten: values that are known to have none.
    """

    graph: Graph
    moments: Mapping[str, ValueMoments]
    rounded: Callable[[Node], Array | None] = _exactly
    found: dict[str, Array] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)

    def of(self, name: str) -> Array | None:
        """Return the shift of a value, following it back through what hands it on; None where there is none.

        1. Sums add shifts, and what their own rounding adds; Concat along the channels joins them.
        2. A maximum shifts by as much as what it is taken of (in truth by no more); a mean does, and a Flatten of one
           position for each channel.
        3. Everything else is taken to forget them.
        """
        producers, waiting = self.graph.producers(), [name]
        while waiting:  # each value once, however many paths lead to it, and without recursion
            node = producers.get(waiting[-1])
            if node is None or node.output in self.found or node.output in self.forgotten:
                waiting.pop()
                continue
            before = [
                source
                for source in node.inputs
                if source in producers
                and source not in self.found
                and source not in self.forgotten
            ]
            if before:
                waiting += before
            elif self._recorded(node, self._shifted(node)) is None:
                self.forgotten.add(node.output)
        return self.found.get(name)

    def _shifted(self, node: Node) -> Array | None:
        """Return the shift of what a node computes, before its activation."""
        handed, own = self._handed_on(node), self.rounded(node)
        if handed is None or own is None:
            return own if handed is None else handed
        return handed + own

    def _handed_on(self, node: Node) -> Array | None:
        """Return it from the shifts of the node's inputs alone."""
        values = [
            self.graph.values[source] for source in node.inputs if source in self.graph.values
        ]
        shifts = [self.found.get(value.name) for value in values]
        if all(shift is None for shift in shifts):
            return None
        channels = self.graph.values[node.output].shape[1]
        whole = [
            np.zeros(known(value.shape[1])) if shift is None else shift
            for value, shift in zip(values, shifts, strict=True)
        ]
        match node.operator:
            case Add():  # 1
                return reduce(np.add, whole)
            case Concat(axis=axis) if normalize_axis(axis, len(values[0].shape)) == 1:
                return np.concatenate(whole)
            case MaxPool() | AveragePool() | GlobalAveragePool() | Relu():  # 2
                return shifts[0]
            case Flatten() if shifts[0] is not None and len(shifts[0]) == channels:
                return shifts[0]
            case _:  # 3
                return None

    def record(self, node: Node, shift: Array, moved: Array | float = 0.0) -> None:
        """Keep the shift of what a layer computes, before its activation.

        Args:
            node: the layer.
            shift: [C].
            moved: by how much, besides, numbers and the activation's bounds moved together, [C].
        """
        self._recorded(node, shift, moved)

    def _recorded(
        self, node: Node, shift: Array | None, moved: Array | float = 0.0
    ) -> Array | None:
        if shift is None:
            return None
        after = shift
        at = self.moments.get(node.output)
        if node.activation is not None and at is not None:
            mean, std = at.before.mean.array, at.before.std.array
            bounds = activation_bounds(node.activation)
            after = clipped_normal(mean + shift, std, *bounds)[0] - at.after.mean.array
        self.found[node.output] = after + moved
        return self.found[node.output]
