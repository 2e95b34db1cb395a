"""Ceva DSPs: asymmetric grids of 8 or 16 bits. Nothing of the arithmetic is public; all of it is our definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from intlower.backends.uniform import UNIFORM_OPERATORS, UniformTarget
from intlower.compiler.grids import UniformSpec
from intlower.compiler.spec import (
    AccumulatorSpec,
    MultiplierSpec,
    SoftmaxRule,
    TargetSpec,
    our_definition,
)
from intlower.compiler.target import Option, TargetFamily
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

_UNPUBLISHED = "Ceva publishes no arithmetic"


def _target(name: str, options: Mapping[str, str]) -> UniformTarget:
    bits = int(options["bits"])
    grid = UniformSpec(
        bits=bits,
        signed=False,
        symmetric=False,
        rounding=Rounding.HALF_AWAY,
        minimum_range=1e-6,
    )
    weights = {
        "per_tensor": grid,
        "per_channel": replace(grid, per_channel=True),
        "per_channel_symmetric": UniformSpec(
            bits=bits,
            signed=True,
            symmetric=True,
            rounding=Rounding.HALF_AWAY,
            per_channel=True,
        ),
    }
    wide = bits > 8
    return UniformTarget(
        spec=TargetSpec(
            name=name,
            title=f"Ceva DSP, {bits} bits",
            activations=grid,
            weights=weights[options["weights"]],
            bias_bits=48 if wide else 32,
            bias_rounding=Rounding.HALF_AWAY,
            accumulator=AccumulatorSpec(bits=48 if wide else 32),
            requantize=Requantize.MUL31SINGLE,
            rescale=Requantize.MUL31SINGLE,
            multipliers=MultiplierSpec(product=15 if wide else 31),
            average_pool="exact int32 sum, one 31-bit multiplier for s_x / (s_y * count), equation (12)",
            addition="31-bit multipliers, equation (17)",
            concatenation="each input rescaled to the output's grid, equation (12)",
            softmax=SoftmaxRule.INTEGER_TABLE,
            calibration="min-max",
            operators=UNIFORM_OPERATORS,
            provenance={
                "activations": our_definition(
                    f"asymmetric with an exact zero, as gemmlowp and SNPE have it; {_UNPUBLISHED}"
                ),
                "weights": our_definition(
                    f"asymmetric for the layer, or for each output channel with a zero point of its own, or symmetric there; "
                    f"{_UNPUBLISHED}"
                ),
                "bias_bits": our_definition("as wide as the accumulator, scale s_x * s_w"),
                "bias_rounding": our_definition("as the grids are rounded"),
                "accumulator": our_definition(
                    "32 bits for 8-bit codes; 48 for 16-bit codes, so that a 15-bit multiplier fits 64"
                ),
                "requantize": our_definition(
                    "one rounding, ties up, as gemmlowp's single rounding"
                ),
                "rescale": our_definition("as `requantize`"),
                "multipliers": our_definition(
                    "31 bits; 15 after 16-bit products, as TFLite's 16x8 kernels have it"
                ),
                "average_pool": our_definition(_UNPUBLISHED),
                "addition": our_definition(_UNPUBLISHED),
                "concatenation": our_definition(_UNPUBLISHED),
                "softmax": our_definition(
                    "a table of exponentials with 22 fraction bits and one rounded division"
                ),
                "calibration": our_definition(_UNPUBLISHED),
                "operators": our_definition("what intlower lowers to integers for this target"),
            },
        )
    )


TARGET = TargetFamily(
    name="ceva",
    options=(
        Option(name="bits", values=("8", "16"), meaning="width of codes and weights"),
        Option(
            name="weights",
            values=("per_tensor", "per_channel", "per_channel_symmetric"),
            meaning="one weight scale and zero point for the layer, or for each output channel; symmetric: zero point 0",
        ),
    ),
    make=_target,
)
