"""NVIDIA GPUs by way of TensorRT, explicit INT8: symmetric grids, weights per channel, single-precision rescaling."""

from __future__ import annotations

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
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

TARGET = UniformTarget(
    spec=TargetSpec(
        name="tensorrt",
        title="NVIDIA GPU, TensorRT INT8",
        activations=UniformSpec(
            bits=8, signed=True, symmetric=True, rounding=Rounding.HALF_EVEN
        ),
        weights=UniformSpec(
            bits=8, signed=True, symmetric=True, rounding=Rounding.HALF_EVEN, per_channel=True
        ),
        bias_bits=32,
        bias_rounding=Rounding.HALF_EVEN,
        accumulator=AccumulatorSpec(bits=32),
        requantize=Requantize.F32EVEN,
        rescale=Requantize.F32EVEN,
        multipliers=MultiplierSpec(),
        average_pool="exact int32 sum, one single-precision multiply by s_x / (s_y * count), ties to even",
        addition="single precision, both products and the sum rounded, ties to even, equation (9)",
        concatenation="each input rescaled to the output's scale",
        softmax=SoftmaxRule.HOST,
        calibration="entropy",
        operators=UNIFORM_OPERATORS,
        provenance={
            "activations": public_fact(
                "TensorRT developer guide, Working with Quantized Types: INT8, symmetric, per tensor, "
                "round to nearest even, saturating; never unsigned"
            ),
            "weights": public_fact(
                "TensorRT developer guide: per output channel, scale = max|w| / 127, zero point 0"
            ),
            "bias_bits": our_definition(
                "TensorRT keeps the bias in float; int32 at s_x * s_w is what onnxruntime's "
                "QLinearConv computes from the same Q/DQ file"
            ),
            "bias_rounding": our_definition(
                "ties to even, as every other rounding of this target"
            ),
            "accumulator": public_fact("int32 (DP4A and IMMA instructions, CUDA PTX ISA)"),
            "requantize": our_definition(
                "the epilogue's order of operations is not published; this is onnxruntime's "
                "QLinearConv, which reads the same Q/DQ file. An engine may differ by 1 step"
            ),
            "rescale": our_definition("as the convolution's epilogue"),
            "multipliers": our_definition("single precision, as `requantize`"),
            "average_pool": our_definition(
                "the precision inside TensorRT's pooling is not published"
            ),
            "addition": our_definition(
                "the order of ModelTC/NART cuda_quant/src/op/eltwise.cu, without fused multiply-add"
            ),
            "concatenation": our_definition(
                "TensorRT gives the inputs one scale only if the user does; otherwise it copies"
            ),
            "softmax": our_definition("TensorRT runs it in float after the last INT8 tensor"),
            "calibration": public_fact(
                "EntropyCalibration2 is TensorRT's default: KL divergence, 2048 bins to 128"
            ),
            "operators": our_definition("what intlower lowers to integers for this target"),
        },
    )
)
