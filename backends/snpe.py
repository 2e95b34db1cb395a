"""Qualcomm Hexagon DSP by way of SNPE: unsigned asymmetric grids per tensor, fixed-point rescaling."""

from __future__ import annotations

from collections.abc import Mapping

from intlower.backends.uniform import UNIFORM_OPERATORS, UniformTarget
from intlower.compiler.grids import UniformSpec
from intlower.compiler.spec import (
    HOST_OPERATORS,
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

# The range rule "tf" of SNPE and AIMET: 0 included, at least 0.01 wide, the zero point rounded.
_TF_GRID = UniformSpec(
    bits=8, signed=False, symmetric=False, rounding=Rounding.HALF_AWAY, minimum_range=0.01
)
# Symmetric encodings of quic/aimet: max|x| at code 127.
_CHANNELS = UniformSpec(
    bits=8,
    signed=True,
    symmetric=True,
    rounding=Rounding.HALF_AWAY,
    per_channel=True,
    minimum_range=0.01,
)
_TF_SOURCE = (
    "SNPE documentation, Quantized Models; quic/aimet "
    "ModelOptimizations/DlQuantization/src/TfEncodingAnalyzer.cpp"
)
_UNPUBLISHED = (
    "Qualcomm publishes grids and encodings, not the arithmetic behind the accumulator"
)


def _target(name: str, options: Mapping[str, str]) -> UniformTarget:
    per_channel = options["weights"] == "per_channel"
    return UniformTarget(
        spec=TargetSpec(
            name=name,
            title="Qualcomm Hexagon, SNPE",
            activations=_TF_GRID,
            weights=_CHANNELS if per_channel else _TF_GRID,
            bias_bits=32,
            bias_rounding=Rounding.HALF_AWAY,
            accumulator=AccumulatorSpec(bits=32),
            requantize=Requantize.MUL31DOUBLE,
            rescale=Requantize.MUL31SINGLE,
            multipliers=MultiplierSpec(),
            average_pool="exact int32 sum, one 31-bit multiplier for s_x / (s_y * count), equation (12)",
            addition="fixed point with 20 fraction bits, equation (13)",
            concatenation="each input rescaled to the output's grid, equation (12)",
            softmax=SoftmaxRule.INTEGER_TABLE,
            calibration="tf",
            operators=UNIFORM_OPERATORS | HOST_OPERATORS,
            host=frozenset(),
            provenance={
                "activations": public_fact(_TF_SOURCE),
                "weights": public_fact(
                    f"{_TF_SOURCE}; per tensor is the DSP's published default, symmetric int8 for each output channel what "
                    "later HTP runtimes take (QNN, AXIS_SCALE_OFFSET)"
                ),
                "bias_bits": public_fact(
                    "snpe-dlc-quantize --bias_bitwidth 32, scale s_x * s_w, offset 0"
                ),
                "bias_rounding": our_definition("as the encodings are rounded"),
                "accumulator": our_definition(f"int32; {_UNPUBLISHED}"),
                "requantize": our_definition(
                    f"TFLite's public double rounding; {_UNPUBLISHED}"
                ),
                "rescale": our_definition(
                    "one rounding: small integers rounded twice would be off by up to a step, one-sided"
                ),
                "multipliers": our_definition("31 bits, TFLite's public choice"),
                "average_pool": our_definition(_UNPUBLISHED),
                "addition": our_definition(f"TFLite's public rule; {_UNPUBLISHED}"),
                "concatenation": our_definition(_UNPUBLISHED),
                "softmax": our_definition(
                    "a table of exponentials with 22 fraction bits and one rounded division; output "
                    "scale 1/255 is the published [0, 1] encoding"
                ),
                "calibration": public_fact(f"{_TF_SOURCE}; the mode 'tf'"),
                "operators": our_definition(
                    "what intlower lowers to integers; that nothing needs the host follows the list of quantized operators "
                    "of QNN HTP (docs.qualcomm.com, Op Support Revision History), the arithmetic is ours"
                ),
            },
        )
    )


TARGET = TargetFamily(
    name="snpe",
    options=(
        Option(
            name="weights",
            values=("per_tensor", "per_channel"),
            meaning="one weight scale for the layer, or for each output channel",
        ),
    ),
    make=_target,
)
