"""Random programs of one minifloat instruction, for tests of all three executions."""

from __future__ import annotations

from typing import Any

import numpy as np
from half_programs import Maker
from hypothesis import strategies as st
from numpy.typing import NDArray
from program_builder import ORIGIN

from intlower.compiler.constant import Constant
from intlower.compiler.grids import MinifloatGrid
from intlower.compiler.program import Instruction, IntegerProgram, Tensor
from intlower.kernels.minifloat_rule import REACH, MinifloatRule
from intlower.kernels.signature import KernelKey

RULES = [
    MinifloatRule.of(bits, exponent_bits, even)
    for bits in (8, 16)
    for exponent_bits in (4, 5, 6)
    for even in (False, True)
]


@st.composite
def programs(draw: st.DrawFn, operator: str) -> IntegerProgram:
    """Return a program of one instruction of an operator."""
    rule = draw(st.sampled_from(RULES))
    maker = Maker(draw, operator.replace("minifloat_", "half_"))
    shapes, output, halves, attributes = getattr(maker, maker.operator)()
    least = (1 << rule.exponent_bits) - REACH
    # Ordinary biases, so that numbers of all inputs meet; and any.
    usual = (1 << (rule.exponent_bits - 1)) - 1
    places = draw(st.sampled_from([(usual, usual + 4), (least, REACH)]))

    def exponent_bias() -> int:
        return maker.integer(*places)

    def codes(shape: tuple[int, ...]) -> NDArray[Any]:
        grid = MinifloatGrid.published(rule)
        return grid.random_codes(maker.generator, shape, extreme=maker.integer(0, 3) == 0)

    constants = {
        name: constant
        for name, constant in halves.items()
        if name not in ("weights", "bias", "minimum", "maximum")
    }
    channels = halves["minimum"].array.shape
    low, high = np.sort(
        maker.generator.integers(-rule.greatest, rule.greatest + 1, (2, *channels)), axis=0
    )
    if maker.integer(0, 1):
        low, high = np.full(channels, -rule.greatest), np.full(channels, rule.greatest)
    constants |= {"minimum": Constant.of(low, np.int32), "maximum": Constant.of(high, np.int32)}
    weighted = "weights" in halves
    if weighted:
        bias = maker.generator.integers(-(1 << 24), (1 << 24) + 1, channels)
        constants |= {
            "weights": Constant(codes(halves["weights"].array.shape)),
            "bias": Constant.of(bias, np.int32),
            "shift": Constant.of(maker.generator.integers(0, 63, channels), np.int32),
        }
        attributes = {**attributes, "weight_exponent_bias": exponent_bias()}
    grids = [MinifloatGrid(rule=rule, exponent_bias=exponent_bias()) for _ in (*shapes, 0)]
    biases = tuple(grid.exponent_bias for grid in grids)
    inputs = (
        {"input_exponent_biases": biases[:2]}
        if len(shapes) == 2
        else {"input_exponent_bias": biases[0]}
    )
    element = grids[0].element
    instruction = Instruction(
        name="it",
        kernel=KernelKey(
            operator=operator,
            activation=element,
            weight=element if weighted else None,
            output=element,
            minifloat=rule,
        ),
        inputs=tuple(f"x{i}" for i in range(len(shapes))),
        output="y",
        constants=constants,
        attributes={**attributes, **inputs, "output_exponent_bias": biases[-1]},
        weight_grid=MinifloatGrid(rule=rule, exponent_bias=attributes["weight_exponent_bias"])
        if weighted
        else None,
    )
    tensors = [
        Tensor(name=name, shape=(None, *shape), grid=grid)
        for name, shape, grid in zip(
            (*instruction.inputs, "y"), (*shapes, output), grids, strict=True
        )
    ]
    return IntegerProgram(
        target="random",
        inputs=instruction.inputs,
        outputs=("y",),
        tensors={tensor.name: tensor for tensor in tensors},
        instructions=(instruction,),
        origin=ORIGIN,
    )
