"""The float graph: frozen, and valid wherever it exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.errors import InvalidGraph
from intlower.compiler.operators import Activation, AnyOperator, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Per-channel mean and standard deviation of what a node's operator computes, before its activation.

    Attributes:
        mean: float64 [C].
        std: float64 [C], not negative.
        observed: whether a few inputs showed them; else they are those of training. What those inputs never held may come.
    """

    mean: Constant
    std: Constant
    observed: bool = False

    def __post_init__(self) -> None:
        mean, std = self.mean.array, self.std.array
        if mean.ndim != 1 or mean.shape != std.shape or not (std >= 0).all():
            raise InvalidGraph(
                f"moments are two [C] arrays, not {self.mean!r} and {self.std!r}"
            )

    @classmethod
    def of(cls, mean: NDArray[Any], std: NDArray[Any], *, observed: bool = False) -> Moments:
        """Return moments that hold copies."""
        return cls(
            mean=Constant.of(mean, np.float64),
            std=Constant.of(std, np.float64),
            observed=observed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A float32 tensor of the graph; axis 0 is None where the batch is free."""

    name: str
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operation with one output.

    Attributes:
        name: unique in the graph; what errors and reports call it.
        operator: what it computes, with its attributes.
        inputs: names of values and constants.
        output: name of the value it defines.
        activation: applied to the operator's result, where the pass `fuse_activations` put one.
    """

    name: str
    operator: AnyOperator
    inputs: tuple[str, ...]
    output: str
    activation: Activation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A float network. Construction proves names, topological order, arity and shapes.

    Attributes:
        inputs: the graph inputs.
        outputs: names of values.
        nodes: in topological order.
        constants: float32 arrays by name (weights, biases, batch-norm parameters).
        moments: what is known of the distribution of values, by value name.
        values: every value, graph inputs included, with its shape; derived.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    moments: Mapping[str, Moments] = field(default_factory=dict)
    values: Mapping[str, Value] = field(init=False)
    # Asked for again and again while a pass walks the nodes: made once, for a graph never changes.
    _producers: Mapping[str, Node] | None = field(
        init=False, repr=False, compare=False, default=None
    )
    _consumers: Mapping[str, tuple[Node, ...]] | None = field(
        init=False, repr=False, compare=False, default=None
    )

    def __post_init__(self) -> None:
        values: dict[str, Value] = {}
        for value in self.inputs:
            if value.name in values or value.name in self.constants:
                raise InvalidGraph(f"input {value.name!r} is defined twice")
            if any(d is not None and d < 1 for d in value.shape) or None in value.shape[1:]:
                raise InvalidGraph(
                    f"input {value.name!r} has the impossible shape {value.shape}"
                )
            values[value.name] = value
        names: set[str] = set()
        for node in self.nodes:
            if node.name in names:
                raise InvalidGraph(f"two nodes are called {node.name!r}")
            names.add(node.name)
            if node.output in values or node.output in self.constants:
                raise InvalidGraph(f"{node.name}: {node.output!r} is defined twice")
            shapes: list[Shape] = []
            for name in node.inputs:
                if name in values:
                    shapes.append(values[name].shape)
                elif name in self.constants:
                    shapes.append(self.constants[name].array.shape)
                else:
                    raise InvalidGraph(f"{node.name}: input {name!r} is not defined before it")
            try:
                shape = node.operator.output_shape(shapes)
            except InvalidGraph as error:
                raise InvalidGraph(f"{node.name}: {error}", error.hint) from None
            values[node.output] = Value(name=node.output, shape=shape)
        for name in self.outputs:
            if name not in values:
                raise InvalidGraph(f"graph output {name!r} is not computed by any node")
        for name, moments in self.moments.items():
            if name not in values or values[name].shape[1:2] != moments.mean.array.shape:
                raise InvalidGraph(f"moments of {name!r} do not fit any value")
        for attribute, mapping in (
            ("constants", dict(self.constants)),
            ("moments", dict(self.moments)),
            ("values", values),
        ):
            object.__setattr__(self, attribute, MappingProxyType(mapping))

    def producers(self) -> Mapping[str, Node]:
        """Return the node that defines each value (graph inputs have none)."""
        if self._producers is None:
            made = MappingProxyType({node.output: node for node in self.nodes})
            object.__setattr__(self, "_producers", made)
            return made
        return self._producers

    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        """Return the nodes that read each value or constant, in order, a node once for each reading."""
        if self._consumers is None:
            readers: dict[str, list[Node]] = {
                name: [] for name in (*self.values, *self.constants)
            }
            for node in self.nodes:
                for name in node.inputs:
                    readers[name].append(node)
            made = MappingProxyType({name: tuple(nodes) for name, nodes in readers.items()})
            object.__setattr__(self, "_consumers", made)
            return made
        return self._consumers

    def edit(
        self,
        *,
        nodes: Sequence[Node] | None = None,
        constants: Mapping[str, Constant] | None = None,
        moments: Mapping[str, Moments] | None = None,
        outputs: tuple[str, ...] | None = None,
    ) -> Graph:
        """Return the graph with parts replaced; constants and moments that nothing refers to are dropped."""
        nodes = self.nodes if nodes is None else tuple(nodes)
        constants = self.constants if constants is None else constants
        moments = self.moments if moments is None else moments
        used = {name for node in nodes for name in node.inputs}
        defined = {node.output for node in nodes} | {value.name for value in self.inputs}
        return Graph(
            inputs=self.inputs,
            outputs=self.outputs if outputs is None else outputs,
            nodes=nodes,
            constants={name: array for name, array in constants.items() if name in used},
            moments={name: known for name, known in moments.items() if name in defined},
        )


def rename_inputs(nodes: Iterable[Node], renamed: Mapping[str, str]) -> tuple[Node, ...]:
    """Return the nodes with inputs renamed."""
    return tuple(
        replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        if any(name in renamed for name in node.inputs)
        else node
        for node in nodes
    )


def fresh_name(base: str, taken: Iterable[str]) -> str:
    """Return `base`, or `base` with the first number that makes it new.

    >>> fresh_name("bias", {"bias", "bias_1"})
    'bias_2'
    """
    used = taken if isinstance(taken, Set) else set(taken)
    if base not in used:
        return base
    number = 1
    while f"{base}_{number}" in used:
        number += 1
    return f"{base}_{number}"
