"""A program as layers of reals, in any number system: what exports write whose files hold a float network.

Instructions that only change how a number is written (codes of logarithms, linear numbers, half precision) are no layers:
a layer names the reals that it reads, and beside them the codes that they are rounded to first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from intlower.backends.export.format import grid_of, real_biases, real_weights
from intlower.backends.export.qdq import window_shares
from intlower.compiler.grids import LogGrid, MinifloatGrid
from intlower.compiler.program import Attribute, Instruction, IntegerProgram
from intlower.kernels.numerics_log import (
    LINEAR_FRACTION_BITS,
    LINEAR_HIGH,
    LINEAR_LOW,
    MANTISSA_BITS,
)
from intlower.kernels.signature import ElementType

Reals = NDArray[np.float32]

# Operators that give the number that they are given, on another grid.
_REWRITES = ("log_encode", "log_decode", "half_quantize")
_FAMILIES = ("log_", "linear_", "half_", "minifloat_")
# The bias of a logarithmic layer has two digits to this base.
_BIAS_DIGIT = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RealLayer:
    """One layer.

    Attributes:
        name: of the node it comes from.
        operator: as in uniform programs: "conv2d", "gemm", "add", "average_pool", ...; "clamp" limits only.
        inputs: names of tensors of reals.
        output: name of the tensor of reals.
        codes: for each input, the tensor of codes that the layer reads it as; "" where it reads no codes.
        attributes: windows, axes, shapes.
        weights: [O, ...], for layers that have them.
        bias: [O], alike.
        share: of an average, what each window's mean is multiplied by beside 1 / area, [OH, OW] or [1, 1].
        low: least output, [] or [O]; -infinity where there is none.
        high: greatest output, alike.
        border: [], what a padding fills in.
        scales: float32 [O], by which the sums of a quantized layer become half precision; empty elsewhere.
        product: the instruction that holds weights in codes, or sums a quantized average; None elsewhere.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    output: str
    codes: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    weights: Reals | None = None
    bias: Reals | None = None
    share: NDArray[np.float64] = field(default_factory=lambda: np.ones((1, 1)))
    low: Reals
    high: Reals
    border: Reals = field(default_factory=lambda: np.zeros((), np.float32))
    scales: Reals = field(default_factory=lambda: np.zeros(0, np.float32))
    product: Instruction | None = None

    @property
    def limited(self) -> bool:
        """Whether it limits its output at all."""
        return bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())

    @property
    def rectified(self) -> bool:
        """Whether its limit is that of a ReLU."""
        return bool((self.low == 0).all() and (self.high == np.inf).all())


def real_layers(program: IntegerProgram) -> tuple[RealLayer, ...]:
    """Return a program's layers, in order."""
    reals = {name: name for name in program.tensors}
    codes = dict.fromkeys(program.tensors, "")
    codes |= {
        name: name for name in program.inputs if isinstance(program.tensors[name].grid, LogGrid)
    }
    sums: dict[str, Instruction] = {}
    layers = []
    for instruction in program.instructions:
        operator, output = instruction.kernel.operator, instruction.output
        if operator in _REWRITES:
            source = instruction.inputs[0]
            reals[output] = reals[source]
            codes[output] = codes[source] if operator == "log_decode" else output
            continue
        if program.tensors[output].grid.element is ElementType.INT32 and not (
            operator.startswith(_FAMILIES) or _is_linear(program, instruction)
        ):
            sums[output] = instruction  # half_dequantize makes its reals
            continue
        product = sums.get(instruction.inputs[0])
        if product is None and instruction.kernel.weight not in (None, ElementType.FLOAT16):
            product = instruction
        made = product if operator == "half_dequantize" and product is not None else instruction
        read = codes
        if all(not codes[name] for name in made.inputs) and _is_uniform(program, made):
            read = {name: name for name in made.inputs}
        low, high = _limits(program, instruction)
        kind = made.kernel.operator.removeprefix("saturating_").removesuffix("_fixed")
        for family in _FAMILIES:
            kind = kind.removeprefix(family)
        layers.append(
            RealLayer(
                name=instruction.name,
                operator="clamp" if kind == "clip" else kind,
                inputs=tuple(reals[name] for name in made.inputs),
                output=output,
                codes=tuple(read[name] for name in made.inputs),
                attributes=made.attributes,
                weights=None if made.weight_grid is None else real_weights(made),
                bias=None if made.weight_grid is None else _bias(program, made),
                share=_share(program, made),
                low=low,
                high=high,
                border=_border(program, made),
                scales=_scales(instruction),
                product=product,
            )
        )
    return tuple(layers)


def _is_linear(program: IntegerProgram, instruction: Instruction) -> bool:
    """Whether an instruction moves linear numbers of a logarithmic program, which stay as they are."""
    source = program.tensors[instruction.inputs[0]].grid
    return source.element is ElementType.INT32


def _is_uniform(program: IntegerProgram, instruction: Instruction) -> bool:
    """Whether every input is a code of 8 or 16 bits that the layer reads as it is."""
    integers = (ElementType.INT8, ElementType.UINT8, ElementType.INT16, ElementType.UINT16)
    return all(program.tensors[name].grid.element in integers for name in instruction.inputs)


def _share(program: IntegerProgram, instruction: Instruction) -> NDArray[np.float64]:
    operator = instruction.kernel.operator
    kernel = instruction.attributes.get("kernel_shape")
    if not operator.endswith("average_pool") or not isinstance(kernel, tuple):
        return np.ones((1, 1))
    area = float(np.prod(kernel))
    if operator == "average_pool":
        if program.tensors[instruction.output].grid.element is ElementType.INT32:
            return np.ones((1, 1))  # a quantized average's windows all count their area
        return window_shares(program, instruction)
    counts = "counts" if operator == "linear_average_pool" else "count"
    return area / instruction.constants[counts].array.astype(np.float64)


def _border(program: IntegerProgram, instruction: Instruction) -> Reals:
    """Return the real number that a padding fills in."""
    if instruction.kernel.operator == "half_pad":
        return instruction.constants["value"].array.astype(np.float32).reshape(())
    if instruction.kernel.operator != "pad":
        return np.zeros((), np.float32)
    value = instruction.attributes["value"]
    return np.asarray(program.tensors[instruction.output].grid.dequantize(value), np.float32)


def _scales(instruction: Instruction) -> Reals:
    """Return the scales of the sums that an instruction makes half precision of."""
    if instruction.kernel.operator != "half_dequantize":
        return np.zeros(0, np.float32)
    multiplier, shift = (
        instruction.constants[name].array.astype(np.int64) for name in ("multiplier", "shift")
    )
    return np.ldexp(multiplier.astype(np.float64), -shift).astype(np.float32)


def _bias(program: IntegerProgram, instruction: Instruction) -> Reals:
    constants = instruction.constants
    if "bias_low" in constants:
        grid, source = instruction.weight_grid, program.tensors[instruction.inputs[0]].grid
        assert isinstance(grid, LogGrid)
        assert isinstance(source, LogGrid)
        shift = instruction.attributes["product_shift"]
        assert isinstance(shift, int)
        high, low = (
            constants[name].array.astype(np.float64) for name in ("bias_high", "bias_low")
        )
        exponent = (source.z + grid.z) / grid.layout.steps + shift - MANTISSA_BITS
        return np.asarray((high * 2.0**_BIAS_DIGIT + low) * 2.0**exponent, np.float32)
    if isinstance(instruction.weight_grid, MinifloatGrid):
        down = -constants["shift"].array.astype(np.int64)
        return np.ldexp(constants["bias"].array.astype(np.float64), down).astype(np.float32)
    if constants["bias"].array.dtype.kind == "f":
        return constants["bias"].array.astype(np.float32)
    return real_biases(program, instruction)


def _limits(program: IntegerProgram, instruction: Instruction) -> tuple[Reals, Reals]:
    """Return the least and the greatest output in reals, infinite where the number system itself ends."""
    values = {
        **instruction.attributes,
        **{name: constant.array for name, constant in instruction.constants.items()},
    }
    operator = instruction.kernel.operator
    if "minimum" not in values or operator.startswith("softmax"):
        return np.array(-np.inf, np.float32), np.array(np.inf, np.float32)
    low, high = np.asarray(values["minimum"]), np.asarray(values["maximum"])
    if operator.startswith("half_"):
        ends = float(np.finfo(np.float16).min), float(np.finfo(np.float16).max)
        least, greatest = low.astype(np.float32), high.astype(np.float32)
    elif operator.startswith(("log_", "linear_")):
        ends = LINEAR_LOW, LINEAR_HIGH
        least, greatest = (
            np.ldexp(limit.astype(np.float32), -LINEAR_FRACTION_BITS) for limit in (low, high)
        )
    elif operator.startswith("minifloat_"):
        codes = program.tensors[instruction.output].grid
        assert isinstance(codes, MinifloatGrid)
        ends = -codes.rule.greatest, codes.rule.greatest
        least, greatest = (codes.dequantize(limit) for limit in (low, high))
    else:
        grid = grid_of(program, instruction.output)
        least, greatest = (np.asarray(grid.dequantize(limit)) for limit in (low, high))
        # A limit at the code of 0 is a ReLU's, although the codes end there too.
        ends = (-np.inf if grid.minimum == grid.zero_point else grid.minimum), grid.maximum
    return (
        np.where(low <= ends[0], -np.inf, least).astype(np.float32),
        np.where(high >= ends[1], np.inf, greatest).astype(np.float32),
    )
