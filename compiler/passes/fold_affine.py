"""Makes constants that scale and shift channels part of the layers around them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Node, fresh_name
from intlower.compiler.operators import (
    Add,
    BatchNormalization,
    Conv,
    ConvTranspose,
    Gemm,
    InstanceNormalization,
    Mul,
)
from intlower.compiler.passes.rewriting import per_channel_constant, with_scaled_outputs

_Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldAffine:
    """Folds Mul and Add of constants that give each channel one number c; for each node the first case that applies.

    1. *Backward.* x is the output of a Conv, ConvTranspose, Gemm, BatchNormalization or InstanceNormalization without
       activation, read by nothing else, whose parameters are constants: Mul scales weights and bias, or scale and
       shift, of each output channel; Add shifts the bias. The layer takes over the node's name of output.
    2. *Alone.* Another Mul of a rank-4 x becomes a Conv in C groups of 1x1 with weights c; what follows folds into it.

    Constants that other nodes read stay as they are for them. Computed in float64, stored in float32. Moments of the
    outputs that change are dropped. Takes time linear in the number of nodes.
    """

    name: ClassVar[str] = "fold_affine"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph with constant scales and shifts folded."""
        return _Folding(graph).result()


class _Folding:
    """One sweep over a graph.

    `nodes` holds what the nodes so far became, at the positions of `places` by output name.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants = dict(graph.constants)
        self.taken = {*graph.values, *graph.constants}
        self.reads = Counter(name for node in graph.nodes for name in node.inputs)
        self.reads.update(graph.outputs)
        self.nodes: list[Node] = []
        self.places: dict[str, int] = {}
        self.changed: set[str] = set()
        self.made: set[str] = (
            set()
        )  # constants that only one layer reads, the one that they were made for

    def result(self) -> Graph:
        for node in self.graph.nodes:
            constant = _constant_of(self.graph, node)
            if constant is not None:
                self._fold(node, constant)
            else:
                self._append(node)
        moments = {
            name: known_moments
            for name, known_moments in self.graph.moments.items()
            if name not in self.changed
        }
        return self.graph.edit(nodes=self.nodes, constants=self.constants, moments=moments)

    def _fold(self, node: Node, constant: _Array) -> None:
        place = self.places.get(node.inputs[0])
        layer = None if place is None else self.nodes[place]
        folded = None
        if layer is not None and layer.activation is None and self.reads[layer.output] == 1:
            folded = self._into(layer, node, constant)
        if folded is not None and place is not None:  # case 1
            self.nodes[place] = folded
            self.places[folded.output] = place
            self.changed.add(node.output)
        elif isinstance(node.operator, Mul) and len(self.graph.values[node.output].shape) == 4:
            weights = self._new(f"{node.name}_weight", constant.reshape(-1, 1, 1, 1))
            conv = Conv(groups=constant.size)
            self._append(replace(node, operator=conv, inputs=(node.inputs[0], weights)))
        else:
            self._append(node)

    def _append(self, node: Node) -> None:
        self.places[node.output] = len(self.nodes)
        self.nodes.append(node)

    def _into(self, layer: Node, node: Node, constant: _Array) -> Node | None:
        """Return a layer that does what a node after it does."""
        operator = layer.operator
        parameters = [self.constants.get(name) for name in layer.inputs[1:]]
        arrays = [p.array.astype(np.float64) for p in parameters if p is not None]
        if len(arrays) < len(parameters):
            return None
        scales = isinstance(node.operator, Mul)
        match operator:
            case Conv() | ConvTranspose() | Gemm():
                bias = arrays[1] if len(arrays) == 2 else np.zeros(constant.size)
                bias = bias * constant if scales else bias + constant
                weights = layer.inputs[1]
                if scales:
                    weights = self._new(
                        f"{layer.name}_weight",
                        with_scaled_outputs(operator, arrays[0], constant),
                        weights,
                    )
                inputs = [layer.inputs[0], weights]
                if len(arrays) == 2 or not scales:
                    inputs.append(self._new(f"{layer.name}_bias", bias, *layer.inputs[2:]))
            case BatchNormalization() | InstanceNormalization():
                scale, shift = arrays[:2]
                shift = shift * constant if scales else shift + constant
                scale = scale * constant if scales else scale
                inputs = [
                    layer.inputs[0],
                    self._new(f"{layer.name}_scale", scale, layer.inputs[1]),
                    self._new(f"{layer.name}_shift", shift, layer.inputs[2]),
                    *layer.inputs[3:],
                ]
            case _:
                return None
        return replace(
            layer, inputs=tuple(inputs), output=node.output, activation=node.activation
        )

    def _new(self, base: str, array: NDArray[np.float64], former: str = "") -> str:
        """Return the name of a constant, new but where it takes the place of one made here."""
        name = former if former in self.made else fresh_name(base, self.taken)
        self.taken.add(name)
        self.made.add(name)
        self.constants[name] = Constant.of(array, np.float32)
        return name


def _constant_of(graph: Graph, node: Node) -> _Array | None:
    """Return the number of each channel, [C], where a node is a Mul or Add of such constants."""
    if not isinstance(node.operator, Mul | Add) or node.inputs[0] not in graph.values:
        return None
    constant = graph.constants.get(node.inputs[1])
    shape = graph.values[node.inputs[0]].shape
    if constant is None or graph.values[node.output].shape != shape:
        return None
    found = per_channel_constant(constant.array.astype(np.float64), shape)
    return None if found is None else np.array(found)
