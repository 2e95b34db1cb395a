"""HiSilicon NNIE (Hi3559A, Hi3519A, Hi3516): logarithmic codes of 8 or 16 bits, linear numbers between layers."""

from __future__ import annotations

from collections.abc import Mapping

from intlower.backends.logarithmic import (
    LOG_OPERATORS,
    WIDE_BIAS_BITS,
    LogSpec,
    LogTarget,
)
from intlower.compiler.spec import SoftmaxRule, our_definition, public_fact
from intlower.compiler.target import Option, TargetFamily
from intlower.kernels.numerics_log import (
    ACCUMULATOR_BITS,
    FORMATS,
    LINEAR_FRACTION_BITS,
    MANTISSA_BITS,
)

_NAME = "nnie"
_GRID_SOURCE = (
    "ModelTC/MQBench mqbench/fake_quantize/nnie.py and docs/source/user_guide/hardware/nnie.rst, "
    "the published alignment with HiSilicon's mapper"
)
_DUMP_SOURCE = "the formats of the mapper's dumps (log_level 3), as a public deployment handbook describes them"
_UNPUBLISHED = "HiSilicon publishes neither the datapath nor a simulator"


def _spec(name: str, bits: int, bias_bits: int) -> LogSpec:
    layout = FORMATS[bits]
    narrow = bias_bits < WIDE_BIAS_BITS
    steps, greatest = layout.steps, layout.magnitudes - 1
    grid_source = (
        public_fact(_GRID_SOURCE)
        if bits == 8
        else our_definition(f"the published 8-bit rule on the layout 1.5.7; {_UNPUBLISHED}")
    )
    return LogSpec(
        name=name,
        title="HiSilicon 3559/3519/3516, NNIE",
        bits=bits,
        levels=f"sign * 2**((k + z) / {steps}), k = 0..{greatest}; the sign bit with k = 0 is exact 0",
        zero=f"0 <= x < 2**(z/{steps} - 1) and -2**((z+1)/{steps} - 1) <= x < 0; other boundaries are log midpoints",
        granularity="one clip for the weights of a layer and one for each input tensor",
        clip=f"z = round({steps} * log2(max|x|)) - {greatest}",
        encoded="inputs of all layers but activations, global means, reshapes, softmax; here also slices and pads",
        mantissas=f"T[f] = half_away(2**(f/{steps}) * 2**{MANTISSA_BITS}), equation (L2)",
        product=f"magnitudes added, T shifted by the octave, {layout.product_shift} low bits dropped, equation (L3)",
        accumulator=f"exact, {ACCUMULATOR_BITS} bits, overflow proved absent at compile time",
        bias=f"{bias_bits} bits, in units of the products, 2**((z_a + z_w)/{steps}) * 2**{layout.product_shift - MANTISSA_BITS}"
        + (", times the least power of two for a layer that makes them fit" if narrow else ""),
        output=f"int32 with {LINEAR_FRACTION_BITS} fraction bits (20.12), ties up, saturated, equation (L4)",
        encode="integer thresholds on |Y|, equations (L5) and (L6)",
        decode="T shifted by the octave, ties up, equation (L7)",
        addition="the levels of both inputs' codes, in 20.12, saturated, equation (L8)",
        average_pool="exact sum of 20.12 numbers over the model's count, ties away from zero, equation (L9)",
        max_pool="the levels of the input's codes, which stand in the order of (sign, k)",
        grouped_convolution="runs on the same datapath, depthwise as well",
        softmax=SoftmaxRule.HOST,
        operators=LOG_OPERATORS,
        provenance={
            "bits": public_fact(_DUMP_SOURCE),
            "levels": grid_source,
            "zero": grid_source,
            "granularity": public_fact(_GRID_SOURCE),
            "clip": grid_source,
            "encoded": public_fact(
                f"{_GRID_SOURCE}; for slices and pads, which its layers lack, our definition"
            ),
            "mantissas": our_definition(_UNPUBLISHED),
            "product": our_definition(
                f"exact in 8 bits; 16-bit products span 78 bits and no sum needs them all; {_UNPUBLISHED}"
            ),
            "accumulator": our_definition(_UNPUBLISHED),
            "bias": our_definition(
                f"the dumps' 24.0 has no published scale, here a shift for each layer; rounded half away; {_UNPUBLISHED}"
                if narrow
                else f"the dumps' 24.0 has no published scale; rounded half away; {_UNPUBLISHED}"
            ),
            "output": public_fact(
                f"{_DUMP_SOURCE}; the SDK's samples divide by 4096 (SAMPLE_SVP_NNIE_QUANT_BASE); "
                "the rounding is our definition"
            ),
            "encode": our_definition("the grid's boundaries, in units of 2**-12, rounded up"),
            "decode": our_definition(_UNPUBLISHED),
            "addition": our_definition(_UNPUBLISHED),
            "average_pool": our_definition(
                f"ties as the other targets' C code has them; {_UNPUBLISHED}"
            ),
            "max_pool": our_definition(f"monotone in the levels; {_UNPUBLISHED}"),
            "grouped_convolution": our_definition(
                "the public exporter leaves grouped convolutions out and advises against them"
            ),
            "softmax": our_definition("the exporter keeps softmax out of the quantized layers"),
            "operators": our_definition("what intlower lowers to integers for this target"),
        },
        bias_bits=bias_bits,
    )


def _make(name: str, values: Mapping[str, str]) -> LogTarget:
    bias_bits = WIDE_BIAS_BITS if values["bias"] == "wide" else int(values["bias"])
    return LogTarget(spec=_spec(name, int(values["bits"]), bias_bits))


TARGET = TargetFamily(
    name=_NAME,
    options=(
        Option(name="bits", values=("8", "16"), meaning="width of every code"),
        Option(
            name="bias",
            values=("wide", "24"),
            meaning="width of biases: as the sums ask for, or that of the mapper's dumps, 24.0",
        ),
    ),
    make=_make,
)
