"""What a graph becomes in minifloats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.correction import corrected_bias
from intlower.backends.lowering_half.builder import Arithmetic, FloatBuilder, Pieces
from intlower.backends.lowering_log.rounding import round_to_levels
from intlower.compiler.calibration import Ranges
from intlower.compiler.errors import CalibrationError, ScaleOutOfRange
from intlower.compiler.graph import Node
from intlower.compiler.grids import MinifloatGrid
from intlower.compiler.moments import ValueMoments
from intlower.compiler.operators import Activation, activation_bounds
from intlower.compiler.recipe import Recipe
from intlower.kernels.minifloat_rule import MinifloatRule
from intlower.kernels.signature import OPERATORS

# A bias is an integer of a binary32's mantissa over a power of two.
_BIAS_BITS = 24
_MOST_BIAS_SHIFT = 62

# A tensor's greatest number is that much past its range (our definition). What lies beyond a range would saturate, at a
# full octave for each lost bit; exponents that are left unused at the other end, 13 octaves down, cost next to nothing.
_HEADROOM = 4.0


@dataclass(slots=True, kw_only=True)
class MinifloatBuilder(FloatBuilder):
    """What is made of a graph in minifloats.

    Attributes:
        rule: layout and rounding of codes.
        own_biases: each tensor has the exponent bias that its range asks for; otherwise all have 2**(e - 1) - 1.
        trimmed_biases: a layer's biases are minifloats, as its weights are; otherwise binary32.
        ranges: of every value.
        recipe: how weights become codes.
        moments: of the graph's values, where they are known.
    """

    family: ClassVar[str] = "minifloat"
    max_pool: ClassVar[str] = "max_pool"  # codes are in the order of their numbers

    rule: MinifloatRule
    own_biases: bool
    trimmed_biases: bool
    ranges: Ranges
    recipe: Recipe
    moments: Mapping[str, ValueMoments]

    def reaching(self, bound: float) -> MinifloatGrid:
        """Return the grid of numbers up to a bound."""
        if self.own_biases:
            return MinifloatGrid.reaching(self.rule, bound)
        return MinifloatGrid.published(self.rule)

    def grid(self, name: str) -> MinifloatGrid:
        """Return the grid of a tensor that exists."""
        grid = self.tensors[name].grid
        assert isinstance(grid, MinifloatGrid)  # the lowering defines no others
        return grid

    def define_value(self, name: str) -> None:
        """Add the tensor of a graph value, on a grid that holds more than its range."""
        bound = _HEADROOM * greatest_magnitude(self.ranges, name)
        self.define(name, self.graph.values[name].shape, self.reaching(bound))

    def define_moved(self, name: str, source: str) -> None:
        """Add the tensor of a graph value, on the grid of what it is moved from."""
        self.define(name, self.graph.values[name].shape, self.grid(source))

    def parameters(self, node: Node) -> Pieces:
        """Return weights as codes, and biases as integers over powers of two.

        Raises:
            ScaleOutOfRange: a bias is past what minifloats reach.
        """
        weights = self.constant(node, 1).astype(np.float64)
        bias = self.bias(node, len(weights)).astype(np.float64)
        grid = self.reaching(float(np.abs(weights).max()))
        codes = round_to_levels(weights, grid, self.recipe.rounding)
        if self.recipe.correct_bias:
            error = grid.dequantize(codes).astype(np.float64) - weights
            bias = corrected_bias(self.graph, node, self.moments, bias, error)
        if self.trimmed_biases:
            bias = grid.dequantize(grid.quantize(bias)).astype(np.float64)
        integers, shifts = bias_fractions(bias, node.name)
        return Pieces(
            constants={"weights": codes, "bias": integers, "shift": shifts},
            attributes={"weight_exponent_bias": grid.exponent_bias},
            weight_grid=grid,
        )

    def bounds(self, activation: Activation | None, output: str) -> dict[str, Any]:
        """Return the constants minimum and maximum, codes of the output: int32 [C]."""
        grid, channels = self.grid(output), self.channels(output)
        low, high = (
            np.broadcast_to(grid.quantize(bound), (channels,)).astype(np.int32)
            for bound in activation_bounds(activation)
        )
        return {"minimum": low, "maximum": high}

    def border(self, value: float, source: str) -> tuple[str, Pieces]:
        """Return `pad`, of integers, and the number's code."""
        code = int(self.grid(source).quantize([value])[0])
        return "pad", Pieces(constants={}, attributes={"value": code})

    def joined(self, node: Node) -> tuple[str, ...]:
        """Return the inputs, those on other grids rounded to the output's first."""
        target, names = self.grid(node.output), []
        for place, name in enumerate(node.inputs):
            if self.grid(name) == target:
                names.append(name)
                continue
            rounded = f"{node.output}.input_{place}"
            while rounded in self.graph.values or rounded in self.tensors:
                rounded += "'"
            self.define(rounded, self.shape(name), target)
            channels = self.channels(name)
            greatest = np.full(channels, self.rule.greatest, np.int32)
            self.emit(
                "minifloat_clip",
                name=rounded,
                inputs=(name,),
                output=rounded,
                constants={"minimum": -greatest, "maximum": greatest},
            )
            names.append(rounded)
        return tuple(names)

    def arithmetic(self, operator: str, inputs: Sequence[str], output: str) -> Arithmetic:
        """Return the layout of codes, and the exponent biases of the operands."""
        if not OPERATORS[operator].minifloat:
            return Arithmetic()
        biases = tuple(self.grid(name).exponent_bias for name in inputs)
        return Arithmetic(
            minifloat=self.rule,
            attributes={
                **(
                    {"input_exponent_bias": biases[0]}
                    if len(inputs) == 1
                    else {"input_exponent_biases": biases}
                ),
                "output_exponent_bias": self.grid(output).exponent_bias,
            },
        )


def greatest_magnitude(ranges: Ranges, name: str) -> float:
    """Return max|x| of a value.

    Raises:
        CalibrationError: the value has no range.
    """
    if name not in ranges:
        raise CalibrationError(
            f"the value {name!r} has no range", "give representative inputs with --samples"
        )
    return max(abs(ranges[name].minimum), abs(ranges[name].maximum))


def bias_fractions(
    bias: NDArray[np.float64], where: str
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return integers of up to 24 bits and shifts whose quotients integer / 2**shift are biases as float32.

    Args:
        bias: [O].
        where: name of the layer, for messages.

    Raises:
        ScaleOutOfRange: a bias is past 2**24.
    """
    numbers = bias.astype(np.float32).astype(np.float64)
    if float(np.abs(numbers).max(initial=0.0)) > 2.0**_BIAS_BITS:
        raise ScaleOutOfRange(
            f"{where}: a bias reaches {np.abs(numbers).max():.6g}, past 2**{_BIAS_BITS}",
            "equalize the layers (--with equalize)",
        )
    exponent = np.frexp(numbers)[1].astype(np.int64)
    shift = np.clip(_BIAS_BITS - exponent, 0, _MOST_BIAS_SHIFT)
    return np.rint(np.ldexp(numbers, shift)).astype(np.int32), shift.astype(np.int32)
