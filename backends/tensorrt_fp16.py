"""NVIDIA GPUs by way of TensorRT in FP16: IEEE binary16 with subnormals."""

from __future__ import annotations

from collections.abc import Mapping

from intlower.backends.half import HALF_OPERATORS, HalfTarget
from intlower.compiler.spec import our_definition, public_fact
from intlower.compiler.spec_half import HalfSpec, half_provenance
from intlower.compiler.target import Option, TargetFamily
from intlower.kernels.half_rule import Subnormals


def _make(name: str, values: Mapping[str, str]) -> HalfTarget:
    return HalfTarget(
        spec=HalfSpec(
            name=name,
            title="NVIDIA GPU, TensorRT FP16",
            half_sums=values["acc"] == "fp16",
            subnormals=Subnormals.KEPT,
            saturate=False,
            operators=HALF_OPERATORS,
            provenance=half_provenance(
                half_sums=our_definition(
                    "the builder chooses by timing between tensor-core instructions with .f16 and .f32 accumulators "
                    "(PTX ISA, mma); float32 unless the option says otherwise"
                ),
                subnormals=public_fact(
                    "PTX ISA, half-precision instructions without .ftz: by default, subnormal numbers are supported"
                ),
                saturate=public_fact(
                    "PTX ISA, cvt.rn.f16.f32: to nearest even; saturation only with .sat or .satfinite"
                ),
            ),
        )
    )


TARGET = TargetFamily(
    name="tensorrt_fp16",
    options=(Option(name="acc", values=("fp32", "fp16"), meaning="precision of sums"),),
    make=_make,
)
