"""Xilinx FPGAs by way of the Vitis-AI DPU: int8 at binary positions, 8-bit biases at positions of their own."""

from __future__ import annotations

from collections.abc import Mapping

from intlower.backends.power_of_two import PowerOfTwoTarget
from intlower.backends.uniform import UNIFORM_OPERATORS
from intlower.compiler.grids import UniformSpec
from intlower.compiler.operators import Function
from intlower.compiler.power_spec import (
    BiasPlace,
    MeanDivisor,
    PositionRule,
    PowerOfTwoSpec,
    ShiftLimits,
)
from intlower.compiler.spec import (
    HOST_OPERATORS,
    AccumulatorSpec,
    MultiplierSpec,
    SoftmaxRule,
    our_definition,
    public_fact,
)
from intlower.compiler.target import Option, TargetFamily
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

_QUANTIZER = "Xilinx/Vitis-AI src/vai_quantizer/vai_q_pytorch"
_KERNELS = f"{_QUANTIZER}/include/cpu/nndct_fix_kernels_cpu.h"
_ADJUST = f"{_QUANTIZER}/nndct_shared/quantization/fix_pos_adjust.py"
_GREATEST_POSITION = 12

# What no DPU has: products of activations, normalizations, and of functions all but those that the product guides list.
_DPU_FUNCTIONS = {Function.HARD_SIGMOID, Function.HARD_SWISH, Function.LEAKY_RELU}
_HOST = HOST_OPERATORS | {"MatMul", "Maximum", "Minimum", "PRelu"}
_HOST |= {function.value for function in Function if function not in _DPU_FUNCTIONS}


def _make(name: str, options: Mapping[str, str]) -> PowerOfTwoTarget:
    aligned = options["pool"] == "aligned"
    return PowerOfTwoTarget(
        spec=PowerOfTwoSpec(
            name=name,
            title="Xilinx FPGA, Vitis-AI DPU",
            activations=UniformSpec(
                bits=8,
                signed=True,
                symmetric=True,
                rounding=Rounding.HALF_AWAY,
                power_of_two=True,
                greatest_position=_GREATEST_POSITION,
            ),
            weights=UniformSpec(
                bits=8,
                signed=True,
                symmetric=True,
                rounding=Rounding.HALF_AWAY,
                power_of_two=True,
                greatest_position=_GREATEST_POSITION,
            ),
            bias_bits=8,
            bias_rounding=Rounding.HALF_AWAY,
            accumulator=AccumulatorSpec(bits=32),
            requantize=Requantize.POWERUP,
            rescale=Requantize.POWERUP,
            multipliers=MultiplierSpec(),
            average_pool="exact int32 sum times a constant for 1 / count, shifted, ties up",
            addition="summands shifted left to the finer position, one shift to the right, ties up, equation (18)",
            concatenation="all inputs and the output have one position, the least",
            softmax=SoftmaxRule.HOST,
            calibration="diffs",
            operators=UNIFORM_OPERATORS,
            host=_HOST,
            bias=BiasPlace.OWN,
            positions=PositionRule.LEAST_ERROR,
            shifts=ShiftLimits(
                cut=(0, 16), bias_most=16, bias_guard=24, sum_read=15, sum_write=(-15, 15)
            ),
            unsigned=False,
            one_position=True,
            pools_keep=aligned,
            mean_divisor=MeanDivisor.DPU,
            weights_powers=False,
            provenance={
                "activations": public_fact(
                    f"{_KERNELS}: scale 2**-position, codes -128..127; the host rounds inputs half away "
                    "(method 3); at most position 12, nndct_shared/utils/option_list.py max_fix_position"
                ),
                "weights": public_fact(f"{_KERNELS}: as activations, method 3 (std::round)"),
                "bias_bits": public_fact(
                    f"{_QUANTIZER}/nndct_shared/quantization/quant_config.py: parameters have 8 bits"
                ),
                "bias_rounding": public_fact(f"{_KERNELS}: method 3, as weights"),
                "accumulator": our_definition(
                    "int32; the shift limits imply 24 bits, which no document states"
                ),
                "requantize": public_fact(f"{_KERNELS}: method 2, half up, for feature maps"),
                "rescale": our_definition("as `requantize`: one rounding unit is known"),
                "multipliers": our_definition("there are none: shifts only"),
                "average_pool": our_definition(
                    "the constant is public, the order of its product and the shift is not"
                ),
                "addition": our_definition(
                    "the bounds of the shifts are public (_shift_read, _shift_write), not their order"
                ),
                "concatenation": public_fact(
                    f"{_ADJUST}: inputs and output of a concat are aligned"
                ),
                "softmax": our_definition(
                    "it runs on the host or on a core of its own, in float"
                ),
                "calibration": public_fact(
                    f"{_QUANTIZER}/csrc/cpu/nndct_fix_kernels_cpu.cc: see `positions`; there the mode over batches, "
                    "here one position for all samples"
                ),
                "operators": our_definition(
                    "what intlower lowers to integers; functions that the DPU's product guides list run on it (PG338 and "
                    "PG389, Features: ReLU, ReLU6, Leaky ReLU, Hard Sigmoid, Hard Swish), what they lack on the host"
                ),
                "bias": public_fact(f"{_ADJUST}: shift_bias = fp_w + fp_x - fp_b"),
                "positions": public_fact(
                    f"{_QUANTIZER}/csrc/cpu/nndct_fix_kernels_cpu.cc, diffs: the least squared error of 5 "
                    "positions (--calibration diffs); expected from moments it is our definition"
                ),
                "shifts": public_fact(
                    f"{_ADJUST}: shift_cut in 0..16, shift_bias in min(0, -(24 - (8 + shift_cut)))..16; sums: "
                    "0..15 and -15..15. A shift below is mended at the output, one above at the weights"
                ),
                "unsigned": public_fact(f"{_KERNELS}: codes are signed"),
                "one_position": public_fact(f"{_ADJUST}: see `concatenation`"),
                "pools_keep": public_fact(
                    "vai_q_onnx/refine.py, align_pool: input and output have one position"
                    if aligned
                    else f"{_ADJUST} leaves pools their positions; vai_q_onnx aligns them: pool=aligned"
                ),
                "mean_divisor": public_fact(
                    f"{_QUANTIZER}/pytorch_binding/pytorch_nndct/nn/modules/avgpool.py"
                ),
                "weights_powers": public_fact(f"{_KERNELS}: weights are int8"),
            },
        )
    )


TARGET = TargetFamily(
    name="vitis",
    options=(
        Option(
            name="pool",
            values=("free", "aligned"),
            meaning="whether average pools keep the position of their input",
        ),
    ),
    make=_make,
)
