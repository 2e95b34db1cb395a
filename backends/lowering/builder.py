"""What the lowering of one graph collects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.encodings import Encodings
from intlower.backends.lowering.scales import factor_of, integer_scale
from intlower.compiler.constant import Constant
from intlower.compiler.errors import UnsupportedByTarget
from intlower.compiler.graph import Graph, Node
from intlower.compiler.grids import ChannelGrid, Grid, UniformGrid, uniform
from intlower.compiler.moments import ValueMoments
from intlower.compiler.operators import Activation, Shape, activation_bounds
from intlower.compiler.program import Attribute, HostStep, Instruction, Tensor
from intlower.compiler.recipe import Recipe
from intlower.compiler.second_moments import SecondMoments
from intlower.compiler.spec import TargetSpec
from intlower.kernels.signature import OPERATORS, ElementType, KernelKey, Requantize

# Integer operators that scale without weights.
_RESCALING = ("average_pool", "requantize", "resample")


# Element by element, of two tensors: a target may have one rule for these.
_OF_TWO = ("add", "multiply")


@dataclass(slots=True, kw_only=True)
class ProgramBuilder:
    """Tensors and instructions in the making; lives only inside one call of `lower_uniform`.

    Attributes:
        graph: what is lowered.
        spec: the target's arithmetic.
        recipe: how weights become codes.
        encodings: the grid of each value.
        moments: of the graph's values, where they are known.
        second_moments: of what layers read, by node name, where samples were seen.
        tensors: defined so far, by name.
        instructions: emitted so far.
        host: float steps left to the host, after the last integers.
        on_host: whether what is emitted now runs on the host.
    """

    graph: Graph
    spec: TargetSpec
    recipe: Recipe
    encodings: Encodings
    moments: Mapping[str, ValueMoments]
    second_moments: Mapping[str, SecondMoments] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)
    host: list[HostStep] = field(default_factory=list)
    on_host: bool = False

    def grid(self, name: str) -> UniformGrid:
        """Return the grid of a tensor that exists."""
        return uniform(self.tensors[name].grid, name)

    def shape(self, name: str) -> Shape:
        """Return the shape of a tensor that exists."""
        return self.tensors[name].shape

    def define(self, name: str, shape: Shape, grid: Grid) -> None:
        """Add a tensor."""
        self.tensors[name] = Tensor(name=name, shape=shape, grid=grid)

    def define_value(self, name: str) -> UniformGrid:
        """Add the tensor of a graph value, on its grid, and return the grid."""
        grid = self.encodings[name]
        self.define(name, self.graph.values[name].shape, grid)
        return grid

    def constant(self, node: Node, position: int) -> Constant:
        """Return a constant operand.

        Raises:
            UnsupportedByTarget: the operand is computed by the graph.
        """
        name = node.inputs[position]
        if name not in self.graph.constants:
            raise UnsupportedByTarget(
                f"{node.name}: operand {name!r} of {type(node.operator).__name__} is not a constant",
                f"{self.spec.name!r} multiplies by constant weights only",
            )
        return self.graph.constants[name]

    def activation_codes(
        self, activation: Activation | None, grid: UniformGrid
    ) -> tuple[int, int]:
        """Return the codes between which an activation's bounds leave the output."""
        low, high = self.channel_codes(activation, grid, 1)
        return int(low[0]), int(high[0])

    def channel_codes(
        self, activation: Activation | None, grid: UniformGrid, channels: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return, for each channel, the codes between which an activation's bounds leave the output: int32 [C]."""
        low, high = (
            np.broadcast_to(grid.quantize(bound), (channels,)).astype(np.int32)
            for bound in activation_bounds(activation)
        )
        return low, high

    def scale(
        self, operator: str, numerator: tuple[float, ...], denominator: float, where: str
    ) -> tuple[int, int]:
        """Return the (multiplier, shift) of a product of scales over a scale, under the rule of an integer operator.

        Raises:
            ScaleOutOfRange: the target's factors do not reach it.
        """
        rule, bits = self.rule(operator), self.spec.multipliers
        widths = {
            "add": bits.sum,
            "average_pool": bits.pool,
            "requantize": bits.rescale,
            "resample": bits.rescale,
        }
        if rule is not self.spec.requantize:  # the width is that of another rule's multipliers
            widths["multiply"] = bits.rescale
        return integer_scale(
            rule,
            factor_of(rule, numerator, denominator),
            where,
            bits=widths.get(operator, bits.product),
            truncate=bits.truncate,
            divided=operator == "average_pool",
            reduced=bits.reduced and operator not in widths,
        )

    def mean_scale(
        self, source: float, target: float, count: int, window: tuple[int, int], where: str
    ) -> tuple[int, int]:
        """Return the (multiplier, shift) of a mean: input step over output step and the number of elements.

        Args:
            source: step of the input.
            target: step of the output.
            count: elements that the mean is taken over.
            window: (height, width) of the pool.
            where: for messages.
        """
        return self.scale("average_pool", (source,), target * count, where)

    def rule(self, operator: str) -> Requantize:
        """Return how the target requantizes after an integer operator."""
        if operator in _OF_TWO and self.spec.sum_rule is not None:
            return self.spec.sum_rule
        return self.spec.rescale if operator in _RESCALING else self.spec.requantize

    def emit(
        self,
        operator: str,
        *,
        name: str,
        inputs: tuple[str, ...],
        output: str,
        constants: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
        weight_grid: UniformGrid | ChannelGrid | None = None,
        per_channel: bool = False,
    ) -> None:
        """Append an instruction; its kernel key follows from the tensors' types and the spec."""
        schema = OPERATORS[operator]
        activation: ElementType = self.grid(inputs[0]).element
        key = KernelKey(
            operator=operator,
            activation=activation,
            weight=None if weight_grid is None else weight_grid.element,
            per_channel=per_channel,
            output=self.grid(output).element,
            requantize=self.rule(operator) if schema.requantized else None,
        )
        self.instructions.append(
            Instruction(
                name=name,
                kernel=key,
                inputs=inputs,
                output=output,
                constants={key: Constant(array) for key, array in (constants or {}).items()},
                attributes=dict(attributes or {}),
                weight_grid=weight_grid,
                host=self.on_host,
            )
        )
