"""Which equation of `numerics` each requantization is, for the oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intlower.kernels import numerics
from intlower.kernels.signature import Requantize

# The rule of each requantization: (accumulator, multiplier, shift) -> integer, broadcasting.
SCALE_RULES: dict[Requantize, Callable[[Any, Any, Any], Any]] = {
    Requantize.F32EVEN: numerics.scale_float32,
    Requantize.MUL31DOUBLE: numerics.scale_double_rounding,
    Requantize.MUL31SINGLE: numerics.scale_single_rounding,
    Requantize.F32BIAS: numerics.scale_float32,  # where there is no bias
    Requantize.POWERUP: numerics.scale_power_half_up,
    Requantize.POWERAWAY: numerics.scale_power_half_away,
    Requantize.POWEREVEN: numerics.scale_power_half_even,
}
