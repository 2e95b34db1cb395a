"""Ambarella CVflow: Ristretto's dynamic fixed point, unsigned where a tensor is never negative."""

from __future__ import annotations

from collections.abc import Mapping

from intlower.backends.dynamic_fixed_point import FixedPointChoices, fixed_point_target
from intlower.backends.power_of_two import PowerOfTwoTarget
from intlower.compiler.spec import our_definition
from intlower.compiler.target import Option, TargetFamily

_CLOSED = our_definition(
    "the CNNGen toolchain is not public (developer.axis.com, docs.ultralytics.com/integrations/ambarella); "
    "Ristretto's scheme in integers"
)


def _make(name: str, options: Mapping[str, str]) -> PowerOfTwoTarget:
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
    options=(Option(name="bits", values=("8", "16"), meaning="width of codes and weights"),),
    make=_make,
)
