"""Arm CPUs by way of NART-QUANT: unsigned asymmetric grids of 2 to 8 bits per layer, truncated fixed-point multipliers."""

from __future__ import annotations

from collections.abc import Mapping

from intlower.backends.uniform import UNIFORM_OPERATORS, UniformTarget
from intlower.compiler.grids import UniformSpec
from intlower.compiler.spec import (
    AccumulatorSpec,
    MultiplierSpec,
    SoftmaxRule,
    TargetSpec,
    our_definition,
    public_fact,
)
from intlower.compiler.target import Option, TargetFamily
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

_MODULE = "ModelTC/NART art/modules/quant"
_HELPER = f"{_MODULE}/include/art/quant/quant_helper.h"


def _target(name: str, options: Mapping[str, str]) -> UniformTarget:
    bits = int(options["bits"])
    grid = UniformSpec(bits=bits, signed=False, symmetric=False, rounding=Rounding.HALF_UP)
    return UniformTarget(
        spec=TargetSpec(
            name=name,
            title=f"Arm CPU, NART-QUANT, {bits} bits",
            activations=grid,
            weights=grid,
            bias_bits=32,
            bias_rounding=Rounding.HALF_AWAY,
            accumulator=AccumulatorSpec(bits=32),
            requantize=Requantize.MUL31SINGLE,
            rescale=Requantize.MUL31SINGLE,
            multipliers=MultiplierSpec(product=31, sum=23, rescale=16, pool=16, truncate=True),
            average_pool="exact int32 sum, a 16-bit multiplier for s_x / (s_y * count), equation (12)",
            addition="23-bit multipliers, one fraction bit less than the finer keeps, equation (17)",
            concatenation="each input rescaled by a 16-bit multiplier, equation (12)",
            softmax=SoftmaxRule.INTEGER_TABLE,
            calibration="min-max",
            operators=UNIFORM_OPERATORS,
            provenance={
                "activations": public_fact(
                    f"{_MODULE}/src/op/quantize.c: trunc((x - beta) / alpha + 0.5), saturated to [0, 2**bits - 1]"
                ),
                "weights": public_fact(
                    f"{_MODULE}/src/op/conv_2d_uint8_impl.c: uint8 per layer; 2 to 7 bits change the packing only"
                ),
                "bias_bits": public_fact(
                    f"{_MODULE}/src/op/conv_2d_uint8_impl.c: int32 in units of s_x * s_w"
                ),
                "bias_rounding": our_definition(
                    "the tool that writes the bias is not part of the module"
                ),
                "accumulator": public_fact(f"{_MODULE}/src/op/conv_2d_uint8_impl.c: int32"),
                "requantize": public_fact(
                    f"{_HELPER}: RSHIFT_RN(int64(acc) * mult, shift), mult of 31 bits"
                ),
                "rescale": public_fact(f"{_MODULE}/src/op/concat.c: the same with 16 bits"),
                "multipliers": public_fact(
                    f"{_HELPER}: get_quant_scale_*, the fraction in [0.5, 1) truncated; widths in the operators' sources"
                ),
                "average_pool": public_fact(f"{_MODULE}/src/op/pool.c"),
                "addition": public_fact(
                    f"{_MODULE}/src/op/add.c; our definition: products in 64 bits, where its int32 could overflow"
                ),
                "concatenation": public_fact(f"{_MODULE}/src/op/concat.c"),
                "softmax": our_definition(
                    "a table of exponentials with 22 fraction bits and one rounded division, for NART's float exp; output "
                    "scale 1 / (2**bits - 1)"
                ),
                "calibration": our_definition("NART takes its parameters from another tool"),
                "operators": our_definition("what intlower lowers to integers for this target"),
            },
        )
    )


TARGET = TargetFamily(
    name="nart_arm",
    options=(
        Option(
            name="bits",
            values=("8", "7", "6", "5", "4", "3", "2"),
            meaning="width of codes and weights",
        ),
    ),
    make=_target,
)
