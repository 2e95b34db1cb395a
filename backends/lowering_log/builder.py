"""What the lowering of one graph to logarithmic arithmetic collects: every value in the forms that its readers want."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.backends.lowering.host import conversion, host_builder
from intlower.compiler.calibration import Ranges
from intlower.compiler.constant import Constant
from intlower.compiler.errors import CalibrationError, CalibrationWarning, UnsupportedByTarget
from intlower.compiler.graph import Graph, Node
from intlower.compiler.grids import Grid, LogGrid, UniformGrid, linear_grid
from intlower.compiler.grids import uniform as uniform_grid
from intlower.compiler.moments import ValueMoments
from intlower.compiler.operators import Activation, Shape, activation_bounds
from intlower.compiler.program import Attribute, HostStep, Instruction, Tensor
from intlower.compiler.recipe import Recipe
from intlower.kernels.numerics_log import (
    LINEAR_FRACTION_BITS,
    LINEAR_HIGH,
    LINEAR_LOW,
    decode_table,
    encode_thresholds,
)
from intlower.kernels.signature import OPERATORS, ElementType, KernelKey

# Below so many steps of a linear number, not even the codes of the highest octave are all different.
_STEPS_PER_LOG2 = 1.5


@dataclass(slots=True, kw_only=True)
class LogBuilder:
    """Tensors and instructions in the making; lives only inside one call of `lower_logarithmic`.

    A graph value has up to four forms. Inputs of the program are codes, everything computed is linear ("20.12") and
    bears the value's name; the other forms are made when a reader first wants them.

    ==========  ==========================  =====================================================
    form        tensor                      read by
    ==========  ==========================  =====================================================
    codes       NAME.codes (or an input)    convolutions, matrix products
    rounded     NAME.rounded: of the codes  sums, average and maximum pools, concatenations
    linear      NAME                        what is not a layer with inputs of its own: activations,
                                            global means, shapes, slices, pads, softmax
    uniform     NAME.uniform, of 16 bits    host segments
    ==========  ==========================  =====================================================

    What the host computes is uniform, and bears the value's name; NAME.linear is then its linear form.

    Attributes:
        graph: what is lowered.
        target: name of the target, for messages.
        bits: of the codes.
        recipe: how weights become codes.
        ranges: of every value.
        moments: of the graph's values, where they are known.
        tensors: defined so far, by name.
        instructions: emitted so far.
        host: steps left to the host.
    """

    graph: Graph
    target: str
    bits: int
    recipe: Recipe
    ranges: Ranges
    moments: Mapping[str, ValueMoments]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)
    host: list[HostStep] = field(default_factory=list)
    _forms: dict[tuple[str, str], str] = field(default_factory=dict)
    _uniform: ProgramBuilder | None = None

    def shape(self, name: str) -> Shape:
        """Return the shape of a graph value."""
        return self.graph.values[name].shape

    def define(self, name: str, shape: Shape, grid: Grid) -> str:
        """Add a tensor, and return its name."""
        self.tensors[name] = Tensor(name=name, shape=shape, grid=grid)
        return name

    def define_input(self, name: str) -> None:
        """Add an input of the program: logarithmic codes."""
        self.define(name, self.shape(name), self.code_grid(name))

    def define_linear(self, name: str) -> str:
        """Add the linear tensor of a graph value, and return its name."""
        return self.define(name, self.shape(name), linear_grid())

    def code_grid(self, name: str) -> LogGrid:
        """Return the grid of a value's codes, whose greatest level is nearest to max|x|.

        Raises:
            CalibrationError: the value has no range.
        """
        if name not in self.ranges:
            raise CalibrationError(
                f"the value {name!r} has no range", "give representative inputs with --samples"
            )
        bound = max(abs(self.ranges[name].minimum), abs(self.ranges[name].maximum))
        grid = LogGrid.reaching(self.bits, bound)
        if grid.clip < _STEPS_PER_LOG2 * grid.layout.steps * 2.0**-LINEAR_FRACTION_BITS:
            warnings.warn(
                CalibrationWarning(
                    f"{name!r} reaches only {bound:.3g}: its numbers, of {LINEAR_FRACTION_BITS} fraction bits, "
                    "are coarser than its codes",
                    "scale the model's values up",
                ),
                stacklevel=2,
            )
        return grid

    def codes(self, name: str) -> tuple[str, LogGrid]:
        """Return the tensor of a value's codes, and their grid."""
        self._require_computed(name)
        tensor = self._forms.get((name, "codes"), name)
        grid = self.tensors[tensor].grid
        if isinstance(grid, LogGrid):
            return tensor, grid
        grid = self.code_grid(name)
        thresholds, negative = encode_thresholds(grid.layout, grid.z)
        output = self._new_form(name, "codes", grid)
        self.emit(
            "log_encode",
            name=output,
            inputs=(self.linear(name),),
            output=output,
            constants={"thresholds": np.array(thresholds, np.int32)},
            attributes={"negative_threshold": negative},
        )
        return output, grid

    def rounded(self, name: str) -> str:
        """Return the tensor of the linear numbers that a value's codes stand for."""
        if (name, "rounded") not in self._forms:
            codes, grid = self.codes(name)
            output = self._new_form(name, "rounded", linear_grid())
            self.decode(output, codes, grid, output)
        return self._forms[name, "rounded"]

    def linear(self, name: str) -> str:
        """Return the tensor of a value's linear numbers."""
        self._require_computed(name)
        grid = self.tensors[name].grid
        if isinstance(grid, LogGrid):
            return self.rounded(name)
        if grid.element is ElementType.INT32:
            return name
        return self._converted(name, name, "linear", linear_grid())

    @property
    def uniform(self) -> ProgramBuilder:
        """The builder of host segments."""
        if self._uniform is None:
            self._uniform = host_builder(
                self.graph,
                self.ranges,
                self.recipe,
                self.tensors,
                self.instructions,
                self.host,
            )
        return self._uniform

    def uniform_form(self, name: str) -> str:
        """Return the tensor of a value's uniform codes of 16 bits."""
        self._require_computed(name)
        grid = self.tensors[name].grid
        if isinstance(grid, UniformGrid) and grid.element is not ElementType.INT32:
            return name
        source = self.linear(name)
        return self._converted(name, source, "uniform", self.uniform.encodings[name])

    def _converted(self, name: str, source: str, form: str, grid: UniformGrid) -> str:
        """Return a form of a value on another uniform grid, emitted at its first use."""
        if (name, form) not in self._forms:
            output = self._new_form(name, form, grid)
            self.emit(
                "convert",
                name=output,
                inputs=(source,),
                output=output,
                attributes=conversion(
                    uniform_grid(self.tensors[source].grid, source), grid, output
                ),
                host=True,
            )
        return self._forms[name, form]

    def decode(self, name: str, codes: str, grid: LogGrid, output: str) -> None:
        """Emit the decoding of codes into a tensor that is defined."""
        levels = np.array(decode_table(grid.layout, grid.z), np.int32)
        self.emit(
            "log_decode",
            name=name,
            inputs=(codes,),
            output=output,
            constants={"levels": levels},
        )

    def constant(self, node: Node, position: int) -> Constant:
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
        return self.graph.constants[name]

    def emit(
        self,
        operator: str,
        *,
        name: str,
        inputs: tuple[str, ...],
        output: str,
        constants: Mapping[str, NDArray[Any]] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
        weight_grid: LogGrid | None = None,
        host: bool = False,
    ) -> None:
        """Append an instruction; its kernel key follows from the tensors' types."""
        key = KernelKey(
            operator=operator,
            activation=self.tensors[inputs[0]].grid.element,
            weight=weight_grid.element
            if weight_grid is not None and OPERATORS[operator].weighted
            else None,
            output=self.tensors[output].grid.element,
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

    def _new_form(self, name: str, form: str, grid: Grid) -> str:
        tensor = f"{name}.{form}"
        while tensor in self.graph.values or tensor in self.tensors:
            tensor += "'"
        self._forms[name, form] = tensor
        return self.define(tensor, self.shape(name), grid)

    def _require_computed(self, name: str) -> None:
        if name not in self.tensors:
            raise UnsupportedByTarget(
                f"{self.target!r} computes with {name!r}, a constant, only as weights or bias",
                "fold the constant into a convolution",
            )


def linear_limits(activation: Activation | None) -> dict[str, Attribute]:
    """Return an activation's bounds as linear numbers, for operators with one pair of them."""
    low, high = (int(linear_number(bound)) for bound in activation_bounds(activation))
    return {"minimum": low, "maximum": high}


def linear_number(value: ArrayLike) -> NDArray[np.int64]:
    """Return real numbers as linear ones, ties away from zero, saturated."""
    scaled = np.asarray(value, np.float64) * (1 << LINEAR_FRACTION_BITS)
    limited = np.clip(scaled, LINEAR_LOW, LINEAR_HIGH)
    return np.asarray(np.copysign(np.floor(np.abs(limited) + 0.5), limited), np.int64)
