"""What rows of minifloat kernels hold beside those of half precision; `kernels/minifloat.py` says what columns mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.planning.columns import number, numbers
from intlower.compiler.program import Instruction
from intlower.kernels import table as t
from intlower.kernels.minifloat_rule import MinifloatRule
from intlower.kernels.numerics_minifloat import float32_of_minifloat

# What does for minifloats what an opcode does for halves.
MINIFLOAT_OPCODES = {
    t.WIDEN: t.MINIFLOAT_WIDEN,
    t.HALF_DENSE: t.MINIFLOAT_DENSE,
    t.HALF_DEPTHWISE: t.MINIFLOAT_DEPTHWISE,
    t.HALF_ADD: t.MINIFLOAT_ADD,
    t.HALF_CLIP: t.MINIFLOAT_CLIP,
}


def input_columns(instruction: Instruction) -> dict[int, int]:
    """Return the columns that say what input codes stand for."""
    rule, attributes = _rule(instruction), instruction.attributes
    columns = {t.SHIFT: rule.dropped_bits, t.MAGNITUDES: rule.greatest}
    if "input_exponent_biases" in attributes:
        first, second = numbers(attributes["input_exponent_biases"])
        columns[t.SECOND_ZERO_POINT] = _origin(second)
    else:
        first = number(attributes["input_exponent_bias"])
    return {**columns, t.ZERO_POINT: _origin(first)}


def code_columns(instruction: Instruction) -> dict[int, int]:
    """Return the columns that say how results become codes."""
    rule = _rule(instruction)
    return {
        t.RULE: int(rule.even),
        t.SHIFT: rule.dropped_bits,
        t.MAGNITUDES: rule.greatest,
        t.OUTPUT_ZERO_POINT: _origin(number(instruction.attributes["output_exponent_bias"])),
    }


def number_constants(instruction: Instruction) -> dict[str, NDArray[np.float32]]:
    """Return weights, bias and limits, those there are, as float32, exactly."""
    rule, attributes = _rule(instruction), instruction.attributes
    constants = {name: constant.array for name, constant in instruction.constants.items()}
    bias = number(attributes["output_exponent_bias"])
    reals = {
        name: float32_of_minifloat(constants[name], rule, bias)
        for name in ("minimum", "maximum")
    }
    if "weights" in constants:
        weight_bias = number(attributes["weight_exponent_bias"])
        reals["weights"] = float32_of_minifloat(constants["weights"], rule, weight_bias)
        shift = constants["shift"].astype(np.int64)
        reals["bias"] = np.ldexp(constants["bias"].astype(np.float64), -shift).astype(
            np.float32
        )
    return reals


def _origin(bias: int) -> int:
    """Return the bits of the binary32 2**-bias."""
    return (127 - bias) << 23


def _rule(instruction: Instruction) -> MinifloatRule:
    assert instruction.kernel.minifloat is not None  # the kernel key proves it
    return instruction.kernel.minifloat
