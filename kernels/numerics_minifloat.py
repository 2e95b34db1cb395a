"""The rules of minifloats as integer arithmetic, equations (M1) and (M2).

A code is an integer q; |q| holds the exponent field E and, below it, the mantissa field m of M bits:

    |q| = 2**M * E + m,    value(q) = sign(q) * (1 + m / 2**M) * 2**(E - bias),    value(0) = 0

There are no subnormals, infinities and NaNs, and the greatest exponent is one like the others. The codes of numbers in
order are integers in order.

Source: pmgysel/caffe src/caffe/ristretto/layers/base_ristretto_layer.cpp, Trim2MiniFloat_cpu, and .cuh for ties to even.
Two numbers differ, because its 2**bits + 1 numbers do not fit bits: 2**-bias, whose fields are all 0, is 0 here; and what
rounds up past the greatest number saturates, as what lies beyond does there. (The CPU code also stops at the first
number that becomes 0 and leaves the rest of the array as it is, which is an error: it has `return` for `continue`.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intlower.kernels.minifloat_rule import MinifloatRule
from intlower.kernels.numerics import shift_half_even

# Of binary32.
_EXPONENT_BIAS = 127
_MANTISSA_BITS = 23


def minifloat_of_float32(bits: Any, rule: MinifloatRule, bias: int) -> NDArray[np.int64]:
    """Return the minifloat codes of binary32 numbers, equation (M1).

        |q| = clamp(round(b / 2**(23 - M)) - (127 - bias) * 2**M, 0, greatest)

    where b is the bit pattern of |x|. A carry out of the rounded mantissa runs into the exponent by itself; what is below
    2**-bias is negative there and becomes 0.

    Args:
        bits: of finite binary32, any shape, as integers in [0, 2**32).
        rule: of codes.
        bias: of exponents.

    >>> x = np.array([1.0, -1.5, 0.001, 1e9], np.float32)
    >>> minifloat_of_float32(x.view(np.uint32), MinifloatRule.of(8, 4), 7).tolist()
    [56, -60, 0, 127]
    """
    pattern = np.asarray(bits, np.int64)
    magnitude = pattern & 0x7FFFFFFF
    shift = rule.dropped_bits
    if rule.even:
        rounded = shift_half_even(magnitude, np.asarray(shift, np.int64))
    else:
        rounded = (magnitude + (1 << (shift - 1))) >> shift
    code = np.clip(rounded - ((_EXPONENT_BIAS - bias) << rule.mantissa_bits), 0, rule.greatest)
    return np.asarray(np.where(pattern >> 31, -code, code))


def float32_of_minifloat(codes: Any, rule: MinifloatRule, bias: int) -> NDArray[np.float32]:
    """Return the numbers of minifloat codes as float32, exactly, equation (M2).

        b = |q| * 2**(23 - M) + (127 - bias) * 2**23,    b = 0 for q = 0

    Args:
        codes: any shape, in [-greatest, greatest].
        rule: theirs.
        bias: of exponents.

    >>> float32_of_minifloat([1, 0, -127], MinifloatRule.of(8, 4), 7).tolist()
    [0.0087890625, 0.0, -480.0]
    """
    q = np.asarray(codes, np.int64)
    pattern = (np.abs(q) << rule.dropped_bits) + ((_EXPONENT_BIAS - bias) << _MANTISSA_BITS)
    signed = np.where(q == 0, 0, pattern | np.where(q < 0, 1 << 31, 0))
    numbers: NDArray[np.float32] = signed.astype(np.uint32).view(np.float32)
    return numbers
