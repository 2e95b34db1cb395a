"""WUQI SDK: Ristretto's dynamic fixed point. Nothing else is public; all numbers are our definition."""

from __future__ import annotations

from collections.abc import Mapping

from intlower.backends.dynamic_fixed_point import FixedPointChoices, fixed_point_target
from intlower.backends.power_of_two import PowerOfTwoTarget
from intlower.compiler.spec import our_definition
from intlower.compiler.target import Option, TargetFamily

_UNPUBLISHED = our_definition(
    "nothing is published but that the SDK follows Ristretto, pmgysel/caffe; this is its scheme in integers"
)


def _make(name: str, options: Mapping[str, str]) -> PowerOfTwoTarget:
    return fixed_point_target(
        name,
        f"WUQI SDK, {options['bits']} bits",
        FixedPointChoices(bits=int(options["bits"])),
        dict.fromkeys(
            ("activations", "weights", "bias_rounding", "unsigned", "weights_powers"),
            _UNPUBLISHED,
        ),
    )


TARGET = TargetFamily(
    name="wuqi",
    options=(Option(name="bits", values=("8", "16"), meaning="width of codes and weights"),),
    make=_make,
)
