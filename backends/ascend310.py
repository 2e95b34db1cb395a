"""Huawei Ascend 310 by way of ACL and AMCT: int8 products, binary16 between layers; or binary16 throughout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from intlower.backends.half import HALF_OPERATORS, HalfTarget
from intlower.backends.mixed import MixedTarget
from intlower.compiler.grids import UniformSpec
from intlower.compiler.spec import our_definition, public_fact
from intlower.compiler.spec_half import HalfSpec, half_provenance
from intlower.compiler.spec_mixed import MixedSpec
from intlower.compiler.target import Option, TargetFamily
from intlower.kernels.half_rule import Subnormals
from intlower.kernels.numerics import Rounding

if TYPE_CHECKING:
    from intlower.compiler.target import Target

_TITLE = "Huawei Ascend 310, ACL"
_AMCT = "hicann/amct, amct_pytorch/classic/graph_based/amct_pytorch"


def _half(name: str) -> HalfSpec:
    return HalfSpec(
        name=name,
        title=_TITLE,
        half_sums=False,
        subnormals=Subnormals.KEPT,
        saturate=False,
        operators=HALF_OPERATORS,
        provenance=half_provenance(
            half_sums=public_fact(
                "CANN, AscendCL data types of the Cube unit: float16 operands, float32 result"
            ),
            subnormals=our_definition("IEEE 754, as nothing public says otherwise"),
            saturate=our_definition(
                "IEEE 754; the chip's saturation mode is a setting of the runtime, off here"
            ),
        ),
    )


def _mixed(name: str) -> MixedSpec:
    return MixedSpec(
        name=name,
        title=_TITLE,
        activations=UniformSpec(
            bits=8, signed=True, symmetric=False, rounding=Rounding.HALF_EVEN
        ),
        weights=UniformSpec(
            bits=8, signed=True, symmetric=True, rounding=Rounding.HALF_EVEN, per_channel=True
        ),
        least_scale=2.0**-23,
        quantized="inputs of Conv, Gemm and AveragePool (whose windows all count alike); all else is binary16",
        bias="int32, scale = input scale * weight scale, half_even",
        quantization="clamp(half_even(float32(x) * float32(1 / scale)) + offset); NaN gives the offset",
        accumulator="int32, overflow proved absent at compile time",
        scale_mask=0xFFFFE000,
        dequantization="binary16 of float32(sum) * scale; then the activation's limits",
        half=_half(name),
        provenance={
            "activations": public_fact(
                f"{_AMCT}/custom_op/utils.py: scale = (max - min) / 255 with 0 in the range, offset = round(-128 - min / scale)"
            ),
            "weights": public_fact(
                f"{_AMCT}/custom_op/arq/arq_impl.py and utils.py: per output channel of a convolution, one scale for a matrix; max / 127, or "
                "-min / 128 where that end is further. The rounding is the recipe's, to nearest in AMCT"
            ),
            "least_scale": public_fact(
                f"{_AMCT}/custom_op/utils.py, process_scale: below float32's epsilon"
            ),
            "quantized": public_fact(
                "AMCT, common/capacity_config.csv; a global average pooling is not. Windows that count differently, at a "
                "border, are left in binary16 by our definition"
            ),
            "bias": public_fact(f"{_AMCT}/optimizer/insert_bias_quant_pass.py"),
            "quantization": our_definition(
                "AMCT's order, rounding before the offset is added; the AscendQuant of Ascend C rounds after it, in "
                "binary16, which differs at ties for odd offsets"
            ),
            "accumulator": public_fact("CANN: int8 operands of the Cube unit give int32"),
            "scale_mask": our_definition(
                "AMCT's FORCE_FP16_QUANT cuts a scale to 19 bits (S19); that the 310 works so is our reading"
            ),
            "dequantization": public_fact(
                "Ascend C API, AscendDequant (atlasascendc_api_07_0820): int32 times deqScale, as half. That it is one "
                "float32 product, rounded to nearest even, is our definition"
            ),
            "half": our_definition("one arithmetic for all that is not quantized"),
        },
    )


def _make(name: str, values: Mapping[str, str]) -> Target:
    if values["bits"] == "fp16":
        return HalfTarget(spec=_half(name))
    return MixedTarget(spec=_mixed(name))


TARGET = TargetFamily(
    name="ascend310",
    options=(
        Option(name="bits", values=("8", "fp16"), meaning="integer products, or none at all"),
    ),
    make=_make,
)
