"""NVIDIA GPUs by way of NART-QUANT: symmetric grids of 4 or 8 bits, bias and rescaling in single precision."""

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

_KERNELS = "ModelTC/NART art/modules/cuda_quant"
_EPILOGUE = f"{_KERNELS}/include/art/cuda_quant/conv/turing_indirect_conv_help.cuh"


def _target(name: str, options: Mapping[str, str]) -> UniformTarget:
    bits = int(options["bits"])
    return UniformTarget(
        spec=TargetSpec(
            name=name,
            title=f"NVIDIA GPU, NART-QUANT, {bits} bits",
            activations=UniformSpec(
                bits=bits, signed=True, symmetric=True, rounding=Rounding.HALF_EVEN
            ),
            weights=UniformSpec(
                bits=bits,
                signed=True,
                symmetric=True,
                rounding=Rounding.HALF_EVEN,
                narrow=True,
                per_channel=options["weights"] == "per_channel",
            ),
            bias_bits=32,
            bias_rounding=Rounding.HALF_EVEN,
            accumulator=AccumulatorSpec(bits=32),
            requantize=Requantize.F32BIAS,
            rescale=Requantize.F32EVEN,
            multipliers=MultiplierSpec(),
            average_pool="exact int32 sum, one single-precision multiply by s_x / (s_y * count), ties to even",
            addition="single precision, both products and the sum rounded, ties to even, equation (9)",
            concatenation="each input rescaled to the output's scale",
            softmax=SoftmaxRule.HOST,
            calibration="min-max",
            operators=UNIFORM_OPERATORS,
            provenance={
                "activations": public_fact(
                    f"{_KERNELS}/src/op/conv_2d_quant.cu: rintf, stored in [-2**(b-1), 2**(b-1) - 1]; one alpha a tensor"
                ),
                "weights": public_fact(
                    f"{_KERNELS}/src/op/conv_2d_quant.cu: one alpha for each output channel, [-(2**(b-1) - 1), 2**(b-1) - 1]; "
                    "one for the layer is the option weights=per_tensor"
                ),
                "bias_bits": public_fact(
                    f"{_EPILOGUE}: a float32 in units of s_x * s_w; our definition: a whole number of them"
                ),
                "bias_rounding": our_definition(
                    "to a whole number of accumulator units, then to the 24 significant bits of single precision"
                ),
                "accumulator": public_fact(f"{_EPILOGUE}: int32 (DP4A, IMMA)"),
                "requantize": public_fact(
                    f"{_EPILOGUE}: rintf((float(acc) + bias) * alpha), alpha = float32(s_x * s_w / s_y)"
                ),
                "rescale": our_definition("as the convolution's epilogue, without a bias"),
                "multipliers": public_fact(f"{_EPILOGUE}: float32"),
                "average_pool": our_definition(
                    "the module's pooling kernels are not quoted; exact sum and one multiply"
                ),
                "addition": public_fact(
                    f"{_KERNELS}/src/op/eltwise.cu; our definition: no fused multiply-add"
                ),
                "concatenation": our_definition("NART falls back to float for concatenation"),
                "softmax": public_fact("NART falls back to float for softmax"),
                "calibration": our_definition("NART takes its parameters from another tool"),
                "operators": our_definition(
                    "what intlower lowers to integers for this target; NART itself runs conv, relu, pool and eltwise sum"
                ),
            },
        )
    )


TARGET = TargetFamily(
    name="nart_cuda",
    options=(
        Option(name="bits", values=("8", "4"), meaning="width of codes and weights"),
        Option(
            name="weights",
            values=("per_channel", "per_tensor"),
            meaning="one weight scale for each output channel, or for the layer",
        ),
    ),
    make=_target,
)
