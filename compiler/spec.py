"""A target's arithmetic as data: every number and rule, each with its source."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Protocol, get_args

from intlower.compiler.grids import UniformSpec
from intlower.compiler.operators import AnyOperator
from intlower.kernels.numerics import Rounding
from intlower.kernels.signature import Requantize

# What few chips have in integers, and the host beside them runs by our definitions, in the same integers.
HOST_OPERATORS = frozenset({"Div", "InstanceNormalization", "LRN", "LayerNormalization"})


def beside(operators: frozenset[str]) -> frozenset[str]:
    """Return the names of all float operators that are not among some, and that have a form in uniform integers."""
    every = {operator.__name__ for operator in get_args(AnyOperator)}
    return frozenset(every - operators - {"ConvTranspose"})


class Overflow(enum.Enum):
    """What happens at the accumulator's limit."""

    FORBID = "proved absent at compile time"
    SATURATE = "each partial sum saturates, in the order of the taps"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccumulatorSpec:
    """The register that sums products.

    Attributes:
        bits: its width, two's complement.
        overflow: FORBID, proved from the weights for every channel; or SATURATE.
    """

    bits: int = 32
    overflow: Overflow = Overflow.FORBID

    @property
    def limit(self) -> int:
        """The greatest value it holds."""
        return (1 << (self.bits - 1)) - 1

    def describe(self) -> str:
        """Return the spec in words."""
        return f"int{self.bits}, overflow {self.overflow.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplierSpec:
    """The integers that stand for real factors, multiplier / 2**shift; of no matter where factors are single precision.

    Attributes:
        product: bits of the multiplier after convolutions and matrix products, 2 to 31.
        sum: bits of those of a sum.
        rescale: bits between two grids, of joined tensors and activations on their own.
        pool: bits after a pooled sum.
        truncate: the fraction is cut off, not rounded (ties away from zero).
        reduced: of products, the multiplier is rounded to 31 bits first and those to `product` bits, ties up, never past
            the greatest.
        sum_fraction: fraction bits kept in a sum, equation (13); None for 20, or what wider codes leave.
    """

    product: int = 31
    sum: int = 31
    rescale: int = 31
    pool: int = 31
    truncate: bool = False
    reduced: bool = False
    sum_fraction: int | None = None

    def describe(self) -> str:
        """Return the spec in words."""
        form = "truncated" if self.truncate else "rounded"
        if self.reduced:
            form += ", those after products from 31 bits"
        return (
            f"{self.product} bits after products, {self.sum} in sums, {self.rescale} between grids, "
            f"{self.pool} after pooling; {form}"
        )


class SoftmaxRule(enum.Enum):
    """Where a classifier's final softmax runs."""

    HOST = "on the host, in float, after the last integer tensor"
    INTEGER_TABLE = "in integers: a table of exponentials and a rounded division"
    FIXED_POINT = "in integers: TFLite's Q31 table of exponentials and reciprocal, equations (F1) and (F2)"


class PoolRule(enum.Enum):
    """What a mean over a window is."""

    SCALED_SUM = "the sum, times a factor with the number of elements in it"
    MEAN_CODE = "the mean code, on the input's grid, equation (L9)"


class Status(enum.Enum):
    """What stands behind a number."""

    PUBLIC_FACT = "public fact"
    OUR_DEFINITION = "our definition"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a field's value comes from.

    Attributes:
        status: a public fact, or our definition where nothing public fixes it.
        source: the document or source file; for our definition, the reason.
    """

    status: Status
    source: str


def public_fact(source: str) -> Provenance:
    """Return the provenance of a published value."""
    return Provenance(Status.PUBLIC_FACT, source)


def our_definition(reason: str) -> Provenance:
    """Return the provenance of a value that nothing public fixes."""
    return Provenance(Status.OUR_DEFINITION, reason)


class Contract(Protocol):
    """What every target says of its arithmetic, whatever its number system."""

    @property
    def name(self) -> str:
        """What the command line calls it, options included."""
        ...

    @property
    def title(self) -> str:
        """Hardware and library, for tables."""
        ...

    @property
    def operators(self) -> frozenset[str]:
        """Names of the float operators (classes of `operators/`) that it runs."""
        ...

    @property
    def host(self) -> frozenset[str]:
        """Names of operators, or of functions of `Elementwise`, that the host runs for it, in integers; see `placement.py`."""
        ...

    @property
    def calibration(self) -> str:
        """Name of the vendor's rule of calibration, the default where there are samples."""
        ...

    def summary(self) -> dict[str, str]:
        """Return activations, weights and requantize, each in a few words."""
        ...

    def contract(self) -> list[tuple[str, str, Provenance]]:
        """Return (field, value in words, provenance) of every sourced field, in order."""
        ...


def sourced(spec: Any) -> Mapping[str, Provenance]:
    """Return the provenance of a spec, a dataclass, read-only, after proving that no field goes without.

    Raises:
        ValueError: a field has no provenance, or a provenance no field.
    """
    stated = {f.name for f in fields(spec) if "sourced_with" not in f.metadata}
    needed = stated - {"name", "title", "provenance"}
    if set(spec.provenance) != needed:
        wrong = ", ".join(sorted(set(spec.provenance) ^ needed))
        raise ValueError(f"target {spec.name!r}: every field has a provenance; look at {wrong}")
    return MappingProxyType(dict(spec.provenance))


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """The arithmetic contract of one target on uniform grids.

    Attributes:
        name: what the command line calls it.
        title: hardware and library, for tables.
        activations: grid of every tensor between layers.
        weights: grid of convolution and matrix weights.
        bias_bits: width of a bias, in units of input scale times weight scale.
        bias_rounding: of a real bias to that unit.
        accumulator: width and overflow.
        requantize: from accumulator to output code, after convolutions, matrix products and sums.
        rescale: from one grid to another without weights: of pooled sums, and of tensors that are joined.
        multipliers: how many bits the factors of both have.
        average_pool: how means are rounded, in words; the rule is `rescale` of the sum.
        addition: how residual sums are rounded, in words; the rule is `requantize`'s sum.
        concatenation: how inputs with different scales are joined, in words.
        softmax: where a final softmax runs.
        calibration: name of the rule by which the vendor takes ranges from samples, the default where there are some.
        operators: names of the float operators (classes of `operators.py`) that lower to integers.
        provenance: the source of each field above from `activations` on, by field name.
        pool_rule: what `average_pool` says, for the lowering.
        sum_rule: of sums and products of two tensors, where it is not `requantize`; `addition` says it.
        host: names of operators, or of functions of `Elementwise`, that run on the host, by the same integers.
    """

    name: str
    title: str
    activations: UniformSpec
    weights: UniformSpec
    bias_bits: int
    bias_rounding: Rounding
    accumulator: AccumulatorSpec
    requantize: Requantize
    rescale: Requantize
    multipliers: MultiplierSpec
    average_pool: str
    addition: str
    concatenation: str
    softmax: SoftmaxRule
    calibration: str
    operators: frozenset[str]
    provenance: Mapping[str, Provenance]
    pool_rule: PoolRule = field(
        default=PoolRule.SCALED_SUM, metadata={"sourced_with": "average_pool"}
    )
    sum_rule: Requantize | None = field(default=None, metadata={"sourced_with": "addition"})
    host: frozenset[str] = field(default=HOST_OPERATORS, metadata={"sourced_with": "operators"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", sourced(self))

    def _multiplier_words(self) -> str:
        if self.requantize.single_precision and self.rescale.single_precision:
            return "IEEE single precision"
        if self.requantize.power_of_two and self.rescale.power_of_two:
            return "powers of two"
        return self.multipliers.describe()

    def summary(self) -> dict[str, str]:
        """Return the grids and the requantization, each in a few words."""
        return {
            "activations": self.activations.describe(),
            "weights": self.weights.describe(),
            "requantize": self.requantize.value,
        }

    def contract(self) -> list[tuple[str, str, Provenance]]:
        """Return (field, value in words, provenance) of every sourced field, in order."""
        words = {
            "activations": self.activations.describe(),
            "weights": self.weights.describe(),
            "bias_bits": f"int{self.bias_bits}, scale = input scale * weight scale",
            "bias_rounding": self.bias_rounding.value,
            "accumulator": self.accumulator.describe(),
            "requantize": f"{self.requantize.value}: {_REQUANTIZE_WORDS[self.requantize]}",
            "rescale": f"{self.rescale.value}: {_REQUANTIZE_WORDS[self.rescale]}",
            "multipliers": self._multiplier_words(),
            "average_pool": self.average_pool,
            "addition": self.addition,
            "concatenation": self.concatenation,
            "softmax": self.softmax.value,
            "calibration": self.calibration,
            "operators": operator_words(self.operators, self.host),
        }
        return [(name, text, self.provenance[name]) for name, text in words.items()]


def operator_words(operators: frozenset[str], host: frozenset[str]) -> str:
    """Return in words which operators run on the target and which on the host."""
    native = ", ".join(sorted(operators - host))
    return f"{native}; on the host: {', '.join(sorted(host))}" if host else native


_REQUANTIZE_WORDS = {
    Requantize.F32EVEN: "one IEEE single-precision multiply, ties to even, equation (8)",
    Requantize.MUL31DOUBLE: "31-bit multiplier and shift, rounded twice, equation (11)",
    Requantize.MUL31SINGLE: "multiplier and shift, rounded once, equation (12)",
    Requantize.F32BIAS: "bias and scale in IEEE single precision, ties to even, equation (15)",
    Requantize.POWERUP: "shift, ties up, equation (16)",
    Requantize.POWERAWAY: "shift, ties away from zero, equation (16)",
    Requantize.POWEREVEN: "shift, ties to even, equation (16)",
}
