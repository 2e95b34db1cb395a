"""The arguments of the operators of newer networks: attention, normalizations, quotients, constants, conversions."""

from __future__ import annotations

from intlower.kernels.schema import OperatorSchema

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
