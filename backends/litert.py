"""LiteRT (TensorFlow Lite), TFLite Micro, CMSIS-NN: the public 8-bit and 16x8-bit quantization specification."""

from __future__ import annotations

from collections.abc import Mapping

from intlower.backends.uniform import UNIFORM_OPERATORS, UniformTarget
from intlower.compiler.grids import UniformSpec
from intlower.compiler.spec import (
    AccumulatorSpec,
    MultiplierSpec,
    PoolRule,
    SoftmaxRule,
    TargetSpec,
    our_definition,
    public_fact,
)
from intlower.compiler.target import Option, TargetFamily
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

_SPECIFICATION = "LiteRT 8-bit quantization specification, ai.google.dev/edge/litert/models/quantization_spec"
_KERNELS = "tensorflow/lite/kernels"
_COMMON = f"{_KERNELS}/internal/common.h"
_REFERENCE = f"{_KERNELS}/internal/reference"
_MEASURED = "; measured: BUILTIN_REF of ai-edge-litert gives the same integers"

_WEIGHTS = UniformSpec(
    bits=8,
    signed=True,
    symmetric=True,
    narrow=True,
    per_channel=True,
    rounding=Rounding.HALF_AWAY,
)


def _target(name: str, options: Mapping[str, str]) -> UniformTarget:
    wide = options["bits"] == "16x8"
    return UniformTarget(
        spec=TargetSpec(
            name=name,
            title=f"LiteRT, TFLite Micro, CMSIS-NN, {'16x8' if wide else '8'} bits",
            activations=UniformSpec(
                bits=16 if wide else 8,
                signed=True,
                symmetric=wide,
                rounding=Rounding.HALF_AWAY,
            ),
            weights=_WEIGHTS,
            bias_bits=64 if wide else 32,
            bias_rounding=Rounding.HALF_AWAY,
            accumulator=AccumulatorSpec(bits=48 if wide else 32),
            requantize=Requantize.MUL31SINGLE if wide else Requantize.MUL31DOUBLE,
            rescale=Requantize.MUL31DOUBLE,
            multipliers=MultiplierSpec(
                product=15 if wide else 31, reduced=wide, sum_fraction=15 if wide else 20
            ),
            average_pool=f"{PoolRule.MEAN_CODE.value}; only elements count",
            pool_rule=PoolRule.MEAN_CODE,
            addition=f"31-bit fixed point with {15 if wide else 20} fraction bits, equation (13); products by equation (11)",
            sum_rule=Requantize.MUL31DOUBLE,
            concatenation="each input rescaled to the output's grid (QUANTIZE), equation (11)",
            softmax=SoftmaxRule.HOST if wide else SoftmaxRule.FIXED_POINT,
            calibration="min-max",
            operators=UNIFORM_OPERATORS,
            provenance={
                "activations": public_fact(
                    f"{_SPECIFICATION}; rounding: AffineQuantize, {_REFERENCE}/quantize.h (TfLiteRound)"
                ),
                "weights": public_fact(
                    f"{_SPECIFICATION}: int8 in [-127, 127], axis 0 (depthwise: 3); matrix products as 1x1 "
                    "convolutions, whose arithmetic every runtime shares"
                ),
                "bias_bits": public_fact(
                    f"{_SPECIFICATION}; int64 beside int16 activations: {_KERNELS}/conv.cc"
                ),
                "bias_rounding": public_fact(
                    "SymmetricPerChannelBiasQuantize, tensorflow/compiler/mlir/lite/quantization/lite/quantization_utils.cc (TfLiteRound)"
                ),
                "accumulator": public_fact(
                    f"{_COMMON}: the 64-bit accumulator must stay below 2**47"
                    if wide
                    else f"{_REFERENCE}/integer_ops/conv.h: int32"
                ),
                "requantize": public_fact(
                    f"MultiplyByQuantizedMultiplier, {_COMMON}{_MEASURED}"
                ),
                "rescale": public_fact(f"Requantize, {_REFERENCE}/requantize.h{_MEASURED}"),
                "multipliers": public_fact(
                    f"QuantizeMultiplier, {_KERNELS}/internal/quantization_util.cc"
                    + (f"; (q + 2**15) >> 16, at most 0x7FFF, {_COMMON}" if wide else "")
                ),
                "average_pool": public_fact(
                    f"AveragePool, {_REFERENCE}/integer_ops/pooling.h{_MEASURED}"
                ),
                "addition": public_fact(
                    f"{_KERNELS}/add.cc; AddElementwise, {_REFERENCE}/integer_ops/add.h; MulElementwise, "
                    f"{_REFERENCE}/integer_ops/mul.h{_MEASURED}"
                ),
                "concatenation": public_fact(
                    f"{_SPECIFICATION}: CONCATENATION keeps scale and zero point; the QUANTIZE in front is what converters write"
                ),
                "softmax": our_definition(
                    "in float after the last integers; TFLite's int16 softmax looks up tables made in float"
                )
                if wide
                else public_fact(
                    f"Softmax, {_REFERENCE}/softmax.h, over gemmlowp fixedpoint/fixedpoint.h; output scale 1/256, zero "
                    f"point -128: {_SPECIFICATION}{_MEASURED}"
                ),
                "calibration": public_fact(
                    "tensorflow/lite/tools/optimize/calibration/calibration_logger.h: least and greatest value seen"
                ),
                "operators": our_definition("what intlower lowers to integers for this target"),
            },
        )
    )


TARGET = TargetFamily(
    name="litert",
    options=(
        Option(
            name="bits",
            values=("8", "16x8"),
            meaning="width of activations; 16x8 has 16-bit activations and 8-bit weights",
        ),
    ),
    make=_target,
)
