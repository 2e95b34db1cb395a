"""What the half-precision lowering of one graph collects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.host import host_builder
from intlower.backends.lowering.scales import integer_scale
from intlower.compiler.calibration import Ranges
from intlower.compiler.constant import Constant
from intlower.compiler.errors import ScaleOutOfRange, UnsupportedByTarget
from intlower.compiler.graph import Graph, Node
from intlower.compiler.grids import Grid, HalfGrid, UniformGrid
from intlower.compiler.grids import uniform as uniform_grid
from intlower.compiler.operators import Activation, Shape, activation_bounds, known
from intlower.compiler.program import Attribute, HostStep, Instruction, Tensor
from intlower.compiler.recipe import Recipe
from intlower.kernels.half_rule import HalfRule
from intlower.kernels.signature import OPERATORS, ElementType, KernelKey, Requantize


@dataclass(slots=True, kw_only=True)
class HalfBuilder:
    """Tensors and instructions in the making; lives only inside one lowering.

    Attributes:
        graph: what is lowered.
        target: name of the target, for messages.
        rule: the arithmetic.
        ranges: of every value, where the host computes some.
        recipe: how weights become codes.
        tensors: defined so far, by name.
        instructions: emitted so far.
        host: steps left to the host.
    """

    graph: Graph
    target: str
    rule: HalfRule
    ranges: Ranges
    recipe: Recipe
    tensors: dict[str, Tensor] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)
    host: list[HostStep] = field(default_factory=list)
    _forms: dict[tuple[str, str], str] = field(default_factory=dict)
    _uniform: ProgramBuilder | None = None

    @property
    def grid(self) -> HalfGrid:
        """The numbers of half-precision tensors and constants."""
        return HalfGrid.of(self.rule)

    def shape(self, name: str) -> Shape:
        """Return the shape of a tensor that exists."""
        return self.tensors[name].shape

    def define(self, name: str, shape: Shape, grid: Grid) -> None:
        """Add a tensor."""
        self.tensors[name] = Tensor(name=name, shape=shape, grid=grid)

    def define_value(self, name: str) -> None:
        """Add the tensor of a graph value, in half precision."""
        self.define(name, self.graph.values[name].shape, self.grid)

    @property
    def uniform(self) -> ProgramBuilder:
        """The builder of host segments."""
        if self._uniform is None:
            self._uniform = host_builder(
                self.graph, self.ranges, self.recipe, self.tensors, self.instructions, self.host
            )
        return self._uniform

    def uniform_form(self, name: str) -> str:
        """Return the tensor of a value's uniform codes of 16 bits, emitted at its first use."""
        if isinstance(self.tensors[name].grid, UniformGrid):
            return name
        if (name, "uniform") not in self._forms:
            grid = self.uniform.encodings[name]
            output = self._new_form(name, "uniform", grid)
            reciprocal = float(np.float32(1) / grid.scale.array)
            multiplier, shift = integer_scale(Requantize.F32EVEN, reciprocal, output)
            low, high = grid.limits
            self.emit(
                "half_quantize",
                name=output,
                inputs=(name,),
                output=output,
                attributes={
                    "multiplier": multiplier,
                    "shift": shift,
                    "output_zero_point": grid.zero_point,
                    "minimum": low,
                    "maximum": high,
                },
                host=True,
            )
        return self._forms[name, "uniform"]

    def half_form(self, name: str) -> str:
        """Return the half-precision tensor of a value, emitted at its first use where the host computed it.

        The codes become int32 without their zero point, which `half_dequantize` scales.
        """
        if name not in self.tensors or not isinstance(self.tensors[name].grid, UniformGrid):
            return name
        if (name, "half") not in self._forms:
            grid = uniform_grid(self.tensors[name].grid, name)
            low, high = ElementType.INT32.limits
            wide = replace(
                grid, zero_point=0, element=ElementType.INT32, minimum=low, maximum=high
            )
            sums = self._new_form(name, "sums", wide)
            self.emit(
                "convert",
                name=sums,
                inputs=(name,),
                output=sums,
                attributes={
                    "multiplier": 1 << 28,
                    "shift": 28,
                    "input_zero_point": grid.zero_point,
                    "output_zero_point": 0,
                    "minimum": low,
                    "maximum": high,
                },
                host=True,
            )
            output = self._new_form(name, "half", self.grid)
            channels = self.channels(name)
            multiplier, shift = integer_scale(Requantize.F32EVEN, grid.step, output)
            self.emit(
                "half_dequantize",
                name=output,
                inputs=(sums,),
                output=output,
                constants={
                    "multiplier": np.full(channels, multiplier, np.int32),
                    "shift": np.full(channels, shift, np.int32),
                    **self.bounds(None, channels),
                },
                host=True,
            )
        return self._forms[name, "half"]

    def _new_form(self, name: str, form: str, grid: Grid) -> str:
        tensor = f"{name}.{form}"
        while tensor in self.graph.values or tensor in self.tensors:
            tensor += "'"
        self._forms[name, form] = tensor
        self.define(tensor, self.graph.values[name].shape, grid)
        return tensor

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

    def halves(self, values: NDArray[Any], where: str) -> NDArray[Any]:
        """Return weights or biases in half precision.

        Raises:
            ScaleOutOfRange: one of them overflows.
        """
        result = self.grid.quantize(values)
        if not np.isfinite(result).all():
            raise ScaleOutOfRange(
                f"{where} reaches {np.abs(values).max():.6g}, past 65504, the greatest float16",
                "equalize the layers (--with equalize), or choose a target that saturates",
            )
        return result

    def bounds(self, activation: Activation | None, channels: int) -> dict[str, Any]:
        """Return the constants minimum and maximum: the bounds of an activation for each channel, float16 [C]."""
        low, high = (
            np.broadcast_to(self.grid.quantize(bound), (channels,))
            for bound in activation_bounds(activation)
        )
        return {"minimum": low, "maximum": high}

    def channels(self, name: str) -> int:
        """Return the size of axis 1 of a graph value, by which bounds may differ."""
        shape = self.graph.values[name].shape
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
        """Append an instruction; its kernel key follows from the tensors' types and the rule."""
        activation: ElementType = self.tensors[inputs[0]].grid.element
        key = KernelKey(
            operator=operator,
            activation=activation,
            weight=None if weight_grid is None else weight_grid.element,
            per_channel=per_channel,
            output=self.tensors[output].grid.element,
            requantize=requantize,
            half=self.rule if OPERATORS[operator].half else None,
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
                host=host,
            )
        )
