"""The published Ristretto: dynamic fixed point of 8 or 16 bits, minifloats, and weights that are powers of two."""

from __future__ import annotations

from collections.abc import Mapping

from intlower.backends.dynamic_fixed_point import (
    RISTRETTO,
    FixedPointChoices,
    fixed_point_target,
)
from intlower.backends.minifloat import MinifloatTarget, minifloat_target
from intlower.compiler.errors import TargetError
from intlower.compiler.power_spec import BiasPlace, PositionRule
from intlower.compiler.spec import Provenance, public_fact
from intlower.compiler.target import Option, Target, TargetFamily
from intlower.kernels.numerics import Rounding


def _make(name: str, options: Mapping[str, str]) -> Target:
    if options["precision"] == "minifloat":
        return _make_minifloat(name, options)
    powers = options["weights"] == "power_of_two"
    if powers and options["bits"] != "8":
        raise TargetError(
            f"target {name!r}: weights that are powers of two go with 8-bit activations",
            "write weights=power_of_two, or bits=16, but not both",
        )
    if powers and options["bias"] == "parameters":
        raise TargetError(
            f"target {name!r}: biases beside weights that are powers of two are not trimmed",
            "write weights=power_of_two, or bias=parameters, but not both",
        )
    sources: dict[str, Provenance] = {}
    if options["ranges"] == "published":
        sources["positions"] = public_fact(
            f"{RISTRETTO}/quantization.cpp: ceil(log2 max|x|), 'we reduce the integer length by one bit'"
        )
    if options["bias"] == "parameters":
        published = public_fact(
            f"{RISTRETTO}/layers/conv_ristretto_layer.cpp: biases are trimmed with bw_params and fl_params"
        )
        sources |= {"bias": published, "bias_bits": published}
    if powers:
        sources |= {
            name: public_fact(
                f"{RISTRETTO}/layers/base_ristretto_layer.cpp, Trim2IntegerPowerOf2: sign(0) is plus, so 0 is 2**-8"
            )
            for name in ("weights", "weights_powers")
        }
    return fixed_point_target(
        name,
        f"Ristretto, {options['bits']} bits",
        FixedPointChoices(
            bits=int(options["bits"]),
            rounding=Rounding.HALF_EVEN
            if options["rounding"] == "even"
            else Rounding.HALF_AWAY,
            bias=BiasPlace.WEIGHTS
            if options["bias"] == "parameters"
            else BiasPlace.ACCUMULATOR,
            positions=PositionRule.WITHOUT_SIGN
            if options["ranges"] == "published"
            else PositionRule.LEAST_ERROR,
            weights_powers=powers,
        ),
        sources,
    )


def _make_minifloat(name: str, options: Mapping[str, str]) -> MinifloatTarget:
    if options["weights"] == "power_of_two":
        raise TargetError(
            f"target {name!r}: weights that are powers of two go with activations in fixed point",
            "write weights=power_of_two, or precision=minifloat with bits=8|16, ranges=kept|published, "
            "bias=accumulator|parameters and rounding=away|even, but not both",
        )
    return minifloat_target(
        name,
        bits=int(options["bits"]),
        even=options["rounding"] == "even",
        own_biases=options["ranges"] == "kept",
        trimmed_biases=options["bias"] == "parameters",
    )


TARGET = TargetFamily(
    name="ristretto",
    options=(
        Option(
            name="precision",
            values=("fixed_point", "minifloat"),
            meaning="of codes and weights: integers with a position for each tensor, or small floats",
        ),
        Option(name="bits", values=("8", "16"), meaning="width of codes and weights"),
        Option(
            name="weights",
            values=("fixed_point", "power_of_two"),
            meaning="weights of `bits` bits, or signs and exponents of 4 bits",
        ),
        Option(
            name="ranges",
            values=("kept", "published"),
            meaning="published: the integer length of tensors lacks the sign's bit, so that half the range saturates; "
            "of minifloats: one layout for the network, not an exponent bias for each tensor",
        ),
        Option(
            name="bias",
            values=("accumulator", "parameters"),
            meaning="parameters: as published, of `bits` bits at the weights' position, or a minifloat, saturating",
        ),
        Option(
            name="rounding",
            values=("away", "even"),
            meaning="of ties: as the CPU code, or as the GPU code",
        ),
    ),
    make=_make,
)
