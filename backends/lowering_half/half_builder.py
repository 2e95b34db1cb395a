"""What the half-precision lowering of one graph collects, and how its tensors pass to the host and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.host import host_builder, lower_on_host
from intlower.backends.lowering.scales import integer_scale
from intlower.backends.lowering_half.builder import Arithmetic, FloatBuilder, Pieces
from intlower.compiler.calibration import Ranges
from intlower.compiler.errors import ScaleOutOfRange
from intlower.compiler.graph import Node
from intlower.compiler.grids import Grid, HalfGrid, UniformGrid
from intlower.compiler.grids import uniform as uniform_grid
from intlower.compiler.operators import Activation, activation_bounds
from intlower.compiler.recipe import Recipe
from intlower.kernels.half_rule import HalfRule
from intlower.kernels.signature import OPERATORS, ElementType, Requantize


@dataclass(slots=True, kw_only=True)
class HalfBuilder(FloatBuilder):
    """What is made of a graph in half precision.

    Attributes:
        rule: the arithmetic.
        ranges: of every value, where the host computes some.
        recipe: how weights become codes.
    """

    family: ClassVar[str] = "half"
    max_pool: ClassVar[str] = "half_max_pool"

    rule: HalfRule
    ranges: Ranges
    recipe: Recipe
    _forms: dict[tuple[str, str], str] = field(default_factory=dict)
    _uniform: ProgramBuilder | None = None

    @property
    def grid(self) -> HalfGrid:
        """The numbers of half-precision tensors and constants."""
        return HalfGrid.of(self.rule)

    def define_value(self, name: str) -> None:
        """Add the tensor of a graph value, in half precision."""
        self.define(name, self.graph.values[name].shape, self.grid)

    def define_moved(self, name: str, source: str) -> None:
        """Add the tensor of a graph value, in half precision."""
        self.define_value(name)

    def parameters(self, node: Node) -> Pieces:
        """Return weights and biases as halves."""
        weights = self.halves(self.constant(node, 1), f"{node.name}: a weight")
        bias = self.halves(self.bias(node, len(weights)), f"{node.name}: a bias")
        return Pieces(constants={"weights": weights, "bias": bias}, weight_grid=self.grid)

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

    def bounds(self, activation: Activation | None, output: str) -> dict[str, Any]:
        """Return the constants minimum and maximum, float16 [C]."""
        channels = self.channels(output)
        low, high = (
            np.broadcast_to(self.grid.quantize(bound), (channels,))
            for bound in activation_bounds(activation)
        )
        return {"minimum": low, "maximum": high}

    def border(self, value: float, source: str) -> tuple[str, Pieces]:
        """Return `half_pad` and its number."""
        return "half_pad", Pieces(constants={"value": self.grid.quantize([value])})

    def joined(self, node: Node) -> tuple[str, ...]:
        """Return the inputs: all tensors have the same numbers."""
        return node.inputs

    def arithmetic(self, operator: str, inputs: Sequence[str], output: str) -> Arithmetic:
        """Return the rule, for an operator of half precision."""
        return Arithmetic(half=self.rule if OPERATORS[operator].half else None)

    def native(self, node: Node) -> Node:
        """Return a node that reads half-precision tensors."""
        return replace(node, inputs=tuple(self.half_form(name) for name in node.inputs))

    def lower_on_host(self, node: Node) -> None:
        """Emit a node of a host segment, on uniform codes of 16 bits."""
        values = [name for name in node.inputs if name in self.graph.values]
        lower_on_host(self.uniform, node, {name: self.uniform_form(name) for name in values})

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
                    **self.bounds(None, output),
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
