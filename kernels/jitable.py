"""The functions of `numerics`, callable from compiled code too: one body for oracle and kernel.

They are the same Python functions. Those that call one another find each other registered here.
"""

from __future__ import annotations

from numba.extending import register_jitable

from intlower.kernels import (
    numerics,
    numerics_fixed,
    numerics_general,
    numerics_log,
    numerics_sums,
)

shift_floor = register_jitable(numerics.shift_floor)
clamp = register_jitable(numerics.clamp)
shift_half_up = register_jitable(numerics.shift_half_up)
shift_half_away = register_jitable(numerics.shift_half_away)
shift_half_even = register_jitable(numerics.shift_half_even)
excess_bits = register_jitable(numerics.excess_bits)
round_to_float32 = register_jitable(numerics.round_to_float32)
scale_float32 = register_jitable(numerics.scale_float32)
sum_float32 = register_jitable(numerics_sums.sum_float32)
doubling_high_multiply = register_jitable(numerics.doubling_high_multiply)
scale_double_rounding = register_jitable(numerics.scale_double_rounding)
scale_single_rounding = register_jitable(numerics.scale_single_rounding)
sum_double_rounding = register_jitable(numerics_sums.sum_double_rounding)
divide_half_up = register_jitable(numerics.divide_half_up)
scale_power_half_up = register_jitable(numerics.scale_power_half_up)
scale_power_half_away = register_jitable(numerics.scale_power_half_away)
scale_power_half_even = register_jitable(numerics.scale_power_half_even)
sum_single_rounding = register_jitable(numerics_sums.sum_single_rounding)
sum_power_half_up = register_jitable(numerics_sums.sum_power_half_up)
sum_power_half_away = register_jitable(numerics_sums.sum_power_half_away)
sum_power_half_even = register_jitable(numerics_sums.sum_power_half_even)
read_out_narrow = register_jitable(numerics_log.read_out_narrow)
read_out_wide = register_jitable(numerics_log.read_out_wide)
add_saturating = register_jitable(numerics_log.add_saturating)
divide_half_away = register_jitable(numerics_log.divide_half_away)
reciprocal = register_jitable(numerics_fixed.reciprocal)
share_of_total = register_jitable(numerics_fixed.share_of_total)
bit_length = register_jitable(numerics_general.bit_length)
square_root = register_jitable(numerics_general.square_root)
normalized = register_jitable(numerics_general.normalized)
affine = register_jitable(numerics_general.affine)
octave_place = register_jitable(numerics_general.octave_place)
octave_index = register_jitable(numerics_general.octave_index)
interpolated = register_jitable(numerics_general.interpolated)
quotient = register_jitable(numerics_general.quotient)
