"""What arguments an integer operator takes, and those of the operators of newer networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSchema:
    """The arguments of one integer operator, in calling order: tensors, constants, attributes.

    Attributes:
        inputs: number of tensor inputs; None means one or more.
        constants: names of the constant arrays.
        attributes: names of the integer attributes.
        weighted: whether the kernel name carries a weight type.
        requantized: whether the kernel name carries a requantization and an output type.
        converts: whether it carries an output type without a requantization, which its constants state.
        half: whether the kernel name carries a half-precision rule.
        moves_floats: whether float16 codes may go through it, although it is no half-precision operator.
    """

    inputs: int | None = 1
    constants: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    weighted: bool = False
    requantized: bool = False
    half: bool = False
    converts: bool = False
    moves_floats: bool = False


_LIMITS = ("minimum", "maximum")

# Products of activations, normalizations, quotients, constants and conversions: `reference_general.py` documents each
# argument's layout and range.
GENERAL_OPERATORS: dict[str, OperatorSchema] = {
    "matmul": OperatorSchema(
        inputs=2,
        attributes=("multiplier", "shift", "input_zero_points", "output_zero_point", *_LIMITS),
        requantized=True,
    ),
    "normalize": OperatorSchema(
        constants=("multiplier", "bias"),
        attributes=(
            "bias_shift",
            "shift",
            "epsilon",
            "input_shift",
            "output_zero_point",
            *_LIMITS,
        ),
        converts=True,
    ),
    "lrn": OperatorSchema(
        constants=("table",),
        attributes=(
            "size",
            "sum_shift",
            "shift",
            "input_zero_point",
            "output_zero_point",
            *_LIMITS,
        ),
        converts=True,
    ),
    "divide": OperatorSchema(
        inputs=2,
        attributes=("multiplier", "shift", "input_zero_points", "output_zero_point", *_LIMITS),
        converts=True,
    ),
    "constant": OperatorSchema(constants=("codes",), converts=True),
    "convert": OperatorSchema(
        attributes=("multiplier", "shift", "input_zero_point", "output_zero_point", *_LIMITS),
        converts=True,
    ),
    "lookup_interpolated": OperatorSchema(constants=("table",), converts=True),
}
