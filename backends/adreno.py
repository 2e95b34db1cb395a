"""Qualcomm Adreno 5xx and 6xx by way of OpenCL: half precision without subnormals."""

from __future__ import annotations

from collections.abc import Mapping

from intlower.backends.half import HALF_OPERATORS, HalfTarget
from intlower.compiler.spec import our_definition, public_fact
from intlower.compiler.spec_half import HalfSpec, half_provenance
from intlower.compiler.target import Option, TargetFamily
from intlower.kernels.half_rule import Subnormals

_FLUSH = {"after": Subnormals.FLUSHED, "before": Subnormals.FLUSHED_FIRST}


def _make(name: str, values: Mapping[str, str]) -> HalfTarget:
    return HalfTarget(
        spec=HalfSpec(
            name=name,
            title="Qualcomm Adreno, OpenCL FP16",
            half_sums=values["acc"] == "fp16",
            subnormals=_FLUSH[values["flush"]],
            saturate=values["overflow"] == "saturate",
            operators=HALF_OPERATORS,
            provenance=half_provenance(
                half_sums=our_definition(
                    "SNPE has a hybrid mode (float16 storage, float32 arithmetic) and a pure float16 one, without "
                    "saying how either sums; hybrid unless the option says otherwise"
                ),
                subnormals=public_fact(
                    "OpenCL Specification, CL_DEVICE_HALF_FP_CONFIG: denormals are optional (CL_FP_DENORM); OpenCL-CTS "
                    "commit f3a3ec2 allows flushed half results. That rounding comes first is our definition"
                ),
                saturate=our_definition(
                    "OpenCL C, vstore_half: overflow follows the rounding mode; infinity unless the option says otherwise"
                ),
            ),
        )
    )


TARGET = TargetFamily(
    name="adreno",
    options=(
        Option(name="acc", values=("fp32", "fp16"), meaning="precision of sums"),
        Option(name="overflow", values=("inf", "saturate"), meaning="what is past 65504"),
        Option(
            name="flush",
            values=("after", "before"),
            meaning="whether subnormals are flushed after or before rounding",
        ),
    ),
    make=_make,
)
