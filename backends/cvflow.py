"""Ambarella CVflow: Ristretto's dynamic fixed point, unsigned where a tensor is never negative; or binary16."""

from __future__ import annotations

from collections.abc import Mapping

from intlower.backends.dynamic_fixed_point import FixedPointChoices, fixed_point_target
from intlower.backends.half import HALF_OPERATORS, HalfTarget
from intlower.compiler.spec import our_definition
from intlower.compiler.spec_half import HalfSpec, half_provenance
from intlower.compiler.target import Option, Target, TargetFamily
from intlower.kernels.half_rule import Subnormals

_CLOSED = our_definition(
    "the CNNGen toolchain is not public (developer.axis.com, docs.ultralytics.com/integrations/ambarella); "
    "Ristretto's scheme in integers"
)


def _half(name: str) -> HalfTarget:
    closed = our_definition(
        "the CNNGen toolchain is not public; IEEE 754 binary16 with subnormals, as on GPUs"
    )
    return HalfTarget(
        spec=HalfSpec(
            name=name,
            title="Ambarella CVflow, FP16",
            half_sums=False,
            subnormals=Subnormals.KEPT,
            saturate=False,
            operators=HALF_OPERATORS,
            provenance=half_provenance(half_sums=closed, subnormals=closed, saturate=closed),
        )
    )


def _make(name: str, options: Mapping[str, str]) -> Target:
    if options["bits"] == "fp16":
        return _half(name)
    return fixed_point_target(
        name,
        f"Ambarella CVflow, {options['bits']} bits",
        FixedPointChoices(bits=int(options["bits"]), unsigned=True),
        {
            **dict.fromkeys(
                ("activations", "weights", "bias_rounding", "weights_powers"), _CLOSED
            ),
            "unsigned": our_definition(
                "codes 0..2**bits-1 where a tensor has no negative numbers: one bit more for what follows Relu"
            ),
        },
    )


TARGET = TargetFamily(
    name="cvflow",
    options=(
        Option(
            name="bits",
            values=("8", "16", "fp16"),
            meaning="width of codes and weights; fp16: half precision throughout",
        ),
    ),
    make=_make,
)
