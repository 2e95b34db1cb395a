"""A graph under change: n changes, each of a few nodes, take time in proportion to n, not to n times the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.graph import Graph, Moments, Node, Value
from intlower.compiler.operators import Shape


class GraphDraft:
    """What passes ask of a graph, kept up to date change by change; the graph that comes out is proved as any other.

    A frozen graph proves itself whole whenever it is made, so a pass that makes one for each of its rewrites takes
    quadratic time on deep networks. Names, producers, readers and shapes are true after each change; order is kept.

    Args:
        graph: where it starts from.

    Attributes:
        outputs: names of values.
        constants: by name; add to it freely, what nothing reads is dropped in the end.
        moments: by value name; likewise.
        values: every value, graph inputs included.
    """

    def __init__(self, graph: Graph) -> None:
        self._origin = graph
        self.outputs = graph.outputs
        self.constants: dict[str, Constant] = dict(graph.constants)
        self.moments: dict[str, Moments] = dict(graph.moments)
        self.values: dict[str, Value] = dict(graph.values)
        self._producers: dict[str, Node] = dict(graph.producers())
        self._consumers: dict[str, list[Node]] = {
            name: list(readers) for name, readers in graph.consumers().items()
        }
        # The nodes of one place of the original graph, and where each node is.
        self._slots: list[list[Node]] = [[node] for node in graph.nodes]
        self._slot_of = {node.name: index for index, node in enumerate(graph.nodes)}

    def producers(self) -> Mapping[str, Node]:
        """Return the node that defines each value; it follows later changes."""
        return self._producers

    def consumers(self) -> Mapping[str, Sequence[Node]]:
        """Return the nodes that read each value or constant, a node once for each reading; it follows later changes."""
        return self._consumers

    def node(self, name: str) -> Node | None:
        """Return the node of a name, None where there is none any more."""
        slot = self._slot_of.get(name)
        return None if slot is None else next(n for n in self._slots[slot] if n.name == name)

    def shape(self, name: str) -> Shape:
        """Return the shape of a value or constant."""
        value = self.values.get(name)
        return self.constants[name].array.shape if value is None else value.shape

    def fresh(self, base: str) -> str:
        """Return `base`, or `base` with the first number that makes it new among values, constants and nodes."""
        name, number = base, 0
        while name in self.values or name in self.constants or name in self._slot_of:
            number += 1
            name = f"{base}_{number}"
        return name

    def replace(self, replacements: Mapping[str, Node | tuple[Node, ...]]) -> None:
        """Put one node, several or none in the place of each of the nodes named, all at once.

        Moments of values that no node defines any more are dropped.
        """
        places: list[tuple[str, int, tuple[Node, ...]]] = []
        removed: list[Node] = []
        for name, new in replacements.items():
            slot = self._slot_of.pop(name)
            old = next(node for node in self._slots[slot] if node.name == name)
            removed.append(old)
            places.append((name, slot, (new,) if isinstance(new, Node) else new))
            del self._producers[old.output]
            for source in old.inputs:
                self._drop_reader(source, old)
        added = sorted(places, key=lambda place: place[1])
        for name, slot, nodes in added:
            index = next(i for i, node in enumerate(self._slots[slot]) if node.name == name)
            self._slots[slot][index : index + 1] = nodes
            for node in nodes:
                self._add(node, slot)
        for node in removed:
            if node.output not in self._producers:
                self.values.pop(node.output, None)
                self.moments.pop(node.output, None)

    def rename_readers(self, old: str, new: str) -> None:
        """Make every node that reads one value read another."""
        for name in dict.fromkeys(node.name for node in self._consumers.get(old, ())):
            node = self.node(name)
            assert node is not None
            inputs = tuple(new if source == old else source for source in node.inputs)
            self.replace({name: replace(node, inputs=inputs)})

    def with_parameters(self, node: Node, arrays: Mapping[int, NDArray[Any]]) -> Node:
        """Return a node with other arrays at some of its inputs, which are constants of the graph from now on.

        A constant that other nodes read keeps its array for them; this node gets its own under a new name.

        Args:
            node: of the graph; it is not replaced in it.
            arrays: by position among the node's inputs, existing or next; stored as float32.
        """
        inputs = list(node.inputs)
        for index, array in sorted(arrays.items()):
            name = inputs[index] if index < len(inputs) else ""
            if name not in self.constants or len(self._consumers[name]) != 1:
                name = self.fresh(f"{node.name}_{'bias' if index == 2 else 'weight'}")
            inputs[index : index + 1] = [name]
            self.constants[name] = Constant.of(array, np.float32)
        return replace(node, inputs=tuple(inputs))

    def graph(self) -> Graph:
        """Return the graph, proved; what nothing refers to is dropped."""
        return self._origin.edit(
            nodes=[node for slot in self._slots for node in slot],
            constants=self.constants,
            moments=self.moments,
        )

    def _add(self, node: Node, slot: int) -> None:
        self._slot_of[node.name] = slot
        self._producers[node.output] = node
        for source in node.inputs:
            self._consumers.setdefault(source, []).append(node)
        self._consumers.setdefault(node.output, [])
        shape = node.operator.output_shape([self.shape(source) for source in node.inputs])
        self.values[node.output] = Value(name=node.output, shape=shape)

    def _drop_reader(self, source: str, reader: Node) -> None:
        readers = self._consumers[source]
        del readers[next(i for i, node in enumerate(readers) if node is reader)]
