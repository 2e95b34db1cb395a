"""An invented 7-bit accelerator: the whole of a third party's target is this value and one entry-point line."""

from __future__ import annotations

from intlower.backends.uniform import UNIFORM_OPERATORS, UniformTarget
from intlower.compiler.grids import UniformSpec
from intlower.compiler.spec import (
    AccumulatorSpec,
    MultiplierSpec,
    SoftmaxRule,
    TargetSpec,
    our_definition,
)
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

TARGET = UniformTarget(
    spec=TargetSpec(
        name="toynpu",
        title="Toy accelerator, 7-bit",
        activations=UniformSpec(
            bits=7, signed=True, symmetric=True, narrow=True, rounding=Rounding.HALF_UP
        ),
        weights=UniformSpec(
            bits=6, signed=True, symmetric=True, narrow=True, rounding=Rounding.HALF_AWAY
        ),
        bias_bits=24,
        bias_rounding=Rounding.FLOOR,
        accumulator=AccumulatorSpec(bits=24),
        requantize=Requantize.MUL31SINGLE,
        rescale=Requantize.MUL31SINGLE,
        multipliers=MultiplierSpec(),
        average_pool="exact sum, one 31-bit multiplier for s_x / (s_y * count), equation (12)",
        addition="fixed point with 20 fraction bits, equation (13)",
        concatenation="each input rescaled to the output's scale, equation (12)",
        softmax=SoftmaxRule.HOST,
        calibration="min-max",
        operators=UNIFORM_OPERATORS,
        provenance=dict.fromkeys(
            (
                "activations",
                "weights",
                "bias_bits",
                "bias_rounding",
                "accumulator",
                "requantize",
                "rescale",
                "multipliers",
                "average_pool",
                "addition",
                "concatenation",
                "softmax",
                "calibration",
                "operators",
            ),
            our_definition("the toy accelerator exists only in this file"),
        ),
    )
)
