"""SigmaStar SDK: symmetric grids of 8 or 16 bits, weights per channel. Beyond that all is our definition."""

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

_UNPUBLISHED = "the SDK's fixed-point simulator is closed"


def _target(name: str, options: Mapping[str, str]) -> UniformTarget:
    bits = int(options["bits"])
    wide = bits > 8
    return UniformTarget(
        spec=TargetSpec(
            name=name,
            title=f"SigmaStar SDK, {bits} bits",
            activations=UniformSpec(
                bits=bits, signed=True, symmetric=True, rounding=Rounding.HALF_AWAY, narrow=True
            ),
            weights=UniformSpec(
                bits=bits,
                signed=True,
                symmetric=True,
                rounding=Rounding.HALF_AWAY,
                narrow=True,
                per_channel=True,
            ),
            bias_bits=48 if wide else 32,
            bias_rounding=Rounding.HALF_AWAY,
            accumulator=AccumulatorSpec(bits=48 if wide else 32),
            requantize=Requantize.MUL31SINGLE,
            rescale=Requantize.MUL31SINGLE,
            multipliers=MultiplierSpec(product=15 if wide else 31),
            average_pool="exact int32 sum, one 31-bit multiplier for s_x / (s_y * count), equation (12)",
            addition="31-bit multipliers, equation (17)",
            concatenation="each input rescaled to the output's scale, equation (12)",
            softmax=SoftmaxRule.HOST,
            calibration="min-max",
            operators=UNIFORM_OPERATORS,
            provenance={
                "activations": public_fact(
                    "SigmaStar's documentation says fixed point; symmetric per tensor is the hardware table's word, the codes "
                    "and the rounding our definition"
                ),
                "weights": public_fact(
                    "the hardware table: symmetric, one scale for each channel; codes and rounding our definition"
                ),
                "bias_bits": our_definition("as wide as the accumulator, scale s_x * s_w"),
                "bias_rounding": our_definition("as the grids are rounded"),
                "accumulator": our_definition(
                    "32 bits for 8-bit codes; 48 for 16-bit codes, so that a 15-bit multiplier fits 64"
                ),
                "requantize": our_definition(f"one rounding, ties up; {_UNPUBLISHED}"),
                "rescale": our_definition("as `requantize`"),
                "multipliers": our_definition(
                    "31 bits; 15 after 16-bit products, as TFLite's 16x8 kernels have it"
                ),
                "average_pool": our_definition(_UNPUBLISHED),
                "addition": our_definition(_UNPUBLISHED),
                "concatenation": our_definition(_UNPUBLISHED),
                "softmax": our_definition("in float after the last integers"),
                "calibration": our_definition(_UNPUBLISHED),
                "operators": our_definition("what intlower lowers to integers for this target"),
            },
        )
    )


TARGET = TargetFamily(
    name="sigmastar",
    options=(Option(name="bits", values=("8", "16"), meaning="width of codes and weights"),),
    make=_target,
)
