"""Makes the functions of `numerics` callable from compiled code, unchanged: one body for oracle and kernel."""

from __future__ import annotations

from numba.extending import register_jitable

from intlower.kernels import numerics

JITABLE = tuple(
    register_jitable(function)
    for function in (
        numerics.shift_floor,
        numerics.shift_half_up,
        numerics.shift_half_away,
        numerics.shift_half_even,
        numerics.clamp,
        numerics.excess_bits,
        numerics.round_to_float32,
        numerics.scale_float32,
        numerics.sum_float32,
        numerics.doubling_high_multiply,
        numerics.scale_double_rounding,
        numerics.scale_single_rounding,
        numerics.sum_double_rounding,
        numerics.divide_half_up,
    )
)
