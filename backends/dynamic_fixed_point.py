"""What the targets that descend from Ristretto have in common: dynamic fixed point, one position for each tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intlower.backends.power_of_two import PowerOfTwoTarget
from intlower.backends.uniform import UNIFORM_OPERATORS
from intlower.compiler.grids import UniformSpec
from intlower.compiler.power_spec import BiasPlace, MeanDivisor, PositionRule, PowerOfTwoSpec
from intlower.compiler.spec import (
    AccumulatorSpec,
    MultiplierSpec,
    Provenance,
    SoftmaxRule,
    our_definition,
    public_fact,
)
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

RISTRETTO = "pmgysel/caffe src/caffe/ristretto"

# Width of accumulators and biases, by that of codes: whatever fits the sums of products and leaves room for shifts.
ACCUMULATOR_BITS = {8: 32, 16: 48}

_RULES = {Rounding.HALF_AWAY: Requantize.POWERAWAY, Rounding.HALF_EVEN: Requantize.POWEREVEN}


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPointChoices:
    """What one such target has of its own.

    Attributes:
        bits: of codes and weights, 8 or 16.
        rounding: of ties, HALF_AWAY or HALF_EVEN.
        bias: where biases have their position.
        positions: how tensors get theirs.
        unsigned: whether tensors that are never negative have unsigned codes.
        weights_powers: whether weights are powers of two.
    """

    bits: int = 8
    rounding: Rounding = Rounding.HALF_AWAY
    bias: BiasPlace = BiasPlace.ACCUMULATOR
    positions: PositionRule = PositionRule.LEAST_ERROR
    unsigned: bool = False
    weights_powers: bool = False


def fixed_point_target(
    name: str,
    title: str,
    choices: FixedPointChoices,
    sources: Mapping[str, Provenance],
) -> PowerOfTwoTarget:
    """Return a target of dynamic fixed point.

    Args:
        name: the full one.
        title: hardware and library.
        choices: what it has of its own.
        sources: of the fields whose source differs from Ristretto's.
    """
    bits, powers = choices.bits, choices.weights_powers
    wide = ACCUMULATOR_BITS[bits]
    rule = _RULES[choices.rounding]
    own_bias = choices.bias is BiasPlace.WEIGHTS
    return PowerOfTwoTarget(
        spec=PowerOfTwoSpec(
            name=name,
            title=title,
            activations=UniformSpec(
                bits=bits,
                signed=True,
                symmetric=True,
                rounding=choices.rounding,
                power_of_two=True,
            ),
            weights=UniformSpec(
                bits=16 if powers else bits,
                signed=True,
                symmetric=True,
                rounding=choices.rounding,
                power_of_two=True,
            ),
            bias_bits=bits if own_bias else wide,
            bias_rounding=choices.rounding,
            accumulator=AccumulatorSpec(bits=wide),
            requantize=rule,
            rescale=rule,
            multipliers=MultiplierSpec(),
            average_pool="exact sum, one multiplier and shift for the ratio of steps over the count, one rounding",
            addition="summands shifted left to the finer position, one shift to the right, equation (18)",
            concatenation="each input shifted to the output's position, equation (16)",
            softmax=SoftmaxRule.HOST,
            calibration="min-max",
            operators=UNIFORM_OPERATORS,
            bias=choices.bias,
            positions=choices.positions,
            shifts=None,
            unsigned=choices.unsigned,
            one_position=False,
            pools_keep=False,
            mean_divisor=MeanDivisor.NEAREST,
            weights_powers=powers,
            provenance=_SOURCES | dict(sources),
        )
    )


_SOURCES = {
    "activations": public_fact(
        f"{RISTRETTO}/layers/base_ristretto_layer.cpp, Trim2FixedPoint: code * 2**-fl, codes "
        "-2**(bits-1)..2**(bits-1)-1, saturating; C's round on CPUs (the GPU code has rint, ties to even)"
    ),
    "weights": public_fact(
        f"{RISTRETTO}/layers/conv_ristretto_layer.cpp: one fl for a layer's"
    ),
    "bias_bits": our_definition(
        "as the accumulator, so that folded batch norm keeps its shift; Ristretto adds in float"
    ),
    "bias_rounding": public_fact(f"{RISTRETTO}/layers/base_ristretto_layer.cpp: as weights"),
    "accumulator": our_definition(
        "Ristretto sums trimmed numbers in float32, which is exact while sums stay below 2**24"
    ),
    "requantize": our_definition(
        "Ristretto trims the float sum; this is the same in integers, with its rounding"
    ),
    "rescale": our_definition("as `requantize`"),
    "multipliers": our_definition("shifts only, but for the divisors of means"),
    "average_pool": our_definition(
        "Ristretto leaves pooling in float, and trims at the next layer"
    ),
    "addition": our_definition("Ristretto leaves sums in float, and trims at the next layer"),
    "concatenation": our_definition(
        "Ristretto leaves it in float, and trims at the next layer"
    ),
    "softmax": our_definition("in float, on the host"),
    "calibration": public_fact(f"{RISTRETTO}/quantization.cpp: the greatest magnitude seen"),
    "operators": our_definition("what intlower lowers to integers for this target"),
    "bias": our_definition("the accumulator's unit"),
    "positions": our_definition(
        "the least expected error in the place of Ristretto's own rule, under which half the range saturates"
    ),
    "shifts": our_definition("none are published"),
    "unsigned": public_fact(f"{RISTRETTO}/quantization.cpp: codes are signed"),
    "one_position": our_definition("nothing is published"),
    "pools_keep": our_definition("nothing is published"),
    "mean_divisor": our_definition("nothing is published"),
    "weights_powers": public_fact(
        "pmgysel/caffe src/caffe/proto/caffe.proto: a precision of its own"
    ),
}
