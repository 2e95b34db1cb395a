"""Espressif chips by way of ESP-DL: powers of two, with each chip's rounding and accumulator."""

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
    Overflow,
    Provenance,
    SoftmaxRule,
    our_definition,
    public_fact,
)
from intlower.compiler.target import Option, TargetFamily
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

_QUANTIZER = "espressif/esp-ppq esp_ppq/quantization/quantizer/EspdlQuantizer.py"
_S3 = "espressif/esp-dl esp-dl/dl/base/isa/tie728"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chip:
    """One row of the chip table of EspdlQuantizer.py.

    Attributes:
        title: of the hardware.
        rounding: of ties.
        rule: the same, after an accumulator.
        accumulator_bits: by width of codes; also those of the bias.
        per_channel: whether each output channel of weights has an exponent.
        saturates: whether partial sums of 8-bit codes saturate.
    """

    title: str
    rounding: Rounding
    rule: Requantize
    accumulator_bits: Mapping[str, int]
    per_channel: bool
    saturates: bool


_CHIPS = {
    "p4": _Chip(
        title="ESP32-P4",
        rounding=Rounding.HALF_EVEN,
        rule=Requantize.POWEREVEN,
        accumulator_bits={"8": 32, "16": 40},
        per_channel=True,
        saturates=False,
    ),
    "s3": _Chip(
        title="ESP32-S3",
        rounding=Rounding.HALF_UP,
        rule=Requantize.POWERUP,
        accumulator_bits={"8": 20, "16": 40},
        per_channel=False,
        saturates=True,
    ),
    "c": _Chip(
        title="ESP32 and ESP32-C, without vector instructions",
        rounding=Rounding.HALF_UP,
        rule=Requantize.POWERUP,
        accumulator_bits={"8": 32, "16": 64},
        per_channel=False,
        saturates=False,
    ),
}


def _make(name: str, options: Mapping[str, str]) -> PowerOfTwoTarget:
    chip, bits = _CHIPS[options["chip"]], options["bits"]
    saturates = chip.saturates and bits == "8"
    width = chip.accumulator_bits[bits]
    weights = UniformSpec(
        bits=int(bits),
        signed=True,
        symmetric=True,
        rounding=chip.rounding,
        power_of_two=True,
        per_channel=chip.per_channel,
    )
    return PowerOfTwoTarget(
        spec=PowerOfTwoSpec(
            name=name,
            title=f"Espressif {chip.title}, ESP-DL, {bits} bits",
            activations=UniformSpec(
                bits=int(bits),
                signed=True,
                symmetric=True,
                rounding=chip.rounding,
                power_of_two=True,
            ),
            weights=weights,
            bias_bits=min(width, 48),
            bias_rounding=chip.rounding,
            accumulator=AccumulatorSpec(
                bits=min(width, 48),
                overflow=Overflow.SATURATE if saturates else Overflow.FORBID,
            ),
            requantize=chip.rule,
            rescale=chip.rule,
            multipliers=MultiplierSpec(),
            average_pool="exact sum, one multiplier and shift for the ratio of steps over the count, one rounding",
            addition="summands shifted left to the finer position, one shift to the right, equation (18)",
            concatenation="each input shifted to the output's position, equation (16)",
            softmax=SoftmaxRule.HOST,
            calibration="percentile",
            operators=UNIFORM_OPERATORS,
            bias=BiasPlace.ACCUMULATOR,
            positions=PositionRule.LEAST_ERROR,
            shifts=None,
            unsigned=False,
            one_position=False,
            pools_keep=False,
            mean_divisor=MeanDivisor.NEAREST,
            weights_powers=False,
            provenance=_sources(chip, width, saturates),
        )
    )


def _sources(chip: _Chip, width: int, saturates: bool) -> dict[str, Provenance]:
    rounded = public_fact(f"{_QUANTIZER}: {chip.rounding.value} on {chip.title}")
    accumulator = public_fact(
        f"{_QUANTIZER}: {width} bits, which is also the width of the bias"
    )
    if saturates:
        accumulator = public_fact(
            "ESP32-S3 Technical Reference Manual, EE.VMULAS.S8.QACC: a 20-bit sum saturates at each product; "
            f"{_S3}/dl_tie728_s8_conv2d.S: the bias first, then [kh][kw][channel]"
        )
    elif width > 48:
        accumulator = our_definition(
            f"{_QUANTIZER} has {width} bits; 48 leave room for shifts in 64"
        )
    return {
        "activations": public_fact(
            f"{_QUANTIZER}: symmetric, powers of two, full range, per tensor"
        ),
        "weights": public_fact(
            f"{_QUANTIZER}: powers of two, per {'output channel' if chip.per_channel else 'tensor'}"
        ),
        "bias_bits": public_fact(f"{_QUANTIZER}: bias_bits {width}"),
        "bias_rounding": rounded,
        "accumulator": accumulator,
        "requantize": public_fact(
            f"{_S3}/dl_tie728_s8.S: shifted by n - 1, plus 1, shifted by 1"
        )
        if saturates
        else rounded,
        "rescale": our_definition("as `requantize`"),
        "multipliers": our_definition("shifts only, but for the divisors of means"),
        "average_pool": our_definition(
            "one rounding; ESP-DL's own order of product and shift may differ"
        ),
        "addition": our_definition("one rounding; ESP-DL's own width between may differ"),
        "concatenation": our_definition(
            "ESP-PPQ gives inputs and output one exponent if it can"
        ),
        "softmax": public_fact(f"{_QUANTIZER}: the output of Softmax stays in float"),
        "calibration": public_fact(f"{_QUANTIZER}: observer_algorithm percentile"),
        "operators": our_definition("what intlower lowers to integers for this target"),
        "bias": public_fact(
            "esp-ppq: the bias has the exponent of input plus weights, so that it is loaded into the accumulator"
        ),
        "positions": our_definition("ESP-PPQ calibrates with samples by percentiles"),
        "shifts": our_definition("no limits are published"),
        "unsigned": public_fact(f"{_QUANTIZER}: quant_min is -2**(bits-1)"),
        "one_position": our_definition("as `concatenation`, without constraint"),
        "pools_keep": our_definition("each tensor has an exponent of its own"),
        "mean_divisor": our_definition("as `average_pool`"),
        "weights_powers": public_fact(f"{_QUANTIZER}: weights are linear"),
    }


TARGET = TargetFamily(
    name="espdl",
    options=(
        Option(
            name="chip", values=("p4", "s3", "c"), meaning="ESP32-P4, ESP32-S3, or the others"
        ),
        Option(name="bits", values=("8", "16"), meaning="width of codes and weights"),
    ),
    make=_make,
)
