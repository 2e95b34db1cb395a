"""What the lowering of one graph to floating-point arithmetic collects; half precision is one such."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.graph import Graph, Node
from intlower.compiler.grids import Grid
from intlower.compiler.operators import Activation, Shape, known, operator_name
from intlower.compiler.program import Attribute, HostStep, Instruction, Tensor
from intlower.kernels.half_rule import HalfRule
from intlower.kernels.minifloat_rule import MinifloatRule
from intlower.kernels.signature import ElementType, KernelKey, Requantize


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """What an instruction takes beside its inputs.

    Attributes:
        constants: arrays by name.
        attributes: integers by name.
        weight_grid: of the weights, where there are some.
    """

    constants: Mapping[str, Any]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    weight_grid: Grid | None = None


@dataclass(slots=True, kw_only=True)
class FloatBuilder(ABC):
    """Tensors and instructions in the making; lives only inside one lowering.

    Attributes:
        family: what names of the number system's operators begin with.
        max_pool: name of the operator.
        graph: what is lowered.
        target: name of the target, for messages.
        tensors: defined so far, by name.
        instructions: emitted so far.
        host: steps left to the host.
    """

    family: ClassVar[str]
    max_pool: ClassVar[str]

    graph: Graph
    target: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)
    host: list[HostStep] = field(default_factory=list)

    @abstractmethod
    def define_value(self, name: str) -> None:
        """Add the tensor of a graph value."""

    @abstractmethod
    def define_moved(self, name: str, source: str) -> None:
        """Add the tensor of a graph value that holds numbers of another."""

    @abstractmethod
    def parameters(self, node: Node) -> Pieces:
        """Return weights and biases of a Conv or Gemm."""

    @abstractmethod
    def bounds(self, activation: Activation | None, output: str) -> dict[str, Any]:
        """Return the constants minimum and maximum: the bounds of an activation for each channel of a tensor, [C]."""

    @abstractmethod
    def border(self, value: float, source: str) -> tuple[str, Pieces]:
        """Return the operator that pads a tensor with a number, and what holds the number."""

    @abstractmethod
    def joined(self, node: Node) -> tuple[str, ...]:
        """Return a concatenation's inputs as tensors of its output's numbers."""

    def native(self, node: Node) -> Node:
        """Return a node that reads the target's own numbers; what the host computed is converted at its first use."""
        return node

    def lower_on_host(self, node: Node) -> None:
        """Emit a node in integers that the host computes.

        Raises:
            UnsupportedByTarget: the lowering has no host segments.
        """
        raise UnsupportedByTarget(
            f"{self.target!r} does not run {operator_name(node.operator)} at {node.name!r}",
            "it leaves nothing to the host; choose another target",
        )

    @abstractmethod
    def arithmetic(self, operator: str, inputs: Sequence[str], output: str) -> Arithmetic:
        """Return what an operator's kernel and attributes say of the number system."""

    def shape(self, name: str) -> Shape:
        """Return the shape of a tensor that exists."""
        return self.tensors[name].shape

    def define(self, name: str, shape: Shape, grid: Grid) -> None:
        """Add a tensor."""
        self.tensors[name] = Tensor(name=name, shape=shape, grid=grid)

    def constant(self, node: Node, position: int) -> NDArray[Any]:
        """Return a constant operand.

        Raises:
            UnsupportedByTarget: the operand is computed by the graph.
        """
        name = node.inputs[position]
        if name not in self.graph.constants:
            raise UnsupportedByTarget(
                f"{node.name}: operand {name!r} of {type(node.operator).__name__} is not a constant",
                f"{self.target!r} multiplies by constant weights only",
            )
        return self.graph.constants[name].array

    def bias(self, node: Node, outputs: int) -> NDArray[Any]:
        """Return the biases of a Conv or Gemm, 0 where it has none."""
        return self.constant(node, 2) if len(node.inputs) == 3 else np.zeros(outputs)

    def channels(self, name: str) -> int:
        """Return the size of axis 1 of a tensor, or of a graph value yet to be defined, by which bounds may differ."""
        shape = self.shape(name) if name in self.tensors else self.graph.values[name].shape
        return known(shape[1]) if len(shape) > 1 else 1

    def emit(
        self,
        operator: str,
        *,
        name: str,
        inputs: tuple[str, ...],
        output: str,
        constants: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
        weight_grid: Grid | None = None,
        per_channel: bool = False,
        requantize: Requantize | None = None,
        host: bool = False,
    ) -> None:
        """Append an instruction; its kernel key follows from the tensors' types and the arithmetic."""
        activation: ElementType = self.tensors[inputs[0]].grid.element
        arithmetic = self.arithmetic(operator, inputs, output)
        key = KernelKey(
            operator=operator,
            activation=activation,
            weight=None if weight_grid is None else weight_grid.element,
            per_channel=per_channel,
            output=self.tensors[output].grid.element,
            requantize=requantize,
            half=arithmetic.half,
            minifloat=arithmetic.minifloat,
        )
        self.instructions.append(
            Instruction(
                name=name,
                kernel=key,
                inputs=inputs,
                output=output,
                constants={key: Constant(array) for key, array in (constants or {}).items()},
                attributes={**(attributes or {}), **arithmetic.attributes},
                weight_grid=weight_grid,
                host=host,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """What an instruction says of its number system.

    Attributes:
        half: of the kernel's key.
        minifloat: alike.
        attributes: of the instruction.
    """

    half: HalfRule | None = None
    minifloat: MinifloatRule | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
